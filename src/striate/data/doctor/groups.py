"""Groups of pictures: the same by pixels, or alike, within and across splits and classes."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from striate.data.doctor.examine import Facts
from striate.data.doctor.layout import UNUSED
from striate.data.doctor.likeness import SMALL, alike
from striate.data.doctor.report import Finding, Group


@dataclass(frozen=True, slots=True)
class Seen:
    """A readable picture and where it stands."""

    name: str
    label: str
    split: str
    facts: Facts


def identical(seen: Iterable[Seen]) -> tuple[Group, ...]:
    """Groups of used pictures with the same pixels, in the order of their first names."""
    by_pixels: dict[bytes, list[Seen]] = defaultdict(list)
    for one in seen:
        if one.split != UNUSED:
            by_pixels[one.facts.pixels].append(one)
    same = [group for group in by_pixels.values() if len(group) > 1]
    return _sorted(_group(g, "bytes" if len({one.facts.content for one in g}) == 1 else "pixels") for g in same)


def similar(seen: Iterable[Seen]) -> tuple[Group, ...]:
    """Groups of used pictures that look alike; of identical ones the first stands for all."""
    first = {one.facts.pixels: one for one in seen if one.split != UNUSED and not one.facts.constant}
    chosen = sorted(first.values(), key=lambda one: one.name)
    codes = np.array([one.facts.code for one in chosen], dtype=np.uint64)
    copies = np.frombuffer(b"".join(one.facts.copy for one in chosen), dtype=np.uint8).reshape(-1, SMALL, SMALL)
    shorter = np.array([min(one.facts.size) for one in chosen], dtype=np.int64)
    pairs = alike(codes, copies, shorter).tolist()
    return _sorted(_group([chosen[i] for i in members], "") for members in _connected(pairs))


def findings_of(duplicates: Sequence[Group], near: Sequence[Group]) -> Iterator[Finding]:
    """What the groups mean: two classes, two splits, or just twice."""
    for group in duplicates:
        if len(group.classes) > 1:
            yield Finding("two-labels", " and ".join(map(repr, group.classes)), group.paths)
        if len(group.splits) > 1:
            yield Finding("leak", " and ".join(group.splits), group.paths)
        elif len(group.classes) == 1:
            yield Finding("duplicate", "", group.paths)
    for group in near:
        across = (group.splits, tuple(map(repr, group.classes)))
        text = "; ".join(" and ".join(names) for names in across if len(names) > 1)
        yield Finding("near", text, group.paths)


def _group(members: Sequence[Seen], how: str) -> Group:
    splits, classes = ({getattr(one, what) for one in members} for what in ("split", "label"))
    names = sorted(one.name for one in members)
    return Group(tuple(names), tuple(sorted(splits)), tuple(sorted(classes)), how)


def _sorted(groups: Iterable[Group]) -> tuple[Group, ...]:
    return tuple(sorted(groups, key=lambda group: group.paths))


def _connected(pairs: Sequence[Sequence[int]]) -> list[list[int]]:
    """Positions that pairs join, directly or through others."""
    parent: dict[int, int] = {}

    def top(i: int) -> int:
        while parent.setdefault(i, i) != i:
            parent[i] = i = parent[parent[i]]
        return i

    for a, b in pairs:
        parent[top(b)] = top(a)
    members: dict[int, list[int]] = defaultdict(list)
    for i in sorted(parent):
        members[top(i)].append(i)
    return list(members.values())
