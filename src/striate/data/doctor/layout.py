"""What lies where, found without stopping: samples with their classes and splits, and all that is wrong with that."""

from dataclasses import dataclass, field

from striate.data.decode import Fault
from striate.data.doctor.report import Finding
from striate.data.items import Items

UNUSED = ""  # the split of pictures that training does not take


@dataclass(frozen=True, slots=True, eq=False)
class Lot:
    """Pictures of one split, not read yet.

    Args:
        items: what gives them.
        names: relative to the data.
        labels: class names, "" where there is none.
        split: all, train, validation, test, or UNUSED.
    """

    items: Items
    names: tuple[str, ...]
    labels: tuple[str, ...]
    split: str


@dataclass(slots=True, eq=False)
class Layout:
    """What was found before any picture is read.

    Args:
        location: where the data lies.
        lots: what there is to read, every file once.
        declared: split -> class -> the folder's name, "" where the class is no folder; also of empty folders.
        faults: what cannot be read already.
        findings: what is odd already.
    """

    location: str
    lots: list[Lot] = field(default_factory=list)
    declared: dict[str, dict[str, str]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def declare(self, lot: Lot) -> None:
        """Add a lot with the classes that it names."""
        self.lots.append(lot)
        known = self.declared.setdefault(lot.split, {})
        for label in lot.labels:
            known.setdefault(label, "")

    def find(self, kind: str, text: str, *paths: str) -> None:
        """Note something odd."""
        self.findings.append(Finding(kind, text, paths))
