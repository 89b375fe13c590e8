"""A walk through folders by the rules of `scan` that lists what it cannot enter instead of stopping."""

import errno
import os
from dataclasses import dataclass, field
from pathlib import Path

from striate.base.errors import DataError
from striate.data.decode import Fault
from striate.data.doctor.layout import UNUSED, Layout, Lot
from striate.data.formats import FORMAT_OF_SUFFIX
from striate.data.items import FileItems
from striate.data.scan import begins_like_a_picture, visible


@dataclass(slots=True)
class Listing:
    """What lies directly in a folder; `pictures` holds fifos and devices, too, for decoding to refuse."""

    folders: list[Path] = field(default_factory=list)
    pictures: list[Path] = field(default_factory=list)
    strangers: list[Path] = field(default_factory=list)


class Walk:
    """Every folder is listed once; links and folders that cannot be listed are kept for `report`.

    Args:
        root: what names are relative to.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.links: list[Path] = []
        self._faults: list[Fault] = []
        self._known: dict[Path, Listing] = {}

    def listing(self, folder: Path) -> Listing:
        """What lies directly in a folder, in the order of the names."""
        if folder not in self._known:
            self._known[folder] = self._read(folder)
        return self._known[folder]

    def below(self, folder: Path) -> Listing:
        """All folders, pictures and strangers of a folder and of those in it."""
        every, waiting = Listing(), [folder]
        while waiting:
            found = self.listing(waiting.pop())
            waiting += found.folders
            every.folders += found.folders
            every.pictures += found.pictures
            every.strangers += found.strangers
        for paths in (every.folders, every.pictures, every.strangers):
            paths.sort()
        return every

    def name(self, path: Path) -> str:
        """The path relative to the root."""
        return path.relative_to(self.root).as_posix()

    def names(self, paths: list[Path]) -> tuple[str, ...]:
        """The paths relative to the root."""
        return tuple(map(self.name, paths))

    def lot(self, paths: list[Path], label: str = "", split: str = UNUSED) -> Lot:
        """Files of one class and split."""
        return Lot(FileItems(tuple(paths)), self.names(paths), (label,) * len(paths), split)

    def report(self, layout: Layout, named: frozenset[Path] = frozenset()) -> None:
        """Hand over what was met; the links in `named` are followed, since a table names them."""
        layout.faults += self._faults
        for link in sorted(set(self.links) - named):
            layout.find(*self._kind_of_link(link), self.name(link))

    def _read(self, folder: Path) -> Listing:
        found = Listing()
        try:
            entries = visible(folder)
        except DataError as error:
            self._faults.append(Fault(self.name(folder), "folder", f"cannot be listed ({error.got})"))
            return found
        for entry in entries:
            path = Path(entry.path)
            if entry.is_symlink():
                self.links.append(path)
            elif entry.is_dir():
                found.folders.append(path)
            elif not entry.is_file() or path.suffix.lower() in FORMAT_OF_SUFFIX or begins_like_a_picture(path):
                found.pictures.append(path)
            else:
                found.strangers.append(path)
        return found

    def _kind_of_link(self, link: Path) -> tuple[str, str]:
        try:
            os.stat(link)
        except OSError as error:
            return ("link-loop" if error.errno == errno.ELOOP else "link-dangling"), ""
        target = Path(os.path.realpath(link))
        if link.is_relative_to(target):
            return "link-loop", ""
        return ("link" if target.is_relative_to(self.root) else "link-outside"), f"to {target}"
