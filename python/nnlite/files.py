"""Weights and checkpoints on disk (safetensors), files that are replaced at once, and the hashes of docs/numerics.md,
section 13.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .arrays import Array, is_array, to_numpy

if TYPE_CHECKING:
    from .nn.module import Module
    from .optim.optimizer import Optimizer

_CANONICAL_NAN = {4: 0x7FC00000, 8: 0x7FF8000000000000}
# NumPy has no BF16, F8
_DTYPES = ("F16", "F32", "F64", "C64", "I8", "I16", "I32", "I64", "U8", "U16", "U32", "U64", "BOOL")
_LARGEST_METADATA = 1 << 26  # characters

Path = str | bytes | os.PathLike[Any]


def save(state: Mapping[str, Array], path: Path, metadata: Mapping[str, Any] | None = None) -> None:
    """Write arrays to a safetensors file: ``nl.save(model.state_dict(), "w.safetensors")``.

    The file's one metadata key, ``nnlite``, holds JSON with sorted keys: ``metadata``, or nothing. Equal arrays and
    metadata give equal files. What was written is read back before it replaces the old file, if any, at once: a crash
    leaves the old one or the new one. See :func:`write_file`.

    Raises:
        TypeError: ``state`` is not a mapping of names to arrays of numbers of at most 64 bits, or ``metadata`` is not
            fit for JSON.
        ValueError: a name that the format has not; metadata of more than 2^26 characters.
        OSError: the file cannot be written.
    """
    write_file(path, to_bytes(state, metadata))


def to_bytes(state: Mapping[str, Array], metadata: Mapping[str, Any] | None = None) -> bytes:
    """The content of the file that :func:`save` writes."""
    import json

    import safetensors.numpy

    if not isinstance(state, Mapping):
        raise TypeError(
            f"save: state must be a dict of arrays, got {type(state).__name__}; for a model pass model.state_dict()"
        )
    for name, x in state.items():
        if not isinstance(name, str) or not is_array(x):
            raise TypeError(f"save: state must map names to numpy.ndarray, got {name!r}: {type(x).__name__}")
    if "__metadata__" in state:
        raise ValueError("save: the file format keeps the name '__metadata__' for itself; name the array otherwise")
    host = {name: to_numpy(x) for name, x in state.items()}
    arrays = {name: np.array(x, dtype=x.dtype.newbyteorder("="), order="C") for name, x in host.items()}
    for name, x in arrays.items():
        if x.dtype.kind not in "biufc" or x.dtype.itemsize > 8:
            raise TypeError(f"save: {name!r} is of type {x.dtype}, which the file format has not; save float64, say")
    if metadata is not None and not isinstance(metadata, Mapping):
        raise TypeError(f"save: metadata must be a dict, got {type(metadata).__name__}")
    text = json.dumps(dict(metadata or {}), sort_keys=True)
    if len(text) > _LARGEST_METADATA:
        raise ValueError(
            f"save: metadata have {len(text)} characters as JSON, at most {_LARGEST_METADATA} are read again"
        )
    content = safetensors.numpy.save(arrays, {"nnlite": text})
    again = safetensors.numpy.load(content)
    for name, x in arrays.items():
        if name not in again or again[name].shape != x.shape or again[name].tobytes() != x.tobytes():
            raise ValueError(f"save: {name!r} ({x.dtype}, shape {x.shape}) does not come back from the file format")
    return bytes(content)


def load(path: Path) -> dict[str, Array]:
    """The arrays of a safetensors file, by name.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: it cannot be read.
        ValueError: it is damaged or not a safetensors file, or has a tensor of a type that NumPy has not.
    """
    import safetensors

    name = os.fsdecode(path)
    _require_file("load", name)
    try:
        with safetensors.safe_open(name, framework="numpy") as file:
            for key in file.keys():  # noqa: SIM118 (no mapping)
                dtype = file.get_slice(key).get_dtype()
                if dtype not in _DTYPES:
                    raise ValueError(
                        f"load: {name}: {key!r} is of type {dtype}, which NumPy has not; save it as float32"
                    )
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, RecursionError, UnicodeError) as error:
        raise ValueError(f"load: {name} is not a sound safetensors file: {error}") from error


def load_metadata(path: Path) -> dict[str, Any]:
    """What :func:`save` was given as ``metadata``; empty for another program's file. Errors as of :func:`load`."""
    import json

    import safetensors

    name = os.fsdecode(path)
    _require_file("load_metadata", name)
    try:
        with safetensors.safe_open(name, framework="numpy") as file:
            text = (file.metadata() or {}).get("nnlite", "{}")
        if len(text) > _LARGEST_METADATA:
            raise ValueError(f"its metadata have more than {_LARGEST_METADATA} characters")
        found = json.loads(text)
    except (safetensors.SafetensorError, ValueError, RecursionError) as error:
        raise ValueError(f"load_metadata: {name} is not a sound safetensors file: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"load_metadata: {name}: the metadata key nnlite holds no JSON object")
    return found


def _require_file(what: str, name: str) -> None:
    """Refuse what is no regular file: a pipe would be waited for."""
    if not stat.S_ISREG(os.stat(name).st_mode):
        kind = "a directory" if os.path.isdir(name) else "no regular file"
        raise OSError(errno.EINVAL, f"{what}: it is {kind}", name)


# ------------------------------------------------------------------------------------------------------- checkpoints


def save_checkpoint(
    path: Path,
    model: Module,
    optimizer: Optimizer | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Write a model, and what its optimizer remembers, to one safetensors file, which :func:`load_checkpoint` reads.

    The model's arrays are named ``model.<name>``, the optimizer's ``optimizer.<parameter's index>.<name>``.

    Args:
        path: the file; replaced at once.
        model: its ``state_dict()`` is written.
        optimizer: its ``state_dict()`` is written too.
        metadata: whatever JSON can hold: the epoch, say. :func:`load_checkpoint` returns it.
    """
    arrays = {f"model.{name}": x for name, x in model.state_dict().items()}
    state = None if optimizer is None else _without_arrays(optimizer.state_dict(), arrays)
    save(arrays, path, {"checkpoint": {"optimizer": state, "metadata": dict(metadata or {})}})


def load_checkpoint(path: Path, model: Module, optimizer: Optimizer | None = None) -> dict[str, Any]:
    """Put a model, and its optimizer, into the state that :func:`save_checkpoint` wrote.

    Returns:
        the metadata.

    Raises:
        FileNotFoundError, OSError: there is no such file, or it cannot be read.
        ValueError: it is no sound safetensors file, holds no checkpoint, or none of such a model or optimizer.
        TypeError: an array is of another type than the model's.
        In each case model and optimizer are as before.
    """
    arrays, content = load(path), load_metadata(path).get("checkpoint")
    name = os.fsdecode(path)
    if not isinstance(content, dict) or not isinstance(content.get("metadata"), dict):
        raise ValueError(f"load_checkpoint: {name} holds no checkpoint of a model; for its arrays use nl.load")
    state = content.get("optimizer")
    if optimizer is not None:
        if state is None:
            raise ValueError(f"load_checkpoint: {name} was saved without an optimizer")
        loaded = _with_arrays(name, state, arrays, "optimizer.")
        before = optimizer.state_dict()
        before["state"] = {i: dict(entries) for i, entries in before["state"].items()}
        optimizer.load_state_dict(loaded)
    try:
        model.load_state_dict({k.removeprefix("model."): x for k, x in arrays.items() if k.startswith("model.")})
    except BaseException:
        if optimizer is not None:
            optimizer.load_state_dict(before)
        raise
    return dict(content["metadata"])


def load_optimizer(path: Path) -> dict[str, Any]:
    """The optimizer's state in a checkpoint, or in the file that earlier versions wrote for it alone.

    Returns:
        what its ``load_state_dict`` takes.

    Raises:
        FileNotFoundError, OSError: there is no such file, or it cannot be read.
        ValueError: it is no sound safetensors file, or holds no optimizer's state.
    """
    arrays, metadata = load(path), load_metadata(path)
    name = os.fsdecode(path)
    checkpoint = metadata.get("checkpoint")
    if isinstance(checkpoint, dict) and checkpoint.get("optimizer") is not None:
        return _with_arrays(name, checkpoint["optimizer"], arrays, "optimizer.")
    if metadata.keys() == {"param_groups", "numbers"} and isinstance(metadata["numbers"], dict):  # interrupted runs
        state: dict[str, dict[str, Any]] = {}
        for key, value in metadata["numbers"].items():
            i, _, entry = key.partition(".")
            state.setdefault(i, {})[entry] = value
        metadata = {"param_groups": metadata["param_groups"], "state": state}
    if metadata.keys() == {"param_groups", "state"}:
        return _with_arrays(name, metadata, arrays, "")
    raise ValueError(f"load_optimizer: {name} holds no optimizer's state")


def _without_arrays(state: Mapping[str, Any], arrays: dict[str, Array]) -> dict[str, Any]:
    """What JSON can hold of an optimizer's ``state_dict()``; the rest goes into ``arrays``."""
    rest: dict[str, dict[str, Any]] = {}
    for i, entries in state["state"].items():
        rest[str(i)] = {}
        for key, value in entries.items():
            if is_array(value):
                arrays[f"optimizer.{i}.{key}"] = value
            else:
                rest[str(i)][key] = value
    return {"param_groups": state["param_groups"], "state": rest}


def _with_arrays(name: str, content: Any, arrays: Mapping[str, Array], prefix: str) -> dict[str, Any]:
    """The optimizer's ``state_dict()`` of what :func:`_without_arrays` left."""
    broken = ValueError(f"{name} holds an optimizer's state that cannot be right")
    try:
        groups, rest = content["param_groups"], content["state"]
        state = {int(i): dict(entries) for i, entries in rest.items()}
    except (KeyError, TypeError, ValueError, AttributeError):
        raise broken from None
    if not isinstance(groups, list):
        raise broken
    for key, value in arrays.items():
        if not key.startswith(prefix):
            continue
        i, _, entry = key.removeprefix(prefix).partition(".")
        if not i.isdecimal() or not entry:
            raise broken
        state.setdefault(int(i), {})[entry] = value
    return {"state": state, "param_groups": groups}


# ------------------------------------------------------------------------------------------------- replaced at once


def write_file(path: Path, content: bytes) -> None:
    """Write a file so that a crash at any moment leaves the old content or the new one.

    Temporary name in the same folder, fsync, rename, fsync of the folder. A symbolic link is written through; an
    existing file keeps its mode, and its owner where that is allowed. What a killed process left of its own attempt at
    the same file is removed.

    Raises:
        PermissionError: the file is read-only, or not this user's to write.
        OSError: it is no regular file, or cannot be written.
    """
    import hashlib

    target = os.path.realpath(os.fsdecode(path))
    folder, name = os.path.split(target)
    try:
        old = os.stat(target)
    except FileNotFoundError:
        old = None
    if old is not None:
        if not stat.S_ISREG(old.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file, and would be replaced by one", target)
        effective = os.access in os.supports_effective_ids
        if not old.st_mode & 0o222 or not os.access(target, os.W_OK, effective_ids=effective):
            raise PermissionError(errno.EACCES, "it is read-only", target)
    prefix = f".{hashlib.sha256(name.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}.{os.uname().nodename[:64]}."
    _remove_orphans(folder, prefix)
    temporary = os.path.join(folder, f"{prefix}{os.getpid()}.{os.urandom(4).hex()}.tmp")
    file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with os.fdopen(file, "wb") as stream:
            if old is not None:
                with contextlib.suppress(PermissionError):
                    os.fchown(file, old.st_uid, old.st_gid)
                os.fchmod(file, stat.S_IMODE(old.st_mode))
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise
    directory = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _remove_orphans(folder: str, prefix: str) -> None:
    """Remove temporary files of this target whose process, one of this machine, is gone."""
    with os.scandir(folder or ".") as entries:
        orphans = [entry for entry in entries if entry.name.startswith(prefix) and entry.name.endswith(".tmp")]
    for entry in orphans:
        pid = entry.name.removeprefix(prefix).partition(".")[0]
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            with contextlib.suppress(OSError):
                os.unlink(entry.path)
        except (ValueError, OSError):
            continue


# ------------------------------------------------------------------------------------------------------------ hashes


def file_sha256(path: Path) -> str:
    """SHA-256 of a regular file, in hexadecimal."""
    import hashlib

    name = os.fsdecode(path)
    _require_file("file_sha256", name)
    with open(name, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tensor_sha256(name: str, x: Array) -> str:
    """SHA-256 over name, dtype, shape and elements, in hexadecimal; every NaN counts as the canonical one."""
    import hashlib

    x = np.array(to_numpy(x), dtype=x.dtype.newbyteorder("<"), order="C")
    if x.dtype.kind == "f" and x.dtype.itemsize in _CANONICAL_NAN:
        nan = np.isnan(x)
        if nan.any():
            x.view(f"<u{x.dtype.itemsize}")[nan] = _CANONICAL_NAN[x.dtype.itemsize]
    digest = hashlib.sha256()
    for text in (name, x.dtype.name, ",".join(str(n) for n in x.shape)):
        digest.update(text.encode() + b"\0")
    digest.update(x.tobytes())
    return digest.hexdigest()


def tensors_sha256(state: Mapping[str, Array]) -> dict[str, str]:
    """Each array's hash by name, in ascending order of name."""
    return {name: tensor_sha256(name, state[name]) for name in sorted(state)}


def weights_sha256(state: Mapping[str, Array]) -> str:
    """SHA-256 over the hexadecimal hashes of all arrays, in ascending order of name."""
    import hashlib

    return hashlib.sha256("".join(tensors_sha256(state).values()).encode()).hexdigest()
