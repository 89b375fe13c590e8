"""Where a run stands: to a checkpoint and back, bit for bit."""

from typing import Any

import torch
from torch import Tensor

from striate.base.errors import ConfigError, DataError, ModelFileError, NumericError, ResourceError, StriateError
from striate.data.manifest import difference, read_manifest
from striate.experiment.history import History
from striate.experiment.rescue import rescued
from striate.experiment.run_folder import RunFolder
from striate.experiment.wiring import Wired
from striate.layers.local_response_norm import LocalResponseNorm
from striate.native.library import library
from striate.training.checkpoint import Checkpoint, save_checkpoint
from striate.training.engine import TrainState
from striate.training.optimisers import optimizer_tensors, restore_optimizer

MODEL, OPTIMIZER, AVERAGE = "model.", "optimizer.", "average."
# These decide the last bits of every sum.
ROUNDING = ("torch", "engine", "instructions", "device", "threads", "processes", "precision", "memory_format")


def save_position(folder: RunFolder, wired: Wired, history: History) -> None:
    """Write a checkpoint and the metrics that belong to it; of several processes, which all hold the same, the first.

    Raises:
        NumericError: something in it is not finite; the former checkpoint is intact.
        ResourceError: it could not be written; the former checkpoint is intact, or the folder has vanished and it says
            where the position was saved instead.
    """
    if not wired.processes.first:
        return
    state, best = wired.state, history.best
    tensors = _network_tensors(state)
    tensors |= {OPTIMIZER + name: tensor for name, tensor in optimizer_tensors(state.optimizer).items()}
    _refuse_non_finite(tensors, state.step, wired.masks)
    checkpoint = Checkpoint(step=state.step, tensors=tensors, record=_record(wired, history))
    try:
        save_checkpoint(folder.checkpoints, checkpoint, best_step=best.step if best else None)
        folder.write("metrics.csv", history.as_csv())
    except ResourceError as error:
        if folder.recipe_file.is_file():
            raise
        raise rescued(folder, checkpoint, wired, history) from error


def _network_tensors(state: TrainState) -> dict[str, Tensor]:
    """Weights and statistics, those that are averaged too."""
    tensors = {MODEL + name: tensor for name, tensor in state.model.state_dict().items()}
    if state.average is not None:
        tensors |= {AVERAGE + name: tensor for name, tensor in state.average.tensors().items()}
    return tensors


def align(wired: Wired) -> None:
    """Let all processes begin with the bits of the first: another processor might have drawn or read others."""
    wired.processes.align(_network_tensors(wired.state).values())


def _refuse_non_finite(tensors: dict[str, Tensor], step: int, masks: frozenset[str]) -> None:
    """A checkpoint that is to rescue a run must hold numbers; infinity only where the network was made with it."""
    for name, tensor in tensors.items():
        mask = name.removeprefix(MODEL).removeprefix(AVERAGE) in masks
        if tensor.isnan().any() if mask else not tensor.isfinite().all():
            raise NumericError(
                "training",
                f"{name.removeprefix(MODEL)} after step {step}",
                "finite",
                got="NaN or infinity",
                fix="lower lr, or lengthen schedule.warmup_epochs; the last checkpoint has only finite numbers",
            )


def _record(wired: Wired, history: History) -> dict[str, Any]:
    return {
        "history": history.as_dict(),
        "recipe": _recipe(wired),
        "scaler": wired.state.scaler.state_dict() if wired.state.scaler else None,
        "fingerprint": wired.material.fingerprint,
        "classes": list(wired.material.classes),
        **_by(wired),
    }


def _by(wired: Wired) -> dict[str, Any]:
    """By what the sums are made."""
    return {
        "plan": wired.plan.as_dict(),
        "processes": wired.processes.world,
        "torch": torch.__version__,
        "instructions": _instructions(wired),
    }


def _instructions(wired: Wired) -> str:
    """The native library's where it makes sums of this run, else ""; "none": torch makes them for want of it."""
    layers = wired.state.model.modules()
    if wired.plan.engine != "native" and not any(isinstance(layer, LocalResponseNorm) for layer in layers):
        return ""
    found = library()
    return found.name if found else "none"


def _recipe(wired: Wired) -> dict[str, Any]:
    """What decides the run's numbers; a file of the user's may lie elsewhere now."""
    values = wired.recipe.model_dump(mode="json", exclude={"execution", "track"})
    return values | {"model": wired.architecture.name} if wired.built.card.digest else values


def restore_position(folder: RunFolder, wired: Wired, checkpoint: Checkpoint) -> tuple[History, list[str]]:
    """Put network, optimiser and history where a checkpoint has them.

    Args:
        folder: of the run.
        wired: as before the first update.
        checkpoint: the newest that is whole.

    Returns:
        The history, and what the user should know, a line each.

    Raises:
        ModelFileError: it belongs to another network.
        DataError: the data are not those of the checkpoint.
        ConfigError: the recipe was changed since.
    """
    try:
        return _restore(folder, checkpoint, wired), _differences(checkpoint.record, wired)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        if isinstance(error, StriateError):
            raise
        raise _foreign(f"{type(error).__name__}: {error}") from error


def _differences(record: dict[str, Any], wired: Wired) -> list[str]:
    """In what a run that goes on is not the one that was stopped, and so not bit for bit."""
    then, now = ({**entry["plan"], **entry} for entry in ({"instructions": ""} | record, _by(wired)))
    pairs = ((name, then[name], now[name]) for name in ROUNDING)
    changed = ", ".join(f"{name} {a} -> {b}" for name, a, b in pairs if a != b and "" not in (a, b))
    return [f"goes on in another way than before ({changed}): equal up to rounding, not bit for bit"] if changed else []


def _restore(folder: RunFolder, checkpoint: Checkpoint, wired: Wired) -> History:
    record = checkpoint.record
    _compare(folder, record, wired)
    load_weights(wired, checkpoint)
    restore_optimizer(wired.state.optimizer, _part(checkpoint, OPTIMIZER))
    if wired.state.scaler is not None and record["scaler"] is not None:  # not so after steps in another precision
        wired.state.scaler.load_state_dict(record["scaler"])
    wired.state.step = checkpoint.step
    return History.from_dict(record["history"])


def load_weights(wired: Wired, checkpoint: Checkpoint) -> None:
    """Copy a checkpoint's weights into the network.

    Raises:
        ModelFileError: they belong to another network.
    """
    try:
        wired.state.model.load_state_dict(_part(checkpoint, MODEL))
    except RuntimeError as error:
        raise _foreign("tensors of another") from error
    if wired.state.average is not None:
        wired.state.average.restore(_part(checkpoint, AVERAGE))


def _foreign(got: str) -> ModelFileError:
    return ModelFileError(
        "resume",
        "checkpoint",
        "of this network",
        got=got,
        fix="put back the recipe.toml that the run was started with",
    )


def _part(checkpoint: Checkpoint, prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): tensor for name, tensor in checkpoint.tensors.items() if name.startswith(prefix)}


def _compare(folder: RunFolder, record: dict[str, Any], wired: Wired) -> None:
    before, after = flat(record["recipe"]), flat(_recipe(wired))
    changed = [f"{key} {before.get(key)} -> {value}" for key, value in after.items() if before.get(key) != value]
    if changed:
        raise ConfigError(
            "resume",
            "recipe.toml",
            "the one the run was started with",
            got="; ".join(changed),
            fix="put it back, or start a new run with `striate train` and this recipe",
        )
    if record["fingerprint"] != wired.material.fingerprint:
        then, now = tuple(record["classes"]), wired.material.classes
        others = f"other pictures or labels{_what_changed(folder, wired)}"
        got = others if then == now else f"other classes ({', '.join(then)} -> {', '.join(now)})"
        raise DataError(
            "resume", "data", "those the run was started with", got=got, fix="put the data back, or start a new run"
        )


def _what_changed(folder: RunFolder, wired: Wired) -> str:
    """The pictures that are not as the run's manifest says, if it can be read."""
    try:
        before = read_manifest((folder.path / "manifest.csv").read_bytes())
    except (OSError, ValueError):
        return ""
    return f": {difference(before, wired.material.listing())}"


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as one, with dots in the keys."""
    entries: dict[str, Any] = {}
    for key, value in values.items():
        entries |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return entries
