"""Every kind of fault and finding: how grave it is, what it means, what to do.

FAILS ends `striate data check` with exit code 3, STRICT only with --strict, HINT never.
"""

from dataclasses import dataclass
from enum import StrEnum

from striate.data.faults import MAX_PIXELS, MAX_SIDE
from striate.data.formats import SUPPORTED


class Level(StrEnum):
    """How grave a kind is."""

    FAILS = "fails"
    STRICT = "strict"
    HINT = "hint"


@dataclass(frozen=True, slots=True)
class Kind:
    """What a kind means, and what to do about it."""

    level: Level
    meaning: str
    fix: str


FEW = 10  # training pictures: with fewer, a class is tiny
LOPSIDED = 10  # times as many pictures in the largest class as in the smallest
TINY = 8  # pixels a side
LONG = 5  # times as long as wide
LONG_NAME = 200  # bytes

_ANEW = "fetch or export them again, or remove them"
_TABLE = "correct these rows of the table"
_SHARDS = "write these shards again: every sample is one picture and one label"
_CONVERT = "nothing, if that is what you want; else convert them yourself"
_LINKS = "put the file itself there, or remove the link"

FAULTS = {
    "missing": ("named by the table, but not there", "add them, or remove their rows"),
    "permission": ("may not be read", "give yourself permission to read them"),
    "folder": ("cannot be listed", "give yourself permission to read it"),
    "not-a-file": ("a fifo, socket, device or folder in the place of a picture; never opened", "remove it"),
    "empty": ("no bytes at all", _ANEW),
    "format": ("a format that is not supported", f"convert them to one of {', '.join(SUPPORTED)}"),
    "not-a-picture": ("named like a picture, but none", "remove or rename them"),
    "truncated": ("the file ends too early", _ANEW),
    "damaged": ("cannot be decoded", _ANEW),
    "too-large": (f"over {MAX_PIXELS // 10**6} Mpixel or {MAX_SIDE} pixels a side; not unpacked", "make them smaller"),
    "pixels": ("pixels that cannot be brought to those of the others", "save all of them alike, with 8 or 16 bits"),
    "outside": ("named by the table, but outside its folder; not read", _TABLE),
    "no-class": ("a row without a class", _TABLE),
    "no-split": ("a row with a split of an unknown name", _TABLE),
    "no-group": ("a row without a group, in a table that has them", _TABLE),
    "listed-twice": ("named by two rows", _TABLE),
    "no-picture": ("a sample of a shard without a picture, or with two", _SHARDS),
    "no-label": ("a sample of a shard without a label that can be read", _SHARDS),
    "stored-twice": ("two members of a shard with one name", _SHARDS),
    "table": ("a table that cannot be read, or not to its end", "save it as CSV, UTF-8, with commas"),
    "array": ("an array or archive that cannot be used", "write it again as docs/data.md says"),
}

FINDINGS = {
    "nothing": (Level.FAILS, "no picture that can be used", "see docs/data.md for how data may lie"),
    "two-labels": (Level.FAILS, "the same picture in two classes", "keep each in its one right class"),
    "extra-class": (Level.FAILS, "a class that training lacks", "rename or remove it, or add training pictures of it"),
    "empty-class": (Level.FAILS, "a training class without readable pictures", "add pictures, or remove the class"),
    "empty-split": (Level.FAILS, "a split without readable pictures", "add pictures, or remove the folder"),
    "one-class": (Level.FAILS, "fewer than two classes", "add a second class of pictures"),
    "no-classes": (Level.FAILS, "no class folders", "make one folder a class and move the pictures there"),
    "no-training": (Level.FAILS, "no training split", "add train/<class>/..., or mark rows with split=train"),
    "two-folders": (Level.FAILS, "two folders for one split", "merge or rename one of them"),
    "leak": (
        Level.STRICT,
        "the same picture in two splits",
        "keep it in one: a network is judged by what it never saw",
    ),
    "duplicate": (Level.STRICT, "the same picture twice", "keep one: a split made later may part them"),
    "lacking-class": (Level.STRICT, "a split without pictures of a class", "add some: nothing is measured there"),
    "lookalike": (Level.STRICT, "class names that differ in case or encoding only", "merge them, or rename one"),
    "tiny-class": (Level.STRICT, f"fewer than {FEW} training pictures", "add pictures, or merge classes"),
    "imbalance": (
        Level.STRICT,
        f"a class {LOPSIDED} times as large as another",
        "add pictures of the small one, and judge each class, not only the whole",
    ),
    "stray": (Level.STRICT, "pictures beside class folders; not used", "move them into their class"),
    "unused-folder": (Level.STRICT, "a folder beside those of the splits; not used", "move or remove it"),
    "nested": (Level.STRICT, "folders within a class folder", "check that the outermost folder is their class"),
    "unlisted": (Level.STRICT, "pictures that the table does not name; not used", "add rows, or remove them"),
    "stranger": (Level.STRICT, "files that are no pictures; not used", "remove them, or convert them"),
    "link": (Level.STRICT, "a link to something in here; not followed", _LINKS),
    "link-outside": (Level.STRICT, "a link that leads outside; not followed", _LINKS),
    "link-dangling": (Level.STRICT, "a link to nothing", _LINKS),
    "link-loop": (Level.STRICT, "a link that leads in a circle; not followed", "remove the link"),
    "misnamed": (Level.STRICT, "named like another format; read by content", "rename them"),
    "odd-name": (Level.STRICT, "a name that other programs may stumble over", "rename them"),
    "mixed-channels": (Level.STRICT, "grey and coloured files in one set", "check that this tells no class apart"),
    "mixed-kinds": (Level.STRICT, "8 and 16 bits in one set; all brought to 8", _CONVERT),
    "transparency": (Level.STRICT, "transparent pixels; laid on white for a network of 1 or 3 channels", _CONVERT),
    "colour-space": (Level.STRICT, "another colour space; converted to RGB", _CONVERT),
    "animation": (Level.STRICT, "several frames or pages; the first is used", "extract the frame that you mean"),
    "tiny-picture": (Level.STRICT, f"a side under {TINY} pixels", "remove them, if they are thumbnails by mistake"),
    "odd-aspect": (Level.STRICT, f"a side over {LONG} times the other", "crop them: they will be squeezed"),
    "constant": (Level.STRICT, "every pixel is the same", "remove them, if they show nothing"),
    "rotated": (Level.HINT, "turned by its EXIF orientation; applied", "nothing"),
    "near": (Level.HINT, "pictures that look alike", "look at them: copies at another size or quality belong together"),
}

KINDS = {name: Kind(Level.FAILS, *told) for name, told in FAULTS.items()} | {
    name: Kind(*told) for name, told in FINDINGS.items()
}
