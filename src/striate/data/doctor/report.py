"""What the doctor found, for programs and for people."""

from dataclasses import asdict, dataclass
from typing import Any

from striate.data.decode import Fault
from striate.data.doctor.kinds import KINDS, Level

Size = tuple[int, int]  # height, width in pixels


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a person should know.

    Args:
        kind: a key of `KINDS`.
        text: what exactly; "" where the kind says it all.
        paths: the files or folders, relative to the data; empty where it is about no file.
    """

    kind: str
    text: str
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """Pictures that are the same, or alike.

    Args:
        paths: of all of them, sorted.
        splits: those in which they stand.
        classes: those in which they stand.
        identical: "bytes", "pixels" (the same picture, stored differently) or "" where they are only alike.
    """

    paths: tuple[str, ...]
    splits: tuple[str, ...]
    classes: tuple[str, ...]
    identical: str


@dataclass(frozen=True, slots=True)
class Sizes:
    """Of the readable pictures: the smallest and the largest by area, the median height and width, how many."""

    smallest: Size
    median: Size
    largest: Size
    different: int


@dataclass(frozen=True, slots=True)
class Report:
    """What `check` found.

    Args:
        location: where the data lies.
        files: how many pictures were looked at, used or not.
        classes: name -> split -> readable pictures.
        sizes: None where no picture could be read.
        faults: files, rows and arrays that cannot be used: all of them.
        duplicates: groups of identical pictures.
        near: groups of pictures that look alike.
        findings: all else, and again what groups of pictures mean.
        seconds: that it took.
    """

    location: str
    files: int
    classes: dict[str, dict[str, int]]
    sizes: Sizes | None
    faults: tuple[Fault, ...]
    duplicates: tuple[Group, ...]
    near: tuple[Group, ...]
    findings: tuple[Finding, ...]
    seconds: float

    def kinds(self, *levels: Level) -> list[str]:
        """The kinds of these levels that were found, in the order of `KINDS`."""
        found = {fault.kind for fault in self.faults} | {finding.kind for finding in self.findings}
        return [kind for kind in KINDS if kind in found and KINDS[kind].level in levels]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for one JSON object.

        A name that is not UTF-8 holds its bytes as Python does (PEP 383): `os.fsencode` gives them back.
        """
        found = asdict(self)
        found["duplicates"] = [list(group.paths) for group in self.duplicates]
        found["near"] = [list(group.paths) for group in self.near]
        found["findings"] = [asdict(f) | {"level": KINDS[f.kind].level.value} for f in self.findings]
        return found

    def __str__(self) -> str:
        from striate.data.doctor.text import report_text  # it needs this class

        return report_text(self)
