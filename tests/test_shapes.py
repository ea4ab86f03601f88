"""The backend that describes: the refusals of every op, and models that run without arithmetic and memory.

That a description is true is part of every op's own tests (``compare.assert_described``).
"""

from __future__ import annotations

import importlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnlite as nl
from compare import Refusal
from nnlite import nn, reference, shapes
from nnlite.shapes import Spec


def refusals() -> list[Refusal]:
    """Those of all op tests."""
    files = [path for path in Path(__file__).parent.glob("test_*.py") if "\nREFUSALS" in path.read_text()]
    return [refusal for path in sorted(files) for refusal in importlib.import_module(path.stem).REFUSALS]


@pytest.mark.parametrize(("op", "args", "error", "message"), refusals())
def test_refuses_what_the_op_refuses(op: str, args: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        getattr(shapes, op)(*args())


def test_there_are_refusals_of_most_ops() -> None:
    assert len({refusal[0] for refusal in refusals()}) > len(reference.__all__) // 2


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(36, 10),
    )


def test_a_model_runs_forward_and_backward_on_descriptions() -> None:
    model = network().eval()
    y = model(Spec((64, 1, 8, 8), "float32"))
    assert (y.shape, y.dtype) == ((64, 10), np.float32)
    loss = nn.CrossEntropyLoss()(y, Spec((64,), "int64"))
    loss.backward()
    for p in model.parameters():
        assert (p.grad.shape, p.grad.dtype) == (p.shape, p.dtype)
    with pytest.raises(RuntimeError, match=r"shape \(64, 10\) was described, not computed"):
        y.numpy()
    assert repr(y) == "Tensor(Spec((64, 10), float32), requires_grad=True)"


def test_labels_of_another_length_are_refused() -> None:
    y = Spec((64, 10), "float32")
    with pytest.raises(ValueError, match="x has 64 rows but target has 63 labels"):
        nn.CrossEntropyLoss()(y, Spec((63,), "int64"))


def test_nothing_is_allocated() -> None:
    with nl.backend("shapes"):
        model = nn.Linear(1 << 20, 1 << 20)
    assert isinstance(model.weight.data, Spec)
    assert model(Spec((1 << 20, 1 << 20), "float32")).data.nbytes == 1 << 42


def test_training_mode_too() -> None:
    with nl.backend("shapes"):
        model = network()
        y = model(Spec((2, 1, 8, 8), "float32"))
    assert y.shape == (2, 10)
    with nl.backend("shapes"), pytest.raises(ValueError, match="in layer 1: BatchNorm2d") as raised:
        nn.Sequential(nn.Flatten(), nn.BatchNorm2d(3))(Spec((2, 1, 8, 8), "float32"))
    assert "x must have 4 dimensions" in str(raised.value)


def test_the_backend_comes_back() -> None:
    before = nl.ops.add(np.ones(3, "f"), 1.0).numpy()
    with nl.backend("shapes"):
        assert isinstance(nl.ops.add(np.ones(3, "f"), 1.0).data, Spec)
    np.testing.assert_array_equal(nl.ops.add(np.ones(3, "f"), 1.0).numpy(), before)


def test_a_description_is_a_value() -> None:
    a = Spec((2, 3), "float32")
    assert pickle.loads(pickle.dumps(a)) == a
    assert a != Spec((3, 2), "float32")
    assert a.reshape(-1, 2).shape == (3, 2)
    with pytest.raises(ValueError, match="has 6 elements"):
        a.reshape(4, 2)


def test_summary_counts_and_leaves_the_model_alone() -> None:
    model = network()
    state = {name: x.copy() for name, x in model.state_dict().items()}
    draws = nl.random.get_state()
    found = nl.summary(model, (64, 1, 8, 8))
    assert nl.random.get_state() == draws
    assert all(module.training for module in model.modules())
    for name, x in model.state_dict().items():
        np.testing.assert_array_equal(x, state[name])
    assert [row.path for row in found.layers] == [str(i) for i in range(7)]
    assert found.layers[0] == ("0", "Conv2d", (64, 4, 6, 6), 40, 64 * 4 * 36 * 9, 64 * 4 * 36 * 4)
    assert found.layers[2].type == "ReLU"  # fused in a run, a row of its own here
    assert found.layers[6].multiply_adds == 64 * 36 * 10
    assert found.parameters == sum(p.size for p in model.parameters())
    assert found.multiply_adds == sum(row.multiply_adds for row in found.layers)
    assert str(found).splitlines()[2].split() == ["0", "Conv2d", "(64,", "4,", "6,", "6)", "40", "82,944", "36,864"]


def test_summary_names_the_layer_that_does_not_fit() -> None:
    with pytest.raises(ValueError, match="64 features") as raised:
        nl.summary(network(), (64, 1, 10, 10))
    assert "in layer 6: Linear" in raised.value.__notes__[0]


def test_a_shared_parameter_counts_once() -> None:
    layer = nn.Linear(3, 3)
    found = nl.summary(nn.Sequential(layer, layer), (1, 3))
    assert [row.parameters for row in found.layers] == [12, 0]
    assert found.parameters == 12
