"""Class folders, with or without folders of splits, or a table: the rules of `folder` and `table`, none fatal.

The pictures that training would not use are looked at, too.
"""

from pathlib import Path

from striate.base.errors import DataError
from striate.data.decode import Fault
from striate.data.doctor.layout import Layout, Lot
from striate.data.doctor.walk import Walk
from striate.data.folder import TABLE
from striate.data.items import FileItems
from striate.data.samples import SYNONYMS
from striate.data.table import Row, RowError, each_row


def look_at_folders(root: Path) -> Layout:
    """Find pictures, classes and splits of a folder without a table."""
    layout, walk = Layout(str(root)), Walk(root)
    folders = walk.listing(root).folders
    splits = _split_folders(walk, folders, layout)
    if splits:
        for folder, split in splits.items():
            _look_at_classes(walk, folder, split, layout)
        _add_strays(walk, root, layout)
        for folder in folders:
            if folder not in splits:
                found = walk.below(folder).pictures
                layout.find("unused-folder", f"{len(found)} pictures", walk.name(folder))
                layout.lots.append(walk.lot(found))
        if "train" not in splits.values():
            layout.find("no-training", f"only {', '.join(folder.name for folder in splits)}")
    else:
        _look_at_classes(walk, root, "all", layout)
    walk.report(layout)
    return layout


def _split_folders(walk: Walk, folders: list[Path], layout: Layout) -> dict[Path, str]:
    """Folder -> split, empty where the folders are classes."""
    found = {folder: SYNONYMS[folder.name.lower()] for folder in folders if folder.name.lower() in SYNONYMS}
    for split in sorted(set(found.values())):
        same = [folder for folder in found if found[folder] == split]
        if len(same) > 1:
            layout.find("two-folders", f"for {split}", *walk.names(same))
    only_splits = bool(folders) and len(found) == len(folders)
    training_with_classes = any(found[folder] == "train" and walk.listing(folder).folders for folder in found)
    return found if only_splits or training_with_classes else {}


def _look_at_classes(walk: Walk, folder: Path, split: str, layout: Layout) -> None:
    classes = walk.listing(folder).folders
    place = "" if folder == walk.root else walk.name(folder)
    if not classes:
        count = len(walk.listing(folder).pictures)
        text = f"none, but {count} pictures directly in it" if count else "none"
        text += f", and {len(walk.links)} links, which are not followed" if walk.links else ""
        layout.find("no-classes", text, *([place] if place else []))
    if len(classes) == 1 and not place and (inner := walk.listing(classes[0]).folders):
        layout.find("one-class", f"perhaps the classes are {_few(inner)}: then check {classes[0]}")
    declared = layout.declared.setdefault(split, {})
    for class_folder in classes:
        found = walk.below(class_folder)
        name = walk.name(class_folder)
        declared.setdefault(class_folder.name, name)
        layout.lots.append(walk.lot(found.pictures, class_folder.name, split))
        if any(path.parent != class_folder for path in found.pictures):
            layout.find("nested", _few([path for path in found.folders if path.parent == class_folder]), name)
        if found.strangers:
            layout.find("stranger", "", *walk.names(found.strangers))
    _add_strays(walk, folder, layout)


def _add_strays(walk: Walk, folder: Path, layout: Layout) -> None:
    strays = walk.listing(folder).pictures
    if strays:
        layout.find("stray", "", *walk.names(strays))
        layout.lots.append(walk.lot(strays))


def _few(folders: list[Path], most: int = 3) -> str:
    rest = f" and {len(folders) - most} more" if len(folders) > most else ""
    return ", ".join(repr(folder.name) for folder in folders[:most]) + rest


def look_at_table(table: Path) -> Layout:
    """Find what a table names, and what lies beside it unnamed."""
    root = table.parent
    layout, walk = Layout(str(root if table.name == TABLE else table)), Walk(root)
    rows = _rows(table, layout)
    for split in sorted({split for _, _, split in rows.values()}):
        chosen = [row for row in rows.values() if row[2] == split]
        names = tuple(path for path, _, _ in chosen)
        items = FileItems(tuple(root / path for path in names))
        layout.declare(Lot(items, names, tuple(label for _, label, _ in chosen), split))
    if rows and not layout.declared.keys() & {"all", "train"}:
        layout.find("no-training", f"only {', '.join(layout.declared)}")
    named = frozenset(root / path for path in rows)
    rest = [path for path in walk.below(root).pictures if path not in named]
    if rest:
        layout.find("unlisted", "", *walk.names(rest))
        layout.lots.append(walk.lot(rest))
    walk.report(layout, named)
    return layout


def _rows(table: Path, layout: Layout) -> dict[str, Row]:
    """Path -> row, each path once; what is wrong with rows becomes faults."""
    rows: dict[str, Row] = {}
    try:
        for row in each_row(table):
            if isinstance(row, RowError):
                layout.faults.append(Fault(row.path, row.kind, f"{row.what} must be {row.must}, got {row.got}"))
            elif row[0] not in rows:
                rows[row[0]] = row
            else:
                _note_second_row(rows[row[0]], row, layout)
    except DataError as error:
        layout.faults.append(Fault(table.name, "table", f"{error.what} must be {error.must}, got {error.got}"))
    return dict(sorted(rows.items()))


def _note_second_row(first: Row, second: Row, layout: Layout) -> None:
    path, labels, splits = first[0], {first[1], second[1]}, {first[2], second[2]}
    layout.faults.append(Fault(path, "listed-twice", "named by two rows"))
    if len(labels) > 1:
        layout.find("two-labels", " and ".join(map(repr, sorted(labels))), path)
    if len(splits) > 1:
        layout.find("leak", " and ".join(sorted(splits)), path)
