"""Checkpoints that survive being killed at any moment, and that notice a flipped bit.

    checkpoints/step-00000123.safetensors   weights, optimiser memory and, in the header, the run's record
    checkpoints/step-00000123.json          its size and SHA-256: the commit mark, written after it
    checkpoints/best.json                   the file of the step that validated best, for people

A checkpoint counts when its mark stands and its bytes agree with the mark.  Old ones go last, when the
new one is complete: the newest two stay, and the best of each.  No pickle: a checkpoint runs no code.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from striate.base.errors import ModelFileError
from striate.base.files import write, write_json
from striate.base.tensors import apart

KEEP = 2  # newest checkpoints: one to go on from, one should it turn out damaged
RECORD = "striate"  # the header's key


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
    path = folder / f"step-{checkpoint.step:08d}.safetensors"
    header = {RECORD: json.dumps(checkpoint.record), "step": str(checkpoint.step)}
    content = save(apart(checkpoint.tensors), metadata=header)
    sha256 = write(path, content)
    mark = {"file": path.name, "bytes": len(content), "sha256": sha256, "best_step": best_step}
    write_json(path.with_suffix(".json"), mark)
    if best_step is not None:
        write_json(folder / "best.json", {"file": f"step-{best_step:08d}.safetensors"})
    _prune(folder, checkpoint.step)
    return path


def _prune(folder: Path, step: int) -> None:
    """Remove what the checkpoint of this step makes old; newer ones are damaged and left to be looked at."""
    marks = [mark for mark in _marks(folder) if mark.stem <= f"step-{step:08d}"]
    kept = set(marks[:KEEP])
    for mark in marks[:KEEP]:
        best_step = _read_mark(mark).get("best_step")
        if best_step is not None:
            kept.add(folder / f"step-{best_step:08d}.json")
    for mark in marks:
        if mark not in kept:
            mark.unlink()  # first the mark: without it the data is no checkpoint
            mark.with_suffix(".safetensors").unlink(missing_ok=True)


def _marks(folder: Path) -> list[Path]:
    """Newest first."""
    return sorted(folder.glob("step-*.json"), reverse=True)


def _read_mark(mark: Path) -> dict[str, Any]:
    try:
        value = json.loads(mark.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def read_checkpoint(path: Path) -> Checkpoint:
    """Read one checkpoint after comparing it with its mark.

    Raises:
        ModelFileError: missing, cut, altered, or not a checkpoint.
    """
    mark = _read_mark(path.with_suffix(".json"))
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
        return Checkpoint(step=step, tensors=load(content), record=record)
    except (SafetensorError, ValueError, KeyError) as error:
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
    for mark in _marks(folder):
        try:
            return read_checkpoint(mark.with_suffix(".safetensors")), faults
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
    return read_checkpoint(folder / f"step-{step:08d}.safetensors")
