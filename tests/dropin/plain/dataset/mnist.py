"""MNIST from ``$NNLITE_DATA_DIR/mnist``; without it, scikit-learn's digits in the same form, so fewer images."""

import gzip
import os
from pathlib import Path

import numpy as np

key_file = {
    "train_img": "train-images-idx3-ubyte.gz",
    "train_label": "train-labels-idx1-ubyte.gz",
    "test_img": "t10k-images-idx3-ubyte.gz",
    "test_label": "t10k-labels-idx1-ubyte.gz",
}
dataset_dir = os.path.join(os.environ.get("NNLITE_DATA_DIR", ""), "mnist")
save_file = os.path.join(dataset_dir, "mnist.pkl")
train_num = 60000
test_num = 10000
img_dim = (1, 28, 28)
img_size = 784


def download_mnist():
    """Nothing: the files are there, or the digits take their place."""


def init_mnist():
    """The images and labels by the keys of key_file; nothing is written."""
    arrays = {}
    if "NNLITE_DATA_DIR" in os.environ and Path(dataset_dir).is_dir():
        for key, name in key_file.items():
            content = gzip.decompress((Path(dataset_dir) / name).read_bytes())
            start = 16 if key.endswith("img") else 8
            arrays[key] = np.frombuffer(content, np.uint8, offset=start)
            if key.endswith("img"):
                arrays[key] = arrays[key].reshape(-1, img_size)
        return arrays
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.kron(digits.images * (255 / 16), np.ones((3, 3)))
    images = np.pad(images, [(0, 0), (2, 2), (2, 2)]).astype(np.uint8).reshape(-1, img_size)
    labels = digits.target.astype(np.uint8)
    arrays.update(train_img=images[:1500], train_label=labels[:1500], test_img=images[1500:], test_label=labels[1500:])
    return arrays


def load_mnist(normalize=True, flatten=True, one_hot_label=False):
    """((x_train, t_train), (x_test, t_test)); the arrays are the caller's own."""
    arrays = init_mnist()
    sets = []
    for name in ("train", "test"):
        x, t = arrays[f"{name}_img"].copy(), arrays[f"{name}_label"].copy()
        if normalize:
            x = x.astype(np.float32)
            x /= 255.0
        if not flatten:
            x = x.reshape(-1, *img_dim)
        if one_hot_label:
            t = np.eye(10)[t]
        sets.append((x, t))
    return tuple(sets)
