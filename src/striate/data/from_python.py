"""Data that a program holds: a torch Dataset, arrays, a Hugging Face dataset, or a dict of parts of these.

A picture may be
    a Pillow image                      by the rules of `decode`
    bytes                               of a picture file
    uint8, array or tensor              (H, W), (H, W, C) or (C, H, W): the shorter of the outer axes is the channels
    uint16                              the same with 16 bits
    floats, each a byte / 255           the bytes, as torchvision's ToTensor found them
    other floats                        as they are, finite in float32
A class may be a whole number, named by `.classes` where the data have them, or a text.

Pictures are read when they are decoded, one at a time and never by two threads at once; labels are read once at the
start.  A picture must be the same every time it is read: random changes belong to training, which draws its own.
"""

import threading
from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from striate.base.errors import DataError
from striate.data.decode import DecodeFault, header, pillow_raster
from striate.data.hugging_face import is_hugging_face, named_rows
from striate.data.items import ArrayItems, Content, Rows, content_digest
from striate.data.kinds import Kind, Look, kind_of
from striate.data.npz import check_labels, check_pictures
from striate.data.raster import Raster
from striate.data.samples import PARTS, SYNONYMS, Named, Source, align, array_names

_EXACT = 1e-3  # how near 255 v must be to a whole number: float16 holds bytes / 255 no better


def source_of(data: object, *, name: str = "python", classes: Sequence[str] | None = None) -> Source:
    """Samples with classes from what a program holds.

    Args:
        data: a dataset of (picture, class) with a length; a tuple (x, y) of arrays; a dict from part ("train",
            "validation", "test", their synonyms, or "all") to one of these.
        name: short, for the name of a run.
        classes: names of the classes 0, 1, …, in place of the data's own.

    Raises:
        DataError: no such data, a picture or class of another kind, pictures that change from reading to reading.
    """
    parts = _parts(name, data)
    named = {}
    for part, content in parts.items():
        where = name if part == "all" else f"{name} ({part})"
        named[part] = _named(where, part, content, classes)
    numbered, samples, notes = align(name, named)
    looks = [look for part in samples.values() for look in _looks(part.items)]
    sizes, counts, kinds = {look[0] for look in looks}, {look[1] for look in looks}, {look[2] for look in looks}
    kind: Kind = "float32" if "float32" in kinds else "uint16" if kinds == {"uint16"} else "uint8"
    channels = counts.pop() if len(counts) == 1 else 3
    return Source(name, name, numbered, channels, sizes.pop() if len(sizes) == 1 else None, samples, notes, kind)


def _parts(name: str, data: object) -> dict[str, Any]:
    if not isinstance(data, Mapping):
        return {"all": data}
    parts: dict[str, Any] = {}
    for key, content in data.items():
        part = "all" if key == "all" else SYNONYMS.get(str(key).lower())
        if part is None or part in parts:
            got = f"{key!r}" if part is None else f"{part} twice"
            fix = "leave other parts out: {'train': …, 'test': …}"
            raise DataError(name, "the parts", f"each one of {', '.join(PARTS)}", got=got, fix=fix)
        parts[part] = content
    if ("all" in parts and len(parts) > 1) or ("train" not in parts and "all" not in parts):
        fix = "give {'train': …, 'test': …}, or the data alone"
        raise DataError(name, "the parts", "train with or without others", got=", ".join(parts) or "none", fix=fix)
    return parts


def _named(where: str, part: str, data: Any, classes: Sequence[str] | None) -> Named:
    if is_hugging_face(data):
        return named_rows(where, part, data, classes)
    if isinstance(data, tuple) and len(data) == 2 and all(isinstance(a, np.ndarray | torch.Tensor) for a in data):
        return _from_arrays(where, part, data, classes)
    return _from_dataset(where, part, data, classes)


def _from_arrays(where: str, part: str, data: tuple[Any, Any], classes: Sequence[str] | None) -> Named:
    x, y = map(_array, data)
    images = check_pictures(where, "x", _bytes_of(x) if x.dtype.kind == "f" else x)
    if y.dtype.kind == "U":
        if y.shape != (len(images),):
            got = f"{len(images)} pictures and labels of shape {y.shape}"
            raise DataError(where, "y", "one label a picture", got=got, fix="save both from the same rows")
        labels: list[int | str] = [str(label) for label in y]
    else:
        labels = check_labels(where, "y", y, len(images)).tolist()
    codes, vocabulary = _classes(where, labels, classes)
    return Named(ArrayItems(images), codes, vocabulary, array_names(part, len(images)))


def _from_dataset(where: str, part: str, data: Any, classes: Sequence[str] | None) -> Named:
    if not isinstance(data, Sized) or not hasattr(data, "__getitem__") or isinstance(data, str | bytes):
        fix = "give a dataset with a length and positions, arrays (x, y), or a dict of parts"
        raise DataError(where, "the data", "a dataset of (picture, class)", got=type(data).__name__, fix=fix)
    items = DatasetItems(data, np.arange(len(data), dtype=np.int64), _Shared(threading.RLock(), {}))
    labels = [items.label(where, row) for row in range(len(data))]
    _check_same(where, items)
    own = classes if classes is not None else getattr(_inner(data), "classes", None)
    codes, vocabulary = _classes(where, labels, own)
    return Named(items, codes, vocabulary, array_names(part, len(data)))


def _inner(data: Any) -> Any:
    """The dataset within torch's Subsets."""
    while isinstance(data, torch.utils.data.Subset):
        data = data.dataset
    return data


@dataclass(frozen=True, slots=True, eq=False)
class _Shared:
    """What all picks of one dataset share: who may read, and what every picture read so far looks like."""

    lock: Any
    looks: dict[int, Look]


@dataclass(frozen=True, slots=True, eq=False)
class DatasetItems:
    """Samples of somebody's dataset of (picture, class).

    Args:
        dataset: with positions.
        rows: the positions in it (N,).
        shared: between all that read this dataset.
    """

    dataset: Any
    rows: Rows
    shared: _Shared

    def __len__(self) -> int:
        return len(self.rows)

    def content(self, row: int, name: str) -> Content:
        """The picture as bytes of a file or uint8 pixels.

        Raises:
            DecodeFault: the dataset raised, or it is no picture.
        """
        try:
            with self.shared.lock:
                sample = self.dataset[int(self.rows[row])]
        except Exception as error:  # somebody else's code
            raise DecodeFault(name, "damaged", f"its dataset raised {type(error).__name__}: {error}"[:300]) from error
        return _content(sample[0], name)

    def label(self, where: str, row: int) -> int | str:
        """The class of a sample; what its picture looks like is noted.

        Raises:
            DataError: no pair, no picture or no class.
        """
        name = f"sample {row}"
        try:
            sample = self.dataset[row]
        except Exception as error:
            got = f"{type(error).__name__}: {error}"[:300]
            raise DataError(where, name, "given by the dataset", got=got, fix="repair the dataset") from error
        if not isinstance(sample, tuple | list) or len(sample) != 2:
            got = f"{type(sample).__name__}" + (f" of {len(sample)}" if isinstance(sample, Sized) else "")
            raise DataError(where, name, "a pair (picture, class)", got=got, fix="return image, label")
        try:
            self.shared.looks[row] = look_at(_content(sample[0], name), name)
        except DecodeFault as fault:
            raise DataError(where, name, "a picture", got=fault.reason, fix="see striate.data.from_python") from fault
        return _label(where, name, sample[1])

    def pick(self, rows: Rows) -> "DatasetItems":
        """The samples at these positions."""
        return DatasetItems(self.dataset, self.rows[rows], self.shared)


def look_at(content: Content, name: str) -> Look:
    """Size, channels (transparency apart) and kind of a picture; of a file, as its header says.

    Raises:
        DecodeFault: no picture.
    """
    if isinstance(content, bytes):
        found = header(content, name)
        return found.size, found.channels, found.kind
    pixels = content.pixels if isinstance(content, Raster) else content
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    opaque = channels - (isinstance(content, Raster) and content.layers == "alpha")
    kind = kind_of(pixels.dtype)
    assert kind is not None
    return (pixels.shape[0], pixels.shape[1]), opaque, kind


def _looks(items: Any) -> list[Look]:
    if isinstance(items, ArrayItems):
        return [look_at(items.array[0], "")]
    return list(items.shared.looks.values()) if isinstance(items, DatasetItems) else list(items.looks)


def _check_same(where: str, items: DatasetItems) -> None:
    """Read a few pictures twice: a fingerprint of what chance makes would mean nothing."""
    for row in {0, len(items) // 2, len(items) - 1} if len(items) else ():
        if content_digest(items.content(row, "")) != content_digest(items.content(row, "")):
            fix = "give the dataset without its random transform; augment.shift and augment.flip draw anew every epoch"
            got = f"two different pictures for sample {row}"
            raise DataError(where, "every picture", "the same each time it is read", got=got, fix=fix)


def _content(picture: Any, name: str) -> Content:
    if isinstance(picture, Image.Image):
        return pillow_raster(picture, name)
    if isinstance(picture, bytes):
        return picture
    picture = _array(picture)
    if not isinstance(picture, np.ndarray):
        raise DecodeFault(name, "not-a-picture", f"a {type(picture).__name__}, not a picture")
    try:
        pixels = check_pictures(name, "its shape", (_bytes_of(picture) if picture.dtype.kind == "f" else picture)[None])
    except DataError as error:
        raise DecodeFault(name, "pixels", f"{error.what} must be {error.must}, got {error.got}; {error.fix}") from error
    return pixels[0]


def _array(value: Any) -> Any:
    """A tensor as NumPy's; anything else as it is."""
    if not isinstance(value, torch.Tensor):
        return value
    held = value.detach().cpu()
    return (held.float() if held.dtype == torch.bfloat16 else held).numpy()  # NumPy knows no bfloat16


def _bytes_of(x: np.ndarray) -> np.ndarray:
    """The bytes whose 255th parts these floats are; others are given back, for the check of the dtype to refuse."""
    if x.size == 0:
        return x.astype(np.uint8)
    scaled = x.astype(np.float64) * 255
    whole = np.rint(scaled)
    near = np.abs(scaled - whole) <= max(_EXACT, 255 * np.finfo(x.dtype).eps)
    return whole.astype(np.uint8) if near.all() and whole.min() >= 0 and whole.max() <= 255 else x


def _label(where: str, name: str, label: Any) -> int | str:
    if isinstance(label, str):
        return label
    single = isinstance(label, torch.Tensor | np.ndarray) and np.prod(label.shape) == 1
    plain = label.item() if single else label
    if isinstance(plain, bool | np.bool_) or not isinstance(plain, int | np.integer) or plain < 0:
        fix = "number the classes from 0, or name them"
        raise DataError(where, f"the class of {name}", "a whole number >= 0 or a text", got=f"{label!r}"[:80], fix=fix)
    return int(plain)


def _classes(
    where: str, labels: Sequence[int | str], names: Sequence[str] | None
) -> tuple[np.ndarray[Any, np.dtype[np.int64]], list[str]]:
    """Codes and vocabulary of `Named`."""
    if names is None or any(isinstance(label, str) for label in labels):
        vocabulary, codes = np.unique([str(label) for label in labels], return_inverse=True)
        return codes.astype(np.int64), [str(name) for name in vocabulary]
    words = [str(name) for name in names]
    codes = np.array(labels, dtype=np.int64)
    if len(codes) and (codes.max() >= len(words) or len(set(words)) < len(words)):
        got = f"{len(words)} names ({len(set(words))} different) for labels up to {codes.max()}"
        fix = "give each label its own name: classes[label]"
        raise DataError(where, "the classes", "one different name a label", got=got, fix=fix)
    return codes, words
