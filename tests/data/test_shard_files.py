import os

import pytest

from striate.base.errors import DataError
from striate.data.scan import Aside
from striate.data.shard_files import expand, find_shards, is_pattern, named_shards


def made(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def found(root):
    return {part: [str(p.relative_to(root)) for p in paths] for part, paths in find_shards(root, Aside()).items()}


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("x-{000..002}.tar", ["x-000.tar", "x-001.tar", "x-002.tar"]),
        ("x-{8..11}.tar", ["x-8.tar", "x-9.tar", "x-10.tar", "x-11.tar"]),
        ("x-{08..10}.tar", ["x-08.tar", "x-09.tar", "x-10.tar"]),
        ("x-{2..0}.tar", ["x-2.tar", "x-1.tar", "x-0.tar"]),
        ("x-{0..0}.tar", ["x-0.tar"]),
        ("{a,b}-{0..1}.tar", ["a-0.tar", "a-1.tar", "b-0.tar", "b-1.tar"]),
        ("plain.tar", ["plain.tar"]),
    ],
)
def test_a_pattern_stands_for_what_bash_makes_of_it(pattern, names):
    import subprocess

    assert expand(pattern) == names
    told = subprocess.run(["bash", "-c", f"echo {pattern}"], capture_output=True, text=True, check=True).stdout
    assert told.split() == names


@pytest.mark.parametrize("pattern", ["x-{}.tar", "x-{a..c}.tar", "x-{1.5}.tar"])
def test_braces_that_mean_nothing_are_refused(pattern):
    with pytest.raises(DataError, match=r"between braces must be a range or a list.*\n  Fix: write \{000\.\.146\}"):
        expand(pattern)


def test_a_pattern_without_end_is_refused():
    for pattern in ("{0..999999999}.tar", "{0..999}{0..999}{0..9}.tar"):
        with pytest.raises(DataError, match="at most 100000 shards"):
            expand(pattern)


def test_a_file_with_braces_in_its_name_is_no_pattern(tmp_path):
    assert is_pattern(str(tmp_path / "x{1}.tar"))
    made(tmp_path, "x{1}.tar")
    assert not is_pattern(str(tmp_path / "x{1}.tar"))
    assert not is_pattern("x-000.tar")


def test_shards_that_a_pattern_names_and_that_are_not_there_are_counted(tmp_path):
    made(tmp_path, "x-0.tar", "x-2.tar")
    with pytest.raises(DataError, match=r"must be there, got 2 of 4 that are not, first .*x-1\.tar"):
        named_shards(str(tmp_path / "x-{0..3}.tar"))


def test_parts_of_a_pattern_go_by_name_or_folder_of_names(tmp_path):
    made(tmp_path, "a/train-0.tar", "a/train-1.tar", "a/val-0.tar", "a/val-1.tar")
    root, parts = named_shards(str(tmp_path / "a" / "{train,val}-{0..1}.tar"))
    assert root == tmp_path / "a"
    assert {part: [p.name for p in paths] for part, paths in parts.items()} == {
        "train": ["train-0.tar", "train-1.tar"],
        "validation": ["val-0.tar", "val-1.tar"],
    }


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a.tar", "b.TAR"], {"all": ["a.tar", "b.TAR"]}),
        (["train-0.tar", "train-1.tar"], {"all": ["train-0.tar", "train-1.tar"]}),
        (
            ["imagenet-train-0.tar", "imagenet-val-0.tar"],
            {"train": ["imagenet-train-0.tar"], "validation": ["imagenet-val-0.tar"]},
        ),
        (["train0.tar", "test0.tar", "classes.txt"], {"train": ["train0.tar"], "test": ["test0.tar"]}),
        (
            ["train/0.tar", "val/0.tar", "test/0.tar"],
            {"train": ["train/0.tar"], "validation": ["val/0.tar"], "test": ["test/0.tar"]},
        ),
        (["ants/1.jpg", "bees/2.jpg", "download.tar"], {}),
        (["train/ants/1.jpg", "train/bees/2.jpg", "val/ants/1.jpg", "photos.tar"], {}),
        ([".hidden.tar", "notes.txt"], {}),
    ],
)
def test_parts_of_a_folder_go_by_folder_or_by_name(tmp_path, names, expected):
    assert found(made(tmp_path, *names)) == expected


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["train-0.tar", "extra.tar", "val-0.tar"], r"all named like a part, or none, got 'extra\.tar' beside"),
        (["train-val-0.tar"], r"of one part, got 'train-val-0\.tar', which names train and validation"),
        (["val-0.tar", "test-0.tar"], r"training shards must be there, got only test, validation"),
        (["val/0.tar", "test/0.tar"], r"training shards must be there, got only test, validation"),
        (["train/0.tar", "val/0.tar", "more.tar"], r"all in folders of parts, or none, got 'more\.tar'"),
        (["val/0.tar", "train/0.tar", "valid/0.tar"], r"the folder for validation must be one"),
        (["a.tar.gz"], r"must be plain \.tar files, got 'a\.tar\.gz'\.\n  Fix: make plain \.tar shards"),
        (["train/a.tgz"], r"must be plain \.tar files, got 'a\.tgz'"),
    ],
)
def test_what_is_unclear_is_refused(tmp_path, names, text):
    with pytest.raises(DataError, match=text):
        found(made(tmp_path, *names))


def test_links_are_told_and_not_followed(tmp_path):
    made(tmp_path, "data/a.tar")
    os.symlink("a.tar", tmp_path / "data" / "b.tar")
    aside = Aside()
    assert [p.name for p in find_shards(tmp_path / "data", aside)["all"]] == ["a.tar"]
    assert [p.name for p in aside.links] == ["b.tar"]
