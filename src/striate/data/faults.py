"""Files that are no picture we can take, and the bytes of those that may be."""

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

Stream = io.BytesIO | io.BufferedReader
MAX_BYTES = 256 * 2**20  # of a file, and of an array unpacked
MAX_PIXELS = 64_000_000
MAX_SIDE = 32_768  # pixels


@dataclass(frozen=True, slots=True)
class Fault:
    """A file that is not a picture we can take.

    Args:
        path: the file, as the caller named it.
        kind: a short word for programs: missing, permission, not-a-file, empty, format, not-a-picture, truncated,
            damaged, too-large, pixels.
        reason: a short text for people.
    """

    path: str
    kind: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class DecodeFault(Exception):  # noqa: N818 - the project's word for what `Fault` lists
    """A picture that cannot be decoded; `fault` holds the path, the kind and the reason."""

    def __init__(self, path: str, kind: str, reason: str) -> None:
        self.fault = Fault(path, kind, reason)
        self.path, self.kind, self.reason = path, kind, reason
        super().__init__(str(self.fault))

    def __reduce__(self) -> tuple[type["DecodeFault"], tuple[str, str, str]]:
        return DecodeFault, (self.path, self.kind, self.reason)


def read_file(path: Path, name: str | None = None) -> bytes:
    """The bytes of a regular file of at most MAX_BYTES; devices, fifos and folders are never opened.

    Raises:
        DecodeFault: missing, permission, not-a-file, too-large.
    """
    with opened(path, name if name is not None else str(path)) as file:
        return file.read()


@contextmanager
def opened(path: Path, name: str) -> Iterator[io.BufferedReader]:
    """The file, open, under the conditions of `read_file`."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise DecodeFault(name, "not-a-file", f"not a regular file ({_kind_of_file(status.st_mode)})")
        check_bytes(status.st_size, name)
        with path.open("rb") as file:
            yield file
    except PermissionError as error:
        raise DecodeFault(name, "permission", "no permission") from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DecodeFault(name, "missing", "no such file") from error
    except OSError as error:
        raise DecodeFault(name, "damaged", f"cannot be read ({brief(error)})") from error


def check_bytes(count: int, name: str) -> None:
    """Refuse more bytes than MAX_BYTES."""
    if count > MAX_BYTES:
        raise DecodeFault(name, "too-large", f"too large: {_mib(count)} MiB, limit {_mib(MAX_BYTES)}")


def check_size(width: int, height: int, name: str) -> None:
    """Refuse what no picture may be, before a pixel of it is unpacked."""
    if width < 1 or height < 1:
        raise DecodeFault(name, "damaged", f"damaged: {width}x{height} pixels")
    if max(width, height) > MAX_SIDE:
        raise DecodeFault(name, "too-large", f"too large: {width}x{height} pixels, limit {MAX_SIDE} a side")
    if width * height > MAX_PIXELS:
        megapixels = round(width * height / 1e6)
        raise DecodeFault(name, "too-large", f"too large: {megapixels} Mpixel, limit {MAX_PIXELS // 1_000_000}")


def damaged(name: str, error: Exception, reason: str) -> DecodeFault:
    """What a decoder's own error comes to."""
    if "truncated" in str(error).lower() or isinstance(error, EOFError):
        return DecodeFault(name, "truncated", "truncated")
    return DecodeFault(name, "damaged", reason)


def brief(error: Exception) -> str:
    """An error's text, or its name where it has none."""
    return (str(error) or type(error).__name__)[:200]


def _kind_of_file(mode: int) -> str:
    tests = {"folder": stat.S_ISDIR, "fifo": stat.S_ISFIFO, "socket": stat.S_ISSOCK}
    return next((kind for kind, test in tests.items() if test(mode)), "device")


def _mib(count: int) -> int:
    return round(count / 2**20)
