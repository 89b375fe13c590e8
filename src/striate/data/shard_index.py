"""One tar shard as samples: files that share their name up to the first dot of its base name are one sample.

    cats/0001.jpg, cats/0001.cls   ->   key "cats/0001", fields "jpg" and "cls"

The convention of WebDataset; fields count in lower case.  The files of a sample may lie apart within the shard.
Pictures are not read, labels are.
"""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from striate.data.faults import MAX_BYTES, Fault
from striate.data.formats import FORMAT_OF_SUFFIX
from striate.data.tar_index import Member, TarDamage, TarWalk

PICTURE_FIELDS = frozenset(suffix[1:] for suffix in FORMAT_OF_SUFFIX)
ARRAY_FIELD = "npy"  # the picture where a sample has no picture file
LABEL_FIELDS = ("cls", "json", "txt")  # the first that says something is taken
_JSON_KEYS = ("label", "class", "cls")
_MOST = {"cls": 1024, "json": 2**20, "txt": 1024}  # bytes

Label = int | str


@dataclass(frozen=True, slots=True)
class ShardIndex:
    """What a shard holds: sample i is the picture names[i], at offsets[i], of sizes[i] bytes, with labels[i].

    Args:
        names: of the pictures' members.
        offsets: in bytes from the start of the shard.
        sizes: in bytes.
        labels: a whole number or a text.
        size: of the whole shard in bytes, when it was read.
        mtime_ns: when it was last changed before that.
        faults: what cannot be taken; their paths begin with the shard's name.
        aside: what else was met, with how often.
    """

    names: tuple[str, ...]
    offsets: tuple[int, ...]
    sizes: tuple[int, ...]
    labels: tuple[Label, ...]
    size: int
    mtime_ns: int
    faults: tuple[Fault, ...]
    aside: dict[str, int]


@dataclass(slots=True)
class _Found:
    """What one walk has met."""

    samples: dict[str, dict[str, Member]] = field(default_factory=dict)  # key -> field -> member
    texts: dict[str, bytes] = field(default_factory=dict)  # member's name -> content of a label
    faults: list[Fault] = field(default_factory=list)
    aside: Counter[str] = field(default_factory=Counter)


def index_shard(path: Path, name: str) -> ShardIndex:
    """Walk through one shard.

    Args:
        path: the file.
        name: what to call it in faults.
    """
    found = _Found()
    size = mtime_ns = 0
    try:
        with TarWalk(path) as walk:
            size, mtime_ns = walk.size, walk.mtime_ns
            for member in walk.members():
                _take(found, walk, member, name)
            found.aside["shards have no end mark: was their writing broken off?"] += not walk.ended
    except TarDamage as damage:
        member_name = f"{name}/{damage.member}" if damage.member else name
        found.faults.append(Fault(member_name, damage.kind, damage.reason))
    except OSError as error:
        kind = {PermissionError: "permission", FileNotFoundError: "missing"}.get(type(error), "damaged")
        found.faults.append(Fault(name, kind, f"cannot be read ({error.strerror})"))
    pictures, labels = _samples(found, name)
    return ShardIndex(
        names=tuple(member.name for member in pictures),
        offsets=tuple(member.offset for member in pictures),
        sizes=tuple(member.size for member in pictures),
        labels=tuple(labels),
        size=size,
        mtime_ns=mtime_ns,
        faults=tuple(found.faults),
        aside={what: count for what, count in found.aside.items() if count},
    )


def _take(found: _Found, walk: TarWalk, member: Member, shard: str) -> None:
    if member.kind == "folder":
        return
    if member.kind != "file":
        found.aside[f"members are no plain files ({member.kind}) and not used"] += 1
        return
    if member.name.startswith("/") or ".." in member.name.split("/"):
        found.aside["members are named absolutely or with '..', which is only a name here"] += 1
    key, name = split_key(member.name)
    if not name:
        found.aside["members are hidden or lack a dot in their name, and are not used"] += 1
        return
    fields = found.samples.setdefault(key, {})
    if name in fields:
        reason = f"twice in the shard: the field {name!r} of this sample"
        found.faults.append(Fault(f"{shard}/{member.name}", "stored-twice", reason))
        return
    fields[name] = member
    if name in LABEL_FIELDS and member.size <= _MOST[name]:
        found.texts[member.name] = walk.read(member.offset, member.size)


def split_key(name: str) -> tuple[str, str]:
    """Key and field of a member; both empty where it is no part of a sample.

    >>> split_key("v1.0/Cats/01.seg.PNG"), split_key("v1.0/.DS_Store")
    (('v1.0/Cats/01', 'seg.png'), ('', ''))
    """
    folder, slash, base = name.rpartition("/")
    stem, _, extension = base.partition(".")
    return (folder + slash + stem, extension.lower()) if stem and extension else ("", "")


def _samples(found: _Found, shard: str) -> tuple[list[Member], list[Label]]:
    pictures, labels = [], []
    for key, fields in found.samples.items():
        picture, reason = _picture(fields)
        if picture is None:
            found.faults.append(Fault(f"{shard}/{key}", "no-picture", reason))
            continue
        label, reason = _label(found, fields)
        if label is None:
            found.faults.append(Fault(f"{shard}/{picture.name}", "no-label", reason))
            continue
        pictures.append(picture)
        labels.append(label)
        found.aside["members are of other fields than picture and label, and not used"] += sum(
            name not in LABEL_FIELDS and member is not picture for name, member in fields.items()
        )
    return pictures, labels


def _picture(fields: dict[str, Member]) -> tuple[Member | None, str]:
    """The one picture of a sample, or why there is none."""
    names = sorted(PICTURE_FIELDS & fields.keys()) or [ARRAY_FIELD] * (ARRAY_FIELD in fields)
    if len(names) != 1:
        told = f"{len(names)} pictures ({', '.join(names)})" if names else f"no picture, only {_listed(fields)}"
        dotted = any(name.rpartition(".")[2] in PICTURE_FIELDS for name in fields.keys() - PICTURE_FIELDS)
        return None, told + "; a key ends at the first dot of the file's name" * (dotted and not names)
    member = fields[names[0]]
    if member.size > MAX_BYTES:
        return None, f"a picture of {member.size} bytes, limit {MAX_BYTES}"
    return member, ""


def _label(found: _Found, fields: dict[str, Member]) -> tuple[Label | None, str]:
    """The label of a sample, or why there is none."""
    for name in LABEL_FIELDS:
        if name not in fields:
            continue
        content = found.texts.get(fields[name].name)
        if content is None:
            return None, f"its label, the field {name!r}, is of {fields[name].size} bytes, limit {_MOST[name]}"
        label, reason = _read_json(content) if name == "json" else _read_text(content, name)
        if label is not None or reason:
            return label, reason
    return None, f"no label: cls, json with {', '.join(_JSON_KEYS)}, or txt; only {_listed(fields)}"


def _read_text(content: bytes, name: str) -> tuple[Label | None, str]:
    try:
        text = content.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        return None, f"its label, the field {name!r}, is not UTF-8 ({content[:20]!r})"
    if not text or not text.isprintable():
        return None, f"its label, the field {name!r}, is not one line of text ({text[:40]!r})"
    if name == "cls" and text.removeprefix("-").isascii() and text.removeprefix("-").isdigit():
        return _number(int(text))
    return text, ""


def _read_json(content: bytes) -> tuple[Label | None, str]:
    """A label, a reason against it, or neither where the record has no key of a label."""
    try:
        record = json.loads(content)
    except (ValueError, RecursionError):
        return None, "its json is damaged"
    keys = [key for key in _JSON_KEYS if key in record] if isinstance(record, dict) else []
    if not keys:
        return None, ""
    value = record[keys[0]]
    if any(record[key] != value for key in keys):
        return None, f"its json has several labels: {', '.join(f'{key}={record[key]!r}' for key in keys)}"[:200]
    if type(value) is int:
        return _number(value)
    if isinstance(value, str) and value.strip() and value.strip().isprintable():
        return value.strip(), ""
    return None, f"its json has {keys[0]}={value!r}, not a whole number or a text"[:200]


def _number(value: int) -> tuple[Label | None, str]:
    return (value, "") if value >= 0 else (None, f"its label {value} is below 0")


def _listed(fields: dict[str, Member]) -> str:
    return ", ".join(sorted(fields)[:10])
