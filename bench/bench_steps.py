"""Whole training steps and inference. The step is the plain loop: zero_grad, forward, loss, backward, step."""

from __future__ import annotations

from collections.abc import Iterator

from . import nets
from .harness import Case, Sizes


def cases(tiny: bool, sizes: Sizes = ()) -> Iterator[Case]:
    for net in nets.nets(tiny):
        yield Case(
            "training_step",
            f"{net.name}, batch {net.batch}",
            group="training step",
            make=lambda net=net: nets.nnlite_step(net, net.batch),
            numpy=nets.book_step(net, net.batch) if net.book else None,
            torch=lambda torch, net=net: nets.torch_runs(torch, net, net.batch, True),
            jax=lambda jax, net=net: nets.jax_runs(jax, net, net.batch, True),
            flops=nets.flops(net, True) * net.batch,
            tolerance=1e-2,
            alike=not any(layer[0] == "dropout" for layer in net.spec),
        )
        for n in (1, 3) if tiny else (1, 128):
            yield Case(
                "inference",
                f"{net.name}, batch {n}",
                group=f"inference, batch {n}",
                make=lambda net=net, n=n: nets.nnlite_inference(net, n),
                torch=lambda torch, net=net, n=n: nets.torch_runs(torch, net, n, False),
                jax=lambda jax, net=net, n=n: nets.jax_runs(jax, net, n, False),
                flops=nets.flops(net, False) * n,
                tolerance=1e-2,
            )
