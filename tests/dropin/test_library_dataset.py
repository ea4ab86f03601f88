"""dataset.mnist: shapes, dtypes and values of what load_mnist returns, from the files of MNIST where they are."""

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
from same import equal

FOLDER = Path(os.environ.get("NNLITE_DATA_DIR", "")) / "mnist"
pytestmark = pytest.mark.skipif(
    not (os.environ.get("NNLITE_DATA_DIR") and FOLDER.is_dir()), reason="no MNIST in $NNLITE_DATA_DIR"
)


def raw(name, start):
    return np.frombuffer(gzip.decompress((FOLDER / name).read_bytes()), np.uint8, offset=start)


def test_images_as_stored(library):
    (x, t), (xt, tt) = library.mnist.load_mnist(normalize=False)
    assert x.shape == (60000, 784)
    assert x.dtype == xt.dtype == t.dtype == tt.dtype == np.uint8
    equal(x, raw("train-images-idx3-ubyte.gz", 16).reshape(-1, 784))
    equal(xt, raw("t10k-images-idx3-ubyte.gz", 16).reshape(-1, 784))
    equal(t, raw("train-labels-idx1-ubyte.gz", 8))
    equal(tt, raw("t10k-labels-idx1-ubyte.gz", 8))
    equal(t[:5], [5, 0, 4, 1, 9])
    equal(tt[:5], [7, 2, 1, 0, 4])


def test_forms(library):
    (x, t), (xt, tt) = library.mnist.load_mnist()
    assert x.dtype == xt.dtype == np.float32
    assert xt.shape == (10000, 784)
    equal(xt[:50], raw("t10k-images-idx3-ubyte.gz", 16).reshape(-1, 784)[:50].astype(np.float32) / np.float32(255))
    assert t.shape == (60000,)
    (y, o), (yt, ot) = library.mnist.load_mnist(flatten=False, one_hot_label=True)
    assert y.shape == (60000, 1, 28, 28)
    equal(yt[:50].reshape(50, 784), xt[:50])
    assert ot.dtype == np.float64
    assert o.shape == (60000, 10)
    equal(ot, np.eye(10)[tt])
    assert y.dtype == np.float32


def test_the_arrays_are_the_callers_own(library):
    for settings in ({"normalize": False}, {}):
        (_, _), (xt, tt) = library.mnist.load_mnist(**settings)
        kept = xt[0].copy(), tt[:3].copy()
        xt[...] = 3
        tt[...] = 3
        (_, _), (again, labels) = library.mnist.load_mnist(**settings)
        equal(again[0], kept[0])
        equal(labels[:3], kept[1])


def test_constants(library):
    m = library.mnist
    assert (m.train_num, m.test_num, m.img_dim, m.img_size) == (60000, 10000, (1, 28, 28), 784)
    assert set(m.key_file) == {"train_img", "train_label", "test_img", "test_label"}
    assert callable(m.init_mnist)
    assert callable(m.download_mnist)
