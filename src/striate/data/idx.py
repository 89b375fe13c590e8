"""A folder of IDX files, the format of MNIST, compressed or not.

    2 zero bytes, the type (8: unsigned byte), the number of axes, then each length as a big-endian 32-bit number,
    then the bytes, the last axis fastest

Y. LeCun, C. Cortes and C. Burges, "The MNIST database of handwritten digits", 1998.
"""

import gzip
import io
import math
import re
import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from striate.base.errors import DataError
from striate.data.items import ArrayItems
from striate.data.samples import Named, Source, align, array_names

_NAME = re.compile(r"(train|t10k|test)-(images|labels)[-.]idx[13]-ubyte(\.gz)?")
_UNSIGNED_BYTE = 8
_PIECE = 2**20  # bytes
_NUMBERS = tuple(str(i) for i in range(256))


def find_idx(root: Path) -> dict[tuple[str, str], Path]:
    """(part, "images" or "labels") -> file; where both a plain and a compressed file stand, the plain one."""
    found: dict[tuple[str, str], Path] = {}
    for path in sorted(root.iterdir(), reverse=True):  # "x.gz" comes before "x", which replaces it
        match = _NAME.fullmatch(path.name)
        if match and path.is_file():
            found["train" if match[1] == "train" else "test", match[2]] = path
    return found


def find_packed(root: Path) -> dict[tuple[str, str], Path]:
    """The four files under which MNIST and its kin are published."""
    return {
        (part, what): root / f"{prefix}-{what}-idx{axes}-ubyte.gz"
        for part, prefix in (("train", "train"), ("test", "t10k"))
        for what, axes in (("images", 3), ("labels", 1))
    }


def open_idx(root: Path) -> Source:
    """Read train-* and, where present, t10k-* or test-*; the labels' numbers are the class names.

    Raises:
        DataError: a file is missing, damaged, or images and labels disagree.
    """
    return read_parts(root.name, str(root), find_idx(root))


def read_parts(
    name: str, location: str, found: Mapping[tuple[str, str], Path], vocabulary: Sequence[str] = _NUMBERS
) -> Source:
    """Read the files that were found.

    Args:
        name: of the set.
        location: where it lies, for messages.
        found: (part, "images" or "labels") -> file.
        vocabulary: the class of each label.

    Raises:
        DataError: as `open_idx`, or a label without a class.
    """
    named = {}
    for part in ("train", "test"):
        files = [found.get((part, what)) for what in ("images", "labels")]
        if files == [None, None] and part == "test":
            continue
        if files[0] is None or files[1] is None:
            lacking = "images-idx3" if files[0] is None else "labels-idx1"
            fix = f"put {'train' if part == 'train' else 't10k'}-{lacking}-ubyte.gz into the folder"
            raise DataError(
                location, f"{part} images and labels", "both there", got=f"no {lacking} file of {part}", fix=fix
            )
        named[part] = _read_part(part, files[0], files[1], vocabulary)
    height, width = named["train"].shape
    if "test" in named and named["test"].shape != (height, width):
        got = f"{named['train'].shape} and {named['test'].shape}"
        raise DataError(location, "train and test pictures", "of one size", got=got, fix="use the files of one set")
    classes, parts, notes = align(location, named)
    return Source(name, location, classes, 1, (height, width), parts, notes)


def _read_part(part: str, images_file: Path, labels_file: Path, vocabulary: Sequence[str]) -> Named:
    images, labels = read_idx(images_file, 3), read_idx(labels_file, 1)
    if len(images) != len(labels):
        got = f"{len(images)} pictures and {len(labels)} labels"
        raise DataError(
            str(images_file), "pictures and labels", "equally many", got=got, fix="use the files of one set"
        )
    if labels.max() >= len(vocabulary):
        got = f"{labels.max()} with {len(vocabulary)} classes"
        raise DataError(
            str(labels_file), "every label", "the number of a class", got=got, fix="use the files of one set"
        )
    return Named(ArrayItems(images), labels.astype(np.int64), vocabulary, array_names(part, len(images)))


def read_idx(path: Path, axes: int) -> np.ndarray:
    """Read one IDX file of unsigned bytes.

    Args:
        path: the file; `.gz` is unpacked.
        axes: how many the array must have.

    Raises:
        DataError: not IDX, another type or number of axes, cut short or too long.
    """
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            return _parse(file, path, axes)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _damaged(path, f"a damaged gzip stream ({error})") from error
    except OSError as error:
        raise DataError(str(path), "the file", "readable", got=str(error.strerror or error), fix="check it") from error


def _parse(file: io.BufferedReader | gzip.GzipFile, path: Path, axes: int) -> np.ndarray:
    start = file.read(4)
    if len(start) < 4 or start[:2] != b"\0\0":
        raise _damaged(path, f"first bytes {start!r}")
    if start[2] != _UNSIGNED_BYTE or start[3] != axes:
        raise _damaged(path, f"type {start[2]} with {start[3]} axes, not type 8 (bytes) with {axes}")
    header = file.read(4 * axes)
    lengths = struct.unpack(f">{axes}I", header) if len(header) == 4 * axes else ()
    if not lengths or 0 in lengths:
        raise _damaged(path, f"a header of {4 + len(header)} bytes with lengths {lengths}")
    expected = math.prod(lengths)
    content = bytearray()
    while len(content) <= expected and (piece := file.read(_PIECE)):  # a false length must not reserve memory
        content += piece
    if len(content) != expected:
        came = f"{len(content)}" if len(content) < expected else "more"
        raise _damaged(path, f"{came} bytes of data where its header announces {expected}")
    return np.frombuffer(content, dtype=np.uint8).reshape(lengths)


def _damaged(path: Path, got: str) -> DataError:
    return DataError(str(path), "the file", "a whole IDX file", got=got, fix="fetch it again from its origin")
