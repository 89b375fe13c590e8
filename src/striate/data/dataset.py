"""From a source to three splits in memory, every picture decoded and fitted, with a fingerprint of all of it.

    fingerprint = SHA-256 over the classes and, per split, every (name, class, SHA-256 of the content) in name order

The content of a file is its bytes, of an array's sample the bytes of its pixels; so the fingerprint depends neither on
the size that pictures are brought to nor on the order in which a disk lists them.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from striate.base.errors import DataError, ResourceError
from striate.data.decode import DecodeFault, Fault, decoded
from striate.data.items import ArrayItems, content_digest
from striate.data.kinds import Planes
from striate.data.picture import Picture, fit
from striate.data.samples import Samples, Source
from striate.data.split import Split
from striate.data.splits import divide

SHOWN = 20  # faults listed in an error's text
Progress = Callable[[int, int], None]
Loaded = tuple[Planes | Fault, bytes]  # the picture and the digest of its content


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Data ready to train, validate and test with.

    Args:
        name: short, for the name of a run.
        location: where the data lies.
        classes: names; a label is a position in them.
        train, validation, test: the splits.
        fingerprint: 64 hexadecimal digits that stand for classes, splits and contents.
        notes: what a person should know about how the data was read.
        left_out: files that did not decode and were left out on request.
    """

    name: str
    location: str
    classes: tuple[str, ...]
    train: Split
    validation: Split
    test: Split
    fingerprint: str
    notes: tuple[str, ...]
    left_out: tuple[Fault, ...]


class UnreadablePicturesError(DataError):
    """Files that do not decode; `faults` lists every one."""

    def __init__(self, location: str, faults: tuple[Fault, ...], count: int) -> None:
        self.faults = faults
        shown = "".join(f"\n    {fault}" for fault in faults[:SHOWN])
        rest = f"\n    and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        got = f"{len(faults)} of {count} that are not:{shown}{rest}"
        fix = "repair or remove these files, or leave them out with split.skip_bad=true"
        super().__init__(location, "every picture", "readable", got=got, fix=fix)


def prepare(
    source: Source,
    picture: Picture,
    *,
    seed: int,
    validation_fraction: float,
    test_fraction: float,
    skip_bad: bool = False,
    progress: Progress | None = None,
) -> Dataset:
    """Split, decode and fit everything.

    Args:
        source: what `open_source` found.
        picture: what every image is brought to.
        seed: of the splits.
        validation_fraction: of training (what is left of it after the test split), where the data brings none.
        test_fraction: of the whole, where the data brings none.
        skip_bad: leave files out that do not decode, and list them in `left_out`.
        progress: called with (pictures done, pictures in all).

    Raises:
        UnreadablePicturesError: files do not decode and `skip_bad` is not set; nothing is put in their place.
        DataError: a training class has no picture left, or channels cannot be converted.
        ResourceError: the pictures do not fit into memory.
    """
    *parts, notes = divide(
        source.parts, seed=seed, validation_fraction=validation_fraction, test_fraction=test_fraction
    )
    count = sum(map(len, parts))
    _check_memory(source, count, picture)
    ticks = _ticks(count, progress)
    loaded = [_load(part, picture, ticks) for part in parts]
    faults = tuple(fault for part in loaded for fault in part.faults)
    if faults and not skip_bad:
        raise UnreadablePicturesError(source.location, faults, count)
    _check_classes(source, loaded[0].split)
    train, validation, test = (part.split for part in loaded)
    fingerprint = _fingerprint(source.classes, loaded)
    notes = (*source.notes, *notes, *_shared(loaded))
    return Dataset(source.name, source.location, source.classes, train, validation, test, fingerprint, notes, faults)


def load_part(source: Source, samples: Samples, picture: Picture) -> Split:
    """Decode and fit some samples of a source.

    Raises:
        UnreadablePicturesError: files do not decode; nothing is put in their place.
    """
    part = _load(samples, picture, _ticks(len(samples), None))
    if part.faults:
        raise UnreadablePicturesError(source.location, part.faults, len(samples))
    return part.split


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    split: Split
    digests: tuple[bytes, ...]
    faults: tuple[Fault, ...]


def _load(samples: Samples, picture: Picture, ticks: Iterator[None]) -> _Part:
    C, h, w = picture.shape
    pixels = np.empty((len(samples), h, w, C), dtype=picture.kind)  # channels last, as they are read back in batches
    rows: list[int] = []
    digests: list[bytes] = []
    faults: list[Fault] = []
    for row, (image, digest) in enumerate(_decoded(samples, picture)):
        next(ticks)
        if isinstance(image, Fault):
            faults.append(image)
            continue
        pixels[len(rows)] = image.transpose(1, 2, 0)
        rows.append(row)
        digests.append(digest)
    good = samples.pick(np.array(rows, dtype=np.int64)) if faults else samples
    images = torch.from_numpy(pixels[: len(rows)]).permute(0, 3, 1, 2)
    return _Part(Split(images, torch.from_numpy(good.labels.copy()), good.names), tuple(digests), tuple(faults))


def _decoded(samples: Samples, picture: Picture) -> Iterator[Loaded]:
    """Every sample in order, files decoded by all cores: Pillow lets go of the interpreter while it decodes."""
    if isinstance(samples.items, ArrayItems):
        C, h, w = picture.shape
        array = samples.items.array
        fits = array.dtype == picture.kind and (array.shape[1:] == (h, w, C) or (array.shape[1:] == (h, w) and C == 1))
        for item in array:  # asked once, and not 60,000 times, whether there is anything to fit
            image = item.reshape(h, w, C).transpose(2, 0, 1) if fits else fit(item, picture)
            yield image, content_digest(item)
        return
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            yield from pool.map(partial(_decoded_item, samples, picture), range(len(samples)))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _decoded_item(samples: Samples, picture: Picture, row: int) -> Loaded:
    name = samples.names[row]
    try:
        content = samples.items.content(row, name)
        return decoded(content, picture, name), content_digest(content)
    except DecodeFault as error:
        return error.fault, b""


def _ticks(count: int, progress: Progress | None) -> Iterator[None]:
    """Reports a picture done each time it is advanced."""
    for done in range(1, count + 1):
        if progress is not None:
            progress(done, count)
        yield


def _check_memory(source: Source, count: int, picture: Picture) -> None:
    needed = count * picture.channels * picture.height * picture.width * np.dtype(picture.kind).itemsize
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else needed
    if needed > physical:
        got = f"{needed / 2**30:.1f} GiB for {count} pictures of {picture.height}x{picture.width}"
        fix = "choose a smaller picture or fewer pictures"
        raise ResourceError(
            source.location, "the decoded data", f"at most {physical / 2**30:.1f} GiB", got=got, fix=fix
        )


def _check_classes(source: Source, train: Split) -> None:
    counts = torch.bincount(train.labels, minlength=len(source.classes))
    lacking = [name for name, count in zip(source.classes, counts.tolist(), strict=True) if count == 0]
    if lacking:
        got = f"none of {', '.join(map(repr, lacking))}"
        fix = "add readable pictures of it, or remove the class"
        raise DataError(source.location, "training pictures of every class", "there", got=got, fix=fix)


def _fingerprint(classes: tuple[str, ...], parts: Iterable[_Part]) -> str:
    total = hashlib.sha256(json.dumps(classes).encode())
    for title, part in zip(("train", "validation", "test"), parts, strict=True):
        total.update(json.dumps([title, len(part.split)]).encode())
        rows = sorted(zip(part.split.names, part.split.labels.tolist(), part.digests, strict=True))
        for name, label, digest in rows:
            total.update(json.dumps([name, label]).encode() + digest)
    return total.hexdigest()


def _shared(parts: list[_Part]) -> list[str]:
    """Notes on pictures of validation or test whose content, byte for byte, is in training too."""
    known = dict(zip(parts[0].digests, parts[0].split.names, strict=True))
    notes = []
    for title, part in zip(("validation", "test"), parts[1:], strict=True):
        pairs = [(known[d], n) for d, n in zip(part.digests, part.split.names, strict=True) if d in known]
        if pairs:
            first = f"{pairs[0][1]} = {pairs[0][0]}"
            notes.append(f"{len(pairs)} pictures of {title} are byte for byte in training too, first {first}")
    return notes
