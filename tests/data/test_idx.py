import gzip
import struct

import numpy as np
import pytest

from striate.base.errors import DataError
from striate.data.idx import read_idx
from striate.data.source import open_source

RNG = np.random.default_rng(0)
PICTURES = RNG.integers(0, 256, (30, 5, 4), dtype=np.uint8)
LABELS = np.arange(30, dtype=np.uint8) % 3


def idx(values: np.ndarray, kind: int = 8) -> bytes:
    return bytes([0, 0, kind, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


def write(folder, prefix="train", count=30, form="{}-{}-idx{}-ubyte", packed=False):
    folder.mkdir(exist_ok=True)
    for what, values, axes in (("images", PICTURES, 3), ("labels", LABELS, 1)):
        content = idx(values[:count])
        name = form.format(prefix, what, axes)
        (folder / (name + ".gz" * packed)).write_bytes(gzip.compress(content) if packed else content)
    return folder


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("form", ["{}-{}-idx{}-ubyte", "{}-{}.idx{}-ubyte"])
@pytest.mark.parametrize("test", ["t10k", "test"])
def test_every_usual_name_is_read(tmp_path, packed, form, test):
    folder = write(tmp_path / "letters", form=form, packed=packed)
    source = open_source(str(write(folder, test, 12, form, packed)))
    assert (source.name, source.classes, source.channels, source.size) == ("letters", ("0", "1", "2"), 1, (5, 4))
    assert {part: len(samples) for part, samples in source.parts.items()} == {"train": 30, "test": 12}
    np.testing.assert_array_equal(source.parts["train"].items.array, PICTURES)
    np.testing.assert_array_equal(source.parts["test"].labels, LABELS[:12])
    assert source.parts["test"].names[3] == "test/3"


def test_training_files_alone_are_enough(tmp_path):
    assert list(open_source(str(write(tmp_path))).parts) == ["train"]


def test_the_plain_file_wins_over_the_packed_one(tmp_path):
    write(tmp_path)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(b"broken")
    assert len(open_source(str(tmp_path)).parts["train"]) == 30


def test_mnist_is_what_it_is_known_to_be(real_data):
    source = open_source(str(real_data / "mnist"))
    assert {part: len(samples) for part, samples in source.parts.items()} == {"train": 60_000, "test": 10_000}
    train = source.parts["train"]
    assert train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]  # the first ten, as every tutorial shows them
    assert np.bincount(train.labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert source.size == (28, 28)


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"])
def test_a_missing_half_names_the_file(tmp_path, name):
    write(tmp_path)
    (tmp_path / name).unlink()
    lacking = name.split("-")[1]
    with pytest.raises(
        DataError, match=rf"got no {lacking}-idx\d file of train\.\n  Fix: put {name}\.gz into the folder"
    ):
        open_source(str(tmp_path))


def test_pictures_and_labels_must_be_equally_many(tmp_path):
    write(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(LABELS[:29]))
    with pytest.raises(
        DataError, match=r"equally many, got 30 pictures and 29 labels\.\n  Fix: use the files of one set"
    ):
        open_source(str(tmp_path))


def test_test_pictures_must_have_the_size_of_the_training_pictures(tmp_path):
    write(write(tmp_path), "t10k")
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(PICTURES[:, 1:]))
    with pytest.raises(DataError, match=r"of one size, got \(5, 4\) and \(4, 4\)"):
        open_source(str(tmp_path))


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b"", r"first bytes b''"),
        (b"\x89PNG\r\n", r"first bytes b'\\x89PNG'"),
        (idx(PICTURES)[:-1], r"599 bytes of data where its header announces 600"),
        (idx(PICTURES) + b"\0", r"more bytes of data where its header announces 600"),
        (idx(PICTURES)[:10], r"a header of 10 bytes with lengths \(\)"),
        (idx(PICTURES[:0]), r"a header of 16 bytes with lengths \(0, 5, 4\)"),
        (idx(LABELS), r"type 8 with 1 axes, not type 8 \(bytes\) with 3"),
        (idx(PICTURES, 13), r"type 13 with 3 axes"),
        (b"\0\0\x08\x03" + b"\xff" * 12, r"0 bytes of data where its header announces 79228162458924105385300197375"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_damaged_file_says_what_came(tmp_path, content, got, packed):
    path = tmp_path / ("x.gz" if packed else "x")
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(DataError, match=rf"must be a whole IDX file, got {got}.*\.\n  Fix: fetch it again") as caught:
        read_idx(path, 3)
    assert caught.value.where == str(path)


def test_a_cut_or_foreign_gzip_stream_is_told(tmp_path):
    path = tmp_path / "x.gz"
    whole = gzip.compress(idx(PICTURES))
    for content in (whole[: len(whole) // 2], whole[:-4], idx(PICTURES), whole[:40] + b"\0" + whole[41:]):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"must be a whole IDX file, got "):
            read_idx(path, 3)
