"""A folder of class folders with pictures of any size, in one of four layouts.

    root/<class>/…/picture                    one part, "all"
    root/<train|val|test>/<class>/…/picture   parts by folder (training, valid, validation, dev, testing mean the same)
    root/split.csv                            parts by table, see `table`
    root/metadata.csv, root/<part>/metadata.csv   the same as Hugging Face writes it; also metadata.jsonl

The second is taken when every folder is named like a part, or one is named like training and holds folders.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from striate.base.errors import DataError
from striate.data.decode import DecodeFault, Header, header
from striate.data.formats import FORMAT_OF_SUFFIX
from striate.data.items import FileItems
from striate.data.look import Common, common
from striate.data.samples import SYNONYMS, Named, Samples, Source, align
from striate.data.scan import Aside, folders_in, pictures_in
from striate.data.table import read_table

TABLE = "split.csv"
METADATA = ("metadata.csv", "metadata.jsonl")
KINDS = (
    "one folder a class with JPEG, PNG, BMP, GIF, WEBP, TIFF, PPM or .npy pictures (with or without train/val/test "
    "above), a folder of IDX files, an .npz, or tar shards"
)


def open_folder(root: Path) -> Source:
    """Find the pictures, their classes and parts; only headers are read.

    Raises:
        DataError: no class folders, a training class without pictures, an unclear layout, a class that training lacks.
    """
    aside = Aside()
    table = root / TABLE if (root / TABLE).is_file() else metadata_table(root)
    if table:
        return open_table(table)
    at_root = Aside()
    folders = folders_in(root, at_root)
    parts = _part_folders(root, folders)
    notes: list[str] = []
    if parts:
        named = {part: _part(root, folder, part, aside, notes) for part, folder in parts.items()}
        aside.links += at_root.links
        unused = [folder.name for folder in folders if folder not in parts.values()]
        notes += [f"not used: {', '.join(map(repr, unused))} beside the folders of the parts"] * bool(unused)
    else:
        named = {"all": _class_folders(root, root, "all", aside, notes)}
    return _source(root, root.name, named, notes + _told(aside, root))


def open_table(path: Path) -> Source:
    """Read a table of paths, classes and parts; the paths are relative to its folder.

    Raises:
        DataError: as `read_table` and `open_folder`.
    """
    root, aside = path.parent, Aside()
    named = read_table(path)
    notes = _unlisted(path, named, root, aside)
    name = root.name if path.name in (TABLE, *METADATA) else path.stem
    return _source(root, name, named, notes + _told(Aside(links=aside.links), root))


def _unlisted(table: Path, named: Mapping[str, Named], root: Path, aside: Aside) -> list[str]:
    """A note on the pictures beside a table that it does not name."""
    listed = set(_paths(named))
    below = [p for folder in folders_in(table.parent, aside) for p in pictures_in(folder, aside)]
    rest = [p for p in (*pictures_in(table.parent, Aside(), deep=False), *below) if p not in listed]
    first = _relative(rest[0], root) if rest else ""
    return [f"{len(rest)} pictures are not in {_relative(table, root)} and not used, first {first}"] if rest else []


def metadata_table(folder: Path) -> Path | None:
    """The table that Hugging Face writes beside pictures, where there is one.

    Raises:
        DataError: there are two.
    """
    found = [folder / name for name in METADATA if (folder / name).is_file()]
    if len(found) > 1:
        got = " and ".join(METADATA)
        raise DataError(str(folder), "the table of its pictures", "one", got=got, fix="keep the one that holds")
    return found[0] if found else None


def _part(root: Path, folder: Path, part: str, aside: Aside, notes: list[str]) -> Named:
    """The pictures of one part: by its own table where it has one, else by class folder."""
    table = metadata_table(folder)
    if table is None:
        return _class_folders(root, folder, part, aside, notes)
    parts = read_table(table)
    if parts.keys() != {"all"}:
        fix = f"remove its split column, or put the table into {root}"
        raise DataError(str(table), "its rows", f"all of {part}", got=f"rows of {', '.join(parts)}", fix=fix)
    notes += _unlisted(table, parts, root, aside)
    return replace(parts["all"], names=tuple(f"{folder.name}/{name}" for name in parts["all"].names))


def _source(root: Path, name: str, named: dict[str, Named], notes: list[str]) -> Source:
    classes, parts, lacking = align(str(root), named)
    notes += [
        f"classes {a!r} and {b!r} differ only in case or in how they are encoded" for a, b in _lookalikes(classes)
    ]
    channels, kind, size, seen = _look(_paths(parts), root)
    return Source(name, str(root), classes, channels, size, parts, (*notes, *lacking, *seen), kind)


def _paths(parts: Mapping[str, Named] | Mapping[str, Samples]) -> list[Path]:
    return [path for samples in parts.values() if isinstance(samples.items, FileItems) for path in samples.items.paths]


def _part_folders(root: Path, folders: Sequence[Path]) -> dict[str, Path]:
    """Part -> folder, empty where the folders are classes."""
    found: dict[str, Path] = {}
    for folder in folders:
        part = SYNONYMS.get(folder.name.lower())
        if part in found:
            got = f"{found[part].name!r} and {folder.name!r}"
            raise DataError(str(root), f"the folder for {part}", "one", got=got, fix="merge or rename one of them")
        if part:
            found[part] = folder
    only_parts = bool(folders) and len(found) == len(folders)
    train = found.get("train")
    if not only_parts and not (train and (folders_in(train, Aside()) or metadata_table(train))):
        return {}
    if train is None:
        got = f"only {', '.join(folder.name for folder in folders)}"
        raise DataError(str(root), "a training folder", "there", got=got, fix="add train/<class>/… beside them")
    return {part: found[part] for part in ("train", "validation", "test") if part in found}


def _class_folders(root: Path, folder: Path, part: str, aside: Aside, notes: list[str]) -> Named:
    """The pictures of one part by class folder."""
    folders = folders_in(folder, aside)
    strays = pictures_in(folder, Aside(), deep=False)
    if not folders:
        raise _no_class_folders(folder, len(strays), aside)
    if len(folders) == 1 and folder == root and folders_in(folders[0], Aside()):
        fix = f"give {folders[0]} if the class folders lie in there"
        raise DataError(str(root), "the number of class folders", "at least 2", got=f"1 ({folders[0].name!r})", fix=fix)
    if strays:
        notes.append(f"{len(strays)} pictures beside class folders are not used, first {_relative(strays[0], root)}")
    found = [pictures_in(class_folder, aside) for class_folder in folders]
    _check_empty(root, part, folders, found, notes)
    nested = sum(len(path.relative_to(folder).parts) > 2 for paths in found for path in paths)
    if nested:
        notes.append(f"{nested} pictures lie in folders within class folders; the outermost folder is their class")
    items = tuple(path for paths in found for path in paths)
    codes = np.repeat(np.arange(len(found)), [len(paths) for paths in found]).astype(np.int64)
    names = tuple(_relative(path, root) for path in items)
    return Named(FileItems(items), codes, tuple(class_folder.name for class_folder in folders), names)


def _check_empty(
    root: Path, part: str, folders: Sequence[Path], found: Sequence[Sequence[Path]], notes: list[str]
) -> None:
    empty = [_relative(folder, root) for folder, paths in zip(folders, found, strict=True) if not paths]
    if empty and (part in ("all", "train") or len(empty) == len(folders)):
        got = f"none in {', '.join(map(repr, empty))}"
        fix = f"put pictures there or remove the folder; accepted: {KINDS}"
        raise DataError(str(root), "pictures in every class folder", "there", got=got, fix=fix)
    notes += [f"{name!r} holds no pictures" for name in empty]


def _no_class_folders(folder: Path, strays: int, aside: Aside) -> DataError:
    got = f"none, but {strays} pictures directly in it" if strays else "none"
    got += f", and {len(aside.links)} links, which are not followed" if aside.links else ""
    fix = "make one folder a class and move the pictures there" if strays else f"accepted: {KINDS}"
    return DataError(str(folder), "class folders", "there", got=got, fix=fix)


def _look(paths: Sequence[Path], root: Path) -> Common:
    """Channels, kind, common size and notes from the headers; what cannot be read is left for decoding to report."""
    found: list[Header] = []
    misnamed = []
    for path in paths:
        try:
            found.append(header(path))
        except DecodeFault:
            continue
        if FORMAT_OF_SUFFIX.get(path.suffix.lower()) != found[-1].format:
            misnamed.append(f"{_relative(path, root)} is {found[-1].format}")
    notes = [f"{len(misnamed)} pictures are named like another format, first {misnamed[0]}"] if misnamed else []
    channels, kind, size, mixtures = common(found)
    return channels, kind, size, notes + mixtures


def _lookalikes(classes: Sequence[str]) -> list[tuple[str, str]]:
    seen: dict[str, str] = {}
    pairs = []
    for name in classes:
        plain = unicodedata.normalize("NFC", name).casefold()
        if plain in seen:
            pairs.append((seen[plain], name))
        seen[plain] = name
    return pairs


def _told(aside: Aside, root: Path) -> list[str]:
    notes = []
    if aside.links:
        notes.append(f"{len(aside.links)} links are not followed, first {_relative(aside.links[0], root)}")
    if aside.strangers:
        first = _relative(aside.strangers[0], root)
        notes.append(f"{len(aside.strangers)} files that are no pictures are not used, first {first}")
    return notes


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()
