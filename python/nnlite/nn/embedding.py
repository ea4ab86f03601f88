"""Tables of vectors."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from .. import arguments, arrays, ops, random
from ..arrays import Array
from ..tensor import Parameter, Tensor
from .module import Module


def _table(layer: str, rows: int, size: int, padding_idx: int | None, dtype: Any) -> tuple[Parameter, int | None]:
    """A table of normal numbers, and the padding's row counted from 0, which starts as zeros."""
    kind = arguments.float_dtype(layer, dtype)
    weight = Parameter(random.normal((rows, size), dtype=kind, stream=random.INITIALISATION))
    if padding_idx is None:
        return weight, None
    if not -rows <= padding_idx < rows:
        raise ValueError(f"{layer}: padding_idx is {padding_idx} but there are {rows} embeddings")
    row = padding_idx % rows
    if isinstance(weight.data, np.ndarray):
        weight.data[row] = 0
    return weight, row


class Embedding(Module):
    """``y[i, j] = weight[x[i, j]]``: a vector for each index.

    weight is ``(num_embeddings, embedding_dim)`` and starts normal. The row ``padding_idx`` starts as zeros and gets no
    gradient.
    """

    def __init__(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None, *, dtype: Any = "float32"
    ) -> None:
        super().__init__()
        self.num_embeddings = arguments.size("Embedding: num_embeddings", num_embeddings)
        self.embedding_dim = arguments.size("Embedding: embedding_dim", embedding_dim)
        self.weight, self.padding_idx = _table("Embedding", num_embeddings, embedding_dim, padding_idx, dtype)

    @classmethod
    def from_pretrained(cls, embeddings: Array, freeze: bool = True, padding_idx: int | None = None) -> Self:
        """An embedding with a given table, which is not trained if ``freeze``."""
        rows, size = embeddings.shape
        layer = cls(rows, size, dtype=embeddings.dtype)
        layer.weight.data[...] = embeddings
        layer.weight.requires_grad = not freeze
        layer.padding_idx = None if padding_idx is None else padding_idx % rows
        return layer

    def forward(self, x: Array) -> Tensor:
        """Indices of any shape ``(*)`` to ``(*, embedding_dim)``."""
        return ops.embedding(x, self.weight, self.padding_idx)


class EmbeddingBag(Module):
    """The sum, mean or maximum of the vectors of each bag of indices.

    ``mode`` is "sum", "mean" or "max". Indices of ``padding_idx`` are left out.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        mode: str = "mean",
        padding_idx: int | None = None,
        *,
        dtype: Any = "float32",
    ) -> None:
        super().__init__()
        self.num_embeddings = arguments.size("EmbeddingBag: num_embeddings", num_embeddings)
        self.embedding_dim = arguments.size("EmbeddingBag: embedding_dim", embedding_dim)
        if mode not in ("sum", "mean", "max"):
            raise ValueError(f"EmbeddingBag: mode must be 'sum', 'mean' or 'max', got {mode!r}")
        self.mode = mode
        self.weight, self.padding_idx = _table("EmbeddingBag", num_embeddings, embedding_dim, padding_idx, dtype)

    def forward(self, x: Array, offsets: Array | None = None) -> Tensor:
        """Bags ``(N, L)``, or all indices ``(M,)`` and each bag's begin ``(N,)``; the result ``(N, embedding_dim)``."""
        indices = np.asarray(arrays.to_numpy(x))
        if (indices.ndim == 2) == (offsets is not None):
            raise ValueError("EmbeddingBag: x is (N, L), or (M,) with offsets (N,)")
        ends = None if offsets is None else np.asarray(arrays.to_numpy(offsets))[1:]
        bags = list(indices) if ends is None else np.split(indices, ends)
        rows = []
        for bag in bags:
            kept = bag if self.padding_idx is None else bag[bag != self.padding_idx]
            if len(kept) == 0:
                rows.append(ops.multiply(ops.sum(ops.narrow(self.weight, 0, 0, 1), 0), 0.0))
                continue
            vectors = ops.embedding(kept, self.weight)
            rows.append({"sum": ops.sum, "mean": ops.mean, "max": ops.amax}[self.mode](vectors, 0))
        return ops.stack(rows)
