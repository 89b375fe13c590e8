"""`striate data` as people type it: what is printed, what is written, how it ends."""

import json
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image


@pytest.fixture
def copy(photos, tmp_path):
    """The photos, free to be spoilt."""
    return shutil.copytree(photos, tmp_path / "photos")


def files(root):
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("command", ["check", "stats", "show"])
def test_every_command_has_examples_in_its_help(striate, command):
    code, out, _ = striate("data", command, "--help")
    assert code == 0
    assert f"striate data {command} photos/" in out


def test_data_that_are_well_end_with_0_also_when_strict(striate, photos):
    code, out, err = striate("data", "check", photos, "--strict")
    assert (code, err) == (0, "")
    assert "40 pictures, 2 classes" in out
    assert out.endswith("nothing wrong found\n")


def test_an_unreadable_picture_ends_with_3_and_its_path(striate, copy):
    (copy / "lying" / "00.jpg").write_bytes(b"")
    before = files(copy)
    code, out, _ = striate("data", "check", "photos")
    assert code == 3
    assert "  empty (1): no bytes at all\n    lying/00.jpg: empty file\n    Fix: fetch or export them again" in out
    assert files(copy) == before


def test_duplicates_end_with_3_only_when_strict(striate, copy):
    shutil.copy(copy / "lying" / "00.jpg", copy / "lying" / "copy.jpg")
    code, out, _ = striate("data", "check", "photos")
    assert code == 0
    assert "lying/00.jpg = lying/copy.jpg" in out
    assert striate("data", "check", "photos", "--strict")[0] == 3


def test_one_picture_in_two_classes_always_ends_with_3(striate, copy):
    shutil.copy(copy / "lying" / "00.jpg", copy / "standing" / "copy.jpg")
    code, out, _ = striate("data", "check", "photos")
    assert code == 3
    assert "lying/00.jpg = standing/copy.jpg: 'lying' and 'standing'" in out


def test_json_is_one_object_also_with_names_that_are_not_utf_8(striate, copy):
    name = b"na\xefve\n.jpg"
    (copy / "lying" / os.fsdecode(name)).write_bytes(b"")
    shutil.copy(copy / "lying" / "00.jpg", copy / "lying" / "copy.jpg")
    code, out, err = striate("data", "check", "photos", "--json")
    assert (code, err) == (3, "")
    found = json.loads(out)
    assert found["files"] == 42
    assert found["classes"] == {"lying": {"all": 21}, "standing": {"all": 20}}
    assert found["duplicates"] == [["lying/00.jpg", "lying/copy.jpg"]]
    [fault] = found["faults"]
    assert (os.fsencode(fault["path"]), fault["kind"]) == (b"lying/" + name, "empty")
    assert [(finding["kind"], finding["level"]) for finding in found["findings"]] == [
        ("duplicate", "strict"),
        ("odd-name", "strict"),
        ("odd-name", "strict"),
    ]


def test_data_that_are_not_there_end_with_3(striate):
    for command in ("check", "stats", "show"):
        code, out, err = striate("data", command, "nowhere", *(["--json"] if command != "show" else []))
        assert (code, out) == (3, "")
        assert "got 'nowhere'" in err
        assert "\n  Fix: " in err


def test_sheets_are_written_where_they_are_wanted_and_replaced_when_they_are_ours(striate, copy, tmp_path):
    for _ in range(2):
        code, out, _ = striate("data", "check", "photos", "--sheets", "sheets")
        assert code == 0
        assert "2 sheets, first sheets/000-lying.png" in out
    assert {path.name for path in (tmp_path / "sheets").iterdir()} == {"000-lying.png", "001-standing.png"}
    Image.new("L", (5, 5)).save(tmp_path / "sheets" / "001-standing.png")
    code, _, err = striate("data", "check", "photos", "--sheets", "sheets")
    assert code == 2
    assert "001-standing.png, which is something else" in err


@pytest.mark.parametrize("place", ["photos", "photos/lying", "photos/sheets"])
def test_sheets_are_never_written_into_the_data(striate, copy, place):
    before = files(copy)
    code, _, err = striate("data", "check", "photos", "--sheets", place)
    assert code == 2
    assert "outside the data" in err
    assert files(copy) == before


def test_statistics_are_text_or_one_object(striate, photos):
    code, out, _ = striate("data", "stats", photos, "--split", "train")
    assert code == 0
    assert "channel    mean     std" in out
    code, out, err = striate("data", "stats", photos, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert {"mean", "std", "classes", "sizes", "bytes", "images_per_second", "pictures"} <= found.keys()
    assert len(found["mean"]) == 3


def test_statistics_of_data_with_an_unreadable_picture_are_told_and_end_with_3(striate, copy):
    (copy / "lying" / "00.jpg").write_bytes(b"")
    code, out, err = striate("data", "stats", "photos")
    assert code == 3
    assert "39 pictures of all" in out
    assert "lying/00.jpg: empty file" in err


def test_show_writes_a_picture_and_prints_where(striate, photos):
    code, out, _ = striate("data", "show", photos, "--count", 6, "--class", "lying", "--out", "some.png")
    assert (code, out) == (0, "some.png\n")
    with Image.open("some.png") as drawn:
        assert drawn.size == (8 + 3 * 136, 8 + 2 * 150)
    first = Path("some.png").read_bytes()
    assert striate("data", "show", photos, "--count", 6, "--class", "lying", "--out", "some.png")[0] == 0
    assert Path("some.png").read_bytes() == first
    assert striate("data", "show", photos, "--count", 6, "--seed", 1, "--input", "1x20x20")[:2] == (0, "sheet.png\n")


def test_show_refuses_what_it_cannot_or_must_not_write(striate, photos):
    Path("mine.png").write_bytes(b"mine")
    for out, text in (("mine.png", "something else"), ("x.jpg", "ends in .png"), ("no/x.png", "make no first")):
        code, _, err = striate("data", "show", photos, "--out", out)
        assert code == 2
        assert text in err
    assert Path("mine.png").read_bytes() == b"mine"
    assert striate("data", "show", photos, "--input", "32x32")[0] == 2
    assert striate("data", "show", photos, "--split", "test")[0] == 2
