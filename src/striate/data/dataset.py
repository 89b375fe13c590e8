"""From a source to three splits in memory, every picture decoded and fitted, with a fingerprint of all of it.

    fingerprint = SHA-256 over the classes and, per split, every (name, class, SHA-256 of the content) in name order

The content of a file is its bytes, of an array's sample the bytes of its pixels; so the fingerprint depends neither on
the size that pictures are brought to nor on the order in which a disk lists them.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int64

from striate.base.errors import DataError
from striate.data.decode import Fault
from striate.data.members import MemberItems
from striate.data.picture import Picture
from striate.data.samples import Samples, Source
from striate.data.split import Split
from striate.data.splits import Shares, divide
from striate.data.storage import Keeper, Loaded, Storage, load

SHOWN = 20  # faults listed in an error's text
Progress = Callable[[int, int], None]


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
        digests: SHA-256 of every picture's content, by split.
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
    digests: tuple[tuple[bytes, ...], ...]

    def close(self) -> None:
        """Let go of what gives the pictures; idempotent."""
        for split in (self.train, self.validation, self.test):
            split.pictures.close()


class UnreadablePicturesError(DataError):
    """Files that do not decode; `faults` lists every one."""

    def __init__(self, location: str, faults: tuple[Fault, ...], count: int) -> None:
        self.faults = faults
        shown = "".join(f"\n    {fault}" for fault in faults[:SHOWN])
        rest = f"\n    and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        got = f"{len(faults)} of {count} that are not:{shown}{rest}"
        fix = "repair or remove these files, or leave them out with split.skip_bad=true"
        super().__init__(location, "every picture", "readable", got=got, fix=fix)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a run wants of its data.

    Args:
        picture: what validation and test pictures are brought to, as prediction does.
        train_picture: the same for training; larger where random crops are to be taken from it.
        shares: how data that bring no split are divided.
        seed: of the splits.
        skip_bad: leave files out that do not decode, and list them in `left_out`.
        storage: where decoded pictures are kept.
    """

    picture: Picture
    train_picture: Picture
    shares: Shares
    seed: int
    skip_bad: bool
    storage: Storage


def prepare(source: Source, wanted: Wanted, progress: Progress | None = None) -> Dataset:
    """Split, decode and fit everything.

    Args:
        source: what `open_source` found.
        wanted: how it is divided, fitted and kept.
        progress: called with (pictures done, pictures in all).

    Raises:
        UnreadablePicturesError: files do not decode and `skip_bad` is not set; nothing is put in their place.
        DataError: a training class has no picture left, or channels cannot be converted.
        ResourceError: the pictures do not fit where they are to be kept.
    """
    with Keeper(wanted.storage, source.location) as keeper:
        return _prepared(source, wanted, progress, keeper)


def _prepared(source: Source, wanted: Wanted, progress: Progress | None, keeper: Keeper) -> Dataset:
    *parts, notes = divide(source.parts, wanted.shares, wanted.seed)
    count = sum(map(len, parts))
    ticks = _ticks(count, progress)
    loaded, told = [], []
    for part, picture in zip(parts, (wanted.train_picture, wanted.picture, wanted.picture), strict=True):
        read, note = load(part, picture, keeper, lambda: next(ticks))
        loaded.append(read)
        told += [note] if note else []
    faults = tuple(fault for part in loaded for fault in part.faults)
    if faults and not wanted.skip_bad:
        raise UnreadablePicturesError(source.location, faults, count)
    _check_classes(source, loaded[0].samples.labels)
    return Dataset(
        name=source.name,
        location=source.location,
        classes=source.classes,
        train=_split(loaded[0]),
        validation=_split(loaded[1]),
        test=_split(loaded[2]),
        fingerprint=_fingerprint(source.classes, loaded),
        notes=(*source.notes, *notes, *dict.fromkeys(told), *_shared(loaded)),
        left_out=faults,
        digests=tuple(part.digests for part in loaded),
    )


def load_part(source: Source, samples: Samples, picture: Picture, storage: Storage) -> Split:
    """Decode and fit some samples of a source.

    Raises:
        UnreadablePicturesError: files do not decode; nothing is put in their place.
    """
    with Keeper(storage, source.location) as keeper:
        part, _ = load(samples, picture, keeper, lambda: None)
        if part.faults:
            raise UnreadablePicturesError(source.location, part.faults, len(samples))
        return _split(part)


def _split(part: Loaded) -> Split:
    items = part.samples.items
    shards = items.shard if isinstance(items, MemberItems) else None
    return Split(part.pictures, torch.from_numpy(part.samples.labels.copy()), part.samples.names, shards)


def _ticks(count: int, progress: Progress | None) -> Iterator[None]:
    """Reports a picture done each time it is advanced."""
    for done in range(1, count + 1):
        if progress is not None:
            progress(done, count)
        yield


def _check_classes(source: Source, labels: Int64[np.ndarray, " N"]) -> None:
    counts = np.bincount(labels, minlength=len(source.classes))
    lacking = [name for name, count in zip(source.classes, counts.tolist(), strict=True) if count == 0]
    if lacking:
        got = f"none of {', '.join(map(repr, lacking))}"
        fix = "add readable pictures of it, or remove the class"
        raise DataError(source.location, "training pictures of every class", "there", got=got, fix=fix)


def _fingerprint(classes: tuple[str, ...], parts: Iterable[Loaded]) -> str:
    total = hashlib.sha256(json.dumps(classes).encode())
    for title, part in zip(("train", "validation", "test"), parts, strict=True):
        total.update(json.dumps([title, len(part.samples)]).encode())
        rows = sorted(zip(part.samples.names, part.samples.labels.tolist(), part.digests, strict=True))
        for name, label, digest in rows:
            total.update(json.dumps([name, label]).encode() + digest)
    return total.hexdigest()


def _shared(parts: list[Loaded]) -> list[str]:
    """Notes on pictures of validation or test whose content, byte for byte, is in training too."""
    known = dict(zip(parts[0].digests, parts[0].samples.names, strict=True))
    notes = []
    for title, part in zip(("validation", "test"), parts[1:], strict=True):
        pairs = [(known[d], n) for d, n in zip(part.digests, part.samples.names, strict=True) if d in known]
        if pairs:
            first = f"{pairs[0][1]} = {pairs[0][0]}"
            notes.append(f"{len(pairs)} pictures of {title} are byte for byte in training too, first {first}")
    return notes
