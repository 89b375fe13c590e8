"""Pictures with numbers, by a table, or with masks, by name.

    FILE.csv                 columns path|file|image|file_name, where wanted split, and one column for each number
    images/NAME.jpg (any format), masks/NAME.png     a mask holds class numbers: indexed, or grey

Where a `Picture` is given, they are brought to its size: pictures as everywhere, masks by the nearest pixel.  Without
one, all must have the same size and channels already.
"""

import csv
from pathlib import Path

import numpy as np
from PIL import Image

from striate.base.errors import DataError
from striate.data.decode import DecodeFault, decode
from striate.data.mask import class_numbers
from striate.data.picture import Picture, fit
from striate.data.record_arrays import number_values
from striate.data.record_set import Kind, Records, all_rows, check_labels, rows_by_part
from striate.data.record_texts import number
from striate.data.scan import Aside, pictures_in
from striate.data.table import part_named, path_inside

_PATHS = ("path", "file", "image", "file_name")
_SHOWN = 20


def open_number_table(table: Path, kind: Kind, picture: Picture | None) -> Records:
    """Read a table of pictures and numbers, or labels of 0 and 1.

    Raises:
        DataError: columns missing, a path outside of the folder, a cell that is no finite number, pictures that do not
            decode or are of several sizes.
    """
    where, rows, targets, words = str(table), [], [], []
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            path_column, split_column, numbers = _columns(where, list(reader.fieldnames or ()))
            for row in reader:
                line = reader.line_num
                rows.append(table.parent / path_inside(table, line, (row[path_column] or "").strip()))
                targets.append([number(where, f"{name} in line {line}", row[name] or "") for name in numbers])
                words.append(part_named(table, line, row[split_column] or "") if split_column else "all")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        fix = "save it as CSV, UTF-8, with commas"
        raise DataError(where, "the table", "a CSV in UTF-8", got=str(error)[:200], fix=fix) from error
    parts, values = rows_by_part(where, words), np.array(targets, dtype=np.float32)
    if kind == "labels":
        check_labels(where, values)
    images = _images(where, rows, [str(path.relative_to(table.parent)) for path in rows], picture)
    return Records(
        name=table.stem,
        location=where,
        kind=kind,
        inputs=images,
        targets=values,
        classes=tuple(numbers),
        parts=parts,
    )


def open_masks(root: Path, picture: Picture | None) -> Records:
    """Read images/ and masks/.

    Raises:
        DataError: a picture without a mask, two pictures of one name, sizes that disagree, files that do not decode.
    """
    images = _by_name(root / "images")
    masks = {name: path for name, path in _by_name(root / "masks").items() if path.suffix.lower() == ".png"}
    lacking = [path.name for name, path in images.items() if name not in masks]
    if lacking or not images:
        rest = f" and {len(lacking) - _SHOWN} more" if len(lacking) > _SHOWN else ""
        got = f"none for {', '.join(lacking[:_SHOWN])}{rest}" if lacking else "no pictures in images/"
        raise DataError(str(root), "a mask for every picture", "in masks/", got=got, fix="add masks/NAME.png")
    unused = sorted(masks.keys() - images.keys())
    notes = (f"{len(unused)} masks have no picture, first {unused[0]}",) if unused else ()
    where, names = str(root), list(images)
    values = _masks(where, images, masks, picture)
    classes, targets = number_values(where, values)
    return Records(
        name=root.name,
        location=where,
        kind="masks",
        inputs=_images(where, list(images.values()), names, picture),
        targets=targets,
        classes=classes,
        parts=all_rows(len(images)),
        notes=notes,
    )


def _by_name(folder: Path) -> dict[str, Path]:
    """Path within the folder without its suffix -> file."""
    found: dict[str, Path] = {}
    for path in pictures_in(folder, Aside()) if folder.is_dir() else ():
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            got = f"{found[name].name} and {path.name}"
            raise DataError(str(folder), f"the files called {name}", "one", got=got, fix="rename or remove one of them")
        found[name] = path
    return found


def _images(where: str, paths: list[Path], names: list[str], picture: Picture | None) -> np.ndarray:
    """uint8 (N, C, h, w)."""
    held: np.ndarray | None = None
    faults: list[str] = []
    for row, (path, name) in enumerate(zip(paths, names, strict=True)):
        try:
            image = decode(path, name)
            seen = Picture(image.pixels.shape[2] - (image.layers == "alpha"), *image.size)
        except DecodeFault as fault:
            faults.append(f"\n    {fault}")
            continue
        planes = fit(image, picture or seen)
        held = np.empty((len(paths), *planes.shape), dtype=np.uint8) if held is None else held
        if planes.shape != held.shape[1:]:
            got = f"(C, H, W) = {held.shape[1:]} and, in {name}, {planes.shape}"
            raise DataError(where, "the pictures", "of one size", got=got, fix="bring them to one size and mode")
        held[row] = planes
    _raise(where, "every picture", faults)
    assert held is not None  # there are paths
    return held


def _masks(where: str, images: dict[str, Path], masks: dict[str, Path], picture: Picture | None) -> np.ndarray:
    """uint16 (N, h, w), every one held against its picture."""
    held: list[np.ndarray] = []
    faults: list[str] = []
    for name, path in images.items():
        try:
            mask, image = class_numbers(masks[name], masks[name].name), decode(path, path.name)
        except DecodeFault as fault:
            faults.append(f"\n    {fault}")
            continue
        if mask.shape != image.size:
            faults.append(f"\n    {masks[name].name}: {mask.shape} where its picture is {image.size}")
        elif picture is not None:
            small = Image.fromarray(mask).resize((picture.width, picture.height), Image.Resampling.NEAREST)
            held.append(np.asarray(small))
        else:
            held.append(mask)
    _raise(where, "every picture and its mask", faults)
    if len({mask.shape for mask in held}) > 1:
        got = ", ".join(sorted({str(mask.shape) for mask in held})[:5])
        raise DataError(where, "the masks", "of one size", got=got, fix="bring pictures and masks to one size")
    return np.stack(held)


def _raise(where: str, what: str, faults: list[str]) -> None:
    if faults:
        rest = f"\n    and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        got = f"{len(faults)} that are not:{''.join(faults[:_SHOWN])}{rest}"
        raise DataError(where, what, "readable and of one size", got=got, fix="repair or remove these files")


def _columns(where: str, given: list[str]) -> tuple[str, str | None, list[str]]:
    plain = {name.strip().lower(): name for name in given}
    path = next((plain[name] for name in _PATHS if name in plain), None)
    numbers = [name for name in given if name != path and name.strip().lower() != "split"]
    if path is None or not numbers or len(plain) < len(given):
        fix = "a first line such as path,age,height; every column but path and split is a number"
        got = ", ".join(given) or "an empty file"
        raise DataError(where, "the columns", "path and numbers, each once", got=got, fix=fix)
    return path, plain.get("split"), numbers
