"""NumPy's files from strangers: nothing is unpickled, and a false header reserves no memory."""

import math
import os
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from striate.base.errors import DataError

_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    RuntimeError,
    NotImplementedError,
)  # the last two: encrypted, unknown method
_DENSEST = 1032  # bytes that one byte of deflate can stand for, at most
_SAVE = "write it with np.savez(file, x=pictures, y=class_numbers)"


def load_archive(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an .npz.

    Raises:
        DataError: damaged, Python objects in it, a member that does not hold what its header announces.
    """
    with _errors(path, "a whole .npz archive", _SAVE), path.open("rb") as file:  # NumPy leaves a damaged file open
        if file.read(2) != b"PK":
            raise zipfile.BadZipFile("another kind of file")
        file.seek(0)
        with zipfile.ZipFile(file) as archive:
            for info in archive.infolist():
                _check_member(archive, info)
        file.seek(0)
        with np.load(file, allow_pickle=False) as arrays:
            return {key: arrays[key] for key in arrays.files}


def map_array(path: Path) -> np.ndarray:
    """An .npy mapped into memory: it is read where it is looked at.

    Raises:
        DataError: damaged, Python objects in it, longer or shorter than its header announces.
    """
    with _errors(path, "a whole .npy file", "write it with np.save(file, array)"):
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ValueError("not a regular file")
        with path.open("rb") as file:
            _check_header(file, path.stat().st_size)
        return np.load(path, mmap_mode="r", allow_pickle=False)


def _check_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
    if not info.filename.endswith(".npy"):
        raise zipfile.BadZipFile(f"{info.filename} is no array")
    if info.file_size > _DENSEST * info.compress_size + _DENSEST:
        raise zipfile.BadZipFile(f"{info.filename} cannot unpack to {info.file_size} bytes")
    with archive.open(info) as member:
        _check_header(member, info.file_size)


def _check_header(file: Any, size: int) -> None:
    """Hold the announced shape against the bytes that are there, in a file or in a member of an archive."""
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(file)
    if dtype.hasobject:
        raise ValueError("allow_pickle")
    announced, there = math.prod(shape) * dtype.itemsize, size - file.tell()
    if announced != there or min(shape, default=0) < 0:
        raise ValueError(f"{there} bytes of data where the header announces {announced}")


@contextmanager
def _errors(path: Path, must: str, fix: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, EOFError, KeyError, AttributeError, MemoryError, *_DAMAGED) as error:
        if "allow_pickle" in str(error):
            fix = "save plain arrays: uint8 pictures, whole-number labels, class_names as np.array([...], dtype=str)"
            raise DataError(str(path), "the arrays", "plain", got="Python objects (a pickle)", fix=fix) from error
        raise DataError(str(path), "the file", must, got=f"{error}"[:200], fix=fix) from error
