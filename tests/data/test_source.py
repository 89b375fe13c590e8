import os

import numpy as np
import pytest

from striate.base.errors import DataError
from striate.data import digits
from striate.data.items import ArrayItems
from striate.data.samples import Named, align
from striate.data.source import Source, open_source


@pytest.mark.parametrize("file", [digits.FILE, "elsewhere.csv.gz"])
def test_digits_are_scikit_learns_scaled_to_bytes(file, monkeypatch):
    from sklearn.datasets import load_digits

    monkeypatch.setattr(digits, "FILE", file)
    source, bunch = open_source("digits"), load_digits()
    assert (source.name, source.channels, source.size) == ("digits", 1, (8, 8))
    assert source.classes == tuple("0123456789")
    samples = source.parts["all"]
    assert len(samples) == 1797
    assert samples.items.array.dtype == np.uint8
    np.testing.assert_array_equal(samples.labels, bunch.target)
    np.testing.assert_array_equal(samples.items.array, np.round(bunch.images * 255 / 16))
    assert (samples.items.array.min(), samples.items.array.max()) == (0, 255)
    assert samples.names[17] == "all/17"


def test_a_missing_path_lists_what_is_accepted(tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"must be there, got 'nowhere'\.\n  Fix: built in: digits; fetched: mnist"):
        open_source("nowhere")
    with pytest.raises(DataError, match=r"Fix: did you mean 'digits'\?"):
        open_source("digit")
    with pytest.raises(DataError, match=r"Fix: did you mean 'fashion-mnist'\?"):
        open_source("fashion_mnist")
    (tmp_path / "flowers").mkdir()
    with pytest.raises(DataError, match=r"Fix: did you mean 'flowers'\?"):
        open_source(str(tmp_path / "flower"))


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "data.rar").write_bytes(b"x")
    with pytest.raises(
        DataError,
        match=r"must be a folder, an \.npz, a \.csv, a \.jsonl or a \.tar, got a \.rar file\.\n  Fix: one folder a",
    ):
        open_source(str(tmp_path / "data.rar"))


def test_an_empty_folder_lists_what_is_accepted(tmp_path):
    with pytest.raises(
        DataError, match=r"class folders must be there, got none\.\n  Fix: accepted: one folder a class"
    ):
        open_source(str(tmp_path))


def test_a_built_in_name_wins_over_a_folder_and_a_path_over_the_name(class_folders, monkeypatch):
    class_folders.rename(class_folders.parent / "digits")
    monkeypatch.chdir(class_folders.parent)
    assert open_source("digits").classes[0] == "0"
    assert open_source("./digits").classes == ("ants", "bees")


def test_the_name_is_the_last_part_of_the_path_even_of_a_dot(class_folders, monkeypatch):
    monkeypatch.chdir(class_folders)
    source = open_source(".")
    assert isinstance(source, Source)
    assert (source.name, source.location) == ("insects", str(class_folders))


def named(*labels: str) -> Named:
    vocabulary, codes = np.unique(labels, return_inverse=True)
    names = tuple(map(str, range(len(labels))))
    return Named(
        ArrayItems(np.zeros((len(labels), 2, 2), np.uint8)), codes.astype(np.int64), vocabulary.tolist(), names
    )


def test_classes_are_numbered_by_name_from_training_in_every_part():
    parts = {"test": named("cat", "ant"), "train": named("cat", "ant", "bee")}
    classes, samples, notes = align("x", parts)
    assert classes == ("ant", "bee", "cat")
    assert list(samples) == ["train", "test"]
    assert samples["train"].labels.tolist() == [2, 0, 1]
    assert samples["test"].labels.tolist() == [2, 0]
    assert notes == ("test has no pictures of 'bee'",)


def test_numbers_as_names_are_ordered_by_value():
    assert align("x", {"all": named("10", "9", "2")})[0] == ("2", "9", "10")


def test_a_class_that_training_lacks_is_refused_by_name():
    text = (
        r"every class of validation must be a class of training too, got 'eel', which training lacks\.\n"
        r"  Fix: rename or remove it, or add training pictures of it; training has 'ant', 'cat'"
    )
    with pytest.raises(DataError, match=text):
        align("x", {"train": named("ant", "cat"), "validation": named("ant", "eel")})


def test_one_class_is_not_enough():
    with pytest.raises(DataError, match=r"classes must be at least 2, got 1 \('ant'\)\.\n  Fix: add a second class"):
        align("x", {"all": named("ant", "ant")})


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", ["pipe.csv", "pipe.npz", "pipe.tar"])
def test_a_fifo_is_refused_and_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(DataError, match="must be a folder or a regular file, got neither"):
        open_source(str(tmp_path / name))
