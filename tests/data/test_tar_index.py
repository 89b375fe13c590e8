import contextlib
import io
import os
import subprocess
import tarfile
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.data.tar_index import Member, TarDamage, TarWalk

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def pack(path, members, kind=tarfile.PAX_FORMAT):
    with tarfile.open(path, "w", format=kind) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(content), 1.5  # a fraction: pax records before every member
            archive.addfile(info, io.BytesIO(content))
    return path


def walked(path):
    with TarWalk(path) as walk:
        return [(m, walk.read(m.offset, m.size) if m.kind == "file" else b"") for m in walk.members()]


def damage(path):
    """What is met, and how many members come before."""
    found = []
    with TarWalk(path) as walk, pytest.raises(TarDamage) as caught:
        found.extend(walk.members())
    return len(found), caught.value


names = st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters="/\\"), min_size=1, max_size=60)
paths = st.lists(names, min_size=1, max_size=4).map("/".join).filter(lambda p: p.strip("./"))


@settings(max_examples=60, deadline=None)
@given(
    members=st.lists(st.tuples(paths, st.binary(max_size=1500)), max_size=6),
    kind=st.sampled_from(["gnu", "pax"]),
)
def test_names_places_and_contents_are_those_that_tarfile_finds(tmp_path_factory, members, kind):
    path = pack(tmp_path_factory.mktemp("tar") / "x.tar", members, FORMATS[kind])
    with tarfile.open(path) as archive:
        expected = [(info.name, info.offset_data, archive.extractfile(info).read()) for info in archive]
    found = [(m.name, m.offset, content) for m, content in walked(path)]
    clean = [(name[2:] if name.startswith("./") else name, *rest) for name, *rest in expected]
    assert found == clean


@pytest.mark.parametrize("kind", FORMATS)
def test_a_long_path_is_read_in_every_format(tmp_path, kind):
    name = "d" * 90 + "/" + "f" * 60 + ".jpg"
    ((member, content),) = walked(pack(tmp_path / "x.tar", [(name, b"abc")], FORMATS[kind]))
    assert (member.name, content) == (name, b"abc")


def test_an_archive_of_the_tar_command_is_read(tmp_path):
    (tmp_path / "in" / "a").mkdir(parents=True)
    (tmp_path / "in" / "a" / "1.jpg").write_bytes(b"picture")
    (tmp_path / "in" / "a" / "1.cls").write_bytes(b"7")
    os.symlink("1.jpg", tmp_path / "in" / "a" / "2.jpg")
    os.mkfifo(tmp_path / "in" / "a" / "3.jpg")
    subprocess.run(["tar", "--sort=name", "-cf", tmp_path / "x.tar", "-C", tmp_path / "in", "."], check=True)
    found = [(m.name, m.kind, content) for m, content in walked(tmp_path / "x.tar")]
    assert found == [
        ("", "folder", b""),
        ("a/", "folder", b""),
        ("a/1.cls", "file", b"7"),
        ("a/1.jpg", "file", b"picture"),
        ("a/2.jpg", "link", b""),
        ("a/3.jpg", "fifo", b""),
    ]


@pytest.mark.parametrize("kind", ["gnu", "pax"])
def test_sparse_members_are_told_and_passed(tmp_path, kind):
    with (tmp_path / "holes.jpg").open("wb") as file:
        for place in range(0, 40 * 2**17, 2**17):  # more pieces than the map in the header holds
            file.seek(place)
            file.write(b"x" * 4096)
    (tmp_path / "z.cls").write_bytes(b"3")
    made = subprocess.run(
        ["tar", f"--format={kind}", "-S", "-cf", "x.tar", "holes.jpg", "z.cls"], cwd=tmp_path, check=False
    )
    assert made.returncode == 0
    found = [(m.kind, content) for m, content in walked(tmp_path / "x.tar")]
    if found[0][0] == "file":
        pytest.skip("this file system keeps no holes")
    assert found == [("sparse", b""), ("file", b"3")]


def test_a_huge_size_is_read_from_pax_and_from_binary_numbers(tmp_path):
    for kind in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        info = tarfile.TarInfo("big.jpg")
        info.size = 9 * 2**30
        header = info.tobuf(kind)
        path = tmp_path / "x.tar"
        with path.open("wb") as file:
            file.write(header)
            file.truncate(len(header) + info.size + 1024)
        ((member, _),) = [(m, m.size) for m in TarWalk(path).__enter__().members()]
        assert member == Member("big.jpg", len(header), 9 * 2**30)


def test_names_are_shown_on_one_line_and_read_as_they_are(tmp_path):
    path = tmp_path / "x.tar"
    names = [
        "./a.jpg",
        "/etc/passwd.jpg",
        "../../up.jpg",
        "two\nlines.jpg",
        "\x1b[31mred.jpg",
        "sp ace'\".jpg",
        "ä.jpg",
    ]
    pack(path, [(name, b"x") for name in names])
    with tarfile.open(path, "a", format=tarfile.GNU_FORMAT, encoding="latin-1") as archive:
        archive.addfile(tarfile.TarInfo("ü.jpg"))
    shown = ["a.jpg", "/etc/passwd.jpg", "../../up.jpg", r"two\nlines.jpg", r"\x1b[31mred.jpg", "sp ace'\".jpg"]
    assert [m.name for m, _ in walked(path)] == [*shown, "ä.jpg", r"\xfc.jpg"]


@pytest.mark.parametrize("cut", [1, 100, 511, 513, 700, 1023])
def test_an_archive_cut_short_says_where(tmp_path, cut):
    whole = pack(tmp_path / "w.tar", [("a.jpg", b"a" * 600), ("b.jpg", b"b" * 600)], tarfile.USTAR_FORMAT).read_bytes()
    path = tmp_path / "x.tar"
    path.write_bytes(whole[: 1536 + cut])
    count, error = damage(path)
    assert (count, error.kind) == (1, "truncated")
    if cut < 512:
        assert "ends within the header at byte 1536" in error.reason
    else:
        assert (error.member, error.reason) == (
            "b.jpg",
            f"its 600 bytes from byte 2048 on go past the end of the shard ({1536 + cut} bytes)",
        )


def test_an_archive_cut_between_members_lacks_its_end_mark(tmp_path):
    whole = pack(tmp_path / "x.tar", [("a.jpg", b"a" * 600)], tarfile.USTAR_FORMAT).read_bytes()
    (tmp_path / "x.tar").write_bytes(whole[:1536])
    with TarWalk(tmp_path / "x.tar") as walk:
        assert [m.name for m in walk.members()] == ["a.jpg"]
        assert not walk.ended


def replaced(path, at, new):
    content = bytearray(path.read_bytes())
    content[at : at + len(new)] = new
    path.write_bytes(content)
    return path


def resigned(path, at):
    """Make the checksum of the header at a byte right again."""
    block = bytearray(path.read_bytes()[at : at + 512])
    block[148:156] = b" " * 8
    return replaced(path, at + 148, b"%06o\0 " % sum(block))


@pytest.fixture
def two(tmp_path):
    return pack(tmp_path / "x.tar", [("a.jpg", b"a" * 600), ("b.jpg", b"b" * 600)], tarfile.USTAR_FORMAT)


def test_a_header_with_a_flipped_bit_is_refused(two):
    count, error = damage(replaced(two, 1536 + 3, b"X"))
    assert (count, error.reason) == (1, "no tar header at byte 1536 (its checksum is wrong)")


def test_garbage_between_members_is_refused(two):
    content = two.read_bytes()
    two.write_bytes(content[:1536] + b"\x7fELF" * 128 + content[1536:])
    assert damage(two)[1].reason == "no tar header at byte 1536 (its checksum is wrong)"


@pytest.mark.parametrize("field", [b"-0000000017\0", b"12345678901\0", b"0x\0", b"\xff" * 12, b"7_7\0"])
def test_a_size_that_is_none_is_refused(two, field):
    count, error = damage(resigned(replaced(two, 124, field), 0))
    assert (count, error.kind) in {(0, "damaged"), (0, "truncated")}


def test_what_follows_the_end_is_refused_but_for_filling(two):
    content = two.read_bytes()
    two.write_bytes(content + bytes(10240))
    assert len(walked(two)) == 2
    two.write_bytes(content + content)  # cat a.tar b.tar
    count, error = damage(two)
    assert count == 2
    assert "more follows the end mark at byte 3072; were two archives joined?" in error.reason
    with two.open("ab") as file:
        file.truncate(2**40)  # zeros without end, that are not on the disk
    started = time.process_time()
    assert "bytes follow the end mark" in damage(two)[1].reason
    assert time.process_time() - started < 1


def test_extra_headers_are_bounded_and_checked(tmp_path):
    for mark in (b"x", b"L"):
        path = pack(tmp_path / "x.tar", [("a.jpg", b"1" * 600)], tarfile.USTAR_FORMAT)
        resigned(replaced(replaced(path, 156, mark), 124, b"77777777777\0"), 0)
        assert "8589934591 bytes of extra header at byte 512, limit" in damage(path)[1].reason
    for records in (b"99 path=a\n", b"path=a\n", b"0 a=b\n", b"8 path=ab", b"\0" * 9):
        path = pack(tmp_path / "x.tar", [("a.jpg", records)], tarfile.USTAR_FORMAT)
        resigned(replaced(path, 156, b"x"), 0)
        assert damage(path)[1].reason == "unreadable pax records at byte 512", records
    replaced(path, 512, b"9 path=a\n")
    assert "ends at byte 1024 before the member" in damage(path)[1].reason


def test_a_pax_size_that_is_none_is_refused(tmp_path):
    for size in (b"-1", b"abc", b"9" * 30):
        record = b"size=" + size + b"\n"
        record = b"%d " % (len(record) + 3) + record
        path = pack(tmp_path / "x.tar", [("x", record), ("b.jpg", b"b")], tarfile.USTAR_FORMAT)
        resigned(replaced(path, 156, b"x"), 0)
        assert damage(path)[1].reason == "the pax records before byte 1024 announce no size"


@pytest.mark.parametrize(("mode", "name"), [("w:gz", "gzip"), ("w:bz2", "bzip2"), ("w:xz", "xz")])
def test_a_compressed_archive_is_told_from_its_first_bytes(tmp_path, mode, name):
    with tarfile.open(tmp_path / "x.tar", mode) as archive:
        archive.addfile(tarfile.TarInfo("a.jpg"))
    assert f"compressed ({name}): its members cannot be read one by one" in damage(tmp_path / "x.tar")[1].reason


def test_a_fifo_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "x.tar")
    with pytest.raises(TarDamage, match="not a regular file"):
        TarWalk(tmp_path / "x.tar")


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_bytes_make_it_fail_otherwise(tmp_path_factory, data):
    path = pack(tmp_path_factory.mktemp("tar") / "x.tar", [("a.jpg", b"a" * 600), ("ä" * 120, b"b")])
    content = bytearray(path.read_bytes()[:5120])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
        if data.draw(st.booleans()):  # let the checksum agree, so that the rest is looked at
            start = at // 512 * 512
            content[start + 148 : start + 156] = b" " * 8
            content[start + 148 : start + 156] = b"%06o\0 " % sum(content[start : start + 512])
    path.write_bytes(content)
    with TarWalk(path) as walk, contextlib.suppress(TarDamage):
        for member in walk.members():
            assert member.kind != "file" or member.offset + member.size <= walk.size
