import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from striate.base.errors import DataError, ResourceError
from striate.data import storage as module
from striate.data.dataset import SHOWN, UnreadablePicturesError, Wanted, prepare
from striate.data.decode import decode
from striate.data.picture import Picture, fit
from striate.data.source import open_source
from striate.data.splits import Shares
from striate.data.storage import Storage

PICTURE = Picture(3, 8, 8)


def wanted(picture=PICTURE, *, seed=0, test_fraction=0.2, skip_bad=False, validation_fraction=0.2):
    """In memory; the shelves of the disk have tests of their own."""
    storage = Storage("memory", Path("unused"), 0)
    return Wanted(picture, picture, Shares(validation_fraction, test_fraction), seed, skip_bad, storage)


def prepared(root, picture=PICTURE, progress=None, **options):
    return prepare(open_source(str(root)), wanted(picture, **options), progress)


def splits(data):
    return {"train": data.train, "validation": data.validation, "test": data.test}


def test_every_picture_is_decoded_and_fitted_under_its_name_and_class(class_folders):
    data = prepared(class_folders)
    names = [name for split in splits(data).values() for name in split.names]
    assert sorted(names) == list(open_source(str(class_folders)).parts["all"].names)
    for split in splits(data).values():
        assert split.images.dtype == torch.uint8
        for image, label, name in zip(split.images, split.labels, split.names, strict=True):
            assert_array_equal(image.numpy(), fit(decode(class_folders / name), PICTURE))
            assert data.classes[label] == name.split("/")[0]
    assert {title: len(split) for title, split in splits(data).items()} == {"train": 16, "validation": 4, "test": 4}
    assert (data.name, data.location, data.left_out, data.notes) == ("insects", str(class_folders), (), ())
    assert data.train.images.is_contiguous(memory_format=torch.channels_last)


def test_real_digits_are_enlarged_and_split(real_data):
    data = prepared("digits", Picture(1, 32, 32), validation_fraction=0.1, test_fraction=0.1)
    assert [len(split) for split in splits(data).values()] == [1457, 161, 179]
    source = open_source("digits").parts["all"]
    number = int(data.test.names[5].split("/")[1])
    assert_array_equal(data.test.images[5].numpy(), fit(source.items.array[number], Picture(1, 32, 32)))
    assert data.test.labels[5] == source.labels[number]


def test_mnist_keeps_its_bytes_and_its_test_split(real_data):
    source = open_source(str(real_data / "mnist"))
    data = prepare(source, wanted(Picture(1, 28, 28), validation_fraction=0.1, test_fraction=0.1))
    assert [len(split) for split in splits(data).values()] == [54_000, 6_000, 10_000]
    assert_array_equal(data.test.images[:, 0].numpy(), source.parts["test"].items.array)
    assert torch.bincount(data.validation.labels).tolist() == [592, 674, 596, 613, 584, 542, 592, 627, 585, 595]


def test_real_photographs_of_many_sizes_become_one(real_data):
    data = prepared(real_data / "photos-hymenoptera", Picture(3, 16, 16), test_fraction=0.1)
    assert [len(split) for split in splits(data).values()] == [220, 153, 24]
    assert data.notes == ("no test split given: 0.1 of training is kept apart as test",)


def test_nothing_in_the_data_is_changed(class_folders, tree_hash):
    (class_folders / "ants" / "bad.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut")
    before = tree_hash(class_folders)
    prepared(class_folders, skip_bad=True)
    with pytest.raises(DataError):
        prepared(class_folders)
    assert tree_hash(class_folders) == before


def spoil(root):
    """Bad files of five kinds, and what each is called."""
    whole = (root / "ants" / "00.png").read_bytes()
    (root / "ants" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (root / "ants" / "empty.jpg").write_bytes(b"")
    (root / "bees" / "text.jpg").write_bytes(b"this is no picture")
    (root / "bees" / "drawing.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0")
    os.mkfifo(root / "bees" / "pipe.png")
    return {
        "ants/cut.png": ("truncated", "truncated"),
        "ants/empty.jpg": ("empty", "empty file"),
        "bees/text.jpg": ("not-a-picture", "not a picture (its bytes begin with b'this is ')"),
        "bees/drawing.png": ("format", "format EPS is not supported (JPEG, PNG, BMP, GIF, WEBP, TIFF, PPM, NPY)"),
        "bees/pipe.png": ("not-a-file", "not a regular file (fifo)"),
    }


@pytest.mark.timeout(20)
def test_every_file_that_does_not_decode_is_listed_at_once(class_folders):
    expected = spoil(class_folders)
    with pytest.raises(UnreadablePicturesError) as caught:
        prepared(class_folders)
    assert {fault.path: (fault.kind, fault.reason) for fault in caught.value.faults} == expected
    text = str(caught.value)
    assert "every picture must be readable, got 5 of 29 that are not:" in text
    for path, (_, reason) in expected.items():
        assert f"\n    {path}: {reason}" in text
    assert text.endswith("\n  Fix: repair or remove these files, or leave them out with split.skip_bad=true")
    assert caught.value.exit_code == 3


def test_a_long_list_is_cut_in_the_text_and_whole_in_the_error(class_folders):
    for i in range(SHOWN + 5):
        (class_folders / "bees" / f"bad{i:02}.png").write_bytes(b"")
    with pytest.raises(UnreadablePicturesError, match=rf"got {SHOWN + 5} of 49 .*(?s:.)*\n    and 5 more\.") as caught:
        prepared(class_folders)
    assert str(caught.value).count("empty file") == SHOWN
    assert len(caught.value.faults) == SHOWN + 5


def test_bad_files_left_out_on_request_are_listed_and_replaced_by_nothing(class_folders):
    expected = spoil(class_folders)
    data = prepared(class_folders, skip_bad=True)
    assert {fault.path for fault in data.left_out} == set(expected)
    names = [name for split in splits(data).values() for name in split.names]
    assert len(names) == len(set(names)) == 24
    for split in splits(data).values():
        for image, name in zip(split.images, split.names, strict=True):
            assert_array_equal(image.numpy(), fit(decode(class_folders / name), PICTURE))


def test_a_file_that_goes_after_the_scan_is_a_fault(class_folders):
    source = open_source(str(class_folders))
    (class_folders / "bees" / "03.png").unlink()
    with pytest.raises(UnreadablePicturesError, match=r"\n    bees/03\.png: no such file"):
        prepare(source, wanted())


def test_a_class_that_loses_all_its_pictures_is_named(class_folders):
    for path in (class_folders / "bees").iterdir():
        path.write_bytes(b"")
    with pytest.raises(
        DataError, match=r"training pictures of every class must be there, got none of 'bees'\.\n  Fix: add"
    ):
        prepared(class_folders, skip_bad=True)


def test_progress_counts_every_picture_once(class_folders):
    calls = []
    prepared(class_folders, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(i, 24) for i in range(1, 25)]


def test_the_fingerprint_stands_for_names_classes_contents_and_splits_only(class_folders, draw_picture):
    first = prepared(class_folders).fingerprint
    assert len(bytes.fromhex(first)) == 32
    assert prepared(class_folders, Picture(1, 20, 20)).fingerprint == first
    moved = shutil.copytree(class_folders, class_folders.parent / "moved")
    assert prepared(moved).fingerprint == first
    others = {prepared(class_folders, seed=1).fingerprint, prepared(class_folders, test_fraction=0.3).fingerprint}
    draw_picture(class_folders / "ants" / "05.png", seed=999)
    others.add(prepared(class_folders).fingerprint)
    (moved / "ants" / "05.png").rename(moved / "ants" / "5.png")
    others.add(prepared(moved).fingerprint)
    (class_folders / "ants").rename(class_folders / "emmets")
    others.add(prepared(class_folders).fingerprint)
    assert len(others | {first}) == 6


def test_the_order_in_which_a_disk_lists_files_changes_nothing(class_folders, monkeypatch):
    first = prepared(class_folders)
    real = os.scandir

    class Backwards:
        def __init__(self, path):
            self.entries = real(path)

        def __enter__(self):
            return iter(list(self.entries)[::-1])

        def __exit__(self, *_):
            self.entries.close()

    monkeypatch.setattr(os, "scandir", Backwards)
    again = prepared(class_folders)
    assert again.fingerprint == first.fingerprint
    assert again.train.names == first.train.names
    assert torch.equal(again.train.images, first.train.images)


def test_the_same_picture_in_training_and_test_is_noted_with_the_first_pair(class_folders, draw_picture):
    for part, seed in (("train", 0), ("val", 5000), ("test", 9000)):
        for number, name in enumerate(("ants", "bees")):
            for i in range(3):
                draw_picture(class_folders.parent / "parts" / part / name / f"{i}.png", seed=seed + 10 * number + i)
    root = class_folders.parent / "parts"
    assert prepared(root).notes == ()
    shutil.copy(root / "train" / "ants" / "1.png", root / "test" / "ants" / "copy.png")
    shutil.copy(root / "train" / "bees" / "2.png", root / "test" / "bees" / "copy.png")
    assert prepared(root).notes == (
        "2 pictures of test are byte for byte in training too, first test/ants/copy.png = train/ants/1.png",
    )


def test_data_larger_than_the_memory_is_refused_before_decoding(class_folders, monkeypatch):
    monkeypatch.setattr(module.os, "sysconf", lambda name: {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 1}[name])
    with pytest.raises(
        ResourceError, match=r"decoded pictures must be at most .* GiB, got .* for 16 pictures of 64x64"
    ) as caught:
        prepared(class_folders, Picture(3, 64, 64))
    assert caught.value.exit_code == 6


def test_arrays_are_fitted_like_files(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (20, 6, 5, 3), dtype=np.uint8)
    np.savez(tmp_path / "x.npz", x=x, y=np.arange(20) % 2)
    data = prepared(tmp_path / "x.npz", Picture(1, 9, 9))
    for split in splits(data).values():
        for image, name in zip(split.images, split.names, strict=True):
            assert_array_equal(image.numpy(), fit(x[int(name.split("/")[1])], Picture(1, 9, 9)))


def test_channels_that_do_not_fit_the_network_are_refused(tmp_path):
    np.savez(tmp_path / "x.npz", x=np.zeros((20, 9, 9, 4), np.uint8), y=np.arange(20) % 2)
    with pytest.raises(DataError, match=r"the image must be of 3 channels, got 4"):
        prepared(tmp_path / "x.npz")


def test_no_test_fraction_gives_an_empty_test_split(class_folders):
    data = prepared(class_folders, test_fraction=0.0)
    assert (len(data.test), data.test.images.shape) == (0, (0, 3, 8, 8))
