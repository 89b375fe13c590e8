import numpy as np
import pytest
from numpy.testing import assert_array_equal

from striate.base.errors import DataError
from striate.data.picture import Picture
from striate.data.source import open_source

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (12, 6, 5), dtype=np.uint8)
LAST = RNG.integers(0, 256, (12, 6, 5, 3), dtype=np.uint8)
Y = np.arange(12) % 3


def saved(tmp_path, **arrays):
    np.savez(tmp_path / "shapes.npz", **arrays)
    return open_source(str(tmp_path / "shapes.npz"))


def test_x_and_y_are_one_part(tmp_path):
    source = saved(tmp_path, x=GREY, y=Y)
    assert (source.name, source.channels, source.size, source.classes) == ("shapes", 1, (6, 5), ("0", "1", "2"))
    np.testing.assert_array_equal(source.parts["all"].items.array, GREY)
    assert source.parts["all"].labels.tolist() == Y.tolist()


def test_channels_come_last_or_first(tmp_path):
    for x in (LAST, LAST.transpose(0, 3, 1, 2)):
        source = saved(tmp_path, x=x, y=Y)
        assert (source.channels, source.size) == (3, (6, 5))
        np.testing.assert_array_equal(source.parts["all"].items.array, LAST)
    assert saved(tmp_path, x=RNG.integers(0, 256, (12, 13, 40, 40), dtype=np.uint8), y=Y).channels == 13


def test_channels_that_cannot_be_told_apart_are_refused(tmp_path):
    with pytest.raises(
        DataError, match=r"x must be clear about its channels, got shape \(12, 5, 6, 5\)\.\n  Fix: store"
    ):
        saved(tmp_path, x=np.zeros((12, 5, 6, 5), np.uint8), y=Y)


def test_class_names_are_sorted_and_labels_follow(tmp_path):
    source = saved(tmp_path, x=GREY, y=Y[:, None].astype(np.uint8), class_names=["pear", "apple", "fig", "unused"])
    assert source.classes == ("apple", "fig", "pear")
    names = [source.classes[label] for label in source.parts["all"].labels]
    assert names == ["pear", "apple", "fig"] * 4


@pytest.mark.parametrize("third", [None, "x_val", "x_validation"])
def test_parts_go_by_their_names(tmp_path, third):
    arrays = {"x_train": GREY, "y_train": Y, "x_test": GREY[:4], "y_test": Y[:4]}
    if third:
        arrays |= {third: GREY[:5], third.replace("x", "y", 1): Y[:5]}
    found = {part: len(samples) for part, samples in saved(tmp_path, **arrays).parts.items()}
    assert found == ({"train": 12, "validation": 5, "test": 4} if third else {"train": 12, "test": 4})


def test_a_folder_of_archives_is_read_by_name(tmp_path):
    np.savez(tmp_path / "train.npz", x=LAST, y=Y, class_names=["a", "b", "c"])
    np.savez(tmp_path / "test.npz", x=LAST[:2], y=[0, 0], class_names=["c", "b", "a"])
    source = open_source(str(tmp_path))
    assert source.name == tmp_path.name
    assert source.parts["test"].labels.tolist() == [2, 2]  # by name: its 0 is c
    assert source.notes == ("test has no pictures of 'a', 'b'",)


def test_the_small_cifar10_is_read(real_data):
    source = open_source(str(real_data / "cifar10-small"))
    assert (source.name, source.channels, source.size, len(source.classes)) == ("cifar10-small", 3, (32, 32), 10)
    for part, count in (("train", 1000), ("test", 200)):
        assert np.bincount(source.parts[part].labels).tolist() == [count] * 10


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        (
            {"x": GREY.astype(np.int64), "y": Y},
            r"x must be of dtype uint8, uint16 or floating point, got int64\.\n  Fix: store bytes 0 to 255",
        ),
        (
            {"x": np.where(np.arange(5) == 2, np.nan, GREY), "y": Y},
            r"x must be finite in float32, got other numbers in 12 pictures",
        ),
        ({"x": np.where(np.arange(5) == 2, 1e39, GREY), "y": Y}, r"x must be finite in float32"),
        (
            {"x_train": GREY, "y_train": Y, "x_test": GREY / 1.0, "y_test": Y},
            r"the parts must be of one kind, got \{'train': 'uint8', 'test': 'float32'\}",
        ),
        ({"x": GREY[0, 0], "y": Y}, r"x must be a non-empty array of 3 or 4 axes, got shape \(5,\)"),
        ({"x": GREY[:0], "y": Y[:0]}, r"x must be a non-empty array of 3 or 4 axes, got shape \(0, 6, 5\)"),
        ({"x": GREY}, r"y must be in the archive, got x\.\n  Fix: add it: np\.savez"),
        ({"images": GREY}, r"must be x and y, or x_train, y_train and so on, got images\.\n  Fix: np\.savez"),
        ({"x_test": GREY, "y_test": Y}, r"must be x and y, or x_train"),
        ({"x_train": GREY, "y_train": Y, "x_test": GREY}, r"y_test must be in the archive"),
        ({"x": GREY, "y": Y[:-1]}, r"one label a picture, got 12 pictures and 11 labels"),
        ({"x": GREY, "y": Y / 1}, r"y must be whole numbers, \(N,\), got float64 of shape \(12,\)\.\n  Fix: one whole"),
        ({"x": GREY, "y": np.eye(12, dtype=int)}, r"y must be whole numbers, \(N,\), got int64 of shape \(12, 12\)"),
        ({"x": GREY, "y": Y - 1}, r"y must be >= 0, got -1\.\n  Fix: number the classes from 0"),
        ({"x": GREY, "y": Y, "class_names": ["a", "b"]}, r"one different name a label, got 2 names \(2 different\)"),
        ({"x": GREY, "y": Y, "class_names": ["a", "b", "a"]}, r"got 3 names \(2 different\) for labels up to 2"),
        ({"x": GREY, "y": Y * 0}, r"number of classes must be at least 2, got 1 \('0'\)"),
        (
            {"x_train": GREY, "y_train": Y, "x_test": GREY[:, 1:], "y_test": Y},
            r"the parts must be of one shape, got \{'train': \(6, 5\), 'test': \(5, 5\)\}",
        ),
        (
            {"x_train": GREY, "y_train": Y, "x_test": GREY, "y_test": Y + 1},
            r"every class of test must be a class of training too, got '3'",
        ),
    ],
)
def test_what_does_not_fit_says_what_to_do(tmp_path, arrays, text):
    with pytest.raises(DataError, match=text) as caught:
        saved(tmp_path, **arrays)
    assert caught.value.exit_code == 3


def test_python_objects_are_not_unpickled(tmp_path):
    marker = tmp_path / "ran"

    class Trap:
        def __reduce__(self):
            return open, (str(marker), "w")

    with pytest.raises(DataError, match=r"plain, got Python objects \(a pickle\)\.\n  Fix: save plain arrays"):
        saved(tmp_path, x=np.array([Trap()], dtype=object), y=Y)
    assert not marker.exists()


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\3\4 cut short"])
def test_a_damaged_archive_is_told(tmp_path, content):
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(
        DataError, match=r"the file must be a whole \.npz archive, got .*\n  Fix: write it with np\.savez"
    ):
        open_source(str(tmp_path / "x.npz"))


def test_an_archive_cut_short_is_told(tmp_path):
    np.savez(tmp_path / "x.npz", x=GREY, y=Y)
    whole = (tmp_path / "x.npz").read_bytes()
    (tmp_path / "x.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"must be a whole \.npz archive"):
        open_source(str(tmp_path / "x.npz"))
    (tmp_path / "x.npz").write_bytes(whole[:300] + b"\x55" + whole[301:])
    with pytest.raises(DataError, match=r"must be a whole \.npz archive, got Bad CRC"):
        open_source(str(tmp_path / "x.npz"))


@pytest.mark.parametrize(("dtype", "kind"), [(np.uint16, "uint16"), (">u2", "uint16"), (np.float64, "float32")])
def test_16_bits_and_floats_are_taken_as_they_are(tmp_path, dtype, kind, prepare_in_memory):
    source = saved(tmp_path, x=GREY.astype(dtype) * 3, y=Y)
    assert source.kind == kind
    data = prepare_in_memory(source, Picture(1, 6, 5, kind=kind), 0.2)
    row = int(data.train.names[0].split("/")[1])
    assert data.train.images.numpy().dtype == kind
    assert_array_equal(data.train.images[0, 0].numpy(), GREY[row].astype(kind) * 3)
