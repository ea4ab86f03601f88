"""Modules: mechanics, state, refusals, and agreement with PyTorch where it is installed."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

import nnlite as nl
from nnlite import nn, ops, random
from nnlite.nn.module import get_buffers, set_buffers
from support import assert_same_bits, rng


def array(*shape, seed=0, dtype=np.float32):
    return rng(seed).standard_normal(shape).astype(dtype)


class Block(nn.Module):
    """A residual block, with an absent parameter and an absent module."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.scale = nn.Parameter(np.ones(1, np.float32))
        self.absent = None
        self.more = nn.ModuleList([nn.Linear(4, 2), nn.ReLU(), nn.Linear(2, 4)])
        self.register_buffer("count", np.array(3, np.int64))
        self.register_buffer("scratch", np.zeros(2, np.float32), persistent=False)

    def forward(self, x):
        y = ops.relu(self.norm(self.conv(x))) + x
        return ops.flatten(ops.global_avg_pool2d(y), 1)


BLOCK_KEYS = [
    "scale", "count", "conv.weight", "norm.weight", "norm.bias", "norm.running_mean", "norm.running_var",
    "norm.num_batches_tracked", "more.0.weight", "more.0.bias", "more.2.weight", "more.2.bias",
]  # fmt: skip


def small():
    return nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5), nn.Linear(8, 3)
    )


# ---- walking


def test_names_in_order_of_definition():
    block = Block()
    assert list(block.state_dict()) == BLOCK_KEYS
    own = [k for k in BLOCK_KEYS if k.endswith(("weight", "bias", "scale"))]
    assert [name for name, _ in block.named_parameters()] == own
    assert [name for name, _ in block.named_parameters(recurse=False)] == ["scale"]
    assert [name for name, _ in block.named_buffers()] == [
        "count", "scratch", "norm.running_mean", "norm.running_var", "norm.num_batches_tracked",
    ]  # fmt: skip
    assert [name for name, _ in block.named_modules()] == ["", "conv", "norm", "more", "more.0", "more.1", "more.2"]
    assert [name for name, _ in block.named_children()] == ["conv", "norm", "more"]
    assert len(list(block.modules())) == 7
    assert len(list(block.parameters())) == 8
    assert list(nn.Sequential(block).state_dict()) == [f"0.{k}" for k in BLOCK_KEYS]
    assert [n for n, _ in nn.Sequential(block).named_modules("m")][:2] == ["m", "m.0"]


def test_shared_parameters_are_listed_once_and_saved_under_each_name():
    layer = nn.Linear(2, 2)
    model = nn.Sequential(layer, nn.ReLU(), layer)
    assert [n for n, _ in model.named_parameters()] == ["0.weight", "0.bias"]
    assert list(model.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert len(list(model.children())) == 2


def test_a_module_without_super_init_works():
    class Plain(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(2, 1)

        def forward(self, x):
            return self.layer(x)

    model = Plain()
    assert model(array(3, 2)).shape == (3, 1)
    assert model.train(False).training is False
    assert list(model.state_dict()) == ["layer.weight", "layer.bias"]


def test_properties_of_subclasses_work():
    class Scaled(nn.Linear):
        @property
        def doubled(self):
            return self.weight.data * 2

        @doubled.setter
        def doubled(self, value):
            self.weight.data[...] = value / 2

    layer = Scaled(2, 2)
    layer.doubled = np.ones((2, 2), np.float32)
    assert_same_bits(layer.weight.data, np.full((2, 2), 0.5, np.float32))
    with pytest.raises(AttributeError, match="nothing"):
        layer.nothing  # noqa: B018


def test_attributes_are_guarded():
    layer = nn.Linear(2, 2)
    with pytest.raises(TypeError, match=r"Linear\.weight is a Parameter; assign a Parameter or None, or an array to"):
        layer.weight = array(2, 2)
    layer.bias = None
    assert layer(array(1, 2)).shape == (1, 2)
    block = Block()
    with pytest.raises(TypeError, match=r"Block\.conv is a Module"):
        block.conv = 3
    with pytest.raises(TypeError, match=r"Block\.count is a buffer"):
        block.count = 3
    with pytest.raises(KeyError, match=r"Block\.conv already exists"):
        block.register_buffer("conv", np.zeros(1))
    with pytest.raises(TypeError, match="ndarray"):
        block.register_buffer("new", [1.0])
    with pytest.raises(TypeError, match="new must be a Parameter or None, got ndarray"):
        block.register_parameter("new", np.zeros(1))
    block.absent = nn.Identity()
    assert [n for n, _ in block.named_children()][2] == "absent"
    with pytest.raises(NotImplementedError, match="Module does not define forward"):
        nn.Module()(1)


def test_train_eval_apply_and_zero_grad():
    model = small()
    seen = []
    assert model.apply(lambda m: seen.append(type(m).__name__)) is model
    assert seen[-1] == "Sequential"
    assert seen[0] == "Conv2d"
    assert model.eval() is model
    assert not any(m.training for m in model.modules())
    model.train()
    model(array(2, 1, 4, 4)).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    model.zero_grad(set_to_none=False)
    assert all((p.grad == 0).all() for p in model.parameters())
    model.zero_grad()
    assert all(p.grad is None for p in model.parameters())


def test_double_and_float():
    model = small()
    model(array(2, 1, 4, 4)).sum().backward()
    before = {k: v.copy() for k, v in model.state_dict().items()}
    parameters = list(model.parameters())
    assert model.double() is model
    assert all(a is b for a, b in zip(parameters, model.parameters(), strict=True))
    for key, value in model.state_dict().items():
        assert value.dtype == (np.int64 if key.endswith("tracked") else np.float64)
    assert all(p.grad.dtype == np.float64 for p in parameters)
    assert model(array(2, 1, 4, 4, dtype=np.float64)).dtype == np.float64
    model[1].running_mean = before["1.running_mean"].astype(np.float64)
    assert_same_bits(model.float().state_dict()["0.weight"], before["0.weight"])


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies(copied):
    model = nn.Sequential(Block(), nn.Dropout(0.1)).eval()
    twin = copied(model)
    for (k, a), (key, b) in zip(model.state_dict().items(), twin.state_dict().items(), strict=True):
        assert k == key
        assert_same_bits(a, b)
        assert not np.shares_memory(a, b)
    x = array(2, 4, 5, 5)
    assert_same_bits(model(x).numpy(), twin(x).numpy())
    assert twin.training is False
    layer = nn.Linear(2, 2)
    shared = copied(nn.Sequential(layer, layer))
    assert shared[0] is shared[1]


# ---- containers


def test_sequential():
    a, b, c = nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)
    model = nn.Sequential(a, b)
    assert model.append(c) is model
    assert (len(model), model[0], model[-1], list(model)) == (3, a, c, [a, b, c])
    assert list(model[1:]) == [b, c]
    assert isinstance(model[:2], nn.Sequential)
    assert list(model[::2].state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    model[1] = nn.Tanh()
    assert isinstance(model[1], nn.Tanh)
    named = nn.Sequential(OrderedDict(first=a, second=b))
    assert named.first is a
    assert list(named.state_dict()) == ["first.weight", "first.bias"]
    assert nn.Sequential()(3) == 3
    with pytest.raises(IndexError, match="index 3 is out of range for 3 modules"):
        model[3]
    with pytest.raises(TypeError, match="Sequential: a module is needed, got list"):
        nn.Sequential([a, b])
    with pytest.raises(KeyError, match=r"'a\.b' cannot name a module"):
        nn.Sequential(OrderedDict({"a.b": a}))
    with pytest.raises(KeyError, match="forward"):
        nn.Sequential(OrderedDict(forward=a))


def test_module_list():
    layers = nn.ModuleList([nn.Linear(1, 1)]).append(nn.ReLU()).extend([nn.Tanh()])
    assert [type(m).__name__ for m in layers] == ["Linear", "ReLU", "Tanh"]
    assert isinstance(layers[1:], nn.ModuleList)
    with pytest.raises(NotImplementedError, match="ModuleList does not define forward"):
        layers(1)


# ---- state


def test_load_state_dict_copies_and_keeps_the_parameters():
    model, other = small(), small()
    other(array(2, 1, 4, 4))
    weight, data = model[0].weight, model[0].weight.data
    state = other.state_dict()
    assert model.load_state_dict(state) == ([], [])
    assert model[0].weight is weight
    assert weight.data is data
    for k, v in model.state_dict().items():
        assert_same_bits(v, state[k])
        assert not np.shares_memory(v, state[k])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda s: s.pop("0.weight"), ValueError, "Sequential: missing key '0.weight'"),
        (lambda s: s.update(extra=np.zeros(1)), ValueError, "unexpected key 'extra'"),
        (
            lambda s: s.update({"5.weight": np.zeros((2, 8), np.float32)}),
            ValueError,
            r"'5.weight' has shape \(2, 8\) but the model's has shape \(3, 8\)",
        ),
        (lambda s: s.update({"5.bias": np.zeros(3)}), TypeError, "'5.bias' is float64 but the model's is float32"),
        (lambda s: s.update({"5.bias": s["5.bias"].astype(">f4")}), TypeError, "'5.bias' is >f4 but"),
        (lambda s: s.update({"5.bias": [0.0, 0.0, 0.0]}), TypeError, "'5.bias' must be a numpy.ndarray, got list"),
        (
            lambda s: (s.pop("0.weight"), s.update(extra=np.zeros(1))),
            ValueError,
            "missing key '0.weight'; unexpected key 'extra'",
        ),
    ],
)
def test_load_state_dict_refuses_and_changes_nothing(change, error, message):
    model = small()
    before = {k: v.copy() for k, v in model.state_dict().items()}
    state = {k: v + 1 for k, v in before.items()}
    change(state)
    with pytest.raises(error, match=message):
        model.load_state_dict(state)
    for k, v in model.state_dict().items():
        assert_same_bits(v, before[k])


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ("w.safetensors", r"got 'w.safetensors'; read the file first: .*\(nl.load\('w.safetensors'\)\)"),
        (Path("w"), r"got 'w'; .*load_state_dict\(nl.load\(.*'w'"),
        (nn.ReLU(), r"got ReLU; write model.load_state_dict\(other.state_dict\(\)\)"),
        ([1], "got list"),
    ],
)
def test_load_state_dict_says_what_it_takes(state, message):
    with pytest.raises(TypeError, match=r"load_state_dict: Linear: state_dict must be a dict of arrays, " + message):
        nn.Linear(1, 1).load_state_dict(state)


def test_load_state_dict_not_strict():
    model = small()
    bias = model[5].bias.data + 1
    assert model.load_state_dict({"5.bias": bias, "extra": bias}, strict=False).unexpected_keys == ["extra"]
    assert_same_bits(model[5].bias.data, bias)
    with pytest.raises(ValueError, match="shape"):
        model.load_state_dict({"5.bias": bias[:1]}, strict=False)


def test_copies_of_buffers_bring_them_back():
    model = small()
    saved = get_buffers(model)
    before = {k: v.copy() for k, v in model.state_dict().items()}
    model(array(2, 1, 4, 4))
    held = model.state_dict()
    assert held["1.num_batches_tracked"] == 1
    set_buffers(saved)
    assert all(x is held[k] for k, x in model.state_dict().items())
    for k, v in model.state_dict().items():
        assert_same_bits(v, before[k])


# ---- initialisation


def test_layers_draw_weight_then_bias_from_stream_0(backend):
    nl.manual_seed(7)
    layer, conv = nn.Linear(5, 3), nn.Conv2d(4, 6, (2, 3), groups=2, dtype=np.float64)
    bound = 1 / np.sqrt(5.0)
    assert_same_bits(layer.weight.data, backend.random_uniform((3, 5), -bound, bound, "float32", 7, 0, 0))
    assert_same_bits(layer.bias.data, backend.random_uniform((3,), -bound, bound, "float32", 7, 1, 0))
    bound = 1 / np.sqrt(12.0)
    assert_same_bits(conv.weight.data, backend.random_uniform((6, 2, 2, 3), -bound, bound, "float64", 7, 2, 0))
    assert_same_bits(conv.bias.data, backend.random_uniform((6,), -bound, bound, "float64", 7, 3, 0))
    nn.BatchNorm2d(3)
    nn.Linear(2, 2, bias=False)
    assert random.get_state() == {"seed": 7, "draws": [5, 0, 0, 0, 0]}


def test_refused_layers_take_no_draw():
    nl.manual_seed(0)
    for make in (lambda: nn.Linear(2, 0), lambda: nn.Conv2d(3, 2, 1, groups=2), lambda: nn.Linear(2, 2, dtype=int)):
        with pytest.raises((TypeError, ValueError)):
            make()
    with pytest.raises(TypeError):
        nn.Dropout()(np.arange(3))
    assert random.get_state() == {"seed": 0, "draws": [0] * 5}


# ---- the generator


def test_generator():
    nl.manual_seed(3)
    a = nl.random.uniform(5)
    state = random.get_state()
    b, c = nl.random.normal((2, 2)), nl.random.permutation(9)
    random.set_state(state)
    assert_same_bits((nl.random.normal((2, 2)), nl.random.permutation(9)), (b, c))
    nl.manual_seed(3)
    assert_same_bits(nl.random.uniform(5), a)
    assert sorted(c) == list(range(9))
    for seed, error in ((-1, ValueError), (2**64, ValueError), (1.0, TypeError), (True, TypeError)):
        with pytest.raises(error, match="manual_seed: seed must be"):
            nl.manual_seed(seed)
    with pytest.raises(ValueError, match="5 integers"):
        random.set_state({"seed": 0, "draws": [1]})
    random.set_state({"seed": 0, "draws": [0, 0, 0, 2**32, 0]})
    with pytest.raises(OverflowError, match="stream 3 has no draws left"):
        nl.random.uniform(1)
    nl.manual_seed(0)


def test_initialisers():
    nl.manual_seed(1)
    shape = (20, 8, 3, 3)
    assert nl.init.fans(shape) == (72, 180)
    for make, std in (
        (nl.init.kaiming_normal, np.sqrt(2 / 72)),
        (nl.init.xavier_normal, np.sqrt(2 / 252)),
        (nl.init.xavier_uniform, np.sqrt(2 / 252)),
    ):
        x = make(shape, np.float64)
        assert x.shape == shape
        np.testing.assert_allclose(x.std(), std, rtol=0.1)
        assert abs(x.mean()) < 0.1 * std
    with pytest.raises(ValueError, match="at least 2 dimensions"):
        nl.init.kaiming_normal((3,))
    nl.manual_seed(0)


# ---- layers


def test_linear_takes_any_leading_dimensions():
    layer = nn.Linear(3, 2)
    x = array(4, 5, 3)
    y = layer(x)
    assert y.shape == (4, 5, 2)
    assert_same_bits(y.data.reshape(20, 2), layer(x.reshape(20, 3)).data)
    assert layer(array(3)).shape == (2,)
    assert layer(array(0, 3)).shape == (0, 2)
    assert layer(array(0, 7, 3)).shape == (0, 7, 2)


def test_dropout():
    nl.manual_seed(0)
    layer = nn.Dropout(0.25)
    x = np.ones(1000, np.float32)
    y, again = layer(x).data, layer(x).data
    assert set(np.unique(y)) == {0, np.float32(1 / 0.75)}
    assert 0.6 < np.count_nonzero(y) / 1000 < 0.9
    assert not np.array_equal(y, again)
    nl.manual_seed(0)
    assert_same_bits(layer(x).data, y)
    t = nl.Tensor(x)
    assert layer.eval()(t) is t
    assert not nn.Dropout(1.0)(x).data.any()
    assert_same_bits(nn.Dropout(0.0)(x).data, x)


def test_batchnorm_statistics():
    x = array(6, 3, 2, 2, dtype=np.float64) * 3 + 1
    layer = nn.BatchNorm2d(3, dtype=np.float64)
    y = layer(x)
    np.testing.assert_allclose(y.data.mean((0, 2, 3)), 0, atol=1e-12)
    np.testing.assert_allclose(layer.running_mean, 0.1 * x.mean((0, 2, 3)))
    np.testing.assert_allclose(layer.running_var, 0.9 + 0.1 * x.var((0, 2, 3), ddof=1))
    assert layer.num_batches_tracked == 1
    assert layer.num_batches_tracked.dtype == np.int64
    assert layer.num_batches_tracked.shape == ()
    layer.eval()
    before = copy.deepcopy(layer.state_dict())
    layer(x)
    for k, v in layer.state_dict().items():
        assert_same_bits(v, before[k])


def test_batchnorm_without_momentum_averages():
    xs = [array(4, 3, seed=i, dtype=np.float64) for i in range(3)]
    layer = nn.BatchNorm1d(3, momentum=None, dtype=np.float64)
    for x in xs:
        layer(x)
    np.testing.assert_allclose(layer.running_mean, np.mean([x.mean(0) for x in xs], 0))
    np.testing.assert_allclose(layer.running_var, np.mean([x.var(0, ddof=1) for x in xs], 0))


def test_batchnorm_without_affine_or_running_statistics():
    layer = nn.BatchNorm1d(3, affine=False, track_running_stats=False)
    assert list(layer.state_dict()) == []
    x = array(4, 3)
    y = layer(x).data
    assert_same_bits(layer.eval()(x).data, y)


class Doubled(nn.ReLU):
    def forward(self, x):
        return super().forward(x) * 2.0


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("relu", [nn.ReLU, Doubled])
def test_a_sequence_of_batchnorm_and_relu_has_the_bits_of_both(training, relu):
    def run(layers, x):
        x = nl.Tensor(x, requires_grad=True)
        y = layers(x)
        y.backward(array(5, 3, 4, 4, seed=7))
        return y.data, x.grad, *(p.grad for p in norm.parameters()), *norm.buffers()

    norm, activation, x = nn.BatchNorm2d(3), relu(), array(5, 3, 4, 4, seed=1)
    norm.weight.data[:], norm.bias.data[:] = array(3, seed=2), array(3, seed=3)
    norm.train(training)
    got = run(nn.Sequential(nn.Identity(), norm, activation, nn.Identity()), x)
    norm.zero_grad()
    if training:
        norm.running_mean, norm.running_var = np.zeros(3, np.float32), np.ones(3, np.float32)
        norm.num_batches_tracked = np.array(0, np.int64)
    want = run(lambda x: activation(norm(x)), x)
    assert len(got) == len(want) == 7
    for a, b in zip(got, want, strict=True):
        assert_same_bits(a, b)


def test_a_relu_with_a_forward_of_its_own_is_called():
    norm, activation = nn.BatchNorm1d(3).eval(), nn.ReLU()
    activation.forward = lambda x: x
    x = array(4, 3)
    assert_same_bits(nn.Sequential(norm, activation)(x).data, norm(x).data)


REFUSED = {
    "Linear 0": (lambda: nn.Linear(0, 3), ValueError, "Linear: in_features must be at least 1, got 0"),
    "Linear float": (lambda: nn.Linear(2, 3.0), TypeError, "Linear: out_features must be an integer, got 3.0"),
    "Linear dtype": (
        lambda: nn.Linear(2, 3, dtype=np.int32),
        TypeError,
        "Linear: dtype must be float32 or float64, got",
    ),
    "Linear dtype None": (lambda: nn.Linear(2, 3, dtype=None), TypeError, "got None"),
    "Conv2d kernel": (lambda: nn.Conv2d(1, 1, 0), ValueError, "Conv2d: kernel_size must be at least 1, got 0"),
    "Conv2d kernel 3": (
        lambda: nn.Conv2d(1, 1, (1, 2, 3)),
        ValueError,
        r"kernel_size must be .* pair .*, got \(1, 2, 3\)",
    ),
    "Conv2d stride": (
        lambda: nn.Conv2d(1, 1, 1, stride=(1, 0)),
        ValueError,
        "Conv2d: stride must be at least 1, got 0",
    ),
    "Conv2d padding": (
        lambda: nn.Conv2d(1, 1, 1, padding=-1),
        ValueError,
        "Conv2d: padding must be at least 0, got -1",
    ),
    "Conv2d same": (
        lambda: nn.Conv2d(1, 1, 1, padding="some"),
        ValueError,
        "padding must be integers, 'same' or 'valid', got 'some'",
    ),
    "Conv2d same stride": (
        lambda: nn.Conv2d(1, 1, 1, 2, padding="same"),
        ValueError,
        "Conv2d: padding='same' needs stride 1, got 2",
    ),
    "Conv2d groups in": (lambda: nn.Conv2d(3, 4, 1, groups=2), ValueError, "groups=2 does not divide in_channels=3"),
    "Conv2d groups out": (lambda: nn.Conv2d(4, 3, 1, groups=2), ValueError, "groups=2 does not divide out_channels=3"),
    "BatchNorm eps": (lambda: nn.BatchNorm1d(3, eps=-1.0), ValueError, "BatchNorm1d: eps must be .* above 0, got -1"),
    "BatchNorm eps 0": (lambda: nn.BatchNorm2d(3, eps=0.0), ValueError, "eps must be a finite number above 0, got 0.0"),
    "BatchNorm eps NaN": (lambda: nn.BatchNorm1d(3, eps=float("nan")), ValueError, "eps must be .* above 0, got nan"),
    "BatchNorm eps inf": (lambda: nn.BatchNorm1d(3, eps=float("inf")), ValueError, "eps must be .* above 0, got inf"),
    "BatchNorm momentum": (
        lambda: nn.BatchNorm2d(3, momentum=1.5),
        ValueError,
        "momentum must be between 0 and 1, got 1.5",
    ),
    "MaxPool2d padding": (
        lambda: nn.MaxPool2d(3, padding=2),
        ValueError,
        r"padding must be at most half of kernel_size \(3, 3\)",
    ),
    "AvgPool2d stride": (lambda: nn.AvgPool2d(2, stride=0), ValueError, "AvgPool2d: stride must be at least 1, got 0"),
    "AdaptiveAvgPool2d": (lambda: nn.AdaptiveAvgPool2d(0), ValueError, "output_size must be at least 1, got 0"),
    "Dropout": (lambda: nn.Dropout(1.1), ValueError, "Dropout: p must be between 0 and 1, got 1.1"),
    "Dropout str": (lambda: nn.Dropout("0.5"), TypeError, "Dropout: p must be a number, got '0.5'"),
    "CrossEntropyLoss": (
        lambda: nn.CrossEntropyLoss(reduction="average"),
        ValueError,
        "reduction must be 'mean', 'sum' or 'none', got 'average'",
    ),
    "MSELoss": (lambda: nn.MSELoss(reduction=None), ValueError, "MSELoss: reduction must be 'mean', 'sum' or"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_layers_refuse(name):
    make, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        make()


BAD_CALLS = {
    "list": (
        lambda: nn.Linear(2, 2)([[1.0, 2.0]]),
        TypeError,
        "linear: x must be a Tensor or a numpy.ndarray, got list",
    ),
    "integers": (lambda: nn.Linear(2, 2)(np.ones((1, 2), int)), TypeError, "float32 or float64, got int64"),
    "float64": (
        lambda: nn.Linear(2, 2)(np.ones((1, 2))),
        TypeError,
        "x is float64 but weight is float32.*astype.*double",
    ),
    "features": (lambda: nn.Linear(2, 2)(array(1, 3)), ValueError, "x has 3 features but weight expects 2"),
    "features, 3-d": (lambda: nn.Linear(2, 2)(array(1, 2, 3)), ValueError, "x has 3 features but weight expects 2"),
    "rank": (
        lambda: nn.Conv2d(1, 1, 1)(array(3, 3)),
        ValueError,
        r"must have 4 dimensions .* got 2 with shape \(3, 3\)",
    ),
    "too small": (lambda: nn.Conv2d(1, 1, 3)(array(1, 1, 2, 2)), ValueError, "conv2d_forward: "),
    "batchnorm rank": (
        lambda: nn.BatchNorm2d(3)(array(2, 3)),
        ValueError,
        r"BatchNorm2d: x must have 4 .* shape \(2, 3\)",
    ),
    "batchnorm 1d rank": (lambda: nn.BatchNorm1d(3)(array(2, 3, 1, 1)), ValueError, r"2 dimensions \(N, C\) or 3"),
    "batchnorm one value": (lambda: nn.BatchNorm1d(3)(array(1, 3)), ValueError, r"more than one value.*shape \(1, 3\)"),
    "batchnorm empty": (lambda: nn.BatchNorm1d(3)(array(0, 3)), ValueError, "more than one value"),
    "batchnorm channels": (lambda: nn.BatchNorm1d(3)(array(2, 4)), ValueError, "4.*3|3.*4"),
    "labels": (lambda: nn.CrossEntropyLoss()(array(2, 3), np.array([0, 3])), ValueError, r"target\[1\] is 3"),
    "float labels": (
        lambda: nn.CrossEntropyLoss()(array(2, 3), np.array([0.0, 1.0])),
        (TypeError, ValueError),
        "target",
    ),
    "target gradient": (
        lambda: nn.CrossEntropyLoss()(array(2, 3), nl.Tensor(array(2, 3), True)),
        ValueError,
        r"target.detach\(\)",
    ),
    "mse shapes": (lambda: nn.MSELoss()(array(2, 3), array(3, 2)), ValueError, r"\(2, 3\).*\(3, 2\)"),
}


@pytest.mark.parametrize("name", BAD_CALLS)
def test_calls_refuse(name):
    call, error, message = BAD_CALLS[name]
    with pytest.raises(error, match=message):
        call()


def test_refused_batches_leave_running_statistics_alone():
    layer = nn.BatchNorm1d(3)
    before = {name: x.copy() for name, x in layer.named_buffers()}
    for x in (array(1, 3), array(2, 4), np.ones((2, 3))):
        with pytest.raises((TypeError, ValueError)):
            layer(x)
    for name, x in layer.named_buffers():
        assert_same_bits(x, before[name])


def test_errors_name_the_layer():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.Sequential(nn.ReLU(), nn.ModuleList([nn.Linear(3, 2)]))

        def forward(self, x):
            return self.features[1][0](self.features[0](x))

    with pytest.raises(ValueError, match="features") as caught:
        nn.Sequential(nn.Identity(), Net())(array(1, 4))
    assert caught.value.__notes__ == ["in layer 1.features.1.0: Linear(in_features=3, out_features=2, bias=True)"]
    with pytest.raises(ValueError, match="features") as caught:
        nn.Linear(3, 2)(array(1, 4))
    assert caught.value.__notes__ == ["in layer Linear(in_features=3, out_features=2, bias=True)"]


@pytest.mark.parametrize("approximate", ["erf", None])
def test_gelu_refuses_what_it_does_not_compute(approximate):
    with pytest.raises(ValueError, match="GELU: approximate must be 'none' or 'tanh', got"):
        nn.GELU(approximate)
    with pytest.raises(ValueError, match="gelu: approximate must be 'none' or 'tanh', got"):
        nn.functional.gelu(array(2, 3), approximate)
    x = array(2, 3)
    for name, op in (("none", "gelu_forward"), ("tanh", "gelu_tanh_forward")):
        got = nn.functional.gelu(x, approximate=name).numpy(), nn.GELU(name)(x).numpy()
        assert_same_bits(got, (getattr(nl.kernels, op)(x),) * 2)


# ---- PyTorch


def models(library):
    """The same models, built from the names of nnlite or of torch.nn."""
    return {
        "layers": library.Sequential(
            library.Conv2d(1, 4, 3, padding=1), library.BatchNorm2d(4), library.ReLU(), library.MaxPool2d(2),
            library.Conv2d(4, 6, (3, 2), stride=(1, 2), dilation=(1, 2), groups=2, bias=False),
            library.BatchNorm2d(6, eps=1e-3, momentum=None), library.AvgPool2d(2, 1, padding=1), library.Tanh(),
            library.Flatten(), library.Dropout(0.0), library.Linear(36, 5),
        ),
        "perceptron": library.Sequential(
            library.Flatten(), library.Linear(64, 16, bias=False), library.BatchNorm1d(16, affine=False),
            library.Sigmoid(), library.Linear(16, 8), library.GELU(approximate="tanh"),
            library.BatchNorm1d(8, track_running_stats=False), library.Linear(8, 5),
        ),
        "pooling": library.Sequential(
            library.Conv2d(1, 5, 3), library.MaxPool2d(3, 2, padding=1), library.AdaptiveAvgPool2d(1),
            library.Identity(), library.Flatten(),
        ),
    }  # fmt: skip


@pytest.mark.parametrize("name", ["layers", "perceptron", "pooling"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_same_as_pytorch(name, dtype):
    torch = pytest.importorskip("torch")
    theirs, ours = models(torch.nn)[name], models(nn)[name]
    if dtype == np.float64:
        theirs, ours = theirs.double(), ours.double()
    state = {k: v.numpy().copy() for k, v in theirs.state_dict().items()}
    assert list(ours.state_dict()) == list(state)
    assert [v.dtype for v in ours.state_dict().values()] == [v.dtype for v in state.values()]
    ours.load_state_dict(state)

    tolerance = {"rtol": 2e-4, "atol": 2e-5} if dtype == np.float32 else {"rtol": 1e-9, "atol": 1e-11}
    t = np.arange(6) % 5
    for step in range(2):
        x = array(6, 1, 8, 8, seed=step, dtype=dtype)
        theirs.zero_grad()
        ours.zero_grad()
        xs = nl.Tensor(x, requires_grad=True)
        xt = torch.tensor(x, requires_grad=True)
        yt, ys = theirs(xt), ours(xs)
        np.testing.assert_allclose(ys.numpy(), yt.detach().numpy(), **tolerance)
        lt, ls = torch.nn.CrossEntropyLoss()(yt, torch.tensor(t)), nn.CrossEntropyLoss()(ys, t)
        np.testing.assert_allclose(ls.item(), lt.item(), **tolerance)
        lt.backward()
        ls.backward()
        np.testing.assert_allclose(xs.grad, xt.grad.numpy(), **tolerance)
        for (_, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
            np.testing.assert_allclose(p.grad, q.grad.numpy(), **tolerance)
        for k, v in theirs.state_dict().items():
            np.testing.assert_allclose(ours.state_dict()[k], v.numpy(), **tolerance)
    x = array(3, 1, 8, 8, seed=9, dtype=dtype)
    np.testing.assert_allclose(ours.eval()(x).numpy(), theirs.eval()(torch.tensor(x)).detach().numpy(), **tolerance)


@pytest.mark.parametrize("target", ["labels", "probabilities"])
def test_losses_as_pytorch(target):
    torch = pytest.importorskip("torch")
    x = array(5, 4, dtype=np.float64)
    t = np.arange(5, dtype=np.uint8) % 4 if target == "labels" else np.abs(array(5, 4, seed=1, dtype=np.float64))
    ours, theirs = nl.Tensor(x, True), torch.tensor(x, requires_grad=True)
    labels = torch.tensor(t.astype(np.int64) if t.ndim == 1 else t)
    a, b = nn.CrossEntropyLoss()(ours, t), torch.nn.CrossEntropyLoss()(theirs, labels)
    a.backward()
    b.backward()
    np.testing.assert_allclose(a.item(), b.item(), rtol=1e-12)
    np.testing.assert_allclose(ours.grad, theirs.grad.numpy(), rtol=1e-10, atol=1e-14)


def test_layer_descriptions_are_pytorchs():
    torch = pytest.importorskip("torch")
    for make in (
        lambda m: m.Linear(3, 4, bias=False),
        lambda m: m.Conv2d(4, 6, 3, padding=1, groups=2, bias=False),
        lambda m: m.Conv2d(4, 6, (3, 1), dilation=2),
        lambda m: m.Sequential(m.ReLU(), m.Sequential(m.Tanh(), m.GELU("tanh"), m.Flatten()), m.Identity()),
        lambda m: m.Sequential(),
    ):
        assert repr(make(nn)) == repr(make(torch.nn))


def test_default_arguments_are_pytorchs():
    torch = pytest.importorskip("torch")
    import inspect

    for name in nn.__all__:
        ours, theirs = getattr(nn, name), getattr(torch.nn, name, None)
        if not (isinstance(ours, type) and issubclass(ours, nn.Module)) or name.startswith("Adaptive"):
            continue
        known = inspect.signature(theirs.__init__).parameters
        if "Softm" in name or "args" in known or name.startswith("Transformer"):
            continue
        for argument, parameter in inspect.signature(ours.__init__).parameters.items():
            if argument != "dtype" and parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
                assert argument in known, (name, argument)
                assert parameter.default == known[argument].default, (name, argument)
