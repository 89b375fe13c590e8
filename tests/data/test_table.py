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
