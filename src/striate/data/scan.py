"""Which files of a folder are pictures of the data set: every one once, system files and links left alone.

A file counts by its name (.jpg, .png, …) or, under any other name, by its first bytes.  Links are never followed, so
a loop cannot be entered, nothing outside the folder is read and no picture counts twice; they are listed instead.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from striate.base.errors import DataError
from striate.data.formats import FORMAT_OF_SUFFIX, PICTURES, SNIFF_BYTES, format_of

_SYSTEM = frozenset(("thumbs.db", "desktop.ini", "__macosx", "icon\r"))


@dataclass(slots=True)
class Aside:
    """What a scan met and did not take, for the notes."""

    links: list[Path] = field(default_factory=list)
    strangers: list[Path] = field(default_factory=list)  # files that are no pictures


def visible(folder: Path) -> list[os.DirEntry[str]]:
    """The entries of a folder in the order of their names, without hidden and system files.

    Raises:
        DataError: the folder cannot be listed.
    """
    try:
        with os.scandir(folder) as entries:
            kept = [e for e in entries if not e.name.startswith(".") and e.name.lower() not in _SYSTEM]
    except OSError as error:
        fix = "give yourself permission to read it"
        raise DataError(str(folder), "the folder", "readable", got=str(error.strerror), fix=fix) from error
    return sorted(kept, key=lambda entry: entry.name)


def folders_in(folder: Path, aside: Aside) -> list[Path]:
    """The folders directly in a folder."""
    entries = visible(folder)
    aside.links += [Path(e.path) for e in entries if e.is_symlink()]
    return [Path(e.path) for e in entries if e.is_dir(follow_symlinks=False)]


def pictures_in(folder: Path, aside: Aside, *, deep: bool = True) -> list[Path]:
    """The pictures of a folder and, with `deep`, of the folders in it, in the order of their paths."""
    return sorted(_pictures(folder, aside, deep))


def _pictures(folder: Path, aside: Aside, deep: bool) -> Iterator[Path]:
    for entry in visible(folder):
        path = Path(entry.path)
        if entry.is_symlink():
            aside.links.append(path)
        elif entry.is_dir():
            if deep:
                yield from _pictures(path, aside, deep)
        elif path.suffix.lower() in FORMAT_OF_SUFFIX or (entry.is_file() and begins_like_a_picture(path)):
            yield path  # a fifo or device with a picture's name too: decoding refuses it and says so
        else:
            aside.strangers.append(path)


def begins_like_a_picture(path: Path) -> bool:
    """Whether the first bytes of a file are those of a picture, whatever its name says."""
    try:
        with path.open("rb") as file:
            return format_of(file.read(SNIFF_BYTES)) in PICTURES
    except OSError:
        return False
