"""Which tar files a person means: a folder, one file, or a pattern, and which part of the data each one is.

    root/*.tar   root/<train|val|test>/*.tar   x.tar   root/train-{000..146}.tar   root/{train,val}-{0..9}.tar

Parts go by the folder, or by a word in the file's name (imagenet-val-000.tar); where there is only one, it is "all".
"""

import os
import re
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from striate.base.errors import DataError
from striate.data.samples import SYNONYMS
from striate.data.scan import Aside, folders_in, visible

SUFFIX = ".tar"
_COMPRESSED = re.compile(r".+\.(tar\.(gz|bz2|xz|zst|lz4|z)|tgz|tbz2?|txz|tzst)", re.IGNORECASE)
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d{1,9})\.\.(\d{1,9})")
_MOST = 100_000  # shards of a pattern: more is a slip
PLAIN = "make plain .tar shards: compressed ones cannot be read at any place (and pictures do not shrink)"


def is_pattern(location: str) -> bool:
    """Whether it is a brace pattern, as shards are named: x-{000..146}.tar."""
    return location.lower().endswith(SUFFIX) and bool(_BRACES.search(location)) and not os.path.exists(location)


def is_compressed(path: Path) -> bool:
    """Whether it is named like a compressed tar archive."""
    return bool(_COMPRESSED.fullmatch(path.name))


def expand(pattern: str) -> list[str]:
    """The names that a brace pattern stands for; zeros in front are kept.

    Raises:
        DataError: something between braces is neither a range nor a list.

    >>> expand("{train,val}-{08..10}.tar")[1:4]
    ['train-09.tar', 'train-10.tar', 'val-08.tar']
    """
    match = _BRACES.search(pattern)
    if not match:
        return [pattern]
    before, after, inner = pattern[: match.start()], pattern[match.end() :], match[1]
    ends = _RANGE.fullmatch(inner)
    if ends is None and "," not in inner:
        fix = "write {000..146} for numbers, {train,val} for words"
        raise DataError(pattern, "what stands between braces", "a range or a list", got=repr(inner), fix=fix)
    if ends is None:
        choices: Sequence[str] = inner.split(",")
    else:
        first, last = int(ends[1]), int(ends[2])
        width = max(len(ends[1]), len(ends[2])) if "0" in (ends[1][0], ends[2][0]) else 0
        step = 1 if last >= first else -1
        choices = [f"{n:0{width}}" for n in islice(range(first, last + step, step), _MOST + 1)]
    endings = expand(after)
    if len(choices) * len(endings) > _MOST:
        raise DataError(pattern, "the pattern", f"at most {_MOST} shards", got="more", fix="shorten its ranges")
    return [before + choice + ending for choice in choices for ending in endings]


def named_shards(pattern: str) -> tuple[Path, dict[str, list[Path]]]:
    """The folder and the shards by part of a pattern.

    Raises:
        DataError: shards that are not there, or whose parts are unclear.
    """
    paths = [Path(os.path.abspath(os.path.expanduser(name))) for name in dict.fromkeys(expand(pattern))]
    lacking = [path for path in paths if not path.is_file()]
    if lacking:
        got = f"{len(lacking)} of {len(paths)} that are not, first {lacking[0]}"
        raise DataError(pattern, "every shard of the pattern", "there", got=got, fix="correct the range")
    root = Path(os.path.commonpath([path.parent for path in paths]))
    return root, _by_name(root, paths)


def find_shards(root: Path, aside: Aside) -> dict[str, list[Path]]:
    """Part -> shards of a folder; empty where it is no folder of shards.

    Tar files beside class folders are left to the reader of class folders.

    Raises:
        DataError: only compressed archives, or unclear parts.
    """
    folders, here = folders_in(root, Aside()), _tars(root, aside)
    parts = [(SYNONYMS.get(folder.name.lower()), folder) for folder in folders]
    if not folders:
        return _by_name(root, here) if here else {}
    if not all(part for part, _ in parts) or any(folders_in(folder, Aside()) for _, folder in parts):
        return {}
    found: dict[str, list[Path]] = {}
    for part, folder in parts:
        shards = _tars(folder, aside)
        if part in found:
            fix = "merge or rename one of them"
            raise DataError(str(root), f"the folder for {part}", "one", got="two", fix=fix)
        if part and shards:
            found[part] = shards
    if found and here:
        fix = "move the shards into the folders of the parts"
        raise DataError(str(root), "shards", "all in folders of parts, or none", got=f"{here[0].name!r}", fix=fix)
    return _with_training(root, found) if found else {}


def _tars(folder: Path, aside: Aside) -> list[Path]:
    paths: list[Path] = []
    for entry in visible(folder):
        path = Path(entry.path)
        if is_compressed(path):
            raise DataError(str(folder), "shards", "plain .tar files", got=repr(path.name), fix=PLAIN)
        if path.suffix.lower() == SUFFIX:
            (aside.links if entry.is_symlink() else paths).append(path)
    return paths


def _by_name(root: Path, paths: list[Path]) -> dict[str, list[Path]]:
    """Parts by the words of names; "all" where there is only one."""
    found: dict[str, list[Path]] = {}
    for path in paths:
        words = {word.rstrip("0123456789") for word in re.split(r"[-_. ]", path.stem.lower())}
        parts = {SYNONYMS[word] for word in words & SYNONYMS.keys()}
        if len(parts) > 1:
            got = f"{path.name!r}, which names {' and '.join(sorted(parts))}"
            raise DataError(str(root), "a shard", "of one part", got=got, fix="rename it")
        found.setdefault(parts.pop() if parts else "", []).append(path)
    if len(found) == 1:
        return {"all": paths}
    if "" in found:
        got = f"{found[''][0].name!r} beside {found[next(p for p in found if p)][0].name!r}"
        fix = "name every shard like its part (train-000.tar), or none"
        raise DataError(str(root), "shards", "all named like a part, or none", got=got, fix=fix)
    return _with_training(root, found)


def _with_training(root: Path, found: dict[str, list[Path]]) -> dict[str, list[Path]]:
    if "train" not in found and "all" not in found:
        got = f"only {', '.join(sorted(found))}"
        raise DataError(str(root), "training shards", "there", got=got, fix="add train/*.tar or train-*.tar")
    return found
