import io
import json
import os
import tarfile
import time

import numpy as np
import pytest
from PIL import Image

from striate.base.errors import DataError
from striate.data.decode import decoded
from striate.data.picture import Picture
from striate.data.shards import ShardFaultsError, open_shards
from striate.data.source import open_source, whole_location


def png(level: int = 0, size=(8, 6), mode: str = "RGB") -> bytes:
    stream = io.BytesIO()
    Image.new(mode, size, level if mode == "L" else (level, level, level)).save(stream, "PNG")
    return stream.getvalue()


def samples(*keys_and_labels: tuple[str, str]) -> list[tuple[str, bytes]]:
    """A picture and a .cls a sample; the level of the picture is the sample's number."""
    pairs = enumerate(keys_and_labels)
    return [m for i, (key, label) in pairs for m in ((f"{key}.png", png(i)), (f"{key}.cls", label.encode()))]


def named(source, part: str = "all") -> dict[str, str]:
    found = source.parts[part]
    return dict(zip(found.names, [source.classes[label] for label in found.labels], strict=True))


def faults(location, **options) -> dict[str, str]:
    with pytest.raises(ShardFaultsError) as caught:
        open_shards(location, **options)
    assert caught.value.exit_code == 3
    return {fault.path: fault.reason for fault in caught.value.faults}


def test_a_folder_of_shards_is_read_sample_by_sample(tmp_path, pack):
    pack(tmp_path / "b.tar", *samples(("x/3", "1"), ("x/4", "0")))
    pack(tmp_path / "a.tar", *samples(("1", "0"), ("2", "10")))
    source = open_source(str(tmp_path))
    assert (source.name, source.channels, source.size) == (tmp_path.name, 3, (6, 8))
    assert source.classes == ("0", "1", "10")
    assert named(source) == {"a.tar/1.png": "0", "a.tar/2.png": "10", "b.tar/x/3.png": "1", "b.tar/x/4.png": "0"}
    assert source.notes == ()
    part = source.parts["all"]
    levels = [int(decoded(part.items.content(i, "x"), Picture(1, 2, 2))[0, 0, 0]) for i in range(4)]
    assert levels == [0, 1, 0, 1]


def test_parts_lie_in_folders_or_in_names_and_classes_go_by_name(tmp_path, pack):
    for layout in ("{}/0.tar", "set-{}-000.tar"):
        root = tmp_path / layout[:1]
        pack(root / layout.format("train"), *samples(("1", "cat"), ("2", "ant")))
        pack(root / layout.format("val"), *samples(("3", "cat")))
        source = open_source(str(root))
        assert list(source.parts) == ["train", "validation"]
        assert source.classes == ("ant", "cat")
        assert source.parts["validation"].labels.tolist() == [1]
        assert source.notes == ("validation has no pictures of 'ant'",)
        pack(root / layout.format("val"), *samples(("3", "dog")))
        with pytest.raises(DataError, match="got 'dog', which training lacks"):
            open_source(str(root))


def test_one_file_and_a_pattern_are_read(tmp_path, monkeypatch, pack):
    for i in range(3):
        pack(tmp_path / f"train-{i:03}.tar", *samples((f"{i}a", "0"), (f"{i}b", "1")))
    assert len(open_source(str(tmp_path / "train-001.tar")).parts["all"]) == 2
    monkeypatch.chdir(tmp_path)
    source = open_source("train-{000..001}.tar")
    assert (source.name, len(source.parts["all"])) == ("train", 4)
    assert whole_location("train-{000..001}.tar") == str(tmp_path / "train-{000..001}.tar")
    with pytest.raises(DataError, match=r"got 1 of 4 that are not, first .*train-003\.tar"):
        open_source("train-{000..003}.tar")


def test_labels_are_numbers_texts_or_json(tmp_path, pack):
    pack(
        tmp_path / "a.tar",
        ("1.jpg", b"-"), ("1.cls", b"007\n"),
        ("2.JPEG", b"-"), ("2.json", b'{"label": 7, "caption": "x"}'),
        ("3.webp", b"-"), ("3.json", b'{"class": "tabby cat"}'),
        ("4.ppm", b"-"), ("4.txt", b"\xef\xbb\xbf tabby cat \n"),
        ("5.png", b"-"), ("5.json", b'{"caption": "a cat"}'), ("5.cls", b"12"), ("5.txt", b"a cat"),
        ("6.png", b"-"), ("6.json", b'{"cls": "12"}'), ("6.txt", b"a cat"),
        ("7.png", b"-"), ("7.json", b"[1]"), ("7.txt", b"tabby cat"),
    )  # fmt: skip
    source = open_shards(tmp_path)
    assert source.classes == ("12", "7", "tabby cat")
    assert list(named(source).values()) == ["7", "7", "tabby cat", "tabby cat", "12", "12", "tabby cat"]


def test_classes_txt_names_the_numbers(tmp_path, pack):
    pack(tmp_path / "train" / "a.tar", *samples(("1", "1"), ("2", "0"), ("3", "tench")))
    (tmp_path / "classes.txt").write_text("goldfish\ntench\nunused\n\n")
    assert list(named(open_shards(tmp_path), "train").values()) == ["tench", "goldfish", "tench"]
    for content, text in (
        ("goldfish\n", r"every label must be one of its 1 classes, got (1|'tench')\.\n  Fix: line n of classes\.txt"),
        ("a\ntench\na\n", r"must be different, one a line, got 'a' 2 times"),
        ("a\n\ntench\n", r"must be different, one a line, got an empty line"),
    ):
        (tmp_path / "classes.txt").write_text(content)
        with pytest.raises(DataError, match=text):
            open_shards(tmp_path)
    (tmp_path / "classes.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match=r"names of the classes must be readable"):
        open_shards(tmp_path)


def test_the_files_of_a_sample_may_lie_apart_and_dots_of_folders_do_not_count(tmp_path, pack):
    pack(tmp_path / "a.tar", ("./v1.0/1.png", b"-"), ("./v1.0/2.png", b"-"), ("v1.0/2.cls", b"0"), ("v1.0/1.cls", b"1"))
    assert named(open_shards(tmp_path)) == {"a.tar/v1.0/1.png": "1", "a.tar/v1.0/2.png": "0"}


def test_every_fault_of_every_shard_is_told_with_shard_and_member(tmp_path, pack):
    good = samples(("1", "0"), ("2", "1"))
    pack(
        tmp_path / "a.tar", *good,
        ("3.png", b"-"),
        ("4.cls", b"1"),
        ("5.png", b"-"), ("5.jpg", b"-"), ("5.cls", b"1"),
        ("6.1.png", b"-"), ("6.1.cls", b"0"),
        ("1.cls", b"1"),
        ("7.png", b"-"), ("7.cls", b"-1"),
        ("8.png", b"-"), ("8.cls", b"0\n1"),
        ("9.png", b"-"), ("9.cls", b"x" * 2000),
        ("10.png", b"-"), ("10.json", b'{"label": 1, "class": "b"}'),
        ("11.png", b"-"), ("11.json", b'{"label": [1, 0]}'),
        ("12.png", b"-"), ("12.json", b'{"label": true}'),
        ("13.png", b"-"), ("13.json", b"[" * 100_000),
        ("14.png", b"-"), ("14.cls", b"\xff"),
    )  # fmt: skip
    whole = pack(tmp_path / "b.tar", *good).read_bytes()
    (tmp_path / "b.tar").write_bytes(whole[: 3 * 512 + 1024 + 20])
    (tmp_path / "c.tar").write_bytes(b"")
    (tmp_path / "d.tar").write_bytes(b"this is no archive" * 100)
    (tmp_path / "e.tar").symlink_to("a.tar")
    found = faults(tmp_path)
    assert found == {
        "a.tar/3.png": "no label: cls, json with label, class, cls, or txt; only png",
        "a.tar/4": "no picture, only cls",
        "a.tar/5": "2 pictures (jpg, png)",
        "a.tar/6": "no picture, only 1.cls, 1.png; a key ends at the first dot of the file's name",
        "a.tar/1.cls": "twice in the shard: the field 'cls' of this sample",
        "a.tar/7.png": "its label -1 is below 0",
        "a.tar/8.png": r"its label, the field 'cls', is not one line of text ('0\n1')",
        "a.tar/9.png": "its label, the field 'cls', is of 2000 bytes, limit 1024",
        "a.tar/10.png": "its json has several labels: label=1, class='b'",
        "a.tar/11.png": "its json has label=[1, 0], not a whole number or a text",
        "a.tar/12.png": "its json has label=True, not a whole number or a text",
        "a.tar/13.png": "its json is damaged",
        "a.tar/14.png": r"its label, the field 'cls', is not UTF-8 (b'\xff')",
        "b.tar/2.png": f"its {len(png(1))} bytes from byte 2560 on go past the end of the shard (2580 bytes)",
        "c.tar": "empty file",
        "d.tar": "no tar header at byte 0 (its checksum is wrong)",
    }
    source = open_shards(tmp_path, skip_bad=True)
    assert list(named(source)) == ["a.tar/1.png", "a.tar/2.png", "b.tar/1.png"]
    assert source.notes[:2] == (
        "1 links are not followed, first e.tar",
        "16 faults in shards; what they concern is left out, first a.tar/1.cls: twice in the shard: "
        "the field 'cls' of this sample",
    )


def test_what_is_not_used_is_told(tmp_path, pack):
    path = pack(
        tmp_path / "a.tar",
        *samples(("1", "0"), ("2", "1")),
        ("1.seg.png", b"-"),
        ("2.emb.npy", b"-"),
        ("README", b"-"),
        (".hidden.png", b"-"),
        ("../up.png", png()),
        ("../up.cls", b"1"),
    )
    with tarfile.open(path, "a") as archive:
        link = tarfile.TarInfo("3.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    pack(tmp_path / "b.tar")
    pack(tmp_path / "c.tar", *samples(("1", "0")))
    source = open_shards(tmp_path)
    assert list(named(source)) == ["a.tar/1.png", "a.tar/2.png", "a.tar/../up.png", "c.tar/1.png"]
    assert source.notes == (
        "b.tar holds no samples",
        "2 members are hidden or lack a dot in their name, and are not used",
        "2 members are named absolutely or with '..', which is only a name here",
        "1 members are no plain files (link) and not used",
        "2 members are of other fields than picture and label, and not used",
        "1 keys are in several shards, first '1'",
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tar", "b.tar", "c.tar"]
    assert not (tmp_path.parent / "up.png").exists()


def test_numpy_pictures_are_taken_where_there_is_no_file(tmp_path, pack):
    stream = io.BytesIO()
    np.save(stream, np.full((6, 8), 77, np.uint8))
    array = stream.getvalue()
    pack(tmp_path / "a.tar", ("1.npy", array), ("1.cls", b"0"), ("2.npy", array), ("2.cls", b"1"))
    source = open_shards(tmp_path)
    assert (source.channels, source.size) == (1, (6, 8))
    assert (decoded(source.parts["all"].items.content(1, "x"), Picture(1, 6, 8)) == 77).all()


def test_compressed_shards_are_refused_with_the_way_round(tmp_path):
    for name in ("a.tar.gz", "b.tgz"):
        with tarfile.open(tmp_path / name, "w:gz") as archive:
            archive.addfile(tarfile.TarInfo("x"))
        for location in (tmp_path / name, tmp_path):
            with pytest.raises(DataError, match=r"must be plain \.tar files, got .*\n  Fix: make plain \.tar shards"):
                open_source(str(location))
    os.rename(tmp_path / "a.tar.gz", tmp_path / "a.tar")
    assert "compressed (gzip)" in faults(tmp_path / "a.tar")["a.tar"]


def test_channels_and_size_are_told_from_pictures_all_over_a_large_set(tmp_path, monkeypatch, pack):
    monkeypatch.setattr("striate.data.shards.LOOKED_AT", 10)
    grey = [
        (f"{i}.{field}", png(i, mode="L") if field == "png" else b"%d" % (i % 2))
        for i in range(40)
        for field in ("png", "cls")
    ]
    pack(tmp_path / "a.tar", *grey)
    source = open_shards(tmp_path)
    assert (source.channels, source.size) == (1, (6, 8))
    assert source.notes == ("channels, kind and size are those of every 4th picture; others are brought to them",)
    pack(tmp_path / "b.tar", *[(name, png(1, (9, 9)) if name.endswith("png") else label) for name, label in grey])
    source = open_shards(tmp_path)
    assert (source.channels, source.size) == (3, None)


def test_an_index_is_kept_and_made_anew_when_the_shard_changes(tmp_path, monkeypatch, pack):
    data, cache = tmp_path / "data", tmp_path / "cache" / "shards"
    path = pack(data / "a.tar", *samples(("1", "0"), ("2", "b")), ("3.seg.png", b"-"))
    first = open_shards(data, cache=cache, skip_bad=True)  # 3 lacks a picture: nothing faulty is kept
    assert list(cache.iterdir()) == []
    pack(path, *samples(("1", "0"), ("2", "b")), (".x", b"-"))
    first = open_shards(data, cache=cache)
    (kept,) = cache.iterdir()
    with monkeypatch.context() as patched:
        patched.setattr("striate.data.shard_cache.index_shard", None)  # it is not called
        again = open_shards(data, cache=cache)
    assert (again.classes, again.notes, named(again)) == (first.classes, first.notes, named(first))
    a, b = first.parts["all"].items, again.parts["all"].items
    assert a.shards == b.shards
    assert (a.offsets.tolist(), a.sizes.tolist()) == (b.offsets.tolist(), b.sizes.tolist())
    kept.write_text(kept.read_text().replace("1.png", "7.png"))  # damaged: as if it were not there
    assert named(open_shards(data, cache=cache)) == named(first)
    time.sleep(0.01)
    pack(path, *samples(("1", "0"), ("5", "b")), (".x", b"-"))
    assert list(named(open_shards(data, cache=cache))) == ["a.tar/1.png", "a.tar/5.png"]
    assert len(list(cache.iterdir())) == 2
    assert all(json.loads(kept.read_text().partition("\n")[2]) for kept in cache.iterdir())


def test_no_file_of_the_user_is_touched(tmp_path, tree_hash, pack):
    pack(tmp_path / "a.tar", *samples(("1", "0"), ("2", "1")))
    before = tree_hash(tmp_path)
    open_source(str(tmp_path))
    assert tree_hash(tmp_path) == before
