"""Signals (N, C, W), pictures (N, C, H, W) and volumes (N, C, D, H, W) as NumPy's arrays.

    FILE.npz          x and y, or x_train, y_train, x_test, y_test and, where wanted, x_val, y_val; class_names if any
    FOLDER            x.npy and y.npy, mapped into memory: a batch reads its own rows; class_names.npy if any

x is of floats or whole numbers; for labels and numbers it may also be features (N, F).  y is whole numbers or texts
(N,) for classes, 0 and 1 (N, K) for labels, numbers (N,) or (N, K), or whole numbers (N, ...) for masks, of the size of
x without its channels; class_names name what is told.  Where nothing is to be learnt besides x, y is not needed.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from striate.base.errors import DataError
from striate.data.arrays import load_archive, map_array
from striate.data.record_set import Kind, Records, all_rows, check_finite, check_labels, number_classes, rows_by_part
from striate.data.samples import SYNONYMS

Arrays = Mapping[str, np.ndarray]


def open_archive(path: Path, kind: Kind) -> Records:
    """Read an .npz.

    Raises:
        DataError: damaged, keys missing, shapes or lengths that disagree, a number that is not finite.
    """
    arrays = load_archive(path)
    wanted = ("x",) if kind == "none" else ("x", "y")
    keys = {SYNONYMS[key[2:]]: key[2:] for key in arrays if key.startswith("x_") and key[2:] in SYNONYMS}
    if "x" in arrays or "train" not in keys:
        return _records(path, path.stem, arrays, kind, all_rows(len(_get(path, arrays, "x"))))
    joined = {
        what: np.concatenate([_get(path, arrays, f"{what}_{key}") for key in _alike(path, arrays, what, keys)])
        for what in wanted
    }
    words = [part for part, key in keys.items() for _ in range(len(arrays[f"x_{key}"]))]
    names = {key: value for key, value in arrays.items() if key == "class_names"}
    return _records(path, path.stem, joined | names, kind, rows_by_part(str(path), words))


def open_arrays(root: Path, kind: Kind) -> Records:
    """Map x.npy and y.npy.

    Raises:
        DataError: as `open_archive`.
    """
    arrays = {name: map_array(root / f"{name}.npy") for name in ("x", "y", "class_names") if _there(root, name)}
    return _records(root, root.name, arrays, kind, all_rows(len(_get(root, arrays, "x"))))


def _there(root: Path, name: str) -> bool:
    return (root / f"{name}.npy").exists()


def _alike(path: Path, arrays: Arrays, what: str, keys: Mapping[str, str]) -> list[str]:
    """The keys, once their arrays have one shape and equally many samples as their x."""
    shapes = {}
    for key in keys.values():
        x, y = _get(path, arrays, f"x_{key}"), _get(path, arrays, f"{what}_{key}")
        if len(x) != len(y):
            got = f"{len(x)} and {len(y)}"
            raise DataError(str(path), f"x_{key} and {what}_{key}", "equally many", got=got, fix="save the same rows")
        shapes[key] = y.shape[1:]
    if len(set(shapes.values())) > 1:
        raise DataError(
            str(path), f"the parts of {what}", "of one shape", got=str(shapes), fix="bring them to one size"
        )
    return list(keys.values())


def _get(path: Path, arrays: Arrays, key: str) -> np.ndarray:
    if key not in arrays or arrays[key].ndim == 0:
        fix = "x is the samples, (N, C, W), (N, C, H, W) or (N, C, D, H, W); y what is to be learnt, one a sample"
        raise DataError(str(path), key, "among the arrays", got=", ".join(arrays) or "nothing", fix=fix)
    return arrays[key]


def _records(path: Path, name: str, arrays: Arrays, kind: Kind, parts: dict[str, np.ndarray]) -> Records:
    where, x = str(path), _get(path, arrays, "x")
    least = 2 if kind in ("labels", "numbers") else 3  # (N, F): what is told of a row of a table
    if not least <= x.ndim <= 5 or 0 in x.shape or x.dtype.kind not in "fiu":
        fix = "channels first: (N, C, W), (N, C, H, W) or (N, C, D, H, W); for one channel x[:, None]"
        got = f"{x.dtype} of shape {x.shape}"
        raise DataError(where, "x", f"numbers of {least} to 5 axes", got=got, fix=fix)
    check_finite(where, "x", x)
    if kind == "none":
        return Records(
            name=name, location=where, kind=kind, inputs=x, targets=np.empty((len(x), 0), np.float32), parts=parts
        )
    y = _get(path, arrays, "y")
    if len(x) != len(y):
        got = f"{len(x)} and {len(y)}"
        raise DataError(where, "x and y", "equally many", got=got, fix="save both from the same rows")
    read = {"classes": _classes, "labels": _labels, "numbers": _numbers, "masks": _masks}[kind]
    classes, targets = read(where, arrays, parts)
    return Records(name=name, location=where, kind=kind, inputs=x, targets=targets, classes=classes, parts=parts)


Read = tuple[tuple[str, ...], np.ndarray]


def _classes(where: str, arrays: Arrays, parts: dict[str, np.ndarray]) -> Read:
    y = arrays["y"]
    flat = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if flat.ndim != 1 or flat.dtype.kind not in "iuU" or (flat.dtype.kind == "i" and flat.min() < 0):
        got = f"{y.dtype} of shape {y.shape}" + (f" with {flat.min()}" if flat.dtype.kind == "i" else "")
        fix = "one whole number >= 0 or one text a sample; for numbers to be predicted task is regress"
        raise DataError(where, "y", "classes, (N,)", got=got, fix=fix)
    labels = [str(value) for value in flat]
    names = arrays.get("class_names")
    if names is not None and flat.dtype.kind != "U":
        words = [str(name) for name in names.ravel()]
        if flat.max() >= len(words) or len(set(words)) < len(words):
            got = f"{len(words)} names ({len(set(words))} different) for labels up to {flat.max()}"
            fix = "give each label its own name: class_names[label]"
            raise DataError(where, "class_names", "one different name a label", got=got, fix=fix)
        labels = [words[int(value)] for value in flat]
    return number_classes(where, labels, parts)


def _numbers(where: str, arrays: Arrays, parts: dict[str, np.ndarray]) -> Read:  # noqa: ARG001 - one signature
    y = arrays["y"]
    if y.ndim not in (1, 2) or 0 in y.shape or y.dtype.kind not in "fiu":
        fix = "save floats (N,) or (N, K); for classes task is classify"
        raise DataError(where, "y", "numbers, (N,) or (N, K)", got=f"{y.dtype} of shape {y.shape}", fix=fix)
    check_finite(where, "y", y)
    targets = np.asarray(y, dtype=np.float32).reshape(len(y), -1)
    count = targets.shape[1]
    if "class_names" not in arrays:
        return tuple(f"y{i}" for i in range(count)) if count > 1 else ("y",), targets
    names = tuple(str(name) for name in arrays["class_names"].ravel())
    if len(set(names)) != len(names) or len(names) != count:
        got = f"{len(names)} names ({len(set(names))} different)"
        raise DataError(
            where,
            "class_names",
            f"{count} different names, one for each column of y",
            got=got,
            fix="correct it, or leave it out",
        )
    return names, targets


def _labels(where: str, arrays: Arrays, parts: dict[str, np.ndarray]) -> Read:
    names, targets = _numbers(where, arrays, parts)
    check_labels(where, targets)
    return names, targets


def _masks(where: str, arrays: Arrays, parts: dict[str, np.ndarray]) -> Read:  # noqa: ARG001 - one signature
    x, y = arrays["x"], arrays["y"]
    if y.shape != (x.shape[0], *x.shape[2:]) or y.dtype.kind not in "iu":
        got = f"{y.dtype} of shape {y.shape} for x of {x.shape}"
        fix = "one class number a pixel, of the size of x without its channels"
        raise DataError(where, "y", "whole numbers (N, ...)", got=got, fix=fix)
    return number_values(where, y)


def number_values(where: str, masks: np.ndarray) -> Read:
    """The values that occur in masks, in their order, as classes 0, 1, …; the values are the names.

    Raises:
        DataError: only one value.
    """
    values, codes = np.unique(masks, return_inverse=True)
    if len(values) < 2:
        raise DataError(where, "the values of the masks", "at least 2", got=f"{values[0]} alone", fix="check the masks")
    return tuple(str(value) for value in values), codes.reshape(masks.shape).astype(np.min_scalar_type(len(values)))
