import hashlib
import os

import pytest

from striate.data.manifest import difference, manifest, read_manifest, rows_of
from striate.data.picture import Picture
from striate.data.source import open_source


@pytest.fixture
def dataset(class_folders, prepare_in_memory):
    odd = class_folders / "ants" / os.fsdecode(b'a "quote", line\n \xff.png')
    (class_folders / "ants" / "03.png").rename(odd)
    return prepare_in_memory(open_source(str(class_folders)), Picture(3, 8, 8), 0.2)


def test_every_picture_stands_in_it_with_split_class_and_digest(dataset, class_folders):
    rows = read_manifest(manifest(rows_of(dataset)))
    assert rows == rows_of(dataset)
    assert len(rows) == 24
    for (split, path), (name, digest) in rows.items():
        assert path in {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}[split].names
        assert path.startswith(f"{name}/")
        assert digest == hashlib.sha256((class_folders / path).read_bytes()).hexdigest()


def test_what_changed_is_told_by_kind_with_the_first_of_each(dataset):
    before = rows_of(dataset)
    now = dict(before)
    (split, path), (name, _) = next(iter(now.items()))
    now[split, path] = name, "00" * 32
    gone = list(now)[5]
    del now[gone]
    now["test", "zebra"] = "ants", "11" * 32
    told = str(difference(before, now))
    assert told == f"1 changed (first {path!r}), 1 missing (first {gone[1]!r}), 1 new (first 'zebra')"
    assert str(difference(before, before)) == ""


def test_a_picture_that_moved_to_another_split_or_class_has_changed(dataset):
    before = rows_of(dataset)
    key, row = next(iter(before.items()))
    other = dict(before)
    del other[key]
    assert difference(before, other | {("test", key[1]): row}).changed == (key[1],)
    assert difference(before, before | {key: ("bees", row[1])}).changed == (key[1],)


@pytest.mark.parametrize("content", [b"", b"a,b\n", b"split,class,path,sha256\n1,2\n", b'split,class,path,sha256\n"'])
def test_another_file_is_no_manifest(content):
    with pytest.raises(ValueError, match=r"."):
        read_manifest(content)
