"""Weights on disk, and the hashes of docs/numerics.md, section 13."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from .arrays import Array, is_array, to_numpy

_CANONICAL_NAN = {4: 0x7FC00000, 8: 0x7FF8000000000000}


def save(state: Mapping[str, Array], path: str | os.PathLike[str], metadata: Mapping[str, Any] | None = None) -> None:
    """Write arrays to a safetensors file: ``nl.save(model.state_dict(), "w.safetensors")``.

    The file's one metadata key, ``nnlite``, holds JSON with sorted keys: ``metadata``, or nothing. Equal arrays and
    metadata give equal files. The old file, if any, is replaced at once: a crash leaves the old one or the new one.

    Raises:
        TypeError: ``state`` is not a mapping of names to arrays, or ``metadata`` is not fit for JSON.
    """
    import json

    import safetensors.numpy

    if not isinstance(state, Mapping):
        raise TypeError(
            f"save: state must be a dict of arrays, got {type(state).__name__}; for a model pass model.state_dict()"
        )
    for name, x in state.items():
        if not isinstance(name, str) or not is_array(x):
            raise TypeError(f"save: state must map names to numpy.ndarray, got {name!r}: {type(x).__name__}")
    host = {name: to_numpy(x) for name, x in state.items()}
    arrays = {name: np.array(x, dtype=x.dtype.newbyteorder("="), order="C") for name, x in host.items()}
    text = json.dumps(dict(metadata or {}), sort_keys=True)
    write_file(path, safetensors.numpy.save(arrays, {"nnlite": text}))


def load(path: str | os.PathLike[str]) -> dict[str, Array]:
    """The arrays of a safetensors file, by name.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged or not a safetensors file.
    """
    import safetensors
    import safetensors.numpy

    try:
        arrays: dict[str, Array] = safetensors.numpy.load_file(path)
    except safetensors.SafetensorError as error:
        raise ValueError(f"load: {os.fspath(path)} is not a sound safetensors file: {error}") from error
    return arrays


def load_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What :func:`save` was given as ``metadata``; empty for another program's file. Errors as of :func:`load`."""
    import json

    import safetensors

    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            found = json.loads((file.metadata() or {}).get("nnlite", "{}"))
    except (safetensors.SafetensorError, ValueError) as error:
        raise ValueError(f"load_metadata: {os.fspath(path)} is not a sound safetensors file: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"load_metadata: {os.fspath(path)}: the metadata key nnlite holds no JSON object")
    return found


def save_checkpoint(path: str | os.PathLike[str], state: Mapping[str, Any]) -> None:
    """Write an optimizer's ``state_dict()`` to a safetensors file: its arrays, and everything else in the metadata."""
    arrays: dict[str, Array] = {}
    rest: dict[str, dict[str, Any]] = {}
    for i, entries in state["state"].items():
        rest[str(i)] = {}
        for key, value in entries.items():
            if is_array(value):
                arrays[f"{i}.{key}"] = value
            else:
                rest[str(i)][key] = value
    save(arrays, path, {"param_groups": state["param_groups"], "state": rest})


def load_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What :func:`save_checkpoint` wrote, fit for the optimizer's ``load_state_dict``. Errors as of :func:`load`."""
    metadata = load_metadata(path)
    if metadata.keys() != {"param_groups", "state"}:
        raise ValueError(f"load_checkpoint: {os.fspath(path)} holds no optimizer's state")
    state: dict[int, dict[str, Any]] = {int(i): dict(entries) for i, entries in metadata["state"].items()}
    for name, value in load(path).items():
        i, _, key = name.partition(".")
        state[int(i)][key] = value
    return {"state": state, "param_groups": metadata["param_groups"]}


def write_file(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file so that a crash at any moment leaves the old content or the new one.

    Temporary name in the same folder, fsync, rename, fsync of the folder.
    """
    target = os.path.abspath(os.fspath(path))
    folder, name = os.path.split(target)
    temporary = os.path.join(folder, f".{name}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
    file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with os.fdopen(file, "wb") as stream:
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
