import os
import resource
import signal
import subprocess
import sys
import textwrap
import zlib
from pathlib import Path

import numpy as np
import pytest

from striate.base.errors import ResourceError
from striate.data.dataset import prepare
from striate.data.decode import decoded
from striate.data.items import FileItems
from striate.data.picture import Picture
from striate.data.pictures import Held, Shelved
from striate.data.samples import Samples
from striate.data.shelf import open_shelf
from striate.data.source import open_source
from striate.data.splits import Shares
from striate.data.storage import Keeper, Storage, choose, load

PICTURE = Picture(3, 8, 8)
GIB = 1 << 30


def part_of(root: Path) -> Samples:
    return open_source(str(root)).parts["all"]


def shelved(root: Path, cache: Path, *, limit: int = GIB, picture: Picture = PICTURE, mode="disk"):
    return load(part_of(root), picture, Keeper(Storage(mode, cache, limit), str(root)), lambda: None)


def count_decodings(monkeypatch) -> list[str]:
    names = []

    def counted(content, picture, name):
        names.append(name)
        return decoded(content, picture, name)

    monkeypatch.setattr("striate.data.reading.decoded", counted)
    return names


def files(cache: Path, name: str) -> list[Path]:
    return sorted(cache.glob(f"*/*/{name}"))


def test_pictures_from_the_disk_are_those_from_memory(class_folders, tmp_path):
    (disk, _), (memory, _) = (
        shelved(class_folders, tmp_path / "c"),
        shelved(class_folders, tmp_path / "c", mode="memory"),
    )
    assert isinstance(disk.pictures, Shelved)
    assert isinstance(memory.pictures, Held)
    rows = np.array([5, 0, 23, 5])
    first, second = disk.pictures.gather(rows), memory.pictures.gather(rows)
    assert first.equal(second)
    assert first.stride() == second.stride()
    assert disk.digests == memory.digests


def test_the_second_time_nothing_is_decoded(class_folders, tmp_path, monkeypatch):
    names = count_decodings(monkeypatch)
    first, _ = shelved(class_folders, tmp_path / "c")
    assert len(names) == 24
    again, _ = shelved(class_folders, tmp_path / "c")
    assert len(names) == 24
    assert again.pictures.gather(np.arange(24)).equal(first.pictures.gather(np.arange(24)))


def test_only_what_is_new_is_decoded_and_both_files_serve(class_folders, tmp_path, monkeypatch, draw_picture):
    shelved(class_folders, tmp_path / "c")
    names = count_decodings(monkeypatch)
    draw_picture(class_folders / "ants" / "03.png", seed=77)  # changed under the same name
    draw_picture(class_folders / "bees" / "new.png", seed=78)
    mixed, _ = shelved(class_folders, tmp_path / "c")
    assert sorted(names) == ["ants/03.png", "bees/new.png"]
    assert len(files(tmp_path / "c", "pixels.bin")) == 2
    fresh, _ = shelved(class_folders, tmp_path / "c", mode="memory")
    rows = np.arange(25)[::-1].copy()
    assert mixed.pictures.gather(rows).equal(fresh.pictures.gather(rows))


def test_another_size_and_another_place_have_shelves_of_their_own(class_folders, tmp_path):
    shelved(class_folders, tmp_path / "c")
    shelved(class_folders, tmp_path / "c", picture=Picture(3, 9, 8))
    shelved(class_folders, tmp_path / "c", picture=Picture(3, 8, 8, pad=2))  # the border is not stored
    assert len(files(tmp_path / "c", "pixels.bin")) == 2


def test_a_flipped_bit_is_noticed_and_the_picture_decoded_again(class_folders, tmp_path, monkeypatch):
    good, _ = shelved(class_folders, tmp_path / "c")
    expected = good.pictures.gather(np.arange(24))
    (path,) = files(tmp_path / "c", "pixels.bin")
    content = bytearray(path.read_bytes())
    content[8 * 8 * 3 * 7 + 5] ^= 16
    path.write_bytes(content)
    names = count_decodings(monkeypatch)
    mended, _ = shelved(class_folders, tmp_path / "c")
    assert len(names) == 1
    assert mended.pictures.gather(np.arange(24)).equal(expected)


@pytest.mark.parametrize("name", ["pixels.bin", "digests.bin", "checks.bin"])
@pytest.mark.parametrize("length", [0, 1, 17])
def test_files_cut_short_count_as_absent(class_folders, tmp_path, monkeypatch, name, length):
    shelved(class_folders, tmp_path / "c")
    (path,) = files(tmp_path / "c", name)
    path.write_bytes(path.read_bytes()[:length])
    names = count_decodings(monkeypatch)
    again, _ = shelved(class_folders, tmp_path / "c")
    assert len(names) == 24
    assert len(again.pictures) == 24


def test_bad_files_are_listed_and_nothing_is_kept_of_them(class_folders, tmp_path):
    (class_folders / "ants" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    for _ in range(2):
        part, _ = shelved(class_folders, tmp_path / "c")
        assert [fault.path for fault in part.faults] == ["ants/bad.png"]
        assert len(part.pictures) == len(part.digests) == len(part.samples) == 24


def test_the_shelf_used_longest_ago_makes_room(class_folders, tmp_path, draw_picture):
    size = 24 * 8 * 8 * 3
    sizes = [Picture(3, 8, 8), Picture(3, 8, 7), Picture(3, 7, 8)]
    for age, picture in enumerate(sizes[:2]):
        shelved(class_folders, tmp_path / "c", picture=picture)
        shelf = open_shelf(tmp_path / "c", str(class_folders), picture, GIB)
        os.utime(shelf.folder / ".used", (1000 + age, 1000 + age))
    shelved(class_folders, tmp_path / "c", picture=sizes[2], limit=2 * size + 3 * 24 * 36)
    kept = [len(open_shelf(tmp_path / "c", str(class_folders), picture, GIB).places) for picture in sizes]
    assert kept == [0, 24, 24]


def test_too_little_room_is_an_error_where_the_disk_was_asked_for_and_else_a_note(class_folders, tmp_path):
    with pytest.raises(ResourceError, match=r"room must be within execution\.cache_gb") as caught:
        shelved(class_folders, tmp_path / "c", limit=1000)
    assert 'execution.cache="stream"' in str(caught.value)
    assert not files(tmp_path / "c", "*")


def test_a_folder_that_cannot_be_written_is_a_note(class_folders, tmp_path):
    (tmp_path / "file").write_text("in the way")
    part, note = shelved(class_folders, tmp_path / "file" / "c", mode="auto")
    assert isinstance(part.pictures, Held)
    assert note.startswith("decoded pictures are not kept on disk: ")
    with pytest.raises(ResourceError):
        shelved(class_folders, tmp_path / "file" / "c")


def test_a_full_disk_is_a_note_and_leaves_nothing_behind(class_folders, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        part, note = shelved(class_folders, tmp_path / "c", mode="auto")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert "no space left" in note
    assert len(part.pictures) == 24
    assert [p for p in (tmp_path / "c").rglob("*") if p.is_file() and not p.name.startswith(".")] == []


def test_what_is_kept_where(class_folders, tmp_path):
    samples, arrays = part_of(class_folders), open_source("digits").parts["all"]
    assert choose(samples, PICTURE, Storage("auto", tmp_path, GIB)) == "disk"
    assert choose(samples, PICTURE, Storage("auto", tmp_path, 1000)) == "stream"
    assert choose(samples, PICTURE, Storage("memory", tmp_path, GIB)) == "memory"
    assert choose(arrays, PICTURE, Storage("stream", tmp_path, GIB)) == "memory"  # they lie there already


BUILD = """
    import sys
    from pathlib import Path
    from striate.data.picture import Picture
    from striate.data.source import open_source
    from striate.data.storage import Keeper, Storage, load
    root, cache = sys.argv[1:]
    samples = open_source(root).parts["all"]
    print("start", flush=True)
    storage = Storage("disk", Path(cache), 1 << 30)
    load(samples, Picture(3, 160, 160), Keeper(storage, root), lambda: print(".", end="", flush=True))
    print("done", flush=True)
"""


def build(root: Path, cache: Path) -> subprocess.Popen:
    command = [sys.executable, "-c", textwrap.dedent(BUILD), str(root), str(cache)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def many(tmp_path, draw_picture):
    root = tmp_path / "many"
    for i in range(120):
        draw_picture(root / f"class{i % 2}" / f"{i}.png", seed=i, size=(200, 210))
    return root


def test_two_that_build_at_once_leave_one_copy(many, tmp_path):
    both = [build(many, tmp_path / "c") for _ in range(2)]
    for process in both:
        assert process.communicate(timeout=60)[0].endswith("done\n")
    rows = sum(path.stat().st_size for path in files(tmp_path / "c", "checks.bin")) // 4
    assert rows == 120


def test_a_builder_that_is_killed_leaves_nothing_that_counts(many, tmp_path):
    process = build(many, tmp_path / "c")
    assert process.stdout.read(16).startswith("start\n.")
    process.kill()
    process.communicate()
    picture = Picture(3, 160, 160)
    assert open_shelf(tmp_path / "c", str(many), picture, GIB).places == {}
    part, _ = load(part_of(many), picture, Keeper(Storage("disk", tmp_path / "c", GIB), str(many)), lambda: None)
    assert len(part.pictures) == 120
    assert not list((tmp_path / "c").glob("*/.segment*"))


def test_memory_stays_flat_however_many_pictures_are_decoded(many, tmp_path):
    """The pixels of 120 pictures of 160x160 are 9 MB; those under way are fewer than 100."""
    samples = part_of(many)
    wide = Samples(FileItems(samples.items.paths * 2), np.tile(samples.labels, 2), tuple(map(str, range(240))))
    part, _ = load(wide, PICTURE, Keeper(Storage("disk", tmp_path / "c", GIB), "twice"), lambda: None)
    assert len(part.pictures) == 240
    rows = sum(path.stat().st_size for path in files(tmp_path / "c", "checks.bin")) // 4
    assert rows == 120  # equal contents lie there once


def test_a_dataset_from_the_disk_is_that_from_memory(class_folders, tmp_path):
    from striate.data.dataset import Wanted

    found = []
    for mode in ("disk", "memory", "disk"):
        storage = Storage(mode, tmp_path / "c", GIB)
        wanted = Wanted(PICTURE, Picture(3, 9, 9), Shares(0.2, 0.2), 0, False, storage)
        data = prepare(open_source(str(class_folders)), wanted)
        found.append((data.fingerprint, data.train.images.numpy().tobytes(), data.test.images.numpy().tobytes()))
    assert found[0] == found[1] == found[2]


def test_the_splits_share_a_shelf_whose_rows_are_checked_once(class_folders, tmp_path, monkeypatch):
    from striate.data.dataset import Wanted

    wanted = Wanted(PICTURE, PICTURE, Shares(0.2, 0.2), 0, False, Storage("disk", tmp_path / "c", GIB))
    first = prepare(open_source(str(class_folders)), wanted)
    checked = []
    real = zlib.crc32
    monkeypatch.setattr("striate.data.shelf.zlib.crc32", lambda row: (checked.append(1), real(row))[1])
    again = prepare(open_source(str(class_folders)), wanted)
    assert len(checked) == 24
    assert again.fingerprint == first.fingerprint
