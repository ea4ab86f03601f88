"""MNIST as arrays.

The four files are looked for in every ``dataset`` folder that the program could import from, its own first, then where
``NNLITE_DATA_DIR`` says, then in the user's cache, into which they are downloaded once. No pickle is read.
"""

import gzip
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from nnlite import data as _data
from nnlite import files as _files
from nnlite.dropin import edits as _edits

url_base = _data.MIRRORS["mnist"][0]
key_file = {
    "train_img": "train-images-idx3-ubyte.gz",
    "train_label": "train-labels-idx1-ubyte.gz",
    "test_img": "t10k-images-idx3-ubyte.gz",
    "test_label": "t10k-labels-idx1-ubyte.gz",
}
dataset_dir = str(next(iter(_edits.folders("dataset")), _data.cache_dir() / "mnist"))
save_file = dataset_dir + "/mnist.pkl"
train_num = 60000
test_num = 10000
img_dim = (1, 28, 28)
img_size = 784


def load_mnist(normalize: Any = True, flatten: Any = True, one_hot_label: Any = False) -> Any:
    """``(x_train, t_train), (x_test, t_test)``.

    Images are uint8 or, ``normalize``, float32 between 0 and 1, ``(N, 784)`` or, not ``flatten``, ``(N, 1, 28, 28)``.
    Labels are uint8 ``(N,)`` or, ``one_hot_label``, float64 ``(N, 10)``.

    Raises:
        nnlite.data.DataError: the files are nowhere, or are not such files.
    """
    dataset = _convert_numpy()
    for key in ("train_img", "test_img"):
        if normalize:
            dataset[key] = dataset[key].astype(np.float32) / np.float32(255.0)
        if not flatten:
            dataset[key] = dataset[key].reshape(-1, *img_dim)
    if one_hot_label:
        for key in ("train_label", "test_label"):
            dataset[key] = _change_one_hot_label(dataset[key])
    return (dataset["train_img"], dataset["train_label"]), (dataset["test_img"], dataset["test_label"])


def init_mnist() -> None:
    """Fetch and convert the files, and leave them as ``save_file`` for whoever reads that."""
    dataset = _convert_numpy()
    if os.path.isdir(dataset_dir):
        _files.write_file(save_file, pickle.dumps(dataset, pickle.HIGHEST_PROTOCOL))


def download_mnist() -> None:
    """Put the four files into ``dataset_dir``."""
    for name in key_file.values():
        _download(name)


def _download(file_name: str) -> None:
    target = Path(dataset_dir, file_name)
    if not target.exists():
        content = (_source() / file_name).read_bytes()
        if not target.exists():
            _files.write_file(target, content)


def _load_label(file_name: str) -> Any:
    return _data.parse_idx(gzip.decompress((_source() / file_name).read_bytes()), file_name, 1).copy()


def _load_img(file_name: str) -> Any:
    images = _data.parse_idx(gzip.decompress((_source() / file_name).read_bytes()), file_name, 3)
    return images.reshape(-1, img_size).copy()


def _change_one_hot_label(X: Any) -> Any:
    T = np.zeros((X.size, 10))
    T[np.arange(X.size), X] = 1
    return T


_change_ont_hot_label = _change_one_hot_label  # its name before it was corrected


def _convert_numpy() -> dict[str, Any]:
    """The four arrays, uint8, by the keys of ``key_file``."""
    return {key: (_load_img if key.endswith("img") else _load_label)(name) for key, name in key_file.items()}


def _source() -> Path:
    """The folder that has the four files."""
    data_dir = os.environ.get("NNLITE_DATA_DIR")
    candidates: list[Path] = [
        *_edits.all_folders("dataset"),
        *((Path(data_dir) / "mnist", Path(data_dir)) if data_dir else ()),
    ]
    for folder in candidates:
        if all((folder / name).is_file() for name in key_file.values()):
            return folder
    try:
        _data.download("mnist", _data.cache_dir() / "mnist")
    except _data.DataError as error:
        looked = f"not in {', '.join(map(str, candidates))}" if candidates else "in no dataset folder"
        raise _data.DataError(
            f"MNIST: its four files are {looked}, and cannot be downloaded ({error.__cause__ or error}). Put them "
            f"({', '.join(key_file.values())}) into the dataset folder beside the program or above it, "
            "or name their folder by NNLITE_DATA_DIR"
        ) from None
    return _data.cache_dir() / "mnist"
