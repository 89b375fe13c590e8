"""A few pictures of a data set as a network would get them."""

import numpy as np
from PIL import Image

from striate.base.errors import ConfigError, DataError
from striate.data.decode import DecodeFault, decoded
from striate.data.doctor.sheet import NO_PICTURE, sheet
from striate.data.doctor.visible import visible
from striate.data.order import shuffled
from striate.data.picture import Picture
from striate.data.samples import Samples, Source

SIZE = 128  # pixels a side, where pictures have no common size


def usual_picture(source: Source) -> Picture:
    """What to bring pictures to where no network says so: their own size, or SIZE."""
    height, width = source.size or (SIZE, SIZE)
    return Picture(source.channels, height, width, kind=source.kind)


def split_of(source: Source, split: str | None) -> tuple[str, Samples]:
    """A split by name; without one, the training split, which is all of data that bring no splits.

    Raises:
        ConfigError: the data do not bring that split.
    """
    name = split if split and (split, *source.parts) != ("train", "all") else next(iter(source.parts))
    if name not in source.parts:
        fix = f"it brings {', '.join(source.parts)}; other splits are made when a run starts"
        raise ConfigError("data", "--split", "one that the data bring", got=repr(name), fix=fix)
    return name, source.parts[name]


def chosen(source: Source, samples: Samples, label: str | None, count: int, seed: int) -> Samples:
    """`count` samples in the order of the seed, of one class or of all.

    Raises:
        ConfigError: no such class, or a count below 1.
        DataError: the split has no pictures of the class.
    """
    if count < 1:
        raise ConfigError("data show", "--count", ">= 1", got=count, fix="12 fill a sheet")
    rows = np.arange(len(samples), dtype=np.int64)
    if label is not None:
        if label not in source.classes:
            known = ", ".join(map(repr, source.classes[:20]))
            raise ConfigError("data show", "--class", f"one of {known}", got=repr(label), fix="name one of these")
        rows = rows[samples.labels == source.classes.index(label)]
        if not len(rows):
            fix = "choose another split or class"
            raise DataError(source.location, f"pictures of {label!r}", "in this split", got="none", fix=fix)
    return samples.pick(shuffled(rows, seed, epoch=0)[:count])  # as training meets them


def show(source: Source, samples: Samples, picture: Picture) -> tuple[Image.Image, tuple[str, ...]]:
    """A sheet of samples, each fitted and titled with its class, and what could not be read.

    Of other than three channels the first is shown, of floating point from the least number to the greatest.
    """
    images, faults = [], []
    titles = [source.classes[label] for label in samples.labels.tolist()]
    for row, name in enumerate(samples.names):
        try:
            images.append(_fitted(samples, row, name, picture))
        except DecodeFault as error:
            images.append(NO_PICTURE)  # nothing else is put in its place
            titles[row] += f": {error.reason}"
            faults.append(str(error))
    return sheet(images, titles), tuple(faults)


def _fitted(samples: Samples, row: int, name: str, picture: Picture) -> np.ndarray:
    planes = decoded(samples.items.content(row, name), picture, name)
    return visible(planes.transpose(1, 2, 0)).transpose(2, 0, 1)
