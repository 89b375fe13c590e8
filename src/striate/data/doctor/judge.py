"""What classes, names and pictures tell when they are looked at together."""

import os
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath

import numpy as np

from striate.data.decode import Fault
from striate.data.doctor.groups import Seen
from striate.data.doctor.kinds import FEW, LONG_NAME, LOPSIDED
from striate.data.doctor.layout import UNUSED, Layout
from striate.data.doctor.report import Finding, Sizes
from striate.data.items import FileItems
from striate.data.samples import PARTS, class_order

Counts = dict[str, dict[str, int]]  # class -> split -> readable pictures


def count(layout: Layout, seen: Sequence[Seen]) -> Counts:
    """How many readable pictures each class has in each split, in the order of the class numbers."""
    found = Counter((one.label, one.split) for one in seen)
    names = class_order({name for declared in layout.declared.values() for name in declared})
    splits = [split for split in PARTS if split in layout.declared]
    return {name: {split: found[name, split] for split in splits} for name in names}


def findings_of_classes(layout: Layout, counts: Counts) -> Iterator[Finding]:
    """Whether the classes of all splits agree, and whether they have enough pictures."""
    main = "all" if "all" in layout.declared else "train"
    training = {
        name: splits[main] for name, splits in counts.items() if main in splits and name in layout.declared[main]
    }
    yield from _lookalikes(layout, counts)
    if not any(map(sum, (splits.values() for splits in counts.values()))):
        yield Finding("nothing", "")
    if main not in layout.declared:
        return  # said already: there is nothing to compare with
    if len(training) == 1 and all(finding.kind != "one-class" for finding in layout.findings):
        yield Finding("one-class", f"only {next(iter(training))!r}")
    for name, found in training.items():
        place = _places(layout, name, main)
        if not found:
            yield Finding("empty-class", repr(name), place)
        elif found < FEW:
            yield Finding("tiny-class", f"{name!r} has {found}", place)
    yield from _imbalance(training)
    for split in layout.declared.keys() - {main}:
        yield from _other_split(layout, counts, training, split)


def _other_split(layout: Layout, counts: Counts, training: Mapping[str, int], split: str) -> Iterator[Finding]:
    if not any(splits[split] for splits in counts.values()):
        yield Finding("empty-split", split)
        return
    for name in counts:
        if name not in training and counts[name][split]:
            yield Finding("extra-class", f"{name!r} in {split}", _places(layout, name, split))
        if training.get(name) and not counts[name][split]:
            yield Finding("lacking-class", f"no {name!r} in {split}", _places(layout, name, split))


def _places(layout: Layout, name: str, split: str) -> tuple[str, ...]:
    folder = layout.declared[split].get(name, "")
    return (folder,) if folder else ()


def _imbalance(training: Mapping[str, int]) -> Iterator[Finding]:
    some = {name: found for name, found in training.items() if found}
    if some:
        large, little = max(some, key=lambda name: some[name]), min(some, key=lambda name: some[name])
        if some[large] >= LOPSIDED * some[little]:
            yield Finding("imbalance", f"{large!r} has {some[large]}, {little!r} {some[little]}")


def _lookalikes(layout: Layout, counts: Counts) -> Iterator[Finding]:
    plain: dict[str, list[str]] = defaultdict(list)
    for name in counts:
        plain[unicodedata.normalize("NFC", name).casefold()].append(name)
    for names in plain.values():
        if len(names) > 1:
            folders = {folder for name in names for split in layout.declared for folder in _places(layout, name, split)}
            yield Finding("lookalike", " and ".join(map(ascii, names)), tuple(sorted(folders)))


def findings_of_pictures(seen: Sequence[Seen]) -> Iterator[Finding]:
    """The traits of single pictures, gathered, and those that are not of the kind of most."""
    gathered: dict[tuple[str, str], list[str]] = defaultdict(list)
    for one in seen:
        for trait in one.facts.traits:
            gathered[trait].append(one.name)
    for (kind, text), names in sorted(gathered.items()):
        yield Finding(kind, text, tuple(names))
    used = [one for one in seen if one.split != UNUSED]
    yield from _minority("mixed-channels", "channels", {one.name: str(one.facts.channels) for one in used})
    yield from _minority("mixed-kinds", "", {one.name: one.facts.kind for one in used})


def _minority(kind: str, unit: str, values: Mapping[str, str]) -> Iterator[Finding]:
    """All pictures that are not as most are."""
    (usual, _), *others = Counter(values.values()).most_common() or [("", 0)]
    for value, _ in others:
        names = tuple(name for name, found in values.items() if found == value)
        yield Finding(kind, f"{value} {unit}".strip() + f", most have {usual}", names)


def misfits(seen: Iterable[Seen]) -> Iterator[Fault]:
    """Pictures that cannot be brought to what most are: training would refuse the whole set for them."""
    used = [one for one in seen if one.split != UNUSED]
    if not used:
        return
    kind = Counter(one.facts.kind for one in used).most_common(1)[0][0]
    channels = Counter(one.facts.channels for one in used).most_common(1)[0][0]
    for one in used:
        found = one.facts.kind, one.facts.channels
        if found[0] != kind and "float32" in (found[0], kind):
            yield Fault(one.name, "pixels", f"{found[0]} pixels among {kind}: floating point has no stated range")
        elif found[1] != channels and not {found[1], channels} <= {1, 3}:
            yield Fault(one.name, "pixels", f"{found[1]} channels among pictures of {channels}")


def findings_of_names(layout: Layout) -> Iterator[Finding]:
    """Names of files and folders that other programs may stumble over."""
    gathered: dict[str, list[str]] = defaultdict(list)
    for lot in layout.lots:
        for name in lot.names if isinstance(lot.items, FileItems) else ():
            for text in {text for part in PurePosixPath(name).parts for text in _oddities(part)}:
                gathered[text].append(name)
    for text, names in sorted(gathered.items()):
        yield Finding("odd-name", text, tuple(names))


def _oddities(name: str) -> Iterator[str]:
    if any(unicodedata.category(mark) == "Cc" for mark in name):
        yield "a control character, such as a line feed"
    if any(unicodedata.category(mark) == "Cs" for mark in name):
        yield "bytes that are not UTF-8"
    if name[0] in "- " or name[-1] == " ":
        yield "a dash or space at an end"
    if len(os.fsencode(name)) > LONG_NAME:
        yield f"longer than {LONG_NAME} bytes"


def sizes_of(seen: Iterable[Seen]) -> Sizes | None:
    """The range of the sizes."""
    sizes = [one.facts.size for one in seen]
    if not sizes:
        return None
    by_area = sorted(set(sizes), key=lambda size: (size[0] * size[1], size))
    height, width = np.median(np.array(sizes), axis=0).astype(int).tolist()
    return Sizes(by_area[0], (height, width), by_area[-1], len(by_area))
