"""Numbers moved, none changed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .harness import Case, Sizes, normal

SIZES = [(100, 30, 576), (100, 576, 30), (128, 64, 1024), (1, 1000, 1000)]


def cases(tiny: bool, sizes: Sizes = ()) -> Iterator[Case]:
    for shape in sizes or ([(2, 9, 17)] if tiny else SIZES):
        x = normal(*shape)
        yield Case(
            "transpose",
            ",".join(map(str, shape)),
            (x,),
            lambda x=x: np.ascontiguousarray(x.transpose(0, 2, 1)),
            torch=lambda torch, x=x: torch.from_numpy(x).transpose(1, 2).contiguous,
            bytes=8.0 * x.size,
            elements=x.size,
            group="copies",
        )
        yield Case("reshape", ",".join(map(str, shape)), (x, (x.size,)), lambda x=x: x.reshape(x.size), group="copies")
        to = np.empty_like(x)
        for op, arguments, numpy in (
            ("copy", (x,), lambda x=x: x.copy()),
            ("assign", (to, x), lambda x=x, to=to: np.copyto(to, x)),
        ):
            yield Case(
                op,
                ",".join(map(str, shape)),
                arguments,
                numpy,
                torch=lambda torch, x=x: torch.from_numpy(x).clone,
                bytes=8.0 * x.size,
                elements=x.size,
                group="copies",
            )
