"""Arrays in device memory: what the class does, and its exchange with other libraries."""

from __future__ import annotations

import ctypes
import gc
import importlib
import importlib.util
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from nnlite import reference
from support import assert_same_bits, rng


def usable(name: str) -> bool:
    return (
        bool(importlib.util.find_spec(f"nnlite.{name}")) and importlib.import_module(f"nnlite.{name}")._device_count()
    )


MODULES = [name for name in ("_cuda_sim", "_cuda") if usable(name)]
DTYPES = [np.float32, np.float64, *(np.dtype(f"{kind}{size}") for kind in "iu" for size in (1, 2, 4, 8))]
SHAPES = [(), (0,), (1,), (5,), (2, 0, 3), (3, 4), (2, 1, 3)]


@pytest.fixture(scope="module", autouse=True)
def frozen_heap() -> Iterator[None]:
    """Leaves what other tests have imported out of every collection here, which would take half a second each."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(params=MODULES)
def device(request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    """A module with a device; a test leaves as much memory in use as there was."""
    module = importlib.import_module(f"nnlite.{request.param}")
    gc.collect()
    before = module._bytes_in_use()
    yield module
    gc.collect()
    assert module._bytes_in_use() == before


def some(shape: tuple[int, ...], dtype: npt.DTypeLike = np.float32) -> npt.NDArray[Any]:
    return np.asarray(rng(1).standard_normal(shape) * 50).astype(np.int8).astype(dtype)


def two_devices(module: ModuleType) -> None:
    if module._device_count() < 2:
        pytest.skip("needs two devices")


# The array.


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_to_the_device_and_back(device: ModuleType, shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
    host = some(shape, dtype)
    x = device._from_numpy(host, 0)
    assert (x.shape, x.dtype, x.ndim, x.size, x.nbytes) == (host.shape, host.dtype, host.ndim, host.size, host.nbytes)
    assert x.device_index == 0
    assert_same_bits(x.numpy(), host)
    assert_same_bits(device._zeros(shape, np.dtype(dtype), 0).numpy(), np.zeros(shape, dtype))


def test_large_arrays_travel_whole(device: ModuleType) -> None:
    """In several pieces, on a device that takes them so; another copy is under way before the first is through."""
    hosts = [rng(i).integers(0, 256, (5 << 20) + i, np.uint8) for i in range(3)]
    arrays = [device._from_numpy(host, 0) for host in hosts]
    for x, host in zip(arrays, hosts, strict=True):
        assert np.array_equal(x.numpy(), host)


def test_numpy_layouts_are_brought_in_order(device: ModuleType) -> None:
    host = some((6, 8))
    for view in (host.T, host[::2, ::-3], host[1:]):
        assert_same_bits(device._from_numpy(view, 0).numpy(), np.array(view))


@pytest.mark.parametrize("dtype", [bool, np.float16, np.complex64, ">f4", object])
def test_types_that_are_refused(device: ModuleType, dtype: npt.DTypeLike) -> None:
    with pytest.raises(TypeError, match="array: the device has no arrays of"):
        device._from_numpy(np.zeros(2, dtype), 0)


def test_devices_that_are_refused(device: ModuleType) -> None:
    count = device._device_count()
    for index in (-1, count):
        for make in (lambda i: device._from_numpy(np.zeros(2), i), lambda i: device._zeros((2,), np.dtype("f4"), i)):
            with pytest.raises(ValueError, match=f"cuda: device {index} does not exist"):
                make(index)


def test_numpy_does_not_take_it_for_an_array(device: ModuleType) -> None:
    x = device._from_numpy(some((3,)), 0)
    for use in (np.asarray, np.exp, lambda y: np.add(y, 1)):
        with pytest.raises(TypeError, match=r"an array in device memory is no NumPy array; use x.numpy\(\)"):
            use(x)


def test_rows_share_memory(device: ModuleType) -> None:
    host = some((5, 3))
    x = device._from_numpy(host, 0)
    for key in (0, 4, -1, np.int64(2), slice(None), slice(1, 3), slice(-2, None), slice(3, 3), slice(4, 1)):
        assert_same_bits(x[key].numpy(), host[key])
    assert x[2]._address == x._address + 2 * 3 * 4
    assert_same_bits(x[1:4][1].numpy(), host[2])
    assert_same_bits(x[1][2].numpy(), np.array(host[1][2]))
    x[1:3].assign(np.zeros((2, 3), np.float32))
    host[1:3] = 0
    assert_same_bits(x.numpy(), host)


def test_rows_that_are_refused(device: ModuleType) -> None:
    x = device._from_numpy(some((5, 3)), 0)
    for index in (5, -6):
        with pytest.raises(IndexError, match="index is out of bounds for axis 0 with size 5"):
            x[index]
    with pytest.raises(ValueError, match="an array on the device is sliced in steps of 1, got 2"):
        x[::2]
    for key in (1.0, None, (0, 1), [0]):
        with pytest.raises(TypeError, match="is indexed by an int or a slice of its first axis"):
            x[key]
    with pytest.raises(IndexError, match="an array without dimensions cannot be indexed"):
        x[0][0][0]
    with pytest.raises(TypeError, match="len\\(\\) of an array without dimensions"):
        len(x[0][0])


def test_iteration_ends(device: ModuleType) -> None:
    host = some((4, 2))
    x = device._from_numpy(host, 0)
    assert len(x) == 4
    assert_same_bits(np.stack([row.numpy() for row in x]), host)


def test_reshape_shares_memory(device: ModuleType) -> None:
    host = some((4, 6))
    x = device._from_numpy(host, 0)
    for sizes in ((24,), (2, 12), (-1,), (3, -1), (2, 3, 4), (1, 24, 1)):
        for y in (x.reshape(*sizes), x.reshape(sizes)):
            assert_same_bits(y.numpy(), host.reshape(sizes))
            assert y._address == x._address
    empty = device._from_numpy(some((0, 3)), 0)
    assert empty.reshape(3, 0, 5).shape == (3, 0, 5)
    for sizes in ((5,), (-1, -1), (5, -1), (-2, 12), (0, -1)):
        with pytest.raises(ValueError, match="reshape: cannot reshape array of size 24 into shape"):
            x.reshape(*sizes)


def test_assign_and_copy(device: ModuleType) -> None:
    x, y = device._from_numpy(some((3, 2)), 0), device._from_numpy(np.ones((3, 2), np.float32), 0)
    copy = x.copy()
    x.assign(y)
    assert_same_bits(x.numpy(), np.ones((3, 2), np.float32))
    assert_same_bits(copy.numpy(), some((3, 2)))
    x.assign(some((3, 2)).T.copy().T)
    assert_same_bits(x.numpy(), some((3, 2)))
    for wrong, error, message in (
        (np.ones((3, 2)), TypeError, "assign: x is float64 but the array is float32"),
        (np.ones((2, 3), np.float32), ValueError, r"assign: x has shape \(2, 3\) but the array has shape \(3, 2\)"),
        ([1.0], TypeError, "assign: x must be a nnlite.cuda.Array, got list"),
    ):
        with pytest.raises(error, match=message):
            x.assign(wrong)
    assert_same_bits(x.numpy(), some((3, 2)))


@pytest.mark.parametrize("shift", [1, -1])
def test_assign_within_an_array(device: ModuleType, shift: int) -> None:
    """Source and target overlap."""
    host = some((1000,))
    x = device._from_numpy(host, 0)
    low, high = x[:-1], x[1:]
    (high if shift > 0 else low).assign(low if shift > 0 else high)
    want = host.copy()
    want[1:] = host[:-1]
    if shift < 0:
        want = np.append(host[1:], host[-1])
    assert_same_bits(x.numpy(), want)


def test_item(device: ModuleType) -> None:
    assert device._from_numpy(np.array(2.5), 0).item() == 2.5
    assert device._from_numpy(np.array([[7]], np.uint8), 0).item() == 7
    with pytest.raises(ValueError, match=r"item: the array must hold one element, got shape \(2,\)"):
        device._from_numpy(np.zeros(2), 0).item()


# Devices and memory.


def test_arguments_are_on_one_device(device: ModuleType) -> None:
    two_devices(device)
    x, y = (device._from_numpy(some((4,)), index) for index in range(2))
    with pytest.raises(ValueError, match="add: a is on cuda:0 but b is on cuda:1"):
        device.add(x, y)
    with pytest.raises(ValueError, match="assign: x is on cuda:0 but the array is on cuda:1"):
        y.assign(x)
    total = device.add(y, y)
    assert total.device_index == 1
    assert_same_bits(total.numpy(), 2 * some((4,)))


@pytest.fixture
def limited(device: ModuleType) -> Iterator[Callable[[int], None]]:
    """limited(n): no more than n bytes beyond those in use."""
    if not hasattr(device, "_set_memory_limit"):
        pytest.skip("only the simulator's memory can be made small")
    before = device._bytes_in_use()
    yield lambda n: device._set_memory_limit(before + n)
    device._set_memory_limit(4 << 30)


def test_running_out_of_memory_leaves_nothing_behind(device: ModuleType, limited: Callable[[int], None]) -> None:
    n = 1000
    x = device._from_numpy(some((n,)), 0)
    before = device._bytes_in_use()
    calls: list[Callable[[], Any]] = [
        lambda: device.add(x, x),
        lambda: device.dropout_forward(x, 0.5, 1, 1),
        lambda: device.random_permutation(n, 1, 1, 1),
        lambda: device._from_numpy(some((n,)), 0),
        lambda: device._zeros((n,), np.dtype("f4"), device._device_count() - 1),
        lambda: x.assign(some((n,))),
        x.copy,
        lambda: device._from_dlpack(Lent(x, read_only)),
    ]
    for call in calls:
        failed = 0
        for limit in (0, 3000, 4500, 10000, 20000, 30000, 41000, 60000):
            limited(x.nbytes + limit)
            try:
                call()
            except MemoryError:
                failed += 1
            assert device._bytes_in_use() == before
        assert 0 < failed < 8
    assert_same_bits(x.numpy(), some((n,)))


def test_a_failed_allocation_changes_no_device(device: ModuleType, limited: Callable[[int], None]) -> None:
    two_devices(device)
    here = device.random_bits(1, 0, 0, 0).device_index
    limited(100)
    with pytest.raises(MemoryError):
        device._zeros((1000,), np.dtype("f4"), 1 - here)
    assert device.random_bits(1, 0, 0, 0).device_index == here


def test_views_keep_the_memory(device: ModuleType) -> None:
    before = device._bytes_in_use()
    x = device._from_numpy(some((10, 10)), 0)
    row = x[3]
    del x
    assert device._bytes_in_use() == before + 400
    assert_same_bits(row.numpy(), some((10, 10))[3])
    del row
    assert device._bytes_in_use() == before
    device._reset_peak()
    device._zeros((50,), np.dtype("f8"), 0)
    assert device._peak_bytes() == before + 400


# Kernels whose loads are wide, on arrays that begin elsewhere than at a multiple of 16 bytes.


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_views_at_any_address(device: ModuleType, dtype: npt.DTypeLike) -> None:
    host = some((4100,), dtype) / 8
    x = device._from_numpy(host, 0)
    y, mask = device.dropout_forward(x[3:], 0.3, 5, 6)
    want, want_mask = reference.dropout_forward(host[3:], 0.3, 5, 6)
    assert_same_bits((y.numpy(), mask.numpy()), (want, want_mask))
    for part in (slice(1, 4001), slice(2, 4002), slice(4, 4003)):
        dx = device.dropout_backward(x[part], mask[part], 0.3)
        assert_same_bits(dx.numpy(), reference.dropout_backward(host[part], want_mask[part], 0.3))
    for moments in (0, 1, 2):
        arrays = [x.copy()[1:] for _ in range(2 + moments)]
        hosts = [host[1:].copy() for _ in arrays]
        if moments == 2:
            hyper: tuple[Any, ...] = (1e-3, 0.9, 0.999, 1e-8, 0.01, False, 0.1, 0.001)
            device.adam_update(*([a] for a in arrays), *hyper)
            reference.adam_update(*([a] for a in hosts), *hyper)
        else:
            hyper = (0.1, 0.9 * moments, 0.01, False)
            device.sgd_update([arrays[0]], [arrays[1]], arrays[2:], *hyper)
            reference.sgd_update([hosts[0]], [hosts[1]], hosts[2:], *hyper)
        for got, expected in zip(arrays, hosts, strict=True):
            assert_same_bits(got.numpy(), expected)


def test_an_update_refuses_overlaps(device: ModuleType) -> None:
    x = device._from_numpy(some((20,)), 0)
    with pytest.raises(ValueError, match=r"sgd_update: params\[0\] overlaps grads\[0\]"):
        device.sgd_update([x[:10]], [x[5:15]], [], 0.1, 0.0, 0.0, False)
    assert_same_bits(x.numpy(), some((20,)))


def test_nothing_is_updated_after_an_error_in_a_kernel(device: ModuleType) -> None:
    if not hasattr(device, "softmax_cross_entropy_forward"):
        pytest.skip("needs an op that finds errors")
    x = device._from_numpy(some((4, 3)), 0)
    lists = [[device._from_numpy(some((5000,)), 0)] for _ in range(4)]
    device.softmax_cross_entropy_forward(x, device._from_numpy(np.array([0, 1, 3, 2]), 0))
    device.sgd_update(*lists[:2], [], 0.1, 0.0, 0.0, False)
    device.sgd_update(*lists[:3], 0.1, 0.9, 0.0, False)
    device.adam_update(*lists, 1e-3, 0.9, 0.999, 1e-8, 0.0, False, 0.1, 0.001)
    with pytest.raises(ValueError, match=r"target\[2\] is 3 but there are 3 classes \(0 to 2\)"):
        device._synchronize()
    for (y,) in lists:
        assert_same_bits(y.numpy(), some((5000,)))
    device.sgd_update(*lists[:2], [], 0.1, 0.0, 0.0, False)
    assert not np.array_equal(lists[0][0].numpy(), some((5000,)))


# Exchange.


class Tensor(ctypes.Structure):
    """DLTensor."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device", ctypes.c_int32),
        ("rank", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("offset", ctypes.c_uint64),
    )


class Legacy(ctypes.Structure):
    """DLManagedTensor."""

    _fields_ = (("tensor", Tensor), ("owner", ctypes.c_void_p), ("end", ctypes.c_void_p))


class Versioned(ctypes.Structure):
    """DLManagedTensorVersioned."""

    _fields_ = (
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("owner", ctypes.c_void_p),
        ("end", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        ("tensor", Tensor),
    )


name_of = ctypes.pythonapi.PyCapsule_GetName
name_of.restype, name_of.argtypes = ctypes.c_char_p, [ctypes.py_object]
pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
pointer_of.restype, pointer_of.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]


def inside(capsule: Any) -> Any:
    """What a capsule points to."""
    name = name_of(capsule)
    assert name is not None
    kind = Versioned if name.endswith(b"_versioned") else Legacy
    return kind.from_address(pointer_of(capsule, name))


class Lent:
    """An array as another library would lend it."""

    def __init__(self, x: Any, change: Callable[[Any], None] = lambda inner: None) -> None:
        self.x = x
        self.change = change

    def __dlpack_device__(self) -> Any:
        return self.x.__dlpack_device__()

    def __dlpack__(self, **options: Any) -> Any:
        capsule = self.x.__dlpack__(**options)
        self.change(inside(capsule))
        return capsule


class Old(Lent):
    """One of before DLPack 1.0."""

    def __dlpack__(self, stream: int | None = None) -> Any:
        return super().__dlpack__(stream=stream)


def read_only(inner: Any) -> None:
    inner.flags |= 1


WAYS: list[Callable[[Any], Any]] = [
    lambda x: x,
    Lent,
    Old,
    lambda x: x.__dlpack__(),
    lambda x: x.__dlpack__(max_version=(1, 3)),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_exchange_shares_memory(device: ModuleType, way: Callable[[Any], Any], dtype: npt.DTypeLike) -> None:
    for shape in SHAPES:
        host = some(shape, dtype)
        x = device._from_numpy(host, 0)
        y = device._from_dlpack(way(x))
        assert (y.shape, y.dtype, y.device_index) == (x.shape, x.dtype, 0)
        assert_same_bits(y.numpy(), host)
        assert x.size == 0 or y._address == x._address
        twice = np.asarray(host + host)
        y.assign(twice)
        assert_same_bits(x.numpy(), twice)
        x.assign(host)
        assert_same_bits(y.numpy(), host)


@pytest.mark.parametrize("way", WAYS)
def test_the_memory_lives_as_long_as_anyone_uses_it(device: ModuleType, way: Callable[[Any], Any]) -> None:
    before = device._bytes_in_use()
    x = device._from_numpy(some((10, 10)), 0)
    lent = way(x)
    y = device._from_dlpack(lent)
    del x, lent
    gc.collect()
    assert device._bytes_in_use() == before + 400
    view = y[2]
    del y
    assert_same_bits(view.numpy(), some((10, 10))[2])
    again = device._from_dlpack(view)
    del view
    assert_same_bits(again.numpy(), some((10, 10))[2])
    del again
    gc.collect()
    assert device._bytes_in_use() == before


@pytest.mark.parametrize("version", [None, (0, 8), (1, 0), (2, 0)])
def test_capsules(device: ModuleType, version: tuple[int, int] | None) -> None:
    before = device._bytes_in_use()
    x = device._from_numpy(some((4, 3), np.int16), 0)
    capsule = x[1:].__dlpack__(max_version=version)
    new = version is not None and version[0] >= 1
    assert name_of(capsule) == (b"dltensor_versioned" if new else b"dltensor")
    inner = inside(capsule)
    if new:
        assert (inner.major, inner.minor, inner.flags) == (1, 0, 0)
    t = inner.tensor
    assert (t.data, t.offset) == (x._address + 6, 0)
    assert (t.device_type, t.device, t.code, t.bits, t.lanes) == (2, 0, 0, 16, 1)
    assert (t.rank, t.shape[:2], t.strides[:2]) == (2, [3, 3], [3, 1])
    del x
    assert device._bytes_in_use() == before + 24
    del capsule  # nobody took it
    assert device._bytes_in_use() == before


def test_a_capsule_is_taken_once(device: ModuleType) -> None:
    for version in (None, (1, 0)):
        capsule = device._from_numpy(some((4,)), 0).__dlpack__(max_version=version)
        y = device._from_dlpack(capsule)
        assert name_of(capsule).startswith(b"used_dltensor")
        with pytest.raises(ValueError, match="from_dlpack: the capsule has been used already"):
            device._from_dlpack(capsule)
        del capsule
        assert_same_bits(y.numpy(), some((4,)))


def test_a_copy_may_be_asked_for(device: ModuleType) -> None:
    x = device._from_numpy(some((4,)), 0)
    capsule = x.__dlpack__(copy=True, max_version=(1, 0))
    assert inside(capsule).flags == 2
    y = device._from_dlpack(capsule)
    x.assign(np.zeros(4, np.float32))
    assert_same_bits(y.numpy(), some((4,)))
    assert device._from_dlpack(x.__dlpack__(copy=False))._address == x._address


def test_what_is_lent_for_reading_is_copied(device: ModuleType) -> None:
    x = device._from_numpy(some((4,)), 0)
    y = device._from_dlpack(Lent(x, read_only))
    y.assign(np.zeros(4, np.float32))
    assert_same_bits(x.numpy(), some((4,)))


def test_the_devices_of_the_protocol(device: ModuleType) -> None:
    for index in range(device._device_count()):
        x = device._from_numpy(some((4,)), index)
        assert x.__dlpack_device__() == (2, index)
        assert device._from_dlpack(x).device_index == index
        assert device._from_dlpack(x.__dlpack__(dl_device=(2, index))).device_index == index
        for other in ((1, 0), (2, index + 1)):
            with pytest.raises(BufferError, match=f"the array is on cuda:{index} and is lent there only"):
                x.__dlpack__(dl_device=other)


def test_streams_of_the_protocol(device: ModuleType) -> None:
    x = device._from_numpy(some((4,)), 0)
    for stream in (None, -1, 1, 2):
        assert_same_bits(device._from_dlpack(x.__dlpack__(stream=stream)).numpy(), some((4,)))
    with pytest.raises(ValueError, match="stream 0 is ambiguous"):
        x.__dlpack__(stream=0)
    with pytest.raises(ValueError, match="stream must be -1, 1, 2 or the address of a stream, got -2"):
        x.__dlpack__(stream=-2)
    for wrong in (True, 1.0, "1"):
        with pytest.raises(TypeError, match="stream must be an int or None, got"):
            x.__dlpack__(stream=wrong)
    with pytest.raises(TypeError):
        x.__dlpack__(1)


def changed(**fields: Any) -> Callable[[Any], None]:
    def change(inner: Any) -> None:
        for name, value in fields.items():
            if name == "strides":
                for i, stride in enumerate(value):
                    inner.tensor.strides[i] = stride
            else:
                setattr(inner.tensor, name, value)

    return change


REFUSED: list[tuple[Callable[[Any], None], type[Exception], str]] = [
    (changed(strides=[1, 3]), ValueError, r"in C order, but has shape \(3, 2\) and strides \(1, 3\); make it cont"),
    (changed(strides=[4, 2]), ValueError, r"in C order, but has shape \(3, 2\) and strides \(4, 2\)"),
    (changed(strides=[-2, 1]), ValueError, "in C order"),
    (changed(strides=[0, 1]), ValueError, "in C order"),
    (changed(code=6, bits=8), TypeError, "the device has no arrays of bool; they are of"),
    (changed(bits=16), TypeError, "the device has no arrays of float16"),
    (changed(code=4, bits=16), TypeError, "the device has no arrays of bfloat16"),
    (changed(code=5, bits=64), TypeError, "the device has no arrays of complex64"),
    (changed(code=0, bits=4), TypeError, "the device has no arrays of int4"),
    (changed(lanes=4), TypeError, "the device has no arrays of float32x4"),
    (changed(code=99), TypeError, "the device has no arrays of a type with other code and 32"),
    (changed(offset=2), ValueError, "an address that is not a multiple of its 4 bytes an element"),
    (changed(device_type=1), ValueError, r"not in the memory of a CUDA device but on a device of type 1 \(host mem"),
    (changed(device_type=8), ValueError, "not in the memory of a CUDA device but on a device of type 8"),
    (changed(device=64), ValueError, "the array is on cuda:64, but there are"),
]


@pytest.mark.parametrize(("change", "error", "message"), REFUSED)
@pytest.mark.parametrize("version", [None, (1, 0)])
def test_what_is_refused_stays_whole(
    device: ModuleType,
    change: Callable[[Any], None],
    error: type[Exception],
    message: str,
    version: tuple[int, int] | None,
) -> None:
    before = device._bytes_in_use()
    x = device._from_numpy(some((3, 2)), 0)
    capsule = x.__dlpack__(max_version=version)
    name = name_of(capsule)
    change(inside(capsule))
    with pytest.raises(error, match=f"^from_dlpack: .*{message}"):
        device._from_dlpack(capsule)
    assert name_of(capsule) == name
    del x, capsule
    gc.collect()
    assert device._bytes_in_use() == before


def test_layouts_that_are_in_order(device: ModuleType) -> None:
    """Strides may be missing, are nothing where a size is 1 or 0, and data may begin at an offset."""
    x = device._from_numpy(some((3, 1, 2)), 0)
    null = ctypes.POINTER(ctypes.c_int64)()

    def without_strides(inner: Any) -> None:
        inner.tensor.strides = null

    def shifted(inner: Any) -> None:
        inner.tensor.data -= 64
        inner.tensor.offset += 64

    for change in (without_strides, changed(strides=[2, 77, 1]), shifted):
        assert_same_bits(device._from_dlpack(Lent(x, change)).numpy(), some((3, 1, 2)))
    empty = device._from_numpy(some((2, 0)), 0)
    assert device._from_dlpack(Lent(empty, changed(strides=[5, 5], data=None))).shape == (2, 0)


def test_a_later_dlpack_is_refused(device: ModuleType) -> None:
    x = device._from_numpy(some((3,)), 0)
    capsule = x.__dlpack__(max_version=(1, 0))
    inside(capsule).major = 2
    with pytest.raises(ValueError, match="the capsule is of version 2 of DLPack, and nnlite knows 1"):
        device._from_dlpack(capsule)


def test_what_cannot_be_taken(device: ModuleType) -> None:
    with pytest.raises(
        ValueError, match=r"not in the memory of a CUDA device but on a device of type 1 \(host memory\)"
    ):
        device._from_dlpack(np.zeros(3))
    with pytest.raises(TypeError, match="x must have __dlpack__ and __dlpack_device__, got list"):
        device._from_dlpack([1.0])

    class Strange(Lent):
        def __dlpack__(self, **options: Any) -> Any:
            return 5

    class Failing(Lent):
        def __dlpack__(self, **options: Any) -> Any:
            raise BufferError("no")

    x = device._from_numpy(some((3,)), 0)
    with pytest.raises(TypeError, match="__dlpack__ must give a capsule of DLPack, got int"):
        device._from_dlpack(Strange(x))
    with pytest.raises(BufferError, match="no"):
        device._from_dlpack(Failing(x))
    with pytest.raises((BufferError, RuntimeError, ValueError)):
        np.from_dlpack(x)


@pytest.mark.parametrize("dtype", DTYPES)
def test_cuda_array_interface(device: ModuleType, dtype: npt.DTypeLike) -> None:
    x = device._from_numpy(some((4, 3), dtype), 0)
    told = x[1:].__cuda_array_interface__
    stream = told.pop("stream")
    assert stream is None or stream > 2
    typestr = np.dtype(dtype).str
    assert told == {
        "shape": (3, 3),
        "typestr": typestr,
        "data": (x[1:]._address, False),
        "strides": None,
        "version": 3,
    }
    assert device._from_numpy(some((0, 3), dtype), 0).__cuda_array_interface__["data"] == (0, False)


def test_ops_take_what_others_lend(device: ModuleType) -> None:
    x = device._from_numpy(some((100,)), 0)
    y = device._from_dlpack(Lent(x[1:]))
    assert_same_bits(device.add(y, y).numpy(), 2 * some((100,))[1:])
