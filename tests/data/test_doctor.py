"""The doctor on every layout, and what it tells of whole sets."""

import gzip
import json
import os
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from striate.base.errors import DataError
from striate.data.doctor import check
from striate.data.doctor.kinds import KINDS, Level


def kinds(report):
    return {finding.kind for finding in report.findings} | {fault.kind for fault in report.faults}


def of_kind(report, kind):
    return [(finding.text, finding.paths) for finding in report.findings if finding.kind == kind]


def split_up(class_folders, *splits):
    """Different pictures of both classes in every split."""
    whole = class_folders.rename(class_folders.parent / "whole")
    for number, split in enumerate(splits):
        for path in sorted(whole.rglob("*.png")):
            copy = class_folders / split / path.relative_to(whole)
            copy.parent.mkdir(parents=True, exist_ok=True)
            Image.open(path).rotate(90 * number, expand=True).save(copy)
    return class_folders


def test_class_folders_are_one_split(class_folders):
    report = check(str(class_folders))
    assert kinds(report) == set()
    assert report.classes == {"ants": {"all": 12}, "bees": {"all": 12}}


def test_progress_counts_every_picture(class_folders):
    steps = []
    check(str(class_folders), lambda done, total: steps.append((done, total)))
    assert steps == [(i, 24) for i in range(1, 25)]


def test_no_such_data_is_refused():
    with pytest.raises(DataError, match=r"got 'nowhere'"):
        check("nowhere")


@pytest.mark.timeout(5)
def test_a_fifo_as_data_is_refused_and_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(DataError, match="a folder or a regular file"):
        check(str(tmp_path / "pipe.csv"))


def test_built_in_digits_are_well():
    report = check("digits")
    assert (kinds(report), report.files) == (set(), 1797)


def test_pictures_without_class_folders(class_folders):
    report = check(str(class_folders / "ants"))
    assert of_kind(report, "no-classes") == [("none, but 12 pictures directly in it", ())]
    assert report.kinds(Level.FAILS) == ["nothing", "no-classes"]
    (class_folders / "ants" / "empty.png").touch()
    assert [fault.path for fault in check(str(class_folders / "ants")).faults] == ["empty.png"]


def test_an_empty_folder_holds_nothing(tmp_path):
    assert check(str(tmp_path)).kinds(Level.FAILS) == ["nothing", "no-classes"]


def test_one_class_only(class_folders):
    shutil.rmtree(class_folders / "bees")
    assert of_kind(check(str(class_folders)), "one-class") == [("only 'ants'", ())]
    nested = check(str(class_folders.parent))
    [(text, _)] = of_kind(nested, "one-class")
    assert text == f"perhaps the classes are 'ants': then check {class_folders}"


def test_splits_without_training(class_folders):
    report = check(str(split_up(class_folders, "val", "test")))
    assert of_kind(report, "no-training") == [("only test, val", ())]
    assert report.kinds(Level.FAILS) == ["no-training"]


def test_two_folders_for_one_split(class_folders):
    report = check(str(split_up(class_folders, "train", "val", "dev")))
    assert of_kind(report, "two-folders") == [("for validation", ("dev", "val"))]


def test_a_split_without_pictures(class_folders):
    root = split_up(class_folders, "train", "test")
    for path in (root / "test").rglob("*.png"):
        path.write_bytes(b"")
    report = check(str(root))
    assert of_kind(report, "empty-split") == [("test", ())]
    assert len(report.faults) == 24


def test_a_class_whose_pictures_are_all_damaged_is_an_empty_one(class_folders):
    for path in (class_folders / "ants").iterdir():
        path.write_bytes(path.read_bytes()[:60])
    report = check(str(class_folders))
    assert of_kind(report, "empty-class") == [("'ants'", ("ants",))]
    assert report.classes == {"ants": {"all": 0}, "bees": {"all": 12}}


def test_what_training_refuses_the_doctor_refuses_and_what_it_takes_is_taken(class_folders, tmp_path, draw_picture):
    """`check` exits 0 on a folder exactly if `open_source` takes it, over many small layouts."""
    from striate.data.source import open_source

    pieces = ["train/a", "train/b", "val/a", "val/c", "dev/b", "test/b", "a", "b", "c/d", "train"]
    for number in range(1, 2 ** len(pieces), 11):
        root = tmp_path / f"layout-{number}"
        chosen = [piece for bit, piece in enumerate(pieces) if number >> bit & 1]
        for i, piece in enumerate(chosen):
            (root / piece).mkdir(parents=True, exist_ok=True)
            if (number + i) % 5:
                draw_picture(root / piece / "x.png", seed=1000 * number + i)
        try:
            taken = bool(open_source(str(root)))
        except DataError:
            taken = False
        assert (not check(str(root)).kinds(Level.FAILS)) == taken, chosen


def write_table(root, text, name="split.csv"):
    (root / name).write_text(text, encoding="utf-8")
    return root


def test_a_table_is_read_past_every_bad_row(class_folders):
    (class_folders / "out.png").symlink_to("/etc/hostname")
    (class_folders / "round.png").symlink_to(class_folders / "round.png")
    rows = [f"{name}/{i:02}.png,{name},train" for name in ("ants", "bees") for i in range(11)]
    rows += [
        "ants/11.png,bees,test",
        "ants/00.png,ants,train",
        "ants/01.png,bees,test",
        "ants/gone.png,ants,train",
        "../secret.png,ants,train",
        "/etc/passwd,ants,train",
        "out.png,ants,train",
        "round.png,ants,train",
        "bees/11.png,,train",
        "bees/11.png,bees,exam",
    ]
    report = check(str(write_table(class_folders, "path,label,split\n" + "\n".join(rows) + "\n")))
    assert [(fault.path, fault.kind) for fault in report.faults] == [
        ("../secret.png", "outside"),
        ("/etc/passwd", "outside"),
        ("ants/00.png", "listed-twice"),
        ("ants/01.png", "listed-twice"),
        ("ants/gone.png", "missing"),
        ("bees/11.png", "no-class"),
        ("bees/11.png", "no-split"),
        ("out.png", "outside"),
        ("round.png", "damaged"),
    ]
    assert of_kind(report, "two-labels") == [("'ants' and 'bees'", ("ants/01.png",))]
    assert of_kind(report, "leak") == [("test and train", ("ants/01.png",))]
    assert of_kind(report, "unlisted") == [("", ("bees/11.png",))]
    assert report.classes == {"ants": {"train": 11, "test": 0}, "bees": {"train": 11, "test": 1}}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "an empty file"),
        (b"name,label\na,b\n", "got name, label"),
        (b"path,label\nants/00.png,a\nants/01.png,\xff\xfe\n", "utf-8"),
        (b'path,label\nants/00.png,"a\n', "unexpected end of data"),
    ],
)
def test_a_table_that_cannot_be_read_is_a_fault_and_its_pictures_are_still_looked_at(class_folders, text, reason):
    (class_folders / "split.csv").write_bytes(text)
    (class_folders / "ants" / "empty.png").touch()
    report = check(str(class_folders))
    found = {fault.path: fault for fault in report.faults}
    assert set(found) == {"split.csv", "ants/empty.png"}
    assert reason in found["split.csv"].reason
    assert report.files == 25


def idx(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_idx(root, part, images, labels):
    (root / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
    (root / f"{part}-labels-idx1-ubyte").write_bytes(idx(labels))


def test_splits_with_tables_of_their_own_are_read_as_training_reads_them(class_folders):
    from striate.data.source import open_source

    root = split_up(class_folders, "train", "test")
    for split in ("train", "test"):
        rows = "".join(f"{name}/{i:02}.png,{name}\n" for name in ("ants", "bees") for i in range(11))
        write_table(root / split, f"file_name,label\n{rows}", "metadata.csv")
    report = check(str(root))
    assert report.classes == {name: {"train": 11, "test": 11} for name in ("ants", "bees")}
    assert {part: len(samples) for part, samples in open_source(str(root)).parts.items()} == {"train": 22, "test": 22}
    unlisted = [path for _, paths in of_kind(report, "unlisted") for path in paths]
    assert unlisted == [f"{split}/{name}/11.png" for split in ("test", "train") for name in ("ants", "bees")]
    assert report.kinds(*Level) == ["unlisted"]


IMAGES = np.random.default_rng(0).integers(0, 256, (60, 12, 12), dtype=np.uint8)
LABELS = (np.arange(60) % 3).astype(np.uint8)


def test_idx_files_and_the_same_digit_in_both_parts_and_two_classes(tmp_path):
    images = IMAGES.copy()
    images[40], images[44], images[1] = images[0], 7, images[0]
    write_idx(tmp_path, "train", images[:40], LABELS[:40])
    write_idx(tmp_path, "t10k", images[40:], LABELS[40:])
    report = check(str(tmp_path))
    group = ("test/0", "train/0", "train/1")
    assert of_kind(report, "leak") == [("test and train", group)]
    assert of_kind(report, "two-labels") == [("'0' and '1'", group)]
    assert of_kind(report, "constant") == [("", ("test/4",))]
    assert report.classes["0"] == {"train": 14, "test": 6}


def test_a_damaged_idx_file_hides_nothing_of_the_others(tmp_path):
    images = IMAGES.copy()
    images[3] = images[0]
    write_idx(tmp_path, "train", images[:40], LABELS[:40])
    write_idx(tmp_path, "t10k", images[40:], LABELS[40:])
    path = tmp_path / "t10k-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[:-3])
    report = check(str(tmp_path))
    assert [(fault.path, fault.kind) for fault in report.faults] == [(path.name, "array")]
    assert of_kind(report, "duplicate") == [("", ("train/0", "train/3"))]
    path.unlink()
    assert [fault.kind for fault in check(str(tmp_path)).faults] == ["missing"]
    write_idx(tmp_path, "t10k", images[40:], LABELS[41:])
    assert [fault.reason for fault in check(str(tmp_path)).faults] == ["20 pictures and 19 labels"]


def test_an_archive_with_one_bad_part_is_checked_in_the_other(tmp_path):
    path = tmp_path / "set.npz"
    images = IMAGES.copy()
    images[3] = images[0]
    np.savez(path, x_train=images[:40], y_train=LABELS[:40], x_test=images[40:].astype("int32"), y_test=LABELS[40:])
    report = check(str(path))
    assert [(fault.path, fault.kind) for fault in report.faults] == [("set.npz", "array")]
    assert "x_test must be of dtype uint8, uint16 or floating point, got int32" in report.faults[0].reason
    assert of_kind(report, "duplicate") == [("", ("train/0", "train/3"))]
    np.savez(path, x_train=IMAGES[:40], y_train=LABELS[:40], x_test=IMAGES[40:], y_test=LABELS[40:] + 1)
    assert of_kind(check(str(path)), "extra-class") == [("'3' in test", ())]


def test_shards_are_looked_at_in_a_folder_as_one_by_one_past_every_bad_sample(class_folders, tmp_path, pack):
    shards = tmp_path / "shards"
    for number, label in enumerate(("ants", "bees")):
        pictures = sorted((class_folders / label).iterdir())
        members = [
            (f"{path.stem}{end}", content)
            for path in pictures
            for end, content in ((".png", path.read_bytes()), (".cls", label.encode()))
        ]
        pack(shards / f"a-{number}.tar", *members)
    for data in (shards, shards / "a-{0..1}.tar"):
        report = check(str(data))
        assert report.classes == {name: {"all": 12} for name in ("ants", "bees")}
        assert not report.kinds(Level.FAILS)
    whole = pictures[0].read_bytes()
    pack(shards / "a-2.tar", ("1.png", b""), ("1.cls", b"ants"), ("2.png", whole), ("3.cls", b"a"), ("3.cls", b"a"))
    report = check(str(shards))
    found = {fault.path: fault.kind for fault in report.faults}
    assert found == {
        "a-2.tar/1.png": "empty",
        "a-2.tar/2.png": "no-label",
        "a-2.tar/3": "no-picture",
        "a-2.tar/3.cls": "stored-twice",
    }
    assert all(KINDS[kind].fix in str(report) for kind in found.values())
    assert report.files == 25
    assert report.kinds(Level.FAILS)


def test_a_folder_of_archives_and_one_that_would_fill_the_memory(tmp_path):
    import zipfile

    np.savez(tmp_path / "train.npz", x=IMAGES, y=LABELS)
    np.savez(tmp_path / "test.npz", x=IMAGES[:, :6] // 2, y=LABELS)
    report = check(str(tmp_path))
    assert [fault.reason for fault in report.faults] == [
        "pictures of different shapes: test 6x12 uint8, train 12x12 uint8"
    ]
    with zipfile.ZipFile(tmp_path / "test.npz", "a") as archive:
        archive.filelist[0].file_size = 2**45  # what the directory at the end announces
        archive.writestr("z", b"")
    report = check(str(tmp_path))
    assert [(fault.path, fault.kind) for fault in report.faults] == [("test.npz", "too-large")]
    assert report.classes["0"]["train"] == 20


def blobs(seed, size=128):
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)


def test_copies_stored_anew_look_alike_and_others_do_not(tmp_path):
    changes = {
        "half.png": lambda image: image.resize((64, 64), Image.Resampling.LANCZOS),
        "larger.png": lambda image: image.resize((200, 200), Image.Resampling.BICUBIC),
        "brighter.png": lambda image: ImageEnhance.Brightness(image).enhance(0.8),
        "fewer-colours.gif": lambda image: image.quantize(64),
        "grey.png": lambda image: image.convert("L"),
    }
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    for i in range(300):
        blobs(i).save(tmp_path / "ab"[i % 2] / f"{i:03}.png")
    for i, (name, change) in enumerate(changes.items()):
        change(blobs(2 * i)).save(tmp_path / "a" / name)
    blobs(20).save(tmp_path / "a" / "worse.jpg", quality=40)
    found = {frozenset(group.paths) for group in check(str(tmp_path)).near}
    expected = {frozenset((f"a/{2 * i:03}.png", f"a/{name}")) for i, name in enumerate(changes)}
    assert found == expected | {frozenset(("a/020.png", "a/worse.jpg"))}


def test_pairs_that_look_alike_are_those_of_comparing_all_with_all():
    from striate.data.doctor.likeness import DISTANCE, _candidates

    rng = np.random.default_rng(1)
    codes = rng.integers(0, 2**63, 400, dtype=np.uint64) * np.uint64(2)
    for i in range(0, 200, 2):  # every second one is a copy with 1 to 6 bits flipped
        flips = rng.choice(63, 1 + i // 2 % 6, replace=False) + 1
        codes[i + 1] = codes[i] ^ np.uint64(sum(1 << int(bit) for bit in flips))
    distance = np.bitwise_count(codes[:, None] ^ codes[None])
    expected = {(i, j) for i, j in np.argwhere(distance <= DISTANCE).tolist() if i < j}
    assert len(expected) >= 60
    found = np.unique(np.concatenate(list(_candidates(codes))))
    assert {divmod(pair, 400) for pair in found.tolist()} == expected


def test_averaging_takes_every_pixel_by_its_share():
    from striate.data.doctor.likeness import averaging

    for length in (1, 8, 28, 32, 45, 500):
        x = np.random.default_rng(length).random(length)
        expected = x.repeat(32).reshape(32, length).mean(1)  # each pixel in 32 pieces, `length` pieces a cell
        np.testing.assert_allclose(averaging(length) @ x, expected, rtol=1e-5)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("different", [1, 300], ids=["equal", "close"])
def test_many_pictures_of_like_hashes_do_not_take_for_ever(different):
    from striate.data.doctor.likeness import alike

    codes = (np.arange(20_000) % different).astype(np.uint64) << np.uint64(20)
    copies = np.random.default_rng(0).integers(0, 256, (20_000, 16, 16), dtype=np.uint8)
    copies[1], codes[1] = copies[0], codes[0]
    assert alike(codes, copies, np.full(20_000, 100, dtype=np.int64)).tolist() == [[0, 1]]


def test_grey_stored_as_colour_is_the_same_picture(class_folders):
    with Image.open(class_folders / "ants" / "00.png") as image:
        image.convert("L").save(class_folders / "ants" / "l.png")
        image.convert("L").convert("RGB").save(class_folders / "ants" / "rgb.png")
    report = check(str(class_folders))
    assert [(group.paths, group.identical) for group in report.duplicates] == [
        (("ants/l.png", "ants/rgb.png"), "pixels")
    ]


def test_what_is_kept_whole_is_compared_whole(tmp_path):
    """16 bits that differ in the low byte alone are two pictures; bytes stored with 16 bits are the bytes."""
    rng = np.random.default_rng(0)
    fine = rng.integers(0, 65_536, (20, 16, 16), dtype=np.uint16)
    fine[1] = fine[0] ^ 1
    coarse = rng.integers(0, 256, (16, 16), dtype=np.uint8)
    for i, image in enumerate([*fine, coarse.astype(np.uint16) * 257]):
        (tmp_path / "ab"[i % 2]).mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / "ab"[i % 2] / f"{i:02}.png")
    report = check(str(tmp_path))
    assert report.duplicates == ()
    assert [group.paths for group in report.near] == [("a/00.png", "b/01.png")]
    assert kinds(report) == {"near"}
    Image.fromarray(coarse).save(tmp_path / "a" / "bytes.png")
    report = check(str(tmp_path))
    assert [group.paths for group in report.duplicates] == [("a/20.png", "a/bytes.png")]
    assert of_kind(report, "mixed-kinds") == [("uint8, most have uint16", ("a/bytes.png",))]


def test_arrays_in_files_are_looked_at_too(tmp_path):
    bands = np.random.default_rng(0).random((24, 10, 11, 5)).astype(np.float32)
    for i, picture in enumerate(bands):
        (tmp_path / "ab"[i % 2]).mkdir(exist_ok=True)
        np.save(tmp_path / "ab"[i % 2] / f"{i:02}.npy", picture)
    assert kinds(check(str(tmp_path))) == set()
    np.save(tmp_path / "a" / "nan.npy", np.full((10, 11, 5), np.nan, dtype=np.float32))
    np.save(tmp_path / "a" / "copy.npy", bands[0])
    np.save(tmp_path / "b" / "four.npy", bands[1, ..., :4])
    report = check(str(tmp_path))
    found = [(fault.path, fault.kind) for fault in report.faults]
    assert found == [("a/nan.npy", "pixels"), ("b/four.npy", "pixels")], report.faults
    assert [group.paths for group in report.duplicates] == [("a/00.npy", "a/copy.npy")]
    Image.fromarray(np.zeros((10, 11), dtype=np.uint8)).save(tmp_path / "a" / "bytes.png")
    assert "a/bytes.png" in {fault.path for fault in check(str(tmp_path)).faults}


def test_the_report_is_text_of_one_line_a_fault_and_one_json_object(class_folders):
    evil = os.fsdecode(b"e\x1b[2Jv\nil\xff.png")
    (class_folders / "ants" / evil).touch()
    report = check(str(class_folders))
    lines = str(report).splitlines()
    assert "    ants/e�[2Jv�il�.png: empty file" in lines
    assert max(map(len, lines)) <= 160
    again = json.loads(json.dumps(report.as_dict()))
    assert again["faults"] == [{"path": f"ants/{evil}", "kind": "empty", "reason": "empty file"}]
    assert os.fsencode(again["faults"][0]["path"]) == b"ants/e\x1b[2Jv\nil\xff.png"
    assert {"files", "faults", "duplicates", "classes", "findings", "near", "sizes"} <= again.keys()


def test_long_lists_are_cut_in_the_text_and_whole_in_the_report(class_folders):
    for i in range(40):
        (class_folders / "bees" / f"{i}{'y' * 180}.png").touch()
    report = check(str(class_folders))
    assert len(report.faults) == 40
    assert "  empty (40): no bytes at all" in str(report)
    assert "    and 35 more" in str(report)


def test_every_kind_that_decoding_knows_has_a_meaning():
    import striate.data

    texts = [path.read_text() for path in Path(striate.data.__file__).parent.glob("*.py")]
    told = {kind for text in texts for kind in re.findall(r'Fault\(\s*(?:name|f"[^"]+"), "([\w-]+)"', text)}
    assert len(told) >= 12
    assert told <= KINDS.keys()


def test_looking_loads_no_heavy_library(class_folders):
    code = f"""
import sys
from striate.data.doctor import check
check({str(class_folders)!r})
assert not {{"torch", "matplotlib", "sklearn", "scipy"}} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_real_photographs_are_well(real_data):
    report = check(str(real_data / "photos-hymenoptera"))
    assert (report.faults, report.findings) == ((), ())
    assert report.classes == {"ants": {"train": 123, "validation": 70}, "bees": {"train": 121, "validation": 83}}
    assert (report.sizes.smallest, report.sizes.largest, report.sizes.different) == ((130, 193), (1944, 2592), 166)


def test_real_small_pictures_are_well(real_data):
    report = check(str(real_data / "cifar10-small"))
    assert (report.faults, report.findings, report.files) == ((), (), 12_000)


@pytest.mark.slow
def test_real_digits_are_well(real_data):
    report = check(str(real_data / "mnist"))
    assert (report.faults, report.duplicates, report.files) == ((), (), 70_000)
    assert 0 < len(report.near) < 100


def test_the_page_tells_every_kind_and_its_exit_code():
    page = (Path(__file__).resolve().parents[2] / "docs" / "data-doctor.md").read_text()
    rows = re.findall(r"^\| `([\w-]+)` \| ([^|]+) \| (0|3|3 with `--strict`) \|$", page, re.M)
    told = {Level.FAILS: "3", Level.STRICT: "3 with `--strict`", Level.HINT: "0"}
    assert rows == [(name, kind.meaning, told[kind.level]) for name, kind in KINDS.items()]
