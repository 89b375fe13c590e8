"""The binary archives of CIFAR-10 and CIFAR-100, read in place: nothing is unpacked to disk, nothing unpickled.

    CIFAR-10   class, 3072 bytes                             data_batch_1.bin to data_batch_5.bin, test_batch.bin
    CIFAR-100  coarse class, fine class, 3072 bytes          train.bin, test.bin

3072 bytes are the 32x32 red values row by row, then green, then blue.  Krizhevsky 2009.
"""

import gzip
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from striate.base.errors import DataError
from striate.base.files import CHUNK
from striate.data.items import ArrayItems
from striate.data.samples import Named, Source, align, array_names

_SIDE = 32  # pixels
_PIXELS = 3 * _SIDE * _SIDE  # bytes of one picture
_MOST = 50_000  # records of one member
_NAMES = 2**16  # bytes of the file with the class names


@dataclass(frozen=True, slots=True)
class Layout:
    """What an archive holds.

    Args:
        folder: in which the members lie.
        names: the member with the class names, one a line.
        parts: part -> its members in order.
        label: the place of the class in a record.
        width: bytes before the pixels.
    """

    folder: str
    names: str
    parts: dict[str, tuple[str, ...]]
    label: int
    width: int


CIFAR10 = Layout(
    folder="cifar-10-batches-bin",
    names="batches.meta.txt",
    parts={"train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)), "test": ("test_batch.bin",)},
    label=0,
    width=1,
)
CIFAR100 = Layout(
    folder="cifar-100-binary",
    names="fine_label_names.txt",
    parts={"train": ("train.bin",), "test": ("test.bin",)},
    label=1,
    width=2,
)


def open_cifar(archive: Path, layout: Layout, name: str) -> Source:
    """Read an archive; of CIFAR-100 the 100 fine classes.

    Args:
        archive: the .tar.gz.
        layout: CIFAR10 or CIFAR100.
        name: of the set.

    Raises:
        DataError: damaged, members missing or of another size, a class without a name.
    """
    members = _members(archive, layout)
    vocabulary = members[layout.names].decode("utf-8", "replace").split()
    named = {}
    for part, files in layout.parts.items():
        pictures, labels = zip(*(_records(archive, layout, file, members.pop(file)) for file in files), strict=True)
        images, codes = np.concatenate(pictures), np.concatenate(labels).astype(np.int64)
        if codes.max() >= len(vocabulary):
            got = f"{codes.max()} among {len(vocabulary)} names"
            raise _damaged(archive, f"a class number {got}")
        named[part] = Named(ArrayItems(images), codes, vocabulary, array_names(part, len(images)))
    classes, parts, notes = align(name, named)
    return Source(name, name, classes, 3, (_SIDE, _SIDE), parts, notes)


def _records(archive: Path, layout: Layout, file: str, content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (N, 32, 32, 3) and class numbers (N,)."""
    record = layout.width + _PIXELS
    if not content or len(content) % record:
        raise _damaged(archive, f"{len(content)} bytes of {file}, no multiple of {record}")
    rows = np.frombuffer(content, dtype=np.uint8).reshape(-1, record)
    planes = rows[:, layout.width :].reshape(-1, 3, _SIDE, _SIDE)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), rows[:, layout.label]


def _members(archive: Path, layout: Layout) -> dict[str, bytes]:
    """The content of the members that we know, by name; all others are passed over."""
    most = {f: _MOST * (layout.width + _PIXELS) for files in layout.parts.values() for f in files}
    most[layout.names] = _NAMES
    found: dict[str, bytes] = {}
    try:
        with gzip.open(archive) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            for member in tar:
                name = member.name.removeprefix(f"{layout.folder}/")
                if name in most and member.name != name and member.isreg() and not member.issparse():
                    if member.size > most[name]:
                        raise _damaged(archive, f"{member.size} bytes of {name}, more than {most[name]}")
                    file = tar.extractfile(member)
                    assert file is not None  # a regular member has content
                    found[name] = file.read()
            while stream.read(CHUNK):  # to its end, where the checksum stands
                pass
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise _damaged(archive, f"{error}"[:200]) from error
    lacking = sorted(most.keys() - found.keys())
    if lacking:
        raise _damaged(archive, f"no {layout.folder}/{lacking[0]} in it")
    return found


def _damaged(archive: Path, got: str) -> DataError:
    fix = "fetch the binary version again from its origin"
    return DataError(str(archive), "the archive", "a whole CIFAR archive", got=got, fix=fix)
