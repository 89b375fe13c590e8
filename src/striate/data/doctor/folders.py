"""Class folders, with or without folders of splits, or a table: the rules of `folder` and `table`, none fatal.

The pictures that training would not use are looked at, too.
"""

from pathlib import Path

from striate.base.errors import DataError
from striate.data.decode import Fault
from striate.data.doctor.layout import Layout, Lot
from striate.data.doctor.walk import Walk
from striate.data.folder import METADATA, TABLE, metadata_table
from striate.data.items import FileItems
from striate.data.samples import SYNONYMS
from striate.data.table import Row, RowError, each_row


def look_at_folders(root: Path) -> Layout:
    """Find pictures, classes and splits of a folder without a table."""
    layout, walk = Layout(str(root)), Walk(root)
    folders, named = walk.listing(root).folders, frozenset[Path]()
    splits = _split_folders(walk, folders, layout)
    if splits:
        for folder, split in splits.items():
            table = _table_in(folder, layout)
            if table is None:
                _look_at_classes(walk, folder, split, layout)
            else:
                named |= _add_table(walk, table, split, layout)
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
    walk.report(layout, named)
    return layout


def _split_folders(walk: Walk, folders: list[Path], layout: Layout) -> dict[Path, str]:
    """Folder -> split, empty where the folders are classes."""
    found = {folder: SYNONYMS[folder.name.lower()] for folder in folders if folder.name.lower() in SYNONYMS}
    for split in sorted(set(found.values())):
        same = [folder for folder in found if found[folder] == split]
        if len(same) > 1:
            layout.find("two-folders", f"for {split}", *walk.names(same))
    only_splits = bool(folders) and len(found) == len(folders)
    training = [folder for folder in found if found[folder] == "train"]
    told = any(walk.listing(folder).folders or _table_in(folder, Layout("")) for folder in training)
    return found if only_splits or told else {}


def _table_in(folder: Path, layout: Layout) -> Path | None:
    """The table of a split's pictures; of several, which is a fault, none."""
    try:
        return metadata_table(folder)
    except DataError as error:
        layout.faults.append(Fault(folder.name, "table", f"{error.what} must be {error.must}, got {error.got}"))
        return None


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
    layout, walk = Layout(str(root if table.name in (TABLE, *METADATA) else table)), Walk(root)
    named = _add_table(walk, table, "", layout)
    if named and not layout.declared.keys() & {"all", "train"}:
        layout.find("no-training", f"only {', '.join(layout.declared)}")
    walk.report(layout, named)
    return layout


def _add_table(walk: Walk, table: Path, only: str, layout: Layout) -> frozenset[Path]:
    """What a table names, all of split `only` unless that is ""; returns the files that it names."""
    root = table.parent
    prefix = "" if root == walk.root else f"{walk.name(root)}/"
    rows = _rows(table, prefix, layout)
    for split in sorted({row.part for row in rows.values()}):
        chosen = [row for row in rows.values() if row.part == split]
        items = FileItems(tuple(root / row.path for row in chosen))
        names = tuple(prefix + row.path for row in chosen)
        layout.declare(Lot(items, names, tuple(row.label for row in chosen), only or split))
        if only and split != "all":
            reason = f"rows of {split} in the folder of {only}"
            layout.faults.append(Fault(prefix + table.name, "table", reason))
    named = frozenset(root / path for path in rows)
    rest = [path for path in walk.below(root).pictures if path not in named]
    if rest:
        layout.find("unlisted", "", *walk.names(rest))
        layout.lots.append(walk.lot(rest))
    return named


def _rows(table: Path, prefix: str, layout: Layout) -> dict[str, Row]:
    """Path -> row, each path once; what is wrong with rows becomes faults."""
    rows: dict[str, Row] = {}
    try:
        for row in each_row(table):
            if isinstance(row, RowError):
                layout.faults.append(
                    Fault(prefix + row.path, row.kind, f"{row.what} must be {row.must}, got {row.got}")
                )
            elif row.path not in rows:
                rows[row.path] = row
            else:
                _note_second_row(rows[row.path], row, prefix, layout)
    except DataError as error:
        layout.faults.append(Fault(prefix + table.name, "table", f"{error.what} must be {error.must}, got {error.got}"))
    return dict(sorted(rows.items()))


def _note_second_row(first: Row, second: Row, prefix: str, layout: Layout) -> None:
    path, labels, splits = prefix + first.path, {first.label, second.label}, {first.part, second.part}
    layout.faults.append(Fault(path, "listed-twice", "named by two rows"))
    if len(labels) > 1:
        layout.find("two-labels", " and ".join(map(repr, sorted(labels))), path)
    if len(splits) > 1:
        layout.find("leak", " and ".join(sorted(splits)), path)
