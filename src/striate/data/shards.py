"""Tar shards in WebDataset's layout as samples that can be read at any place, without unpacking them.

    part     folder or name of the shard, see `shard_files`
    sample   the files of one key, see `shard_index`
    class    the label as text, or line `label` of classes.txt beside the shards, counted from 0

Every shard is walked through once, header by header; a picture is read when it is asked for.
"""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np

from striate.base.errors import DataError
from striate.data.decode import DecodeFault, Fault, Header, header
from striate.data.look import Common, common
from striate.data.members import MemberItems, Shard
from striate.data.samples import Named, Samples, Source, align
from striate.data.scan import Aside
from striate.data.shard_cache import cached_index
from striate.data.shard_files import PLAIN, SUFFIX, find_shards, is_compressed, is_pattern, named_shards
from striate.data.shard_index import Label, ShardIndex, split_key

CLASSES = "classes.txt"
LOOKED_AT = 1024  # pictures whose headers tell channels and size
_SHOWN = 20  # faults listed in an error's text
_READERS = 8  # threads that walk: they wait for the disk

Indexes = dict[str, list[tuple[Path, ShardIndex]]]  # by part


class ShardFaultsError(DataError):
    """Shards or samples that cannot be taken; `faults` lists every one."""

    def __init__(self, location: str, faults: tuple[Fault, ...]) -> None:
        self.faults = faults
        shown = "".join(f"\n    {fault}" for fault in faults[:_SHOWN])
        rest = f"\n    and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        fix = "write these shards again; every sample is one picture and one label: 0001.jpg, 0001.cls"
        super().__init__(
            location, "every shard and sample", "whole", got=f"{len(faults)} faults:{shown}{rest}", fix=fix
        )


def open_shards(location: str | Path, *, cache: Path | None = None, skip_bad: bool = False) -> Source:
    """Find the samples of tar shards, their classes and parts.

    Args:
        location: a folder, a .tar file or a brace pattern, see `shard_files`.
        cache: a folder, made if need be, that keeps the index of every shard for the next time.
        skip_bad: leave out what cannot be taken, with a note, instead of refusing everything.

    Raises:
        ShardFaultsError: damaged shards, samples without picture or label; `skip_bad` is not set.
        DataError: no shards, compressed ones, unclear parts, labels that classes.txt does not name.
        ResourceError: the cache cannot be written.
    """
    root, paths, notes = _paths(location)
    if cache is not None:
        cache.mkdir(parents=True, exist_ok=True)
    indexes = _walked(root, paths, cache)
    faults = tuple(fault for part in indexes.values() for _, index in part for fault in index.faults)
    if faults and not skip_bad:
        raise ShardFaultsError(str(location), faults)
    if faults:
        notes.append(f"{len(faults)} faults in shards; what they concern is left out, first {faults[0]}")
    names = _class_names(root)
    named = {part: _named(root, found, names) for part, found in indexes.items()}
    classes, parts, lacking = align(str(location), named)
    channels, kind, size, told = _look(parts)
    name = root.name if Path(location).suffix.lower() != SUFFIX else Path(str(location).split("{")[0]).stem or root.name
    return Source(
        name.strip("-_. ") or root.name,
        str(location) if is_pattern(str(location)) else str(Path(location).resolve()),
        classes,
        channels,
        size,
        parts,
        (*notes, *_told(indexes), *lacking, *told),
        kind,
    )


def holds_shards(root: Path) -> bool:
    """Whether a folder is one of shards.

    Raises:
        DataError: as `find_shards`.
    """
    return bool(find_shards(root, Aside()))


def _paths(location: str | Path) -> tuple[Path, dict[str, list[Path]], list[str]]:
    """The folder, its shards by part, and notes."""
    if is_pattern(str(location)):
        return *named_shards(str(location)), []
    root, aside = Path(location).resolve(), Aside()
    if is_compressed(root):
        raise DataError(str(root), "shards", "plain .tar files", got=repr(root.name), fix=PLAIN)
    if not root.is_dir():
        return root.parent, {"all": [root]}, []
    found = find_shards(root, aside)
    if not found:
        fix = "shards lie in the folder itself or in train/, val/ and test/; see docs/shards.md"
        raise DataError(str(root), "tar shards", "there", got="none", fix=fix)
    links = aside.links
    return root, found, [f"{len(links)} links are not followed, first {links[0].name}"] if links else []


def _walked(root: Path, paths: dict[str, list[Path]], cache: Path | None) -> Indexes:
    with ThreadPoolExecutor(_READERS) as pool:
        found = {
            part: pool.map(lambda path: cached_index(path, _relative(path, root), cache), shards)
            for part, shards in paths.items()
        }
        return {part: list(zip(paths[part], indexes, strict=True)) for part, indexes in found.items()}


def _class_names(root: Path) -> tuple[str, ...] | None:
    """The lines of classes.txt; None where there is none."""
    path = root / CLASSES
    if not path.is_file():
        return None
    try:
        names = tuple(line.strip() for line in path.read_text("utf-8-sig").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        fix = "save it as UTF-8, one name a line"
        raise DataError(str(path), "the names of the classes", "readable", got=str(error), fix=fix) from error
    while names and not names[-1]:
        names = names[:-1]
    if not all(names) or len(set(names)) < len(names):
        twice = [name for name, count in Counter(names).items() if count > 1]
        got = f"{twice[0]!r} {Counter(names)[twice[0]]} times" if twice else "an empty line"
        raise DataError(str(path), "the names of the classes", "different, one a line", got=got, fix="name each once")
    return names


def _named(root: Path, found: Sequence[tuple[Path, ShardIndex]], class_names: tuple[str, ...] | None) -> Named:
    """The samples of one part, shard by shard, each in the order in which it lies there."""
    shards = tuple(Shard(path, index.size, index.mtime_ns) for path, index in found)
    names = tuple(f"{_relative(path, root)}/{name}" for path, index in found for name in index.names)
    labels = [label for _, index in found for label in index.labels]
    vocabulary = {label: _class(root, label, class_names) for label in set(labels)}
    number = {name: i for i, name in enumerate(dict.fromkeys(vocabulary.values()))}
    code = {label: number[name] for label, name in vocabulary.items()}  # the number 7 and the text "7" are one class
    items = MemberItems(
        shards,
        np.repeat(np.arange(len(found), dtype=np.int64), [len(index.names) for _, index in found]),
        np.array([offset for _, index in found for offset in index.offsets], dtype=np.int64),
        np.array([size for _, index in found for size in index.sizes], dtype=np.int64),
    )
    return Named(items, np.array([code[label] for label in labels], dtype=np.int64), list(number), names)


def _class(root: Path, label: Label, names: tuple[str, ...] | None) -> str:
    if names is None:
        return str(label)
    if isinstance(label, int) and label < len(names):
        return names[label]
    if label in names:
        return str(label)
    fix = f"line n of {CLASSES}, counted from 0, names the label n"
    raise DataError(str(root / CLASSES), "every label", f"one of its {len(names)} classes", got=repr(label), fix=fix)


def _look(parts: Mapping[str, Samples]) -> Common:
    """Channels, kind and common size from the headers of pictures spread over the shards."""
    found: list[Header] = []
    total = sum(map(len, parts.values()))
    step = max(1, total // LOOKED_AT)
    for samples in parts.values():
        for row in range(0, len(samples), step):
            with suppress(DecodeFault):  # left for decoding to report
                content = samples.items.content(row, samples.names[row])
                assert isinstance(content, bytes)
                found.append(header(content, samples.names[row]))
    channels, kind, size, notes = common(found)
    told = f"channels, kind and size are those of every {step}th picture; others are brought to them"
    return channels, kind, size, notes + [told] * (step > 1)


def _told(indexes: Indexes) -> list[str]:
    """What a person should know of what lay in the shards."""
    aside: Counter[str] = Counter()
    keys: Counter[str] = Counter()
    notes = []
    for part in indexes.values():
        for path, index in part:
            aside.update(index.aside)
            keys.update(split_key(name)[0] for name in index.names)
            notes += [f"{path.name} holds no samples"] * (not index.names)
    notes += [f"{count} {what}" for what, count in sorted(aside.items())]
    twice = [key for key, count in keys.items() if count > 1]
    return notes + ([f"{len(twice)} keys are in several shards, first {twice[0]!r}"] if twice else [])


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else os.path.relpath(path, root)
