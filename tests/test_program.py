"""Recorded programs have the bits of the code that they were recorded from, on every backend and with any batch."""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import nnlite as nl
from nnlite import nn, optim
from nnlite.backend import available
from nnlite.program import Program, ProgramError
from support import assert_same_bits, rng


def network() -> nn.Sequential:
    nl.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(36, 10),
    )


def images(n: int, seed: int = 0) -> Any:
    return rng(seed).standard_normal((n, 1, 8, 8)).astype(np.float32)


def recorded(model: nn.Module, x: Any) -> Program:
    with nl.record() as program:
        model(x)
    return program


@pytest.mark.parametrize("name", available())
@pytest.mark.parametrize("n", [1, 3, 64])
def test_a_program_has_the_bits_of_the_model_for_any_batch(name: str, n: int) -> None:
    model = network().eval()
    program = recorded(model, images(3))
    assert program.inputs == ["x"]
    assert_same_bits(program.run(images(n, 1), backend=name), model(images(n, 1)).data)


def test_recording_changes_nothing_and_sees_every_layer() -> None:
    model = network()
    x = images(2)
    want = model(x)
    nl.manual_seed(0)
    model = network()
    with nl.record() as program:
        got = model(x)
    assert_same_bits(got.data, want.data)
    assert [step.path for step in program.steps] == ["0", "1", "1", "1", "1", "2", "3", "4", "5", "6"]
    before = len(program)
    model(x)
    got.backward(np.ones_like(got.data))  # recorded before, run after
    assert len(program) == before


@pytest.mark.parametrize("name", available())
@pytest.mark.parametrize("make", [lambda p: optim.Adam(p, 1e-2), lambda p: optim.SGD(p, 0.1, momentum=0.9)])
def test_a_training_step_is_a_program(name: str, make: Any) -> None:
    model = network()
    optimizer, loss_of = make(model.parameters()), nn.CrossEntropyLoss()
    x, t = images(4), np.array([3, 1, 4, 1])
    with nl.record() as program:
        loss = loss_of(model(x), t)
        loss.backward()
        optimizer.step()
    assert program.inputs == ["x", "target"]
    state = {key: value.copy() for key, value in program.state.items()}
    assert_same_bits(program.run(x, t, backend=name, state=state), loss.data)
    for key, value in model.state_dict().items():
        if key != "1.num_batches_tracked":
            assert_same_bits(state[key], value)
    assert_same_bits(program.run(x, t, backend=name), loss.data)  # from the state as recorded, which is still there
    with pytest.raises(ValueError, match="has counted the batch"):
        program.run(images(5), np.arange(5))


def test_gradients_that_share_memory_are_not_lost() -> None:
    """Where a gradient is passed on, the tape copies it; the copy must not become a constant."""
    a, b = (nl.Parameter(rng(i).standard_normal(3).astype(np.float32)) for i in range(2))
    with nl.record(a=a, b=b) as program:
        ((a + b) * (a + b)).sum().backward()
    ends = program.run(a.data + 1, b.data)
    want = nl.Parameter(a.data + 1)
    ((want + b.data) * (want + b.data)).sum().backward()
    assert any(np.array_equal(end, want.grad) for end in ends)


def test_inputs_by_name_and_constants() -> None:
    x, offset = np.ones(3, np.float32), np.full(3, 2, np.float32)
    with nl.record(x=x) as program:
        nl.ops.add(x, offset)
    assert program.inputs == ["x"]
    offset[:] = 9  # the program has a copy
    assert_same_bits(program.run(np.zeros(3, np.float32)), np.full(3, 2, np.float32))


def test_wrong_inputs_are_refused() -> None:
    program = recorded(network().eval(), images(3))
    with pytest.raises(TypeError, match=r"run: the program has 1 inputs \('x',\), got 2"):
        program.run(images(3), images(3))
    with pytest.raises(TypeError, match="run: x must be float32, got float64"):
        program.run(images(3).astype(np.float64))
    with pytest.raises(ValueError, match=r"run: x must have shape \(N, 1, 8, 8\), got \(3, 1, 8, 9\)"):
        program.run(np.zeros((3, 1, 8, 9), np.float32))
    with pytest.raises(ValueError, match=r"state lacks '0\.weight'"):
        program.run(images(3), state={})


def test_a_file_gives_the_program_back(tmp_path: Path) -> None:
    model = network().eval()
    program = recorded(model, images(3))
    path = tmp_path / "p.safetensors"
    program.save(path)
    again = nl.load_program(path)
    assert str(again) == str(program)
    assert_same_bits(again.run(images(7, 1)), model(images(7, 1)).data)


def content_of(path: Path) -> tuple[dict[str, Any], bytes]:
    raw = path.read_bytes()
    length = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8 : 8 + length])
    return json.loads(header["__metadata__"]["nnlite"])["program"], raw


def write(path: Path, content: Any, raw: bytes) -> None:
    length = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8 : 8 + length])
    header["__metadata__"]["nnlite"] = json.dumps({"program": content})
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + raw[8 + length :])


DAMAGE: list[tuple[Any, str]] = [
    (lambda c: c["steps"][0].__setitem__(0, "os.system"), "step 0: op must be one of nnlite.reference"),
    (
        lambda c: c["steps"][0][1].__setitem__("shell", True),
        r"step 0 \(conv2d_forward\): the op has no argument 'shell'",
    ),
    (lambda c: c["steps"][0][1].pop("weight"), "step 0 .*: lacks the argument weight"),
    (lambda c: c["steps"][0][1].__setitem__("weight", {"slot": 99}), "slot 99 has no array at this step"),
    (lambda c: c["steps"][0][1].__setitem__("weight", {"slot": 3}), "slot 3 has no array|results must be"),
    (lambda c: c["steps"][0][1].__setitem__("stride", [0, 0]), "step 0 .*: conv2d_forward: stride must be at least 1"),
    (lambda c: c["steps"][0][1].__setitem__("padding", 2**59), "step 0 "),
    (lambda c: c["steps"][0][1].__setitem__("groups", {"a": {"b": 1}}), "is no argument that a program can have"),
    (lambda c: c["steps"][5].__setitem__(2, []), "has 0 results, but the op has 1"),
    (lambda c: c["steps"][1].__setitem__(2, c["steps"][0][2]), "results must be slots of results"),
    (lambda c: c["steps"].append("x"), "step 6 must have op"),
    (lambda c: c["slots"].append(["input", "x", [2], "float1"]), "dtype must be that of an array of numbers"),
    (lambda c: c["slots"].append(["state", "more", [2], "float32"]), "state 'more' is missing"),
    (lambda c: c["slots"][1].__setitem__(2, [5]), "state '0.weight' is float32 of shape"),
    (lambda c: c.pop("slots"), "holds no program"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGE)
def test_a_damaged_file_is_refused_with_the_place(tmp_path: Path, damage: Any, message: str) -> None:
    path = tmp_path / "p.safetensors"
    recorded(network().eval(), images(3)).save(path)
    content, raw = content_of(path)
    damage(content)
    write(path, content, raw)
    with pytest.raises(ProgramError, match=message):
        nl.load_program(path)


def test_random_damage_never_gives_anything_but_an_error_or_a_program(tmp_path: Path) -> None:
    path = tmp_path / "p.safetensors"
    recorded(network().eval(), images(3)).save(path)
    content, raw = content_of(path)
    text = json.dumps(content)
    random = rng(7)
    refused = 0
    for _ in range(300):
        broken = list(text)
        for _ in range(random.integers(1, 4)):
            broken[random.integers(len(broken))] = str(random.choice(list('0123456789[]{},:"-ntf.e')))
        try:
            changed = json.loads("".join(broken))
        except (ValueError, RecursionError):
            continue
        write(path, changed, raw)
        try:
            nl.load_program(path)
        except ProgramError:
            refused += 1
    assert refused > 50


def test_the_graph_as_text() -> None:
    dot = recorded(network().eval(), images(3)).to_dot()
    assert dot.startswith("digraph program {")
    assert dot.count("conv2d_forward") == 1
    assert dot.count("->") == 15


def test_the_graph_as_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = recorded(network().eval(), images(3))
    path = tmp_path / "graph.svg"

    class Source:
        def __init__(self, dot: str) -> None:
            assert dot == program.to_dot()

        def pipe(self, format: str, encoding: str) -> str:
            return f"<{format}>"

    monkeypatch.setitem(sys.modules, "graphviz", SimpleNamespace(Source=Source, ExecutableNotFound=OSError))
    assert nl.plot.graph(program, path) == path.read_text() == "<svg>"
    monkeypatch.setitem(sys.modules, "graphviz", None)
    with pytest.raises(RuntimeError, match=r"pip install 'nnlite\[graph\]'"):
        nl.plot.graph(program)


def test_trace_says_what_each_layer_did_and_changes_nothing() -> None:
    model = network()
    state = {name: x.copy() for name, x in model.state_dict().items()}
    draws = nl.random.get_state()
    x = images(4)
    x[0, 0, 0, 0] = np.nan
    found = nl.trace(model, x)
    for name, value in model.state_dict().items():
        assert_same_bits(value, state[name])
    assert nl.random.get_state() == draws
    assert all(p.grad is None for p in model.parameters())
    assert [row.type for row in found] == [type(m).__name__ for m in model]
    assert found[0].ops == ("conv2d_forward",)
    assert found[0].output_shape == (4, 4, 6, 6)
    assert found[0].nan == 4
    assert np.isnan(found[0].mean)
    assert all(row.forward > 0 and row.backward > 0 for row in found)
    clean = nl.trace(model, images(4), backward=False)
    with nl.no_grad():
        want = model[0](images(4)).data
    assert (clean[0].least, clean[0].greatest) == (want.min(), want.max())
    assert clean[2].zeros > 0.2
    assert all(row.backward == 0 for row in clean)
    assert len(str(clean).splitlines()) == 8


def test_nested_recordings_both_see_the_ops() -> None:
    x = np.ones(3, np.float32)
    with nl.record(x=x) as outer, nl.record(x=x) as inner:
        nl.ops.add(x, x)
    assert len(outer) == len(inner) == 1
