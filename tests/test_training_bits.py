"""The promise: one training has one result, on every backend, with any number of threads, also after a fork.

And inference gives a sample the same bits in any batch.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from types import ModuleType

import numpy as np
import pytest

import nnlite as nl
from nnlite import nn, optim
from nnlite.backend import available
from nnlite.files import weights_sha256
from support import assert_same_bits

# Of numerics version 1. It changes only together with nnlite.NUMERICS, and the changelog says why.
GOLDEN = "58909842041b77d74b73cebbca69e3f334653c49f28d18f7386f25d809b5e81c"
STEPS = 12


def train(device: str = "cpu") -> str:
    """Train a small network on data from nnlite's own generator; the hash of its weights."""
    nl.manual_seed(20)
    x = nl.array(nl.random.normal((48, 2, 9, 9)), device)
    t = nl.array(nl.random.permutation(48, stream=nl.random.USER) % 5, device)
    model = nn.Sequential(
        nn.Conv2d(2, 7, 3, padding=1),
        nn.BatchNorm2d(7),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2, padding=1),
        nn.Conv2d(7, 6, 3, stride=2, groups=1),
        nn.Tanh(),
        nn.Flatten(),
        nn.Dropout(0.25),
        nn.Linear(6 * 2 * 2, 5),
    ).to(device)
    optimizer = optim.Adam(model.parameters(), lr=0.01, weight_decay=1e-3)
    loss = nn.CrossEntropyLoss()
    for step in range(STEPS):
        batch = slice(16 * (step % 3), 16 * (step % 3) + 16)
        optimizer.zero_grad()
        loss(model(x[batch]), t[batch]).backward()
        optimizer.step()
    return weights_sha256(model.state_dict())


def train_everywhere() -> dict[str, str]:
    """Hashes by configuration; a fork comes last, because the threads of its parent must have worked before."""
    hashes = {}
    for backend in available():
        for threads in (1, 2, 3):
            if backend == "reference" and threads > 1:
                continue
            with nl.backend(backend):
                nl.set_num_threads(threads)
                hashes[f"{backend}, {threads} threads"] = train()
    for backend in available():
        if backend == "reference":
            continue
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            with nl.backend(backend):
                os.write(writer, train().encode())
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as pipe:
            hashes[f"{backend}, 3 threads, after fork"] = pipe.read()
        os.waitpid(child, 0)
    return hashes


def test_one_hash_on_every_backend_with_any_number_of_threads_and_after_fork() -> None:
    assert nl.NUMERICS == 1
    script = "import json, test_training_bits as t; print(json.dumps(t.train_everywhere()))"
    # In a process of its own: Python warns about forking one that has threads.
    run = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script],
        cwd=os.path.dirname(__file__),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    hashes = json.loads(run.stdout)
    assert len(hashes) == 1 + 4 * (len(available()) - 1)
    assert {name: value for name, value in hashes.items() if value != GOLDEN} == {}


def test_inference_does_not_depend_on_the_batch(backend: ModuleType) -> None:
    nl.manual_seed(1)
    model = nn.Sequential(
        nn.Conv2d(1, 9, 3), nn.BatchNorm2d(9), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(9 * 3 * 3, 10)
    ).eval()
    x = nl.random.normal((32, 1, 8, 8))
    with nl.no_grad():
        whole = model(x).numpy()
        for sizes in ([1] * 32, [1, 7, 24], [31, 1]):
            ends = np.cumsum(sizes)
            pieces = [model(x[end - size : end]).numpy() for size, end in zip(sizes, ends, strict=True)]
            assert_same_bits(np.concatenate(pieces), whole)


def test_concurrent_callers_get_the_same_bits(backend: ModuleType) -> None:
    x = nl.random.normal((16, 8, 14, 14))
    weight = nl.random.normal((20, 8, 3, 3))
    want = backend.conv2d_forward(x, weight)
    results: list[np.ndarray] = []
    callers = [
        threading.Thread(target=lambda: results.extend(backend.conv2d_forward(x, weight) for _ in range(3)))
        for _ in range(4)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(results) == 12
    for result in results:
        assert_same_bits(result, want)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_every_tensor_of_a_step_is_the_same_with_any_number_of_threads(threads: int) -> None:
    before = nl.get_num_threads()
    x, weight = nl.random.normal((33, 3, 40, 40)), nl.random.normal((17, 3, 5, 5))

    def step() -> tuple[np.ndarray, ...]:
        y = nl.kernels.conv2d_forward(x, weight, None, 1, 2)
        dy = nl.kernels.relu_forward(y)
        return (
            y,
            nl.kernels.conv2d_backward_data(dy, weight, x.shape, 1, 2),
            nl.kernels.conv2d_backward_weights(dy, x, weight.shape, 1, 2),
            nl.kernels.conv2d_backward_bias(dy),
            *nl.kernels.batchnorm_training_forward(y, weight[:, 0, 0, 0].copy(), weight[:, 1, 1, 1].copy()),
            nl.kernels.sum_forward(y),
        )

    try:
        nl.set_num_threads(8)
        want = step()
        nl.set_num_threads(threads)
        assert_same_bits(step(), want)
    finally:
        nl.set_num_threads(before)
