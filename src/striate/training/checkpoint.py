"""Checkpoints that survive being killed at any moment, and that notice a flipped bit.

    checkpoints/step-00000123.safetensors   weights, optimiser memory and, in the header, the run's record
    checkpoints/step-00000123.json          its name, size and SHA-256: the commit mark, written after it
    checkpoints/best.json                   the file of the step that validated best, for people

A checkpoint counts when its mark stands and its bytes agree with the mark.  One that is saved again at the same step
(stopped at an epoch's end, then validated) goes beside the first, as step-00000123.2.safetensors, until the mark names
it.  Old ones go last, when the new one is complete: the newest two that are whole stay, and the best of each.  A
damaged one is never written over, renamed or removed.  No pickle: a checkpoint runs no code.
"""

import hashlib
import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from striate.base.errors import ModelFileError
from striate.base.files import digest, write, write_json
from striate.base.tensors import apart

KEEP = 2  # newest checkpoints: one to go on from, one should it turn out damaged
RECORD = "striate"  # the header's key
MARK = re.compile(r"step-(\d+)\.json")
DATA = re.compile(r"step-(\d+)(?:\.\d+)?\.safetensors")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a file holds.

    Args:
        step: updates made.
        tensors: weights and optimiser memory by name.
        record: everything else, as JSON.
    """

    step: int
    tensors: dict[str, Tensor]
    record: dict[str, Any]


def save_checkpoint(folder: Path, checkpoint: Checkpoint, *, best_step: int | None) -> Path:
    """Write a checkpoint, then its mark, then which one is best, then remove the old.

    Raises:
        ResourceError: it could not be written; what was there before is intact.
    """
    mark = _mark(folder, checkpoint.step)
    damaged = _damaged_files(mark)
    taken = {*damaged, _data_file(mark).name} if mark.exists() else {*damaged}
    path = next(path for path in _data_files(mark) if path.name not in taken)
    header = {RECORD: json.dumps(checkpoint.record), "step": str(checkpoint.step)}
    content = save(apart(checkpoint.tensors), metadata=header)
    known = {"file": path.name, "bytes": len(content), "sha256": write(path, content)}
    write_json(mark, known | {"changed_ns": path.stat().st_mtime_ns, "best_step": best_step, "damaged": damaged})
    if best_step is not None:
        write_json(folder / "best.json", {"file": _data_file(_mark(folder, best_step)).name})
    _prune(folder, checkpoint.step)
    return path


def _prune(folder: Path, step: int) -> None:
    """Remove what the checkpoint of this step makes old; damaged ones are left to be looked at."""
    whole = [mark for mark in marks(folder) if _step(mark) <= step and _is_whole(mark)]
    kept = set(whole[:KEEP])
    for mark in whole[:KEEP]:
        best_step = _read_mark(mark).get("best_step")
        if best_step is not None:
            kept.add(_mark(folder, best_step))
    for mark in whole:
        if mark not in kept and not _listed(_read_mark(mark)):
            mark.unlink()  # first the mark: without it the data is no checkpoint
    for data in folder.glob("step-*"):
        if DATA.fullmatch(data.name) and data.is_file() and _step(data) <= step and _is_leftover(data):
            data.unlink()


def _is_leftover(data: Path) -> bool:
    """Whether it has lost its mark, or the mark names the one that was saved again in its place."""
    mark = _mark(data.parent, _step(data))
    known = _read_mark(mark)
    return not mark.exists() or (bool(known) and data.name not in {_data_file(mark).name, *_listed(known)})


def _damaged_files(mark: Path) -> list[str]:
    """The files of this step that are to be left as they are."""
    found = _listed(_read_mark(mark))
    return [*found, _data_file(mark).name] if mark.exists() and not _is_whole(mark) else found


def _listed(known: dict[str, Any]) -> list[str]:
    names = known.get("damaged")
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def _mark(folder: Path, step: int) -> Path:
    return folder / f"step-{step:08d}.json"


def marks(folder: Path) -> list[Path]:
    """Newest first."""
    return sorted((path for path in folder.glob("step-*") if MARK.fullmatch(path.name)), key=_step, reverse=True)


def data_files(folder: Path) -> list[Path]:
    """Of every checkpoint what its mark stands for, newest first."""
    return [_data_file(mark) for mark in marks(folder)]


def _step(path: Path) -> int:
    match = MARK.fullmatch(path.name) or DATA.fullmatch(path.name)
    assert match
    return int(match[1])


def _data_files(mark: Path) -> Iterator[Path]:
    """The names that the data of a step may have."""
    yield mark.with_suffix(".safetensors")
    for number in itertools.count(2):
        yield mark.with_suffix(f".{number}.safetensors")


def _data_file(mark: Path) -> Path:
    """The file that a mark stands for; whatever a mark says, it is one of its own step beside it."""
    name = str(_read_mark(mark).get("file"))
    match = DATA.fullmatch(name)
    return mark.with_name(name) if match and int(match[1]) == _step(mark) else next(_data_files(mark))


def _read_mark(mark: Path) -> dict[str, Any]:
    try:
        value = json.loads(mark.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _is_whole(mark: Path) -> bool:
    """Whether the data are what was written; they are read again only if somebody has touched them since."""
    known, path = _read_mark(mark), _data_file(mark)
    try:
        found = path.stat()
        if found.st_size != known.get("bytes"):
            return False
        return found.st_mtime_ns == known.get("changed_ns") or digest(path) == known.get("sha256")
    except OSError:
        return False


def read_checkpoint(path: Path) -> Checkpoint:
    """Read one checkpoint after comparing it with its mark.

    Raises:
        ModelFileError: missing, cut, altered, or not a checkpoint.
    """
    mark = _read_mark(path.with_name(f"{path.name.partition('.')[0]}.json"))
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _damaged(path, f"unreadable ({error.strerror})") from error
    if len(content) != mark.get("bytes"):
        raise _damaged(path, f"{len(content)} of {mark.get('bytes', 'an unknown number of')} bytes")
    if hashlib.sha256(content).hexdigest() != mark.get("sha256"):
        raise _damaged(path, "a checksum that does not match")
    try:
        record, step = _header(content)
        if step != _step(path):
            raise ValueError(f"it is that of step {step}")
        return Checkpoint(step=step, tensors=load(content), record=record)
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError, AssertionError) as error:
        raise _damaged(path, f"no checkpoint of this program ({error})") from error


def _header(content: bytes) -> tuple[dict[str, Any], int]:
    length = int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8 : 8 + length])["__metadata__"]
    return json.loads(metadata[RECORD]), int(metadata["step"])


def _damaged(path: Path, found: str) -> ModelFileError:
    return ModelFileError(
        "checkpoint",
        str(path),
        "whole and unaltered",
        got=f"{found}: the checkpoint is damaged",
        fix="resume the run by its folder: the newest checkpoint that is whole is taken; or train again",
    )


def newest(folder: Path) -> tuple[Checkpoint, list[ModelFileError]]:
    """The newest checkpoint that is whole, and what was wrong with any newer one.

    Raises:
        ModelFileError: none is whole.
    """
    faults: list[ModelFileError] = []
    for mark in marks(folder):
        try:
            return read_checkpoint(_data_file(mark)), faults
        except ModelFileError as fault:
            faults.append(fault)
    if faults:
        raise faults[0]
    raise ModelFileError(
        "checkpoint",
        str(folder),
        "a folder with at least one checkpoint",
        got="none",
        fix="the run was stopped before its first checkpoint: start it again with --overwrite",
    )


def best(folder: Path, step: int) -> Checkpoint:
    """The checkpoint that validated best."""
    return read_checkpoint(_data_file(_mark(folder, step)))
