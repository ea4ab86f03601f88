"""Images in folders, tables, texts, CIFAR: what is read, and what is refused by file, line and column."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnlite import data
from nnlite.data import cifar
from support import assert_same_bits, rng

CSV = 'age,color,sick,"a, b"\n1, red,yes,2\n\n2.5,blue,NO,-3e2\n4,red,1,0\n'


def write(folder: Path, text: str, name: str = "a.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_table(tmp_path: Path) -> None:
    path = write(tmp_path, CSV)
    dtypes = {"sick": "bool"}
    table = data.load_csv(path, "a, b", dtypes=dtypes, categories=["color"])
    assert table.features == ("age", "color=blue", "color=red", "sick")
    assert_same_bits(table.x, np.float32([[1, 0, 1, 1], [2.5, 1, 0, 0], [4, 0, 1, 1]]))
    assert_same_bits(table.t, np.float32([[2], [-300], [0]]))
    classes = data.load_csv(
        path, "color", columns=["sick", "age"], dtypes=dtypes, categories={"color": ["red", "green", "blue"]}
    )
    assert_same_bits(classes.t, np.array([0, 2, 0]))
    assert classes.categories == {"color": ("red", "green", "blue")}
    assert_same_bits(classes.x, np.float32([[1, 1], [0, 2.5], [1, 4]]))
    numbers = data.load_csv(path, ["a, b", "age"], columns=[], dtypes={"a, b": "float"}, dtype="float64")
    assert_same_bits(numbers.t, np.array([[2, 1], [-300, 2.5], [0, 4]]))
    assert numbers.x.shape == (3, 0)
    assert_same_bits(data.load_csv(write(tmp_path, "n\n-3\n"), "n", dtypes={"n": "int"}).t, np.array([-3]))


@pytest.mark.parametrize(
    ("text", "settings", "error", "message"),
    [
        (CSV, {}, data.DataError, r"a\.csv, line 2, column 'color': 'red' is no number; .* categories=\["),
        (CSV, {"columns": ["age"], "dtypes": {"age": "int"}}, data.DataError, "line 4, column 'age': '2.5' is no int"),
        (CSV, {"categories": {"color": ["red"]}}, data.DataError, "line 4, column 'color': 'blue' is none of"),
        (CSV, {"target": "colour"}, ValueError, "target names 'colour', but .* has age, color, sick, a, b"),
        (CSV, {"target": "age", "columns": ["age"]}, ValueError, "'age' is both target and in columns"),
        (CSV, {"dtypes": {"age": "number"}}, ValueError, "'age' must be one of float, int, bool, category, got 'num"),
        (CSV, {"dtypes": {"color": "int"}, "categories": ["color"]}, ValueError, "but dtypes says 'int'"),
        ("a,b\n1,2\n1,2,3\n", {}, data.DataError, "line 3: it has 3 cells, but the line of names has 2"),
        ("a,b\n1,\n", {}, data.DataError, "line 2, column 'b': the cell is empty"),
        ("a\n1\nnan\n", {}, data.DataError, "line 3, column 'a': 'nan' is no finite number"),
        ("a\n1_0\n", {}, data.DataError, "'1_0' is no finite number"),
        ("a\nmaybe\n", {"dtypes": {"a": "bool"}}, data.DataError, "'maybe' is none of true, false"),
        ("a,a\n1,2\n", {}, data.DataError, "line 1: the name 'a' stands twice"),
        ("a,b\n", {}, data.DataError, "no lines of numbers"),
        ("", {}, data.DataError, "no lines of numbers"),
        ('a\n"1\n', {}, data.DataError, "line 2: unexpected end of data"),
    ],
)
def test_tables_that_are_refused(
    text: str, settings: dict[str, Any], error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        data.load_csv(write(tmp_path, text), **settings)


def test_texts(tmp_path: Path) -> None:
    numbers, characters = data.load_text(write(tmp_path, "banana!\n"))
    assert characters.tokens == ["a", "n", "\n", "!", "b"]
    assert_same_bits(numbers, np.array([4, 0, 1, 0, 1, 0, 3, 2]))
    assert characters.decode(numbers) == "banana!\n"
    assert "b" in characters
    numbers, words = data.load_text(write(tmp_path, "You say hello, you say.\n"), level="word")
    assert words.tokens == ["say", ",", ".", "You", "hello", "you"]
    assert words.decode(numbers) == "You say hello , you say ."
    few = data.Vocabulary("a b b c c c", "word", unknown="?", min_count=2, max_size=2)
    assert few.tokens == ["?", "c"]
    assert_same_bits(few.encode("c b x"), np.array([1, 0, 0]))
    assert_same_bits(few.encode(""), np.empty(0, np.int64))
    x, t = data.sequences(np.arange(8), 3)
    assert_same_bits(x, np.array([[0, 1, 2], [3, 4, 5]]))
    assert_same_bits(t, x + 1)
    with pytest.raises(ValueError, match="has 3 elements, but a sequence of 3 needs 4"):
        data.sequences(np.arange(3), 3)
    with pytest.raises(ValueError, match=r"token 1, 'z', is not among the 6 known ones; write Vocabulary\(text, unkn"):
        words.encode("say z")
    with pytest.raises(IndexError, match="is 6"):
        words.decode([6])
    with pytest.raises(ValueError, match="no tokens"):
        data.Vocabulary("")
    (tmp_path / "latin").write_bytes(b"\xe9")
    with pytest.raises(ValueError, match=r"is not in utf-8.*write encoding="):
        data.load_text(tmp_path / "latin")


def test_image_folder(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    pixels = rng(0).integers(0, 256, (4, 5, 3), np.uint8)
    for name in ("dog/b.png", "cat/x/c.png", "dog/a.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        image.fromarray(pixels).save(tmp_path / name)
    (tmp_path / "dog" / "notes.txt").write_text("no image")
    folder = data.ImageFolder(tmp_path)
    assert folder.classes == ["cat", "dog"]
    assert [str(p.relative_to(tmp_path)) for p in folder.paths] == ["cat/x/c.png", "dog/a.png", "dog/b.png"]
    x, t = folder.arrays()
    assert_same_bits(x[2], pixels.transpose(2, 0, 1) / np.float32(255))
    assert_same_bits(t, np.array([0, 1, 1]))
    batch, labels = next(iter(data.DataLoader(folder, 3, num_workers=2)))
    assert_same_bits(batch, x)
    assert_same_bits(labels, t)
    assert data.ImageFolder(tmp_path, size=(2, 3), mode="L")[0][0].shape == (1, 2, 3)
    image.fromarray(pixels[:2]).save(tmp_path / "dog" / "c.png")
    with pytest.raises(data.DataError, match=r"has shape \(3, 4, 5\) but .*c\.png has \(3, 2, 5\); write ImageF"):
        data.ImageFolder(tmp_path).arrays()
    (tmp_path / "dog" / "b.png").write_bytes(b"broken")
    with pytest.raises(data.DataError, match=r"cannot read .*b\.png") as raised:
        list(data.DataLoader(data.ImageFolder(tmp_path), 2))
    assert raised.value.__notes__ == ["DataLoader: in sample 2 of the data set"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(data.DataError, match="empty has no images"):
        data.ImageFolder(tmp_path)
    with pytest.raises(data.DataError, match="has no folders; put the images of each class into one"):
        data.ImageFolder(tmp_path / "empty")


def test_without_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: Any) -> Any:
        if name == "PIL":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(data.DataError, match=r"needs Pillow; install it with: pip install 'nnlite\[images\]'"):
        data.ImageFolder(tmp_path)


@pytest.mark.parametrize("classes", [10, 100])
def test_cifar(classes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar, "_IMAGES", {"train": 10, "test": 4})
    inside, archive, _, labels, names = cifar._KINDS[classes]
    with pytest.raises(data.DataError, match=f"put {archive} from https://"):
        data.load_cifar(tmp_path, classes)
    (tmp_path / archive).write_bytes(b"x")
    with pytest.raises(data.DataError, match="is not the original file"):
        data.load_cifar(tmp_path, classes)
    (tmp_path / inside).mkdir()
    everything = {"train": rng(1).integers(0, 10, (10, labels + 3072), np.uint8)}
    everything["test"] = everything["train"][:4] + np.uint8(0)
    everything["train"][:, 0] = 19 if labels == 2 else 9  # coarse labels do not count
    for part, files in names.items():
        for file, records in zip(files, np.split(everything[part], len(files)), strict=True):
            (tmp_path / inside / file).write_bytes(records.tobytes())
    loaded = data.load_cifar(tmp_path, classes)
    assert loaded.classes == classes
    assert_same_bits(loaded.t_train, everything["train"][:, labels - 1].astype(np.int64))
    assert_same_bits(loaded.x_test[3, 2, 0, :9], everything["test"][3, labels + 2048 : labels + 2057] / np.float32(255))
    records = everything["test"].copy()
    records[2, labels - 1] = classes
    (tmp_path / inside / names["test"][0]).write_bytes(records.tobytes())
    with pytest.raises(data.DataError, match=f"image 2 for testing has the label {classes}, of {classes} classes"):
        data.load_cifar(tmp_path, classes)
    (tmp_path / inside / names["test"][0]).write_bytes(b"short")
    with pytest.raises(data.DataError, match="have 5 bytes, but 4 images of"):
        data.load_cifar(tmp_path, classes)
    with pytest.raises(ValueError, match="classes must be 10 or 100, got 20"):
        data.load_cifar(tmp_path, 20)
