import os
import shutil
import time
import unicodedata

import numpy as np
import pytest
from PIL import Image

from striate.base.errors import DataError
from striate.data.source import open_source


def counts(source):
    return {part: len(samples) for part, samples in source.parts.items()}


def copy_as(class_folders, *parts):
    """Put the class folders under every part's name."""
    whole = class_folders.rename(class_folders.parent / "whole")
    for part in parts:
        shutil.copytree(whole, class_folders / part)
    return class_folders


def test_class_folders_are_one_part_in_the_order_of_their_names(class_folders):
    source = open_source(str(class_folders))
    samples = source.parts["all"]
    assert (source.name, source.classes, counts(source)) == ("insects", ("ants", "bees"), {"all": 24})
    assert samples.names[:2] == ("ants/00.png", "ants/01.png")
    assert samples.names == tuple(sorted(samples.names))
    assert samples.labels.tolist() == [0] * 12 + [1] * 12
    assert [path.relative_to(class_folders).as_posix() for path in samples.items.paths] == list(samples.names)
    assert (source.channels, source.size, source.notes) == (3, (12, 10), ())


@pytest.mark.parametrize("training", ["train", "training", "Train"])
@pytest.mark.parametrize("validation", ["val", "valid", "validation", "dev"])
@pytest.mark.parametrize("test", ["test", "testing"])
def test_folders_of_parts_go_by_their_usual_names(class_folders, training, validation, test):
    source = open_source(str(copy_as(class_folders, training, validation, test)))
    assert counts(source) == {"train": 24, "validation": 24, "test": 24}
    assert source.parts["validation"].names[0] == f"{validation}/ants/00.png"


def test_a_class_may_be_called_train(class_folders, draw_picture):
    draw_picture(class_folders / "train" / "x.png")
    assert open_source(str(class_folders)).classes == ("ants", "bees", "train")


def test_folders_beside_those_of_the_parts_are_noted(class_folders, draw_picture):
    root = copy_as(class_folders, "train", "test")
    draw_picture(root / "extra" / "x.png")
    source = open_source(str(root))
    assert counts(source) == {"train": 24, "test": 24}
    assert source.notes == ("not used: 'extra' beside the folders of the parts",)


def test_grey_pictures_make_a_grey_source_and_one_coloured_one_does_not(tmp_path, draw_picture):
    for i, name in enumerate("ab"):
        draw_picture(tmp_path / name / "0.png", mode="L", size=(8, 8 + i))
    assert (open_source(str(tmp_path)).channels, open_source(str(tmp_path)).size) == (1, None)
    draw_picture(tmp_path / "a" / "1.png")
    assert open_source(str(tmp_path)).channels == 3


def test_system_files_hidden_files_and_strangers_are_left_out(class_folders):
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", ".hidden.png", "__MACOSX/._a.png", "notes.txt"):
        (class_folders / "ants" / name).parent.mkdir(exist_ok=True)
        (class_folders / "ants" / name).write_bytes(b"system")
    (class_folders / "__MACOSX").mkdir()
    (class_folders / ".git").mkdir()
    source = open_source(str(class_folders))
    assert counts(source) == {"all": 24}
    assert source.notes == ("1 files that are no pictures are not used, first ants/notes.txt",)


def test_a_picture_under_another_name_is_found_by_content_and_noted(class_folders, draw_picture):
    draw_picture(class_folders / "ants" / "a.jpg", format="PNG")
    draw_picture(class_folders / "ants" / "b.data", format="PNG")
    source = open_source(str(class_folders))
    assert counts(source) == {"all": 26}
    assert source.notes == ("2 pictures are named like another format, first ants/a.jpg is PNG",)


@pytest.mark.parametrize(
    "name",
    [
        "with space",
        'it\'s "quoted"',
        "naïve 🐝",
        "-dash",
        "a\nline",
        "x" * 250,
        b"\xff\xfe".decode("utf-8", "surrogateescape"),
    ],
)
def test_odd_names_are_names(class_folders, name):
    (class_folders / "ants" / "00.png").rename(class_folders / "ants" / f"{name}.png")
    (class_folders / "bees").rename(class_folders / name)
    source = open_source(str(class_folders))
    assert set(source.classes) == {"ants", name}
    assert f"ants/{name}.png" in source.parts["all"].names


def test_names_that_look_alike_are_noted(class_folders, draw_picture):
    draw_picture(class_folders / "Ants" / "0.png")
    composed = unicodedata.normalize("NFC", "abeille été")
    for name in (composed, unicodedata.normalize("NFD", composed)):
        draw_picture(class_folders / name / "0.png")
    assert len([note for note in open_source(str(class_folders)).notes if "differ only in case" in note]) == 2


@pytest.mark.timeout(5)
def test_links_end_nowhere_and_count_nothing_twice(class_folders, draw_picture):
    outside = draw_picture(class_folders.parent / "outside" / "secret.png").parent
    ants = class_folders / "ants"
    (ants / "up").symlink_to(class_folders)
    (ants / "self").symlink_to(ants / "self")
    (ants / "gone.png").symlink_to(ants / "nothing.png")
    (ants / "again.png").symlink_to(ants / "00.png")
    (ants / "out.png").symlink_to(outside / "secret.png")
    (class_folders / "wasps").symlink_to(outside)
    source = open_source(str(class_folders))
    assert counts(source) == {"all": 24}
    assert source.classes == ("ants", "bees")
    assert source.notes == ("6 links are not followed, first wasps",)


def test_a_linked_root_is_opened(class_folders):
    (class_folders.parent / "link").symlink_to(class_folders)
    assert counts(open_source(str(class_folders.parent / "link"))) == {"all": 24}


@pytest.mark.timeout(5)
def test_a_fifo_is_listed_and_not_opened(class_folders):
    os.mkfifo(class_folders / "ants" / "pipe.png")
    os.mkfifo(class_folders / "ants" / "pipe")
    start = time.perf_counter()
    source = open_source(str(class_folders))
    assert time.perf_counter() - start < 5
    assert counts(source) == {"all": 25}  # decoding will say what it is


def test_folders_within_class_folders_belong_to_the_class(class_folders, draw_picture):
    draw_picture(class_folders / "ants" / "red" / "deep.png")
    source = open_source(str(class_folders))
    assert source.classes == ("ants", "bees")
    assert counts(source) == {"all": 25}
    assert source.notes == ("1 pictures lie in folders within class folders; the outermost folder is their class",)


def test_pictures_beside_class_folders_are_noted(class_folders, draw_picture):
    draw_picture(class_folders / "stray.png")
    assert open_source(str(class_folders)).notes == ("1 pictures beside class folders are not used, first stray.png",)


def test_a_class_that_validation_lacks_keeps_the_numbers_by_name(class_folders):
    root = copy_as(class_folders, "train", "val")
    shutil.rmtree(root / "val" / "ants")
    source = open_source(str(root))
    assert set(source.parts["validation"].labels.tolist()) == {1}
    assert source.notes == ("validation has no pictures of 'ants'",)
    (root / "val" / "ants").mkdir()
    assert "'val/ants' holds no pictures" in open_source(str(root)).notes


def refused(root, text):
    with pytest.raises(DataError, match=text) as caught:
        open_source(str(root))
    assert caught.value.exit_code == 3


def test_a_class_that_training_lacks_is_named(class_folders, draw_picture):
    root = copy_as(class_folders, "train", "test")
    draw_picture(root / "test" / "wasps" / "0.png")
    refused(root, r"every class of test must be a class of training too, got 'wasps', which training lacks")


@pytest.mark.parametrize("parts", [(), ("train", "test")])
def test_an_empty_class_folder_is_named(class_folders, parts):
    root = copy_as(class_folders, *parts) if parts else class_folders
    empty = "train/wasps" if parts else "wasps"
    (root / empty).mkdir()
    refused(
        root, rf"pictures in every class folder must be there, got none in '{empty}'\.\n  Fix: put pictures there or"
    )


def test_a_part_without_pictures_is_named(class_folders):
    root = copy_as(class_folders, "train", "test")
    for name in ("ants", "bees"):
        shutil.rmtree(root / "test" / name)
        (root / "test" / name).mkdir()
    refused(root, r"got none in 'test/ants', 'test/bees'")
    shutil.rmtree(root / "test")
    (root / "test").mkdir()
    refused(root, r"class folders must be there, got none\.")


def test_one_class_is_refused_and_an_inner_folder_is_offered(class_folders):
    shutil.rmtree(class_folders / "bees")
    refused(class_folders, r"number of classes must be at least 2, got 1 \('ants'\)")
    refused(class_folders.parent, r"got 1 \('insects'\)\.\n  Fix: give .*/insects if the class folders lie in there")


def test_pictures_without_class_folders_are_told_what_to_do(class_folders):
    refused(
        class_folders / "ants", r"got none, but 12 pictures directly in it\.\n  Fix: make one folder a class and move"
    )


def test_a_folder_of_links_says_that_they_are_not_followed(class_folders):
    linked = class_folders.parent / "linked"
    linked.mkdir()
    for name in ("ants", "bees"):
        (linked / name).symlink_to(class_folders / name)
    refused(linked, r"got none, and 2 links, which are not followed")


def test_parts_without_training_are_refused(class_folders):
    refused(
        copy_as(class_folders, "val", "test"),
        r"a training folder must be there, got only test, val\.\n  Fix: add train",
    )


def test_two_folders_for_one_part_are_refused(class_folders):
    refused(
        copy_as(class_folders, "train", "val", "dev"), r"the folder for validation must be one, got 'dev' and 'val'"
    )


def test_a_folder_that_cannot_be_listed_is_told(class_folders, monkeypatch):
    real = os.scandir

    def refuse(path):
        if str(path).endswith("bees"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)  # the tests may run as root, whom chmod does not stop
    refused(
        class_folders, r"bees: the folder must be readable, got Permission denied\.\n  Fix: give yourself permission"
    )


def arrays_of(root, *arrays):
    for number, array in enumerate(arrays):
        for name in "ab":
            (root / name).mkdir(parents=True, exist_ok=True)
            if array.dtype == np.uint16 and array.ndim == 2:
                Image.fromarray(array).save(root / name / f"{number}.png")
            else:
                np.save(root / name / f"{number}.npy", array)
    return open_source(str(root))


def test_kind_and_channels_are_those_of_every_picture(tmp_path):
    deep, free, bands = np.zeros((6, 5), np.uint16), np.zeros((6, 5), np.float64), np.zeros((6, 5, 7), np.float32)
    for number, (array, channels, kind) in enumerate(
        [(deep, 1, "uint16"), (free, 1, "float32"), (bands, 7, "float32")]
    ):
        source = arrays_of(tmp_path / str(number), array, array)
        assert (source.channels, source.kind, source.size, source.notes) == (channels, kind, (6, 5), ())


def test_pictures_of_unequal_kinds_and_channels_are_noted(tmp_path):
    grey, deep, bands = np.zeros((6, 5), np.uint8), np.zeros((6, 5), np.uint16), np.zeros((6, 5, 7), np.uint8)
    source = arrays_of(tmp_path, grey, deep, bands)
    assert (source.channels, source.kind) == (3, "uint8")
    assert source.notes == (
        "pictures of unequal channels, which only 1 and 3 of them can be brought to: 4 of 1, 2 of 7",
        "pictures of unequal kinds, all brought to uint8 where that can be: 2 uint16, 4 uint8",
    )


def test_an_alpha_channel_counts_only_if_it_is_asked_for(tmp_path, draw_picture):
    for name in "ab":
        (tmp_path / name).mkdir()
        Image.new("RGBA", (5, 5)).save(tmp_path / name / "0.png")
    assert open_source(str(tmp_path)).channels == 3
