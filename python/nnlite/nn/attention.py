"""Attention and transformers (Vaswani et al., 2017), with PyTorch's parameters."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import arguments, arrays, init, ops
from ..arrays import Array
from ..ops.attention import masked
from ..tensor import Parameter, Tensor, as_tensor
from .containers import ModuleList
from .dropout import Dropout
from .linear import Linear
from .module import Module
from .norm import LayerNorm


class MultiheadAttention(Module):
    """Attention of several heads: ``in_proj`` makes query, key and value, each head attends, ``out_proj`` joins them.

    Sequences are ``(L, N, E)``, or ``(N, L, E)`` with ``batch_first``, or ``(L, E)``. Masks are PyTorch's: bool, where
    *True hides*, or numbers that are added to the scores.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        *,
        dtype: Any = "float32",
    ) -> None:
        super().__init__()
        layer = "MultiheadAttention"
        self.embed_dim = arguments.size(f"{layer}: embed_dim", embed_dim)
        self.num_heads = arguments.size(f"{layer}: num_heads", num_heads)
        if embed_dim % num_heads:
            raise ValueError(f"{layer}: num_heads={num_heads} does not divide embed_dim={embed_dim}")
        self.dropout = arguments.number(f"{layer}: dropout", dropout, 0.0, 1.0)
        self.batch_first = bool(batch_first)
        self.kdim, self.vdim = kdim or embed_dim, vdim or embed_dim
        kind = arguments.float_dtype(layer, dtype)
        if (self.kdim, self.vdim) == (embed_dim, embed_dim):
            self.in_proj_weight: Parameter | None = Parameter(init.xavier_uniform((3 * embed_dim, embed_dim), kind))
        else:
            self.in_proj_weight = None
            self.q_proj_weight = Parameter(init.xavier_uniform((embed_dim, embed_dim), kind))
            self.k_proj_weight = Parameter(init.xavier_uniform((embed_dim, self.kdim), kind))
            self.v_proj_weight = Parameter(init.xavier_uniform((embed_dim, self.vdim), kind))
        self.in_proj_bias = Parameter(np.zeros(3 * embed_dim, kind)) if bias else None
        self.out_proj = Linear(embed_dim, embed_dim, bias, dtype=kind)
        if self.out_proj.bias is not None:
            self.out_proj.bias.data[...] = 0

    def forward(
        self,
        query: Tensor | Array,
        key: Tensor | Array,
        value: Tensor | Array,
        key_padding_mask: Array | None = None,
        need_weights: bool = True,
        attn_mask: Array | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """The result ``(L, N, E)`` and, if wanted, the weights ``(N, L, S)`` (or ``(N, heads, L, S)``).

        ``key_padding_mask`` is ``(N, S)``, ``attn_mask`` ``(L, S)`` or ``(N * heads, L, S)``.
        """
        q, k, v = (as_tensor("MultiheadAttention", n, x) for n, x in zip("qkv", (query, key, value), strict=True))
        alone = q.data.ndim == 2
        if alone:
            q, k, v = (ops.unsqueeze(x, 0) for x in (q, k, v))
        elif not self.batch_first:
            q, k, v = (ops.transpose(x, 0, 1) for x in (q, k, v))
        q, k, v = self._projected(q, k, v)
        n, rows, columns = q.data.shape[0], q.data.shape[1], k.data.shape[1]
        scores = ops.matmul(
            ops.multiply(self._heads(q), 1.0 / math.sqrt(self.embed_dim // self.num_heads)),
            ops.transpose(self._heads(k), -2, -1),
        )
        if is_causal and attn_mask is None:
            attn_mask = ~np.tri(rows, columns, dtype=bool)
        if attn_mask is not None:
            scores = _hide(scores, attn_mask if attn_mask.ndim == 2 else attn_mask.reshape(n, -1, rows, columns))
        if key_padding_mask is not None:
            mask = key_padding_mask.reshape(n, 1, 1, columns)
            scores = _hide(scores, mask)
        weights = ops.softmax(scores)
        dropped = ops.dropout(weights, self.dropout, self.training) if self.dropout else weights
        mixed = ops.transpose(ops.matmul(dropped, self._heads(v)), 1, 2)
        y = self.out_proj(ops.reshape(mixed, (n, rows, self.embed_dim)))
        shown = None
        if need_weights:
            shown = ops.mean(dropped, 1) if average_attn_weights else dropped
        if alone:
            return ops.squeeze(y, 0), None if shown is None else ops.squeeze(shown, 0)
        return y if self.batch_first else ops.transpose(y, 0, 1), shown

    def _projected(self, q: Tensor, k: Tensor, v: Tensor) -> list[Tensor]:
        if self.in_proj_weight is not None:
            weights: list[Any] = list(ops.chunk(self.in_proj_weight, 3))
        else:
            weights = [self.q_proj_weight, self.k_proj_weight, self.v_proj_weight]
        biases: list[Any] = [None] * 3 if self.in_proj_bias is None else list(ops.chunk(self.in_proj_bias, 3))
        return [ops.linear(x, w, b) for x, w, b in zip((q, k, v), weights, biases, strict=True)]

    def _heads(self, x: Tensor) -> Tensor:
        n, length, size = x.data.shape
        return ops.transpose(ops.reshape(x, (n, length, self.num_heads, size // self.num_heads)), 1, 2)


def _hide(scores: Tensor, mask: Array) -> Tensor:
    """``scores`` with a mask of bool, where True hides, or of numbers."""
    return masked(scores, ~arrays.to_numpy(mask) if mask.dtype.kind == "b" else mask)


def _activation(layer: str, activation: str | Callable[[Any], Any]) -> Callable[[Any], Any]:
    if callable(activation):
        return activation
    if activation not in ("relu", "gelu"):
        raise ValueError(f"{layer}: activation must be 'relu', 'gelu' or a function, got {activation!r}")
    return {"relu": ops.relu, "gelu": ops.gelu}[activation]


class TransformerEncoderLayer(Module):
    """Self-attention and a network of two layers, each added to its input and normalised.

    ``norm_first`` normalises before instead of after.
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Any], Any] = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        *,
        dtype: Any = "float32",
    ) -> None:
        super().__init__()
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first, dtype=dtype)
        self.linear1 = Linear(d_model, dim_feedforward, bias, dtype=dtype)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, dtype=dtype)
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype)
        self.dropout1, self.dropout2 = Dropout(dropout), Dropout(dropout)
        self.norm_first = bool(norm_first)
        self.activation = _activation("TransformerEncoderLayer", activation)

    def forward(
        self,
        src: Tensor | Array,
        src_mask: Array | None = None,
        src_key_padding_mask: Array | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """``(L, N, E)``, or ``(N, L, E)`` with ``batch_first``."""

        def attend(x: Tensor) -> Tensor:
            y, _ = self.self_attn(x, x, x, src_key_padding_mask, False, src_mask, is_causal=is_causal)
            return self.dropout1(y)  # type: ignore[no-any-return]

        def feed(x: Tensor) -> Tensor:
            return self.dropout2(self.linear2(self.dropout(self.activation(self.linear1(x)))))  # type: ignore[no-any-return]

        x = as_tensor("TransformerEncoderLayer", "src", src)
        if self.norm_first:
            x = ops.add(x, attend(self.norm1(x)))
            return ops.add(x, feed(self.norm2(x)))
        x = self.norm1(ops.add(x, attend(x)))
        return self.norm2(ops.add(x, feed(x)))  # type: ignore[no-any-return]


class TransformerDecoderLayer(Module):
    """Self-attention, attention to ``memory`` and a network of two layers; see :class:`TransformerEncoderLayer`."""

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Any], Any] = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        *,
        dtype: Any = "float32",
    ) -> None:
        super().__init__()
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first, dtype=dtype)
        self.multihead_attn = MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first, dtype=dtype)
        self.linear1 = Linear(d_model, dim_feedforward, bias, dtype=dtype)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, dtype=dtype)
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype)
        self.norm3 = LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype)
        self.dropout1, self.dropout2, self.dropout3 = Dropout(dropout), Dropout(dropout), Dropout(dropout)
        self.norm_first = bool(norm_first)
        self.activation = _activation("TransformerDecoderLayer", activation)

    def forward(
        self,
        tgt: Tensor | Array,
        memory: Tensor | Array,
        tgt_mask: Array | None = None,
        memory_mask: Array | None = None,
        tgt_key_padding_mask: Array | None = None,
        memory_key_padding_mask: Array | None = None,
        tgt_is_causal: bool = False,
    ) -> Tensor:
        """``tgt`` ``(L, N, E)`` and ``memory`` ``(S, N, E)``, or with the batch first."""

        def attend(x: Tensor) -> Tensor:
            y, _ = self.self_attn(x, x, x, tgt_key_padding_mask, False, tgt_mask, is_causal=tgt_is_causal)
            return self.dropout1(y)  # type: ignore[no-any-return]

        def look(x: Tensor) -> Tensor:
            y, _ = self.multihead_attn(x, memory, memory, memory_key_padding_mask, False, memory_mask)
            return self.dropout2(y)  # type: ignore[no-any-return]

        def feed(x: Tensor) -> Tensor:
            return self.dropout3(self.linear2(self.dropout(self.activation(self.linear1(x)))))  # type: ignore[no-any-return]

        x = as_tensor("TransformerDecoderLayer", "tgt", tgt)
        if self.norm_first:
            x = ops.add(x, attend(self.norm1(x)))
            x = ops.add(x, look(self.norm2(x)))
            return ops.add(x, feed(self.norm3(x)))
        x = self.norm1(ops.add(x, attend(x)))
        x = self.norm2(ops.add(x, look(x)))
        return self.norm3(ops.add(x, feed(x)))  # type: ignore[no-any-return]


class Transformer(Module):
    """Encoder and decoder of ``Attention is all you need``; matrices start as Xavier's uniform numbers."""

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Any], Any] = "relu",
        custom_encoder: Module | None = None,
        custom_decoder: Module | None = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        *,
        dtype: Any = "float32",
    ) -> None:
        super().__init__()
        shared = (d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias)
        if custom_encoder is None:
            layer = TransformerEncoderLayer(*shared, dtype=dtype)
            norm = LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype)
            custom_encoder = TransformerEncoder(layer, num_encoder_layers, norm)
        if custom_decoder is None:
            decoder = TransformerDecoderLayer(*shared, dtype=dtype)
            norm = LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype)
            custom_decoder = TransformerDecoder(decoder, num_decoder_layers, norm)
        self.encoder, self.decoder = custom_encoder, custom_decoder
        self.d_model, self.nhead, self.batch_first = d_model, nhead, bool(batch_first)
        for p in self.parameters():
            if p.ndim > 1:
                p.data = init.xavier_uniform(p.shape, p.dtype)

    def forward(
        self,
        src: Tensor | Array,
        tgt: Tensor | Array,
        src_mask: Array | None = None,
        tgt_mask: Array | None = None,
        memory_mask: Array | None = None,
        src_key_padding_mask: Array | None = None,
        tgt_key_padding_mask: Array | None = None,
        memory_key_padding_mask: Array | None = None,
        src_is_causal: bool = False,
        tgt_is_causal: bool = False,
    ) -> Any:
        """``src`` ``(S, N, E)`` and ``tgt`` ``(T, N, E)``, or with the batch first; the result as ``tgt``."""
        memory = self.encoder(src, src_mask, src_key_padding_mask, src_is_causal)
        masks = (tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask, tgt_is_causal)
        return self.decoder(tgt, memory, *masks)

    @staticmethod
    def generate_square_subsequent_mask(size: int) -> Array:
        """-inf above the diagonal, 0 elsewhere: row ``i`` sees columns up to ``i``."""
        return np.where(np.tri(size, dtype=bool), np.float32(0), np.float32(-np.inf))


class TransformerEncoder(Module):
    """``num_layers`` copies of a layer, which start with equal weights as in PyTorch, and a norm behind."""

    def __init__(self, encoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        self.layers = ModuleList(copy.deepcopy(encoder_layer) for _ in range(num_layers))
        self.num_layers, self.norm = num_layers, norm

    def forward(
        self,
        src: Tensor | Array,
        mask: Array | None = None,
        src_key_padding_mask: Array | None = None,
        is_causal: bool = False,
    ) -> Any:
        """As the layer's."""
        x: Any = src
        for layer in self.layers:
            x = layer(x, mask, src_key_padding_mask, is_causal)
        return x if self.norm is None else self.norm(x)


class TransformerDecoder(Module):
    """``num_layers`` copies of a layer, which start with equal weights as in PyTorch, and a norm behind."""

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        self.layers = ModuleList(copy.deepcopy(decoder_layer) for _ in range(num_layers))
        self.num_layers, self.norm = num_layers, norm

    def forward(self, tgt: Tensor | Array, memory: Tensor | Array, *masks: Any, **named_masks: Any) -> Any:
        """As the layer's."""
        x: Any = tgt
        for layer in self.layers:
            x = layer(x, memory, *masks, **named_masks)
        return x if self.norm is None else self.norm(x)
