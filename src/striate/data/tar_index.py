"""Where the members of a tar archive lie: its headers are read one after the other, what they announce is skipped.

    header (512 bytes: name, size, checksum, type), content rounded up to 512 bytes, header, …, 1024 zero bytes

POSIX.1-2001 pax with ustar, and GNU long names.  The standard library's tarfile reads the same and is the reference of
the tests; a set of a million samples has several million headers, for which it takes minutes.
"""

import os
import stat
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BLOCK = 512
_ZEROS = bytes(BLOCK)
_PIECE = 4096  # bytes read at a header: a small label and the header behind it come with it
_MOST_EXTRA = 2**20  # bytes of a long name or of pax records: more is an attempt to take all memory
_MOST_PADDING = 2**20  # bytes behind the end mark: tar fills its last record, of 10 KiB by default
_PLAIN = (b"0", b"\0", b"7")
_KINDS = {b"1": "link", b"2": "link", b"3": "device", b"4": "device", b"5": "folder", b"6": "fifo"}  # no content
_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZ": "bzip2", b"\xfd7": "xz", b"\x28\xb5": "zstandard"}


@dataclass(frozen=True, slots=True)
class Member:
    """One entry of an archive.

    Args:
        name: as it stands there, without a leading "./"; bytes that are no UTF-8 are escaped.
        offset: of its content, in bytes from the start of the archive.
        size: of its content, in bytes.
        kind: "file", or what is no plain file: folder, link, device, fifo, sparse, other.
    """

    name: str
    offset: int
    size: int
    kind: str = "file"


class TarDamage(Exception):  # noqa: N818 - as `DecodeFault`
    """An archive that cannot be read on; the members before are sound.

    Args:
        kind: truncated, damaged, empty, format, as in `Fault`.
        reason: a short text for people, with the place.
        member: whose content is affected, "" where that is unknown.
    """

    def __init__(self, kind: str, reason: str, member: str = "") -> None:
        super().__init__(reason)
        self.kind, self.reason, self.member = kind, reason, member


class TarWalk:
    """An archive opened to be walked through once.

    Args:
        path: a regular file.

    Raises:
        OSError: it cannot be opened.
        TarDamage: it is no regular file.
    """

    def __init__(self, path: Path) -> None:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):  # a fifo would wait for ever to be opened
            raise TarDamage("not-a-file", "not a regular file")
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        status = os.fstat(self._file)
        self.size, self.mtime_ns = status.st_size, status.st_mtime_ns
        self.ended = False  # whether the end mark has been met
        self._start, self._piece = 0, b""
        if hasattr(os, "posix_fadvise"):  # or the disk would read ahead what is skipped
            os.posix_fadvise(self._file, 0, 0, os.POSIX_FADV_RANDOM)

    def __enter__(self) -> "TarWalk":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def read(self, offset: int, size: int) -> bytes:
        """Bytes from a place on, fewer where the file ends."""
        begin = offset - self._start
        if begin < 0 or begin + size > len(self._piece):
            self._start, begin = offset, 0
            self._piece = os.pread(self._file, max(size, _PIECE), offset)
        return self._piece[begin : begin + size]

    def members(self) -> Iterator[Member]:
        """All entries in their order.

        Raises:
            TarDamage: after the last one that can be trusted.
        """
        at = 0
        extra: dict[bytes, bytes] = {}  # what pax records and GNU headers say of the next member
        self._check_start()
        common: dict[bytes, bytes] = {}  # pax records for all that follow
        while at < self.size:
            block = self.read(at, BLOCK)
            if len(block) < BLOCK:
                raise TarDamage("truncated", f"ends within the header at byte {at}")
            if block == _ZEROS:
                self._check_end(at)
                self.ended = True
                break
            size, mark = self._checked(block, at), block[156:157]
            if mark in (b"x", b"g", b"L", b"K"):
                found = self._extra(mark, at + BLOCK, size)
                (common if mark == b"g" else extra).update(found)
                at += BLOCK + _rounded(size)
                continue
            member = self._member(block, at, size, {**common, **extra} if common else extra)
            yield member
            at, extra = member.offset + _rounded(0 if member.kind in _KINDS.values() else member.size), {}
        if extra:
            raise TarDamage("truncated", f"ends at byte {at} before the member that its last header announces")

    def _check_start(self) -> None:
        if self.size == 0:
            raise TarDamage("empty", "empty file")
        packer = _COMPRESSED.get(self.read(0, 2))
        if packer and not _sound(self.read(0, BLOCK)):
            raise TarDamage("format", f"compressed ({packer}): its members cannot be read one by one; unpack it first")

    def _checked(self, block: bytes, at: int) -> int:
        """The size that a header announces."""
        if not _sound(block):
            raise TarDamage("damaged", f"no tar header at byte {at} (its checksum is wrong)")
        size = _number(block[124:136])
        if size is None:
            raise TarDamage("damaged", f"the header at byte {at} announces no size")
        return size

    def _extra(self, mark: bytes, at: int, size: int) -> dict[bytes, bytes]:
        """Pax records, or a GNU long name as one."""
        if size > _MOST_EXTRA:
            raise TarDamage("damaged", f"{size} bytes of extra header at byte {at}, limit {_MOST_EXTRA}")
        content = self.read(at, size)
        if len(content) < size:
            raise TarDamage("truncated", f"ends within the extra header at byte {at}")
        if mark in (b"L", b"K"):
            return {b"path": content.split(b"\0", 1)[0]} if mark == b"L" else {}
        records = _pax(content)
        if records is None:
            raise TarDamage("damaged", f"unreadable pax records at byte {at}")
        return records

    def _member(self, block: bytes, at: int, size: int, extra: dict[bytes, bytes]) -> Member:
        raw = extra.get(b"path") or _name(block)
        name = _shown(raw)
        mark, offset = block[156:157], at + BLOCK
        if b"size" in extra:
            if not extra[b"size"].isdigit() or len(extra[b"size"]) > 19:
                raise TarDamage("damaged", f"the pax records before byte {at} announce no size", name)
            size = int(extra[b"size"])
        kind = "file" if mark in _PLAIN else _KINDS.get(mark, "other")
        if kind == "file" and raw.endswith(b"/"):
            kind = "folder"  # as archives wrote it before 1988
        if extra and any(key.startswith(b"GNU.sparse.") for key in extra):
            kind = "sparse"
        if mark == b"S":
            kind, offset = "sparse", self._past_map(block, offset)
        if kind not in _KINDS.values() and offset + size > self.size:
            reason = f"its {size} bytes from byte {offset} on go past the end of the shard ({self.size} bytes)"
            raise TarDamage("truncated", reason, name)
        return Member(name, offset, size, kind)

    def _past_map(self, block: bytes, at: int) -> int:
        """Where the content of a GNU sparse member begins: behind the rest of its map."""
        more = block[482]
        while more and at < self.size:
            following = self.read(at, BLOCK)
            more = following[504] if len(following) == BLOCK else 0
            at += BLOCK
        return at

    def _check_end(self, at: int) -> None:
        """Behind the end mark there is nothing but filling."""
        rest = self.size - at
        if rest > _MOST_PADDING:
            raise TarDamage("damaged", f"{rest} bytes follow the end mark at byte {at}")
        filling = self.read(at, rest)
        if filling.count(0) < rest:
            raise TarDamage("damaged", f"more follows the end mark at byte {at}; were two archives joined?")


def _sound(block: bytes) -> bool:
    """Whether the checksum is right: the sum of the header's bytes, its own eight counted as spaces."""
    stored = _number(block[148:156])
    if stored is None or len(block) < BLOCK:
        return False
    blanked = block[:148] + b" " * 8 + block[156:]
    if zlib.adler32(blanked) & 0xFFFF == (1 + stored) % 65521:  # its lower half is 1 + the sum: 40 times as fast
        return True
    return stored == sum(byte - 256 * (byte > 127) for byte in blanked)  # as some old programs added


def _number(field: bytes) -> int | None:
    """An octal number, or GNU's binary one for what does not fit; None for neither."""
    if field[:1] >= b"\x80":
        return int.from_bytes(field[1:], "big") if field[0] == 0x80 else None
    text = field.strip(b" \0")
    try:
        return int(text, 8) if text.isdigit() else None if text else 0
    except ValueError:
        return None


def _name(block: bytes) -> bytes:
    name = block[:100].split(b"\0", 1)[0]
    if block[257:263] == b"ustar\0" and block[345]:
        return block[345:500].split(b"\0", 1)[0] + b"/" + name
    return name


def _pax(content: bytes) -> dict[bytes, bytes] | None:
    """Records of the form "length keyword=value" with a line's end; the length counts itself."""
    records = {}
    at = 0
    while at < len(content):
        digits = content[at : at + 20].split(b" ", 1)[0]
        length = int(digits) if digits.isdigit() else 0
        record = content[at + len(digits) + 1 : at + length]
        keyword, equals, value = record.partition(b"=")
        if not equals or at + length > len(content) or not value.endswith(b"\n"):
            return None
        records[keyword] = value[:-1]
        at += length
    return records


def _shown(raw: bytes) -> str:
    """A name that can be printed on one line."""
    name = raw.decode("utf-8", "backslashreplace")
    while name.startswith("./"):
        name = name[2:].lstrip("/")
    if name.isprintable():
        return name
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def _rounded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK
