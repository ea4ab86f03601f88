"""Models on a device: the bits of the CPU, whole trainings included, and errors that kernels find.

The device is the simulator, or the GPU where there is one.
"""

from __future__ import annotations

import copy
import json
import pickle
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import nnlite as nl
from nnlite import cli, cuda, nn, optim
from nnlite.files import weights_sha256
from support import assert_same_bits
from test_training_bits import GOLDEN, train

DEVICES = [name for name in ("cuda_sim", "cuda") if cuda.is_available(name)]
pytestmark = pytest.mark.skipif(not DEVICES, reason="built without NNLITE_CUDA_SIM, and there is no GPU")


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    """The name of a device that can be used here."""
    name: str = request.param
    return name


def network() -> nn.Sequential:
    """A network with batchnorm and dropout whose weights depend on nothing else."""
    nl.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(4 * 3 * 3, 5),
    )


def batch(n: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and labels."""
    generator = np.random.default_rng(0)
    return generator.standard_normal((n, 1, 8, 8)).astype(np.float32), generator.integers(0, 5, n)


def test_the_golden_hash(device: str) -> None:
    assert train(device) == GOLDEN


@pytest.mark.parametrize(
    "make",
    [
        lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-3),
        lambda p: optim.AdamW(p, lr=0.01),
    ],
    ids=["SGD", "AdamW"],
)
def test_fit_gives_the_history_and_the_weights_of_the_cpu(device: str, make: object) -> None:
    x, t = batch(30)
    histories = []
    for where in ("cpu", device):
        model = network().to(where)
        trainer = nl.Trainer(model, nn.CrossEntropyLoss(), make(model.parameters()), progress=False)  # type: ignore[operator]
        histories.append(trainer.fit(x, t, validation=(x[:7], t[:7]), epochs=2, batch_size=8, seed=5))
    assert histories[0] == histories[1]


def test_fit_with_one_hot_targets_and_mean_squared_error(device: str) -> None:
    x, t = batch(9)
    for loss, target in (
        (nn.CrossEntropyLoss(), np.eye(5, dtype=np.float32)[t]),
        (nn.MSELoss(), np.ones((9, 5), np.float32)),
    ):
        histories = []
        for where in ("cpu", device):
            model = network().to(where)
            trainer = nl.Trainer(model, loss, optim.SGD(model.parameters(), lr=0.1), progress=False)
            histories.append(trainer.fit(x, target, epochs=1, batch_size=4, seed=1))
        assert histories[0] == histories[1]


def test_train_and_replay_on_the_command_line(device: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sklearn")
    folder = str(tmp_path / "run")
    assert cli.main(["train", "--epochs", "1", "--batch-size", "512", "--out", folder]) == 0
    capsys.readouterr()
    assert cli.main(["replay", folder, "--device", device]) == 0
    assert capsys.readouterr().out.startswith("identical: epochs 1, weights ")


def test_to_and_back(device: str) -> None:
    model = network()
    x, t = batch()
    nn.CrossEntropyLoss()(model(x), t).backward()
    before = copy.deepcopy(model.state_dict())
    parameters = list(model.parameters())
    assert model.to(device) is model
    assert [id(p) for p in model.parameters()] == [id(p) for p in parameters]
    assert {p.device for p in parameters} == {f"{device}:0"}
    assert all(p.grad is not None and not isinstance(p.grad, np.ndarray) for p in parameters)
    assert weights_sha256(model.state_dict()) == weights_sha256(before)
    model.to("cpu")
    for name, array in model.state_dict().items():
        assert_same_bits(array, before[name])


def test_state_dicts_travel_between_host_and_device(device: str, tmp_path: Path) -> None:
    there, here = network().to(device), network()
    x, t = batch()
    optimizer = optim.Adam(there.parameters())
    nn.CrossEntropyLoss()(there(nl.array(x, device)), nl.array(t, device)).backward()
    optimizer.step()
    nl.save(there.state_dict(), tmp_path / "weights.safetensors")
    here.load_state_dict(nl.load(tmp_path / "weights.safetensors"))
    assert weights_sha256(here.state_dict()) == weights_sha256(there.state_dict())
    other = network().to(device)
    other.load_state_dict(here.state_dict())  # NumPy arrays into a model on a device
    assert {p.device for p in other.parameters()} == {f"{device}:0"}
    assert weights_sha256(here.state_dict()) == weights_sha256(other.state_dict())
    again = optim.Adam(other.parameters())
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for p, q in zip(there.parameters(), other.parameters(), strict=True):
        assert_same_bits(again.state[q]["exp_avg"].numpy(), optimizer.state[p]["exp_avg"].numpy())


def test_a_wrong_label_is_raised_at_the_next_synchronisation_and_changes_no_parameter(device: str) -> None:
    model = network().to(device)
    optimizer = optim.SGD(model.parameters(), lr=1.0)
    x, t = batch()
    t[[4, 9]] = 7, -1
    before = weights_sha256({name: p.data for name, p in model.named_parameters()})
    loss = nn.CrossEntropyLoss()(model(nl.array(x, device)), nl.array(t, device))
    loss.backward()
    optimizer.step()
    with pytest.raises(ValueError, match=r"target\[4\] is 7 but there are 5 classes \(0 to 4\)"):
        loss.item()
    assert weights_sha256({name: p.data for name, p in model.named_parameters()}) == before
    t[[4, 9]] = 0
    nn.CrossEntropyLoss()(model(nl.array(x, device)), nl.array(t, device)).backward()
    optimizer.step()
    assert weights_sha256({name: p.data for name, p in model.named_parameters()}) != before


def test_a_loss_that_is_no_number_stops_the_fit_as_on_the_cpu(device: str) -> None:
    x, t = batch(24)
    x[5] = np.inf
    messages, hashes = [], []
    for where in ("cpu", device):
        model = network().to(where)
        trainer = nl.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1), progress=False)
        with pytest.raises(FloatingPointError) as error:
            trainer.fit(x, t, epochs=2, batch_size=6, seed=2)
        messages.append(str(error.value))
        hashes.append(weights_sha256(model.state_dict()))
    assert messages[0] == messages[1]
    assert messages[0].startswith("the loss is nan in epoch 1, step ")
    assert hashes[0] == hashes[1] == weights_sha256(network().state_dict())


def test_operators_and_backward_of_tensors(device: str) -> None:
    x, _ = batch(3)
    results = []
    for where in ("cpu", device):
        a = nl.Tensor(nl.array(x, where), requires_grad=True)
        b = nl.Tensor(nl.array(2 * x, where), requires_grad=True)
        y = ((a * b + 3.0) - 0.5 * a + (-b)).reshape(3, -1)
        (y @ nl.array(np.ones((64, 2), np.float32), where)).sum().backward()
        assert a.grad is not None
        assert b.grad is not None
        results.append([np.asarray(nl.array(g, "cpu")) for g in (a.grad, b.grad)])
        assert (a + 1.0).device == (where if where == "cpu" else f"{where}:0")
    assert_same_bits(tuple(results[1]), tuple(results[0]))


def test_arrays_of_another_library_share_their_memory(device: str) -> None:
    x = nl.array(np.arange(6, dtype=np.float32).reshape(2, 3), device)
    y = cuda.from_dlpack(x, device)
    assert y.shares_memory(x)  # type: ignore[attr-defined]
    assert not y[0].shares_memory(x[1])
    x[1].assign(np.zeros(3, np.float32))
    assert_same_bits(y.numpy(), np.array([[0, 1, 2], [0, 0, 0]], np.float32))  # type: ignore[attr-defined]
    assert repr(y) == "Array(shape=(2, 3), dtype=float32, device=cuda:0)"
    with pytest.raises(ValueError, match="not in the memory of a CUDA device but on a device of type 1"):
        cuda.from_dlpack(np.zeros(3), device)


def test_mixed_devices_are_refused(device: str) -> None:
    x, t = batch()
    model = network().to(device)
    with pytest.raises(TypeError, match=r"conv2d_forward: weight must be a numpy\.ndarray, got nnlite\.cuda\.Array"):
        model(x)
    with pytest.raises(TypeError, match=r"must be a nnlite\.cuda\.Array, got ndarray"):
        nn.CrossEntropyLoss()(model(nl.array(x, device)), t)
    if device == "cuda_sim":
        with pytest.raises(ValueError, match="add: a is on cuda:0 but b is on cuda:1"):
            nl.Tensor(nl.array(x, "cuda_sim:0")) + nl.Tensor(nl.array(x, "cuda_sim:1"))


def test_devices_that_are_not_there(device: str) -> None:
    x, _ = batch()
    for wrong in ("gpu", "cuda:-1", "cpu:0", "", None):
        with pytest.raises(ValueError, match=r"device must be 'cpu', 'cuda' or 'cuda:N', got "):
            nl.array(x, wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"cuda: device 99 does not exist"):
        nl.array(x, f"{device}:99")
    if not cuda.is_available():
        with pytest.raises(RuntimeError, match="device 'cuda' cannot be used: "):
            nl.array(x, "cuda")
    with pytest.raises(TypeError, match="the device has no arrays of complex64"):
        nl.array(x.astype(np.complex64), device)


def test_out_of_memory_gives_everything_back() -> None:
    sim = pytest.importorskip("nnlite._cuda_sim")
    x, t = (nl.array(a, "cuda_sim") for a in batch())
    model = network().to("cuda_sim")
    before = cuda.memory_allocated("cuda_sim")
    sim._set_memory_limit(before + 12_000)
    try:
        with pytest.raises(MemoryError, match="out of device memory: "):
            nn.CrossEntropyLoss()(model(x), t).backward()
    finally:
        sim._set_memory_limit(4 << 30)
    assert all(p.grad is None for p in model.parameters())
    model.zero_grad()
    after = cuda.memory_allocated("cuda_sim")
    assert after <= before + 100  # the running statistics, which were replaced
    nn.CrossEntropyLoss()(model(x), t).backward()


def captured_training(device: str, captured: bool) -> tuple[list[float], str, dict[str, object]]:
    """Losses, hash and generator of seven steps, two of smaller batches."""
    model = network().to(device)
    optimizer = optim.AdamW(model.parameters(), lr=0.01)
    loss_of = nn.CrossEntropyLoss()

    def step(x: np.ndarray, t: np.ndarray) -> nl.Tensor:
        optimizer.zero_grad()
        loss = loss_of(model(x), t)
        loss.backward()
        optimizer.step()
        return loss

    run = cuda.capture(step, device) if captured else step
    x, t = batch(28)
    losses = []
    for i, size in enumerate((4, 4, 4, 3, 4, 4, 1)):
        optimizer.param_groups[0]["lr"] = 0.01 / (i + 1)
        chosen = slice(4 * i, 4 * i + size)
        xs, ts = (x[chosen], t[chosen]) if captured else (nl.array(x[chosen], device), nl.array(t[chosen], device))
        losses.append(run(xs, ts).item())
    return losses, weights_sha256(model.state_dict()), nl.random.get_state()


def test_a_captured_step_gives_the_bits_of_the_step_itself(device: str) -> None:
    assert captured_training(device, captured=True) == captured_training(device, captured=False)
    assert captured_training(device, captured=True) == captured_training("cpu", captured=False)


def test_a_captured_step_that_adds_to_gradients(device: str) -> None:
    w = nl.Parameter(nl.array(np.ones(3, np.float32), device))
    step = cuda.capture(lambda x: nl.ops.sum(nl.ops.multiply(w, x)).backward(), device)
    for i in range(1, 6):
        step(np.full(3, 2, np.float32))
        assert w.grad is not None
        assert_same_bits(w.grad.numpy(), np.full(3, 2 * i, np.float32))  # type: ignore[attr-defined]


def test_a_captured_step_keeps_its_arrays_and_says_when_they_were_replaced(device: str) -> None:
    model = nn.Linear(4, 4, bias=False).to(device)
    optimizer = optim.SGD(model.parameters(), lr=1.0)

    def step(x: np.ndarray) -> nl.Tensor:
        optimizer.zero_grad()
        loss = nl.ops.sum(model(x))
        loss.backward()
        optimizer.step()
        return loss

    captured = cuda.capture(step, device)
    x = np.ones((2, 4), np.float32)
    for _ in range(3):
        captured(x)
    optimizer.zero_grad()  # outside of it, too
    captured(x)
    model.to("cpu")
    others = [nl.array(np.zeros((4, 4), np.float32), device) for _ in range(4)]
    model.to(device)
    with pytest.raises(RuntimeError, match="an array of the captured step has been replaced since"):
        captured(x)
    assert all(not other.numpy().any() for other in others)  # type: ignore[attr-defined]
    optimizer.param_groups[0]["lr"] = float("nan")
    with pytest.raises(ValueError, match="SGD: lr must be a finite number"):
        captured(x)


def test_captures_in_captures(device: str) -> None:
    inner = cuda.capture(lambda x: nl.ops.multiply(x, x), device)
    outer = cuda.capture(lambda x: nl.ops.add(inner(x.data if isinstance(x, nl.Tensor) else x), x), device)
    for i in range(1, 6):
        x = np.full(3, i, np.float32)
        assert_same_bits(outer(x).numpy(), x * x + x)


def test_arrays_of_a_device_answer_no_question_silently(device: str) -> None:
    x = nl.array(np.zeros((2, 2), np.float32), device)
    for question in (lambda: x == x, lambda: x != 0, lambda: bool(x[0][0]), lambda: np.asarray(x), lambda: x["a"]):
        with pytest.raises(TypeError):
            question()
    for wrong in (lambda: x[2], lambda: x[2**70], lambda: x[0][0][0]):
        with pytest.raises(IndexError):
            wrong()
    with pytest.raises(ValueError, match=r"reshape: size of an array of shape .* overflows"):
        x[:0].reshape(2**62, 4)
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(x)
    assert nn.Linear(2, 2).to(device).double().weight.dtype == np.float64
    with pytest.raises(TypeError, match="input 0 is in device memory"):
        nl.function(lambda x: x, lambda dy, y, x: dy)(nl.Tensor(x))


def test_two_threads_use_a_device(device: str) -> None:
    big, small = np.ones(200_000, np.float32), nl.array(np.ones(1000, np.float32), device)
    errors: list[BaseException] = []

    def repeat(action: Callable[[], object]) -> None:
        try:
            for _ in range(50):
                action()
        except BaseException as error:
            errors.append(error)

    actions = [lambda: nl.array(big, device).numpy(), lambda: nl.ops.relu(small).numpy()]  # type: ignore[attr-defined]
    threads = [threading.Thread(target=repeat, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_what_cannot_be_captured(device: str) -> None:
    x, _ = batch()
    asking = cuda.capture(lambda x: nl.ops.sum(x).item(), device)
    asking(x)
    with pytest.raises(RuntimeError, match="a step that is captured cannot ask for numbers of the device"):
        asking(x)
    layer = nn.BatchNorm2d(1, momentum=None).to(device)
    averaging = cuda.capture(layer, device)
    averaging(x)
    with pytest.raises(ValueError, match="BatchNorm2d: momentum=None changes at every step and cannot be captured"):
        averaging(x)
    drawing = cuda.capture(lambda x: nl.random.permutation(3), device)
    drawing(x)
    with pytest.raises(RuntimeError, match=r"capture: nl\.random\.permutation cannot be part of a captured step"):
        drawing(x)
    with pytest.raises(ValueError, match="capture: device must be 'cuda' or 'cuda:N', got 'cpu'"):
        cuda.capture(lambda x: x, "cpu")
    assert_same_bits(cuda.capture(nl.ops.relu, device)(x).numpy(), nl.ops.relu(x).numpy())


def test_info_says_why_cuda_is_absent(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["info", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)["cuda"]
    assert facts["available"] is (facts["reason"] is None)
    assert facts["available"] is (facts["devices"] > 0)
