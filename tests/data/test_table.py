import json
import shutil

import numpy as np
import pytest

from striate.base.errors import DataError
from striate.data.source import open_source


def with_table(root, text, name="split.csv"):
    (root / name).write_text(text, encoding="utf-8")
    return root


def rows(header, *lines):
    return "\n".join([header, *lines]) + "\n"


ALL = [f"{name}/{i:02}.png" for name in ("ants", "bees") for i in range(12)]


@pytest.mark.parametrize("path", ["path", "file", "image", "file_name", " File "])
@pytest.mark.parametrize("label", ["label", "class"])
def test_a_table_beside_class_folders_says_the_split(class_folders, path, label):
    lines = [f"{name},{name[:4]},{('train', 'valid', 'test')[i % 3]}" for i, name in enumerate(ALL)]
    source = open_source(str(with_table(class_folders, "\ufeff" + rows(f"{path},{label},split", *reversed(lines)))))
    assert {part: len(samples) for part, samples in source.parts.items()} == {"train": 8, "validation": 8, "test": 8}
    assert source.parts["test"].names == tuple(ALL[2::3])
    assert source.parts["test"].labels.tolist() == [0] * 4 + [1] * 4
    assert (source.name, source.notes) == ("insects", ())


def test_without_a_class_column_the_first_folder_is_the_class(class_folders):
    source = open_source(str(with_table(class_folders, rows("file,split", *(f"{name},train" for name in ALL)))))
    assert source.classes == ("ants", "bees")


def test_a_table_of_its_own_needs_no_split(class_folders):
    root = with_table(class_folders, rows("path,label", "ants/00.png,x", "bees/00.png,y"), "mine.csv")
    source = open_source(str(root / "mine.csv"))
    assert (source.name, source.classes, list(source.parts)) == ("mine", ("x", "y"), ["all"])
    assert source.notes == ("22 pictures are not in mine.csv and not used, first ants/01.png",)


def test_the_photographs_keep_their_usual_split(real_data):
    source = open_source(str(real_data / "photos-hymenoptera"))
    assert {part: len(samples) for part, samples in source.parts.items()} == {"train": 244, "validation": 153}
    assert (source.classes, source.channels, source.size) == (("ants", "bees"), 3, None)
    assert source.notes == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"the columns must be path, class and, where wanted, split, got an empty file\.\n  Fix: add a first line"),
        (rows("name,label", "a,b"), r"the columns must be path, .* got name, label"),
        (rows("path,class", "../x.png,a"), r"the path in line 2 must be inside the table's folder, got '\.\./x\.png'"),
        (rows("path,class", "/etc/passwd,a"), r"line 2 must be inside the table's folder"),
        (rows("path,class", "out/x.png,a"), r"line 2 must be inside the table's folder"),
        (rows("path,class", ",a"), r"the path in line 2 must be inside the table's folder, got ''"),
        (rows("path,class", "ants/00.png,"), r"the class in line 2 must be given, got none"),
        (rows("path,class", "ants/00.png"), r"the class in line 2 must be given, got none"),
        (rows("path", "x.png"), r"the class in line 2 must be given"),
        (
            rows("path,class,split", "ants/00.png,a,holdout"),
            r"split in line 2 must be train, val or test, got 'holdout'",
        ),
        (rows("path,class,split", "ants/00.png,a,test"), r"training rows must be there, got only test"),
        (rows("path,class"), r"training rows must be there, got no rows"),
        (rows("path,class", "ants/00.png,a", "ants/./00.png,b"), r"must be there once, got 'ants/00\.png' twice"),
        (rows("path,class", 'ants/00.png,"a'), r"the table must be a CSV in UTF-8, got unexpected end of data"),
    ],
)
def test_a_table_that_is_unclear_says_where(class_folders, text, message):
    (class_folders / "out").symlink_to("/usr")
    with pytest.raises(DataError, match=message):
        open_source(str(with_table(class_folders, text)))


def test_a_table_in_another_encoding_is_told(class_folders):
    (class_folders / "split.csv").write_bytes(b"path,class\n\xe9.png,a\n")
    with pytest.raises(DataError, match=r"must be a CSV in UTF-8, got 'utf-8' codec"):
        open_source(str(class_folders))


@pytest.mark.parametrize("column", ["group", "patient", "Subject"])
def test_groups_go_with_their_pictures(class_folders, column):
    lines = [f"{name},{name[:4]},p{i % 5}" for i, name in enumerate(ALL)]
    source = open_source(str(with_table(class_folders, rows(f"path,label,{column}", *reversed(lines)))))
    samples = source.parts["all"]
    assert samples.groups == tuple(f"p{i % 5}" for i in range(24))
    picked = samples.pick(np.array([3, 1]))
    assert (picked.names, picked.groups) == ((ALL[3], ALL[1]), ("p3", "p1"))


def test_without_a_column_nothing_is_known_of_groups(class_folders):
    source = open_source(str(with_table(class_folders, rows("path", *ALL))))
    assert source.parts["all"].groups is None


def json_lines(*values):
    return "".join(f"{json.dumps(value)}\n" for value in values)


@pytest.fixture
def flat(tmp_path, draw_picture):
    """Pictures beside each other, as Hugging Face lays them out."""
    for i in range(6):
        draw_picture(tmp_path / "flat" / f"{i}.png", seed=i)
    return tmp_path / "flat"


def test_the_metadata_of_hugging_face_give_the_classes(flat):
    lines = [f"{i}.png,{'ant' if i < 3 else 'bee'},caption" for i in range(6)]
    source = open_source(str(with_table(flat, rows("file_name,label,text", *lines), "metadata.csv")))
    assert (source.name, source.classes, source.notes) == ("flat", ("ant", "bee"), ())
    assert source.parts["all"].labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_metadata_as_json_lines_are_the_same(flat):
    lines = [{"file_name": f"{i}.png", "label": i % 2, "patient": "x", "boxes": [1, {}]} for i in range(5)]
    source = open_source(str(with_table(flat, json_lines(*lines) + "\n", "metadata.jsonl")))
    assert source.classes == ("0", "1")
    assert source.parts["all"].labels.tolist() == [0, 1, 0, 1, 0]
    assert source.parts["all"].groups == ("x",) * 5
    assert source.notes == ("1 pictures are not in metadata.jsonl and not used, first 5.png",)
    assert open_source(str(flat / "metadata.jsonl")).classes == ("0", "1")


def test_every_part_may_have_metadata_of_its_own(tmp_path, draw_picture):
    for part, count in (("train", 4), ("test", 2)):
        for i in range(count):
            draw_picture(tmp_path / part / f"{i}.png", seed=i)
        lines = [f"{i}.png,{'ab'[i % 2]}" for i in range(count)]
        with_table(tmp_path / part, rows("file_name,label", *lines), "metadata.csv")
    draw_picture(tmp_path / "test" / "more.png")
    draw_picture(tmp_path / "extra" / "x.png")
    source = open_source(str(tmp_path))
    assert {part: samples.names for part, samples in source.parts.items()} == {
        "train": ("train/0.png", "train/1.png", "train/2.png", "train/3.png"),
        "test": ("test/0.png", "test/1.png"),
    }
    assert source.parts["test"].items.content(1, "x") == (tmp_path / "test" / "1.png").read_bytes()
    assert source.notes == (
        "1 pictures are not in test/metadata.csv and not used, first test/more.png",
        "not used: 'extra' beside the folders of the parts",
    )


def test_one_part_may_have_metadata_and_another_class_folders(class_folders, draw_picture):
    class_folders.rename(class_folders.parent / "test")
    root = class_folders.parent
    for i in range(2):
        draw_picture(root / "train" / f"{i}.png")
    with_table(root / "train", rows("file_name,label", "0.png,ants", "1.png,bees"), "metadata.csv")
    assert {part: len(samples) for part, samples in open_source(str(root)).parts.items()} == {"train": 2, "test": 24}


@pytest.mark.parametrize("label", [True, False])
def test_paths_that_all_begin_with_a_part_say_the_split(class_folders, label):
    shutil.copytree(class_folders, class_folders / "train")
    (class_folders / "ants").rename(class_folders / "Val")
    lines = [f"train/{name}" for name in ALL] + [f"Val/{i:02}.png" for i in range(12)] * label
    lines = [f"{line},{'x' if i % 2 else 'y'}" if label else line for i, line in enumerate(lines)]
    source = open_source(str(with_table(class_folders, rows("path,label" if label else "path", *lines))))
    assert source.classes == (("x", "y") if label else ("ants", "bees"))
    assert list(source.parts) == (["train", "validation"] if label else ["train"])


@pytest.mark.parametrize("name", ["test", "train"])
def test_a_class_named_like_a_part_among_others_is_a_class(class_folders, name):
    (class_folders / "ants").rename(class_folders / name)
    lines = [line.replace("ants", name) for line in ALL]
    source = open_source(str(with_table(class_folders, rows("path", *lines))))
    assert (source.classes, list(source.parts)) == (("bees", name), ["all"])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("split.csv", rows("path,label,patient", "ants/00.png,a,"), r"the group in line 2 must be given, got none"),
        ("split.csv", rows("path,patient,subject", "a,b,c"), r"column of groups must be one, got patient and subject"),
        ("metadata.jsonl", '{"file_name": "a.png"', r"must be JSON lines in UTF-8, got Expecting"),
        ("metadata.jsonl", "[" * 100_000, r"must be JSON lines in UTF-8, got "),
        ("metadata.jsonl", b"\xe9\n", r"must be JSON lines in UTF-8, got 'utf-8' codec"),
        ("metadata.jsonl", "[1]\n", r"line 1 must be a JSON object, got \[1\]\.\n  Fix: write lines such as \{"),
        ("metadata.jsonl", '{"label": "a"}\n', r"the columns must be path, .* got label"),
        ("metadata.jsonl", '{"file_name": "a.png", "label": 1.5}', r"line 1 must be texts and whole numbers, got 1\.5"),
        ("metadata.jsonl", '{"file_name": "a.png", "label": true}', r"texts and whole numbers, got True"),
        ("metadata.jsonl", '{"file_name": "a.png", "label": null}', r"the class in line 1 must be given"),
        ("metadata.jsonl", '{"file_name": "/etc/passwd", "label": 1}', r"line 1 must be inside the table's folder"),
        ("metadata.jsonl", "\n", r"training rows must be there, got no rows"),
    ],
    ids=range(12),
)
def test_a_table_of_another_kind_that_is_unclear_says_where(class_folders, name, text, message):
    (class_folders / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=message):
        open_source(str(class_folders))


def test_two_tables_of_metadata_are_refused(flat):
    with_table(with_table(flat, "x", "metadata.csv"), "x", "metadata.jsonl")
    with pytest.raises(DataError, match=r"must be one, got metadata\.csv and metadata\.jsonl"):
        open_source(str(flat))


def test_a_split_within_a_part_is_refused(flat):
    root = flat.rename(flat.parent / "train").parent
    with_table(root / "train", rows("file_name,label,split", "0.png,a,train", "1.png,b,test"), "metadata.csv")
    with pytest.raises(DataError, match=r"must be all of train, got rows of test, train\.\n  Fix: remove its split"):
        open_source(str(root))
