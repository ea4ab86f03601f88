"""PyTorch as an outside oracle of layers: results and all gradients, with the weights of PyTorch's ``state_dict``, over
tables of constructor arguments.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nnlite as nl
from nnlite import nn
from support import rng

torch = pytest.importorskip("torch")

Arguments = tuple[Any, ...]


def normal(*shape: int, seed: int = 0) -> Any:
    return rng(seed).standard_normal(shape)


IMAGES, SEQUENCES = normal(2, 4, 7, 6), normal(2, 4, 9)
# Layers without arguments.
PLAIN = """Identity ReLU ReLU6 LeakyReLU PReLU ELU SELU CELU GELU SiLU Mish Softplus Softsign Sigmoid LogSigmoid Tanh
Hardtanh Hardsigmoid Hardswish Tanhshrink Hardshrink Softshrink Softmax2d Flatten"""
# Layer, constructor arguments, options, inputs.
CASES: list[tuple[str, Arguments, dict[str, Any], Arguments]] = [
    *[(name, (), {}, (IMAGES,)) for name in PLAIN.split()],
    ("LeakyReLU", (0.2,), {}, (IMAGES,)),
    ("PReLU", (4, 0.1), {}, (IMAGES,)),
    ("ELU", (0.5,), {}, (IMAGES,)),
    ("CELU", (0.5,), {}, (IMAGES,)),
    ("GELU", ("tanh",), {}, (IMAGES,)),
    ("Softplus", (2.0, 3.0), {}, (IMAGES,)),
    ("Hardtanh", (-0.3, 0.6), {}, (IMAGES,)),
    ("Hardshrink", (1.0,), {}, (IMAGES,)),
    ("Softshrink", (0.1,), {}, (IMAGES,)),
    ("Threshold", (0.1, 20.0), {}, (IMAGES,)),
    ("GLU", (1,), {}, (IMAGES,)),
    ("Softmax", (), {"dim": 1}, (IMAGES,)),
    ("Softmin", (), {"dim": -1}, (IMAGES,)),
    ("LogSoftmax", (), {"dim": 2}, (IMAGES,)),
    ("Linear", (6, 5), {}, (IMAGES,)),
    ("Linear", (6, 5), {"bias": False}, (IMAGES,)),
    ("Bilinear", (6, 5, 3), {}, (normal(2, 4, 6), normal(2, 4, 5, seed=1))),
    ("Bilinear", (6, 5, 3, False), {}, (normal(4, 6), normal(4, 5, seed=1))),
    ("Conv1d", (4, 6, 3), {}, (SEQUENCES,)),
    ("Conv1d", (4, 6, 4), {"padding": "same", "dilation": 2}, (SEQUENCES,)),
    ("Conv1d", (4, 6, 3), {"stride": 2, "padding": 1, "groups": 2, "bias": False}, (SEQUENCES,)),
    ("Conv1d", (4, 2, 3), {"padding": 2, "padding_mode": "circular"}, (SEQUENCES,)),
    ("Conv2d", (4, 6, 3), {}, (IMAGES,)),
    ("Conv2d", (4, 6, (3, 2)), {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2)}, (IMAGES,)),
    ("Conv2d", (4, 6, 3), {"groups": 2, "bias": False}, (IMAGES,)),
    ("Conv2d", (4, 6, (3, 4)), {"padding": "same"}, (IMAGES,)),
    ("Conv2d", (4, 6, 3), {"padding": "valid"}, (IMAGES,)),
    ("Conv2d", (4, 6, 3), {"padding": 1, "padding_mode": "reflect"}, (IMAGES,)),
    ("Conv2d", (4, 6, 3), {"padding": (2, 1), "padding_mode": "replicate"}, (IMAGES,)),
    ("Conv2d", (4, 6, 3), {"padding": "same", "padding_mode": "circular"}, (IMAGES,)),
    ("Conv2d", (4, 6, 3), {}, (IMAGES[0],)),
    ("ConvTranspose1d", (4, 6, 3), {"stride": 2, "padding": 1, "output_padding": 1}, (SEQUENCES,)),
    ("ConvTranspose2d", (4, 6, 3), {}, (IMAGES,)),
    ("ConvTranspose2d", (4, 6, (3, 2)), {"stride": 2, "padding": 1, "output_padding": (1, 0)}, (IMAGES,)),
    ("ConvTranspose2d", (4, 6, 3), {"stride": (2, 3), "groups": 2, "dilation": 2, "bias": False}, (IMAGES,)),
    ("MaxPool1d", (3,), {"stride": 2, "padding": 1}, (SEQUENCES,)),
    ("MaxPool1d", (2,), {"ceil_mode": True}, (SEQUENCES,)),
    ("MaxPool2d", (2,), {}, (IMAGES,)),
    ("MaxPool2d", (3,), {"stride": 2, "padding": 1, "ceil_mode": True}, (IMAGES,)),
    ("AvgPool1d", (3,), {"stride": 2, "padding": 1, "count_include_pad": False}, (SEQUENCES,)),
    ("AvgPool2d", (2,), {}, (IMAGES,)),
    ("AvgPool2d", (3,), {"stride": 2, "padding": 1, "ceil_mode": True}, (IMAGES,)),
    ("AvgPool2d", (3,), {"stride": 2, "padding": 1, "count_include_pad": False, "ceil_mode": True}, (IMAGES,)),
    ("AvgPool2d", ((3, 2),), {"divisor_override": 5}, (IMAGES,)),
    ("LPPool2d", (2, 3), {"stride": 2}, (IMAGES,)),
    ("AdaptiveAvgPool1d", (4,), {}, (SEQUENCES,)),
    ("AdaptiveAvgPool2d", (1,), {}, (IMAGES,)),
    ("AdaptiveAvgPool2d", ((3, 4),), {}, (IMAGES,)),
    ("AdaptiveAvgPool2d", ((7, None),), {}, (IMAGES,)),
    ("AdaptiveAvgPool2d", ((7, 3),), {}, (IMAGES[0],)),
    ("AdaptiveMaxPool1d", (4,), {}, (SEQUENCES,)),
    ("AdaptiveMaxPool2d", ((3, 4),), {}, (IMAGES,)),
    ("Upsample", (), {"scale_factor": 2}, (IMAGES,)),
    ("Upsample", (), {"size": (5, 9)}, (IMAGES,)),
    ("Upsample", (), {"scale_factor": 1.5, "mode": "bilinear"}, (IMAGES,)),
    ("Upsample", (), {"size": (14, 4), "mode": "bilinear", "align_corners": True}, (IMAGES,)),
    ("Upsample", (), {"size": 20, "mode": "linear"}, (SEQUENCES,)),
    ("UpsamplingNearest2d", (), {"scale_factor": 3}, (IMAGES,)),
    ("UpsamplingBilinear2d", (), {"scale_factor": 2}, (IMAGES,)),
    ("PixelShuffle", (2,), {}, (IMAGES,)),
    ("PixelUnshuffle", (3,), {}, (normal(2, 2, 6, 3),)),
    ("ChannelShuffle", (2,), {}, (IMAGES,)),
    ("ZeroPad1d", ((1, 2),), {}, (SEQUENCES,)),
    ("ZeroPad2d", (1,), {}, (IMAGES,)),
    ("ConstantPad1d", (2, 3.5), {}, (SEQUENCES,)),
    ("ConstantPad2d", ((1, 0, -1, 2), 3.5), {}, (IMAGES,)),
    ("ReflectionPad1d", (3,), {}, (SEQUENCES,)),
    ("ReflectionPad2d", ((1, 2, 3, 0),), {}, (IMAGES,)),
    ("ReplicationPad1d", (3,), {}, (SEQUENCES,)),
    ("ReplicationPad2d", ((1, 2, 3, 0),), {}, (IMAGES,)),
    ("CircularPad1d", (3,), {}, (SEQUENCES,)),
    ("CircularPad2d", ((1, 2, 3, 0),), {}, (IMAGES,)),
    ("Unflatten", (1, (2, 2)), {}, (IMAGES,)),
    ("Unfold", (3,), {"dilation": 2, "padding": 1, "stride": 2}, (IMAGES,)),
    ("Fold", ((7, 6), 2), {"padding": 1, "stride": (2, 1)}, (normal(2, 12, 4 * 7),)),
    ("BatchNorm1d", (4,), {}, (SEQUENCES,)),
    ("BatchNorm2d", (4,), {"affine": False}, (IMAGES,)),
    ("LayerNorm", (6,), {}, (IMAGES,)),
    ("LayerNorm", ((7, 6), 1e-3), {"bias": False}, (IMAGES,)),
    ("LayerNorm", ((6,),), {"elementwise_affine": False}, (IMAGES,)),
    ("RMSNorm", (6,), {}, (IMAGES,)),
    ("RMSNorm", ((7, 6),), {"eps": 0.1}, (IMAGES,)),
    ("GroupNorm", (2, 4), {}, (IMAGES,)),
    ("GroupNorm", (4, 4), {"affine": False}, (SEQUENCES,)),
    ("InstanceNorm1d", (4,), {}, (SEQUENCES,)),
    ("InstanceNorm2d", (4,), {"affine": True}, (IMAGES,)),
    ("LocalResponseNorm", (3,), {}, (IMAGES,)),
    ("LocalResponseNorm", (2, 0.5, 0.6, 2.0), {}, (IMAGES,)),
    ("RNNCell", (5, 3), {}, (normal(2, 5),)),
    ("RNNCell", (5, 3), {"nonlinearity": "relu", "bias": False}, (normal(2, 5), normal(2, 3, seed=1))),
    ("LSTMCell", (5, 3), {}, (normal(2, 5),)),
    ("GRUCell", (5, 3), {}, (normal(2, 5), normal(2, 3, seed=1))),
    ("RNN", (5, 3), {}, (normal(4, 2, 5),)),
    ("RNN", (5, 3, 2, "relu"), {"bidirectional": True}, (normal(4, 2, 5), normal(4, 2, 3, seed=1))),
    ("LSTM", (5, 3), {}, (normal(4, 2, 5),)),
    ("LSTM", (5, 3, 2), {"batch_first": True, "bidirectional": True}, (normal(2, 4, 5),)),
    ("LSTM", (5, 3), {"bias": False}, (normal(4, 5),)),
    ("GRU", (5, 3, 2), {}, (normal(4, 2, 5), normal(2, 2, 3, seed=1))),
    ("GRU", (5, 3), {"bidirectional": True, "batch_first": True}, (normal(2, 4, 5),)),
    ("MultiheadAttention", (6, 2), {}, (normal(4, 2, 6), normal(5, 2, 6, seed=1), normal(5, 2, 6, seed=2))),
    ("MultiheadAttention", (6, 3), {"batch_first": True, "bias": False}, (normal(2, 4, 6),) * 3),
    (
        "MultiheadAttention",
        (6, 2),
        {"kdim": 3, "vdim": 5},
        (normal(4, 2, 6), normal(5, 2, 3, seed=1), normal(5, 2, 5, seed=2)),
    ),
    ("TransformerEncoderLayer", (6, 2, 8), {"dropout": 0.0}, (normal(4, 2, 6),)),
    (
        "TransformerEncoderLayer",
        (6, 2, 8),
        {"dropout": 0.0, "activation": "gelu", "norm_first": True, "batch_first": True},
        (normal(2, 4, 6),),
    ),
    ("TransformerDecoderLayer", (6, 2, 8), {"dropout": 0.0}, (normal(4, 2, 6), normal(5, 2, 6, seed=1))),
    (
        "TransformerDecoderLayer",
        (6, 2, 8),
        {"dropout": 0.0, "norm_first": True, "batch_first": True},
        (normal(2, 4, 6), normal(2, 5, 6, seed=1)),
    ),
    ("RReLU", (0.1, 0.3), {}, (IMAGES,)),
    ("LPPool1d", (2, 3), {"stride": 2}, (SEQUENCES,)),
    (
        "Transformer",
        (6, 2, 1, 2, 8),
        {"dropout": 0.0},
        (normal(4, 2, 6), normal(5, 2, 6, seed=1)),
    ),
    ("TripletMarginWithDistanceLoss", (), {"swap": True}, (normal(3, 4), normal(3, 4, seed=1), normal(3, 4, seed=2))),
    ("CosineSimilarity", (), {"dim": 1}, (IMAGES, IMAGES[::-1].copy())),
    ("PairwiseDistance", (), {"keepdim": True}, (IMAGES, IMAGES[::-1].copy())),
]


def first(result: Any) -> list[Any]:
    """The tensors of a result, which may be a pair with pairs in it."""
    if isinstance(result, tuple):
        return [x for part in result for x in first(part)]
    return [] if result is None else [result]


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("layer", "arguments", "options", "inputs"), CASES, ids=[f"{n}{a}{o}"[:60] for n, a, o, _ in CASES]
)
def test_same_as_torch(
    layer: str, arguments: Arguments, options: dict[str, Any], inputs: Arguments, dtype: str
) -> None:
    theirs = getattr(torch.nn, layer)(*arguments, **options).to(getattr(torch, dtype))
    ours = getattr(nn, layer)(*arguments, **options)
    if layer == "RReLU":  # what it draws is no oracle's
        ours, theirs = ours.eval(), theirs.eval()
    ours = ours.double() if dtype == "float64" else ours
    state = {name: value.numpy() for name, value in theirs.state_dict().items()}
    assert list(ours.state_dict()) == list(state)
    ours.load_state_dict(state)
    arrays = [np.ascontiguousarray(x, dtype) for x in inputs]
    x, tx = [nl.Tensor(a, requires_grad=True) for a in arrays], [torch.tensor(a, requires_grad=True) for a in arrays]
    results, wanted = first(ours(*x)), first(theirs(*tx))
    assert [y.shape for y in results] == [tuple(y.shape) for y in wanted]
    weights = [np.asarray(rng(i).standard_normal(y.shape), dtype) for i, y in enumerate(results)]
    loss, want = 0.0, 0.0
    for y, ty, w in zip(results, wanted, weights, strict=True):
        loss, want = loss + (y * w).sum(), want + (ty * torch.tensor(w)).sum()
    loss.backward()
    want.backward()
    pairs = [(a.numpy(), b) for a, b in zip(results, wanted, strict=True)]
    pairs += [(a.grad, b.grad) for a, b in zip(x, tx, strict=True)]
    gradients = dict(ours.named_parameters())
    assert set(gradients) == {name for name, _ in theirs.named_parameters()}
    pairs += [(gradients[name].grad, p.grad) for name, p in theirs.named_parameters()]
    for got, expected in pairs:
        expected = expected.detach().numpy()
        # Some hundred roundings, of sums of numbers about 1.
        largest = max(1.0, float(abs(expected).max(initial=0.0)))
        eps = np.finfo("float32" if layer == "Hardsigmoid" or layer == "Hardswish" else dtype).eps
        np.testing.assert_allclose(got, expected, rtol=0, atol=200 * eps * largest)


def test_attention_masks() -> None:
    theirs = torch.nn.MultiheadAttention(6, 2, batch_first=True).double()
    ours = nn.MultiheadAttention(6, 2, batch_first=True).double()
    ours.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})
    q, k = normal(2, 4, 6), normal(2, 5, 6, seed=1)
    hidden = np.triu(np.ones((4, 5), bool), 2)
    padding = np.array([[False] * 5, [False, False, False, True, True]])
    tensor = torch.tensor
    for masks in ({"attn_mask": hidden}, {"key_padding_mask": padding}, {"attn_mask": hidden * -3.0}):
        for options in ({}, {"need_weights": False}, {"average_attn_weights": False}):
            got = ours(q, k, k, **masks, **options)
            want = theirs(tensor(q), tensor(k), tensor(k), **{n: tensor(m) for n, m in masks.items()}, **options)
            np.testing.assert_allclose(got[0].numpy(), want[0].detach().numpy(), rtol=0, atol=1e-14)
            assert (got[1] is None) == (want[1] is None)
            if got[1] is not None:
                np.testing.assert_allclose(got[1].numpy(), want[1].detach().numpy(), rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    "options",
    [{}, {"is_causal": True}, {"scale": 0.3}, {"mask": "bool"}, {"mask": "float"}, {"enable_gqa": True}],
    ids=str,
)
def test_scaled_dot_product_attention(options: dict[str, Any]) -> None:
    own = 2 if "enable_gqa" in options else 4
    q, k, v = normal(2, 4, 5, 6), normal(2, own, 7, 6, seed=1), normal(2, own, 7, 3, seed=2)
    mask = {"bool": rng(3).random((5, 7)) < 0.7, "float": normal(5, 7, seed=3)}.get(options.get("mask", ""))
    options = {name: value for name, value in options.items() if name != "mask"}
    ours = [nl.Tensor(a, requires_grad=True) for a in (q, k, v)]
    theirs = [torch.tensor(a, requires_grad=True) for a in (q, k, v)]
    y = nn.functional.scaled_dot_product_attention(*ours, attn_mask=mask, **options)
    ty = torch.nn.functional.scaled_dot_product_attention(
        *theirs, attn_mask=None if mask is None else torch.tensor(mask), **options
    )
    (y * y).sum().backward()
    (ty * ty).sum().backward()
    np.testing.assert_allclose(y.numpy(), ty.detach().numpy(), rtol=0, atol=1e-13)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.grad, b.grad.numpy(), rtol=0, atol=1e-12)


def test_max_pool_indices_and_unpool() -> None:
    x = normal(2, 3, 7, 8)
    y, index = nn.MaxPool2d(3, 2, 1, return_indices=True)(x)
    want, places = torch.nn.MaxPool2d(3, 2, 1, return_indices=True)(torch.tensor(x))
    np.testing.assert_array_equal(index, places.numpy())
    small, where = nn.MaxPool2d(2, return_indices=True)(nl.Tensor(x[..., :6, :], requires_grad=True))
    back = nn.MaxUnpool2d(2)(small, where)
    their_small, their_where = torch.nn.MaxPool2d(2, return_indices=True)(torch.tensor(x[..., :6, :]))
    np.testing.assert_array_equal(back.numpy(), torch.nn.MaxUnpool2d(2)(their_small, their_where).numpy())
    assert y.shape == tuple(want.shape)
    line, where = nn.MaxPool1d(2, return_indices=True)(x[0])
    theirs = torch.nn.MaxPool1d(2, return_indices=True)(torch.tensor(x[0]))
    np.testing.assert_array_equal(where, theirs[1].numpy())
    np.testing.assert_array_equal(nn.MaxUnpool1d(2)(line, where).numpy(), torch.nn.MaxUnpool1d(2)(*theirs).numpy())


def test_embeddings() -> None:
    table, index = normal(7, 3), np.array([[1, 4, 2], [6, 2, 2]])
    theirs = torch.nn.Embedding.from_pretrained(torch.tensor(table), freeze=False, padding_idx=2)
    ours = nn.Embedding.from_pretrained(table, freeze=False, padding_idx=2)
    y, ty = ours(index), theirs(torch.tensor(index))
    (y * y).sum().backward()
    (ty * ty).sum().backward()
    np.testing.assert_array_equal(y.numpy(), ty.detach().numpy())
    np.testing.assert_allclose(ours.weight.grad, theirs.weight.grad.numpy(), atol=1e-15)
    assert (nn.Embedding(5, 3, padding_idx=-1).weight.data[4] == 0).all()
    for mode in ("sum", "mean", "max"):
        bag = nn.EmbeddingBag(7, 3, mode).double()
        bag.load_state_dict({"weight": table})
        peer = torch.nn.EmbeddingBag.from_pretrained(torch.tensor(table), mode=mode)
        np.testing.assert_allclose(bag(index).numpy(), peer(torch.tensor(index)).numpy(), atol=1e-15)
        flat, offsets = index.reshape(-1), np.array([0, 2, 2])
        got, want = bag(flat, offsets), peer(torch.tensor(flat), torch.tensor(offsets))
        np.testing.assert_allclose(got.numpy(), want.numpy(), atol=1e-15)
