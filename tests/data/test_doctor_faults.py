"""Faults planted one by one in a clean set: the doctor finds each under its own kind, and touches nothing."""

import hashlib
import io
import os
import resource
import socket
import struct
import subprocess
import time
import unicodedata
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.data.doctor import check
from striate.data.doctor.kinds import KINDS, Level

CLASSES = ("ants", "bees", "moths")
MANY = {"train": 12, "val": 4, "test": 4}


def picture(seed, height=24, width=30):
    """Blobs of random colours: every seed another picture, also to the hash of what looks alike."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image, kind="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width, height, rows=b"\0", extra=b""):
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def flipped(content):
    return content[: len(content) // 2] + bytes([content[len(content) // 2] ^ 16]) + content[len(content) // 2 + 1 :]


def gif_of_many_frames(count=10_000):
    one = encoded(picture(900).quantize(8), "GIF")
    first = one.rindex(b"\x2c\0\0\0\0")  # the frame begins with this mark and its corner
    return one[:first] + one[first:-1] * count + b";"


def turned(orientation):
    exif = Image.Exif()
    exif[274] = orientation
    return encoded(picture(901), "JPEG", exif=exif)


def see_through():
    image = picture(902)
    image.putalpha(128)
    return encoded(image)


BOMBS = {
    "train/ants/225-mpixel.png": ("too-large", png(15_000, 15_000)),
    "train/ants/88-mpixel.png": ("too-large", png(9_400, 9_400, bytes(9_401) * 9_400)),
    "train/ants/thin.png": ("too-large", png(1, 100_000)),
    "train/ants/text-bomb.png": ("damaged", png(8, 8, extra=chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**8))))),
}
LONG = f"train/bees/{'x' * 240}.png"
NOT_UTF8 = os.fsdecode(b"train/bees/caf\xe9.png")
NFC, NFD = (unicodedata.normalize(form, "été") for form in ("NFC", "NFD"))

# path -> (kind, content): files that are faults by themselves
FILES = BOMBS | {
    "train/ants/empty.png": ("empty", b""),
    "train/ants/half.jpg": ("truncated", encoded(picture(1), "JPEG")[:400]),
    "val/ants/no-end.jpg": ("truncated", encoded(picture(2), "JPEG")[:-2]),
    "train/ants/checksum.png": ("damaged", flipped(encoded(picture(3)))),
    "train/ants/text.jpg": ("not-a-picture", b"just text"),
    "train/ants/drawing.svg": ("format", b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>"),
    "train/ants/program.jpg": ("format", b"%!PS-Adobe-3.0 EPSF-3.0\n(/tmp/x) (w) file"),
    "train/ants/page.png": ("format", b"%PDF-1.7"),
    "test/ants/page.jpg": ("format", b"<!DOCTYPE html><html><img src=x onerror=alert(1)>"),
    "train/ants/float.tif": ("pixels", encoded(Image.new("F", (9, 9), 0.5), "TIFF")),
    "train/ants/notes.txt": ("stranger", b"seen on Monday"),
    "train/ants/png-inside.jpg": ("misnamed", encoded(picture(4))),
    "train/bees/a\nline.png": ("odd-name", encoded(picture(5))),
    "train/bees/-dash.png": ("odd-name", encoded(picture(6))),
    LONG: ("odd-name", encoded(picture(7))),
    NOT_UTF8: ("odd-name", encoded(picture(8))),
    "train/bees/grey.png": ("mixed-channels", encoded(picture(9).convert("L"))),
    "train/bees/deep.png": (
        "mixed-kinds",
        encoded(Image.fromarray(np.asarray(picture(10).convert("L")).astype(np.uint16) * 257)),
    ),
    "train/bees/see-through.png": ("transparency", see_through()),
    "train/bees/printed.jpg": ("colour-space", encoded(picture(11).convert("CMYK"), "JPEG")),
    "train/bees/film.gif": ("animation", gif_of_many_frames()),
    "train/bees/one-pixel.png": ("tiny-picture", encoded(picture(12).resize((1, 1)))),
    "train/bees/strip.png": ("odd-aspect", encoded(picture(13, 8, 90))),
    "train/bees/blank.png": ("constant", encoded(Image.new("RGB", (20, 20), "white"))),
    "train/bees/phone.jpg": ("rotated", turned(6)),
    "train/stray.png": ("stray", encoded(picture(14))),
}


def plant_links(root, outside):
    ants = root / "train" / "ants"
    (outside / "secret.png").write_bytes(encoded(picture(20)))
    (ants / "gone.png").symlink_to(ants / "nothing.png")
    (ants / "self.png").symlink_to(ants / "self.png")
    (ants / "up").symlink_to(root)
    (ants / "out.png").symlink_to(outside / "secret.png")
    (ants / "again.png").symlink_to(ants / "00.png")
    os.mkfifo(ants / "pipe.png")
    listener = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(ants)  # a socket's path may hold about 100 bytes
    listener.bind("socket")
    os.chdir(here)
    listener.close()
    return {
        ("link-dangling", "train/ants/gone.png"),
        ("link-loop", "train/ants/self.png"),
        ("link-loop", "train/ants/up"),
        ("link-outside", "train/ants/out.png"),
        ("link", "train/ants/again.png"),
        ("not-a-file", "train/ants/pipe.png"),
        ("not-a-file", "train/ants/socket"),
    }


def plant_copies(root):
    def content(path):
        return (root / path).read_bytes()

    (root / "train/ants/copy.png").write_bytes(content("train/ants/05.png"))
    (root / "test/ants/seen.png").write_bytes(content("train/ants/01.png"))
    Image.open(root / "train/bees/02.png").save(root / "val/bees/stored-anew.bmp")
    (root / "train/moths/both.png").write_bytes(content("train/ants/03.png"))
    large = picture(21, 192, 240)
    large.save(root / "train/bees/large.png")
    large.resize((120, 96), Image.Resampling.LANCZOS).save(root / "train/bees/smaller.jpg", quality=60)
    return {
        ("duplicate", "train/ants/copy.png"),
        ("leak", "test/ants/seen.png"),
        ("leak", "val/bees/stored-anew.bmp"),
        ("two-labels", "train/moths/both.png"),
        ("near", "train/bees/smaller.jpg"),
    }


def plant_classes(root):
    def fill(folder, count, first):
        folder.mkdir(parents=True)
        for i in range(count):
            (folder / f"{i:02}.png").write_bytes(encoded(picture(first + i)))

    fill(root / "val" / "wasps", 3, 2000)
    for path in (root / "test" / "moths").iterdir():
        path.unlink()
    fill(root / "train" / "Ants", 10, 2100)
    fill(root / "train" / NFC, 10, 2200)
    fill(root / "train" / NFD, 10, 2300)
    (root / "train" / "flies").mkdir()
    fill(root / "train" / "gnats", 1, 2400)
    fill(root / "extra", 2, 2500)
    fill(root / "train" / "moths" / "night", 1, 2600)
    return {
        ("extra-class", "val/wasps"),
        ("lacking-class", "test/moths"),
        ("lookalike", "train/Ants"),
        ("lookalike", f"train/{NFD}"),
        ("empty-class", "train/flies"),
        ("tiny-class", "train/gnats"),
        ("imbalance", ""),
        ("unused-folder", "extra"),
        ("nested", "train/moths"),
    }


# What else must be said of the same faults.
CONSEQUENCES = {
    ("duplicate", "train/ants/05.png"),
    ("leak", "train/ants/01.png"),
    ("leak", "train/bees/02.png"),
    ("two-labels", "train/ants/03.png"),
    ("near", "train/bees/large.png"),
    ("lookalike", "train/ants"),
    ("lookalike", "val/ants"),
    ("lookalike", "test/ants"),
    ("lookalike", f"train/{NFC}"),
    ("lacking-class", ""),  # the new classes are in training only
    ("mixed-channels", "train/bees/deep.png"),
    ("constant", "train/bees/one-pixel.png"),
}


@pytest.fixture
def clean(tmp_path):
    """Three classes in three splits, with the files of systems that nobody means by data."""
    root = tmp_path / "insects"
    seed = 1000
    for split, count in MANY.items():
        for name in CLASSES:
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                seed += 1
                (root / split / name / f"{i:02}.png").write_bytes(encoded(picture(seed)))
    for name in (".DS_Store", "train/Thumbs.db", "train/ants/.hidden.png", "train/bees/desktop.ini"):
        (root / name).write_bytes(b"system")
    (root / "__MACOSX" / "train").mkdir(parents=True)
    return root


@pytest.fixture
def ill(clean, tmp_path):
    """The clean set with all faults planted: (root, the pairs of kind and path that must be found)."""
    (tmp_path / "outside").mkdir()
    planted = plant_copies(clean) | plant_classes(clean) | plant_links(clean, tmp_path / "outside")
    for path, (_, content) in FILES.items():
        (clean / path).write_bytes(content)
    return clean, planted | {(kind, path) for path, (kind, _) in FILES.items()}


def found_by(report):
    """All pairs of kind and path."""
    findings = {(finding.kind, path) for finding in report.findings for path in finding.paths or ("",)}
    return findings | {(fault.kind, fault.path) for fault in report.faults}


def state(root):
    """Of everything below a folder: kind, size, time of change and content."""
    known = {}
    for folder, folders, files in os.walk(root):
        for path in (Path(folder, name) for name in folders + files):
            status = path.lstat()
            content = hashlib.sha256(path.read_bytes()).digest() if path.is_file() and not path.is_symlink() else b""
            known[path] = (status.st_mode, status.st_size, status.st_mtime_ns, content)
    return known


def test_fifty_planted_faults_are_all_found_and_nothing_is_touched(ill):
    root, planted = ill
    assert len(planted) >= 50
    before = state(root)
    start = time.process_time()
    report = check(str(root))
    assert time.process_time() - start < 5
    assert planted - found_by(report) == set()
    assert found_by(report) - planted == CONSEQUENCES
    assert state(root) == before


def test_without_the_faults_nothing_is_reported(clean):
    report = check(str(clean))
    assert (report.faults, report.findings, report.duplicates, report.near) == ((), (), (), ())
    assert report.files == 60
    assert report.classes == {name: {"train": 12, "validation": 4, "test": 4} for name in CLASSES}
    assert (report.sizes.smallest, report.sizes.largest, report.sizes.different) == ((24, 30), (24, 30), 1)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.encode("ascii", "replace").decode()[:40])
def test_each_file_alone_is_found_and_is_all_that_is(tmp_path, path):
    kind, content = FILES[path]
    for name in ("ants", "bees"):
        (tmp_path / name).mkdir()
        for i in range(10):
            (tmp_path / name / f"{i:02}.png").write_bytes(encoded(picture(100 * len(name) + 50 * (name == "bees") + i)))
    where = "" if kind == "stray" else "ants/"
    name = where + path.rsplit("/", 1)[-1]
    (tmp_path / name).write_bytes(content)
    report = check(str(tmp_path))
    also = {("constant", name)} if kind == "tiny-picture" else set()
    also |= {("mixed-channels", name)} if kind == "mixed-kinds" else set()
    assert found_by(report) == {(kind, name)} | also
    assert bool(report.kinds(Level.FAILS)) == (KINDS[kind].level is Level.FAILS)


@pytest.mark.parametrize("path", BOMBS, ids=lambda path: Path(path).stem)
def test_a_bomb_costs_neither_time_nor_memory(tmp_path, path):
    for name in ("ants", "bees"):
        (tmp_path / "train" / name).mkdir(parents=True)
    (tmp_path / path).write_bytes(BOMBS[path][1])
    (tmp_path / "train" / "bees" / "0.png").write_bytes(encoded(picture(0)))
    check(str(tmp_path / "train"))  # what is imported and made at the first call is no cost of the bomb
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    report = check(str(tmp_path / "train"))
    assert time.process_time() - start < 0.5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024  # KiB
    assert [fault.path for fault in report.faults] == [path.removeprefix("train/")]


def test_no_program_is_started_for_a_foreign_format(clean, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a process was started")

    for path, (kind, content) in FILES.items():
        if kind == "format":
            (clean / path).write_bytes(content)
    monkeypatch.setattr(subprocess, "Popen", refuse)
    monkeypatch.setattr(os, "system", refuse)
    faults = check(str(clean)).faults
    assert [fault.reason.split(" is not supported")[0] for fault in faults] == [
        "format HTML",
        "format SVG",
        "format PDF",
        "format EPS",
    ]


def test_a_device_is_never_opened(clean):
    try:
        os.mknod(clean / "train" / "ants" / "zero.png", 0o20666, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("only root may make devices")
    report = check(str(clean))
    assert [(fault.kind, fault.reason) for fault in report.faults] == [("not-a-file", "not a regular file (device)")]


def test_a_file_that_may_not_be_read_is_listed_with_the_others(clean, monkeypatch):
    real = Path.open

    def refuse(path, *arguments, **options):
        if path.name == "03.png":
            raise PermissionError(13, "Permission denied")
        return real(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", refuse)  # the tests may run as root, whom chmod does not stop
    report = check(str(clean))
    assert {fault.kind for fault in report.faults} == {"permission"}
    assert len(report.faults) == 9


def test_a_folder_that_cannot_be_listed_hides_nothing_else(clean, monkeypatch):
    real = os.scandir

    def refuse(path):
        if str(path).endswith("val/bees"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    (clean / "train" / "ants" / "empty.png").touch()
    assert found_by(check(str(clean))) == {
        ("folder", "val/bees"),
        ("lacking-class", "val/bees"),
        ("empty", "train/ants/empty.png"),
    }


def test_a_file_that_vanishes_after_the_scan_is_missing(clean):
    from striate.data.doctor.examine import examine
    from striate.data.doctor.look import look

    layout = look(str(clean))
    (clean / "train" / "ants" / "07.png").unlink()
    faults = [fault for fault in examine(layout.lots) if hasattr(fault, "reason")]
    assert [(fault.path, fault.kind) for fault in faults] == [("train/ants/07.png", "missing")]


@pytest.mark.timeout(5)
def test_a_forest_of_links_in_circles_ends(clean):
    for name in CLASSES:
        for other in CLASSES:
            (clean / "train" / name / f"to-{other}").symlink_to(clean / "train" / other)
            (clean / "train" / name / f"loop-{other}").symlink_to(clean)
    report = check(str(clean))
    assert report.files == 60
    assert report.kinds(*Level) == ["link", "link-loop"]


def test_a_deep_tree_is_walked_to_its_end(clean):
    deep = clean / "train" / "ants"
    for _ in range(60):
        deep /= "d" * 30
    deep.mkdir(parents=True)
    (deep / "empty.png").touch()
    report = check(str(clean))
    assert [fault.kind for fault in report.faults] == ["empty"]
    assert report.kinds(Level.STRICT) == ["nested"]
