"""NumPy archives: `x`, `y` and optional `class_names`, or x_train, y_train, x_test, y_test and optional x_val, y_val.

x: uint8, uint16 or floating point (finite, taken as it is); (N, H, W), (N, H, W, C) or (N, C, H, W): with four axes
the shorter of axis 1 and axis 3 is the channels.
y: whole numbers >= 0, (N,) or (N, 1); class_names[y] is the class, or str(y) where there are none.
A folder with train.npz and, where present, val.npz and test.npz, each with `x` and `y`, is read the same way.
Nothing is unpickled.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from striate.base.errors import DataError
from striate.data.arrays import load_archive
from striate.data.items import ArrayItems
from striate.data.kinds import kind_of
from striate.data.samples import PARTS, SYNONYMS, Named, Source, align, array_names

Arrays = Mapping[str, np.ndarray]


def find_npz(root: Path) -> dict[str, Path]:
    """Part -> file of a folder with train.npz, val.npz, test.npz (or their synonyms)."""
    found = {}
    for path in sorted(root.glob("*.npz")):
        if path.is_file() and path.stem.lower() in SYNONYMS:
            found[SYNONYMS[path.stem.lower()]] = path
    return found


def open_npz(path: Path) -> Source:
    """Read one archive.

    Raises:
        DataError: damaged, keys missing, another dtype or shape, labels that disagree.
    """
    arrays = load_archive(path)
    keys = keys_of_parts(path, arrays)
    return _source(path.stem, path, {part: read_part(path, arrays, part, keys[part]) for part in keys})


def open_npz_folder(root: Path) -> Source:
    """Read train.npz with or without val.npz and test.npz.

    Raises:
        DataError: as `open_npz`.
    """
    found = find_npz(root)
    return _source(
        root.name, root, {part: read_part(f, load_archive(f), part, ("x", "y")) for part, f in found.items()}
    )


def _source(name: str, path: Path, named: dict[str, Named]) -> Source:
    shapes = {part: named[part].shape for part in PARTS if part in named}
    shape = next(iter(shapes.values()))
    if len(set(shapes.values())) > 1:
        raise DataError(str(path), "the parts", "of one shape", got=str(shapes), fix="bring them to one size")
    kinds = {part: named[part].kind for part in PARTS if part in named}
    if len(set(kinds.values())) > 1:
        raise DataError(str(path), "the parts", "of one kind", got=str(kinds), fix="save them with one dtype")
    classes, parts, notes = align(str(path), named)
    channels, kind = shape[2] if len(shape) == 3 else 1, next(iter(kinds.values()))
    return Source(name, str(path), classes, channels, (shape[0], shape[1]), parts, notes, kind)


def keys_of_parts(path: Path, arrays: Arrays) -> dict[str, tuple[str, str]]:
    """Part -> the keys of its pictures and of its labels.

    Raises:
        DataError: no training pictures.
    """
    if "x" in arrays:
        return {"all": ("x", "y")}
    keys = {SYNONYMS[key[2:]]: key[2:] for key in arrays if key.startswith("x_") and key[2:] in SYNONYMS}
    if "train" not in keys:
        got = ", ".join(arrays) or "nothing"
        fix = "np.savez(file, x=pictures, y=class_numbers), or x_train=, y_train=, x_test=, y_test="
        raise DataError(str(path), "the arrays", "x and y, or x_train, y_train and so on", got=got, fix=fix)
    return {part: (f"x_{key}", f"y_{key}") for part, key in keys.items()}


def read_part(path: Path, arrays: Arrays, part: str, keys: tuple[str, str]) -> Named:
    """Pictures and classes of one part.

    Raises:
        DataError: keys missing, another dtype or shape, labels that disagree.
    """
    for key in keys:
        if key not in arrays:
            raise DataError(
                str(path), key, "in the archive", got=", ".join(arrays), fix=f"add it: np.savez(…, {key}=…)"
            )
    images = check_pictures(str(path), keys[0], arrays[keys[0]])
    labels = check_labels(str(path), keys[1], arrays[keys[1]], len(images))
    given = arrays.get("class_names")
    if given is not None and given.dtype.kind == "S":
        given = np.char.decode(given, "utf-8", "replace")
    if given is None:
        values, codes = np.unique(labels, return_inverse=True)
        return Named(
            ArrayItems(images), codes.astype(np.int64), [str(value) for value in values], array_names(part, len(images))
        )
    count = int(labels.max()) + 1
    vocabulary = [str(name) for name in given.ravel()]
    if len(vocabulary) < count or len(set(vocabulary)) < len(vocabulary):
        got = f"{len(vocabulary)} names ({len(set(vocabulary))} different) for labels up to {count - 1}"
        fix = "give each label its own name: class_names[label]"
        raise DataError(str(path), "class_names", "one different name a label", got=got, fix=fix)
    return Named(ArrayItems(images), labels, vocabulary, array_names(part, len(images)))


def check_pictures(where: str, key: str, x: np.ndarray) -> np.ndarray:
    """Pictures by the rules at the top of this file, channels last.

    Raises:
        DataError: another dtype or shape.
    """
    if kind_of(x.dtype) is None:
        fix = "store bytes 0 to 255: x.astype('uint8'); or x.astype('float32'), which is taken as it is"
        raise DataError(where, key, "of dtype uint8, uint16 or floating point", got=str(x.dtype), fix=fix)
    if x.ndim not in (3, 4) or 0 in x.shape:
        fix = "N pictures as (N, H, W), (N, H, W, C) or (N, C, H, W)"
        raise DataError(where, key, "a non-empty array of 3 or 4 axes", got=f"shape {x.shape}", fix=fix)
    if x.dtype.kind == "f":
        x = _finite(where, key, x)
    if x.ndim == 3:
        return x
    if x.shape[1] == x.shape[3]:
        fix = "store it as (N, H, W, C) with fewer channels than rows"
        raise DataError(where, key, "clear about its channels", got=f"shape {x.shape}", fix=fix)
    return x if x.shape[3] < x.shape[1] else np.ascontiguousarray(x.transpose(0, 2, 3, 1))


def _finite(where: str, key: str, x: np.ndarray) -> np.ndarray:
    """The numbers in float32, which all that follows reckons in."""
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes inf
        x = x.astype(np.float32, copy=False)
    bad = [i for i, picture in enumerate(x) if not np.isfinite(picture).all()]  # one at a time: no second array
    if bad:
        got = f"other numbers in {len(bad)} pictures, first picture {bad[0]}"
        raise DataError(where, key, "finite in float32", got=got, fix="mend or leave out these pictures")
    return x


def check_labels(where: str, key: str, y: np.ndarray, count: int) -> np.ndarray:
    """One whole number a picture, (N,) int64.

    Raises:
        DataError: others, or another number of them.
    """
    flat = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if flat.ndim != 1 or flat.dtype.kind not in "iu":
        fix = "one whole number a picture; names go into class_names"
        raise DataError(where, key, "whole numbers, (N,)", got=f"{y.dtype} of shape {y.shape}", fix=fix)
    if len(flat) != count:
        got = f"{count} pictures and {len(flat)} labels"
        raise DataError(where, key, "one label a picture", got=got, fix="save both from the same rows")
    if flat.min() < 0:
        raise DataError(where, key, ">= 0", got=f"{flat.min()}", fix="number the classes from 0")
    return flat.astype(np.int64)
