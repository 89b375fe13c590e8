"""Start a run, go on with one: generators of events, and the functions that drain them."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from striate.base.errors import ConfigError, ModelFileError
from striate.base.files import locked
from striate.data.dataset import SHOWN
from striate.experiment.events import Event, Finished, Started
from striate.experiment.finish import finish, outcome_of
from striate.experiment.history import History
from striate.experiment.loop import train_epochs
from striate.experiment.material import PARTS, Material
from striate.experiment.notes import write_notes
from striate.experiment.opening import FROM_PROGRAM, Reading, check_trainable, opened
from striate.experiment.outcome import Outcome
from striate.experiment.position import restore_position, save_position, stored_plan
from striate.experiment.progress import display
from striate.experiment.recipe import Recipe
from striate.experiment.run_folder import RUNS, RunFolder, check_free, check_writable, create
from striate.experiment.transfer import take_weights
from striate.experiment.wiring import Wired, asked_of, plan_of, wire
from striate.models.catalogue import title
from striate.models.own_file import is_file, read_file, whole_name
from striate.training.checkpoint import best
from striate.training.plan import machine, resumed
from striate.training.signals import stop_requests

LONGER = (
    "the learning rate falls over the epochs that a run is begun with, so more of them are another run: "
    "`striate train RUN/recipe.toml --epochs N`, with transfer.weights=RUN to begin from these weights"
)


def start(
    recipe: Recipe,
    *,
    run: Path | None = None,
    overwrite: bool = False,
    data: object = None,
    reading: Reading | None = None,
) -> Iterator[Event]:
    """Make a run, telling what happens.

    Args:
        recipe: what to train on what.
        run: its folder; None picks a new one below runs/.
        overwrite: let `run` replace a run that is there.
        data: what the program holds, see `striate.data.from_python`, in place of the recipe's.
        reading: told of every picture that is decoded.

    Raises:
        StriateError: whatever is wrong, with what to do.
        Stopped: a signal came; everything is saved.
    """
    recipe = _whole(recipe) if data is None else _whole(recipe).model_copy(update={"data": FROM_PROGRAM})
    check_trainable(recipe.model)
    if run is not None:
        check_free(run, overwrite=overwrite)
    else:
        check_writable(RUNS)
    on = machine(asked_of(recipe))
    recipe, material = opened(recipe, recipe.data, data, on.device, reading)
    with closing(material):
        plan = plan_of(recipe, material, on)
        wired = wire(recipe, material, plan)
        notes = [*plan.notes, *_transferred(wired)]
        folder = create(run, f"{material.name}-{title(recipe.model)}", overwrite=overwrite)
        yield from _begin(wired, folder, notes)


def _transferred(wired: Wired) -> list[str]:
    """Take another run's weights, where the recipe names one, and tell what came."""
    recipe = wired.recipe
    if recipe.transfer.weights is None:
        return []
    taken = take_weights(wired.built.module, recipe.transfer.weights, recipe.model)
    if wired.state.average is not None:
        wired.state.average.restore(wired.state.model.state_dict())
    return [str(taken)]


def _begin(wired: Wired, folder: RunFolder, notes: list[str]) -> Iterator[Event]:
    """Write down what the run is, and run."""
    with locked(folder.path):
        write_notes(folder, wired)
        history = History(metric=wired.task.metric)
        save_position(folder, wired, history)  # from here on a killed run can be resumed
        yield from _run(wired, history, folder, notes)


def _whole(recipe: Recipe) -> Recipe:
    """The recipe with the whole path of the user's file, if it names one: the run is resumed from any folder."""
    return recipe.model_copy(update={"model": whole_name(recipe.model)}) if is_file(recipe.model) else recipe


def _same_file(folder: RunFolder, recipe: Recipe) -> None:
    """Refuse a file of the user's that is not that of the run's beginning, before it is run."""
    if not is_file(recipe.model):
        return
    own, known = read_file(recipe.model), (folder.read_json("network.json") or {}).get("sha256")
    if own.digest != known:
        raise ConfigError(
            "resume",
            str(own.path),
            f"the file that the run was started with (SHA-256 {str(known)[:16]}...)",
            got=f"another (SHA-256 {own.digest[:16]}...)",
            fix="put it back as it was, or start a new run with `striate train` and this recipe",
        )


def go_on(path: Path, *, data: object = None, reading: Reading | None = None) -> Iterator[Event]:
    """Continue a run exactly where it stopped.

    Args:
        path: its folder.
        data: what the program holds, for a run that was begun with such.
        reading: told of every picture that is decoded.

    Raises:
        StriateError: whatever is wrong, with what to do.
        Stopped: a signal came; everything is saved.
    """
    folder = RunFolder(path)
    recipe = folder.recipe()
    with locked(path):
        folder.tidy()
        done = outcome_of(folder)
        if done is not None:
            yield Started(f"already finished ({done.epochs} of {recipe.epochs} epochs); nothing changed", (LONGER,))
            yield Finished(done)
            return
        _same_file(folder, recipe)
        plan = resumed(stored_plan(folder), asked_of(recipe))
        recipe, material = opened(recipe, folder.data_location(recipe), data, plan.device, reading)
        with closing(material):
            wired = wire(recipe, material, plan)
            history, notes = restore_position(folder, wired)
            _drop_lost_best(history, folder, notes)
            yield from _run(wired, history, folder, notes)


def _drop_lost_best(history: History, folder: RunFolder, notes: list[str]) -> None:
    """Without its checkpoint the best epoch cannot be kept: the next best that is whole takes its place."""
    while (row := history.best) is not None:
        try:
            best(folder.checkpoints, row.step)
        except ModelFileError as fault:
            notes.append(f"the best epoch so far, {row.epoch}, is lost ({fault.got})")
            history.lost.append(row.epoch)
        else:
            return


def _run(wired: Wired, history: History, folder: RunFolder, notes: list[str]) -> Iterator[Event]:
    with stop_requests() as stop:
        yield Started(_headline(wired, history, folder), (*_notes(wired.material), *notes))
        yield from train_epochs(wired, history, folder, stop)
        yield Finished(finish(wired, history, folder, stop))


def _notes(material: Material) -> tuple[str, ...]:
    left_out = tuple(f"left out: {fault}" for fault in material.left_out[:SHOWN])
    more = (f"left out: {len(material.left_out) - SHOWN} more, see data.json",) if material.left_out[SHOWN:] else ()
    return (*material.notes, *left_out, *more)


def _headline(wired: Wired, history: History, folder: RunFolder) -> str:
    material = wired.material
    names = dict(zip(PARTS, ("training", "validation", "test"), strict=True))
    counts = ", ".join(f"{material.count(part):,} {name}" for part, name in names.items())
    at = (
        f", from step {wired.state.step} in epoch {min(len(history.rows) + 1, wired.epochs)}"
        if wired.state.step
        else ""
    )
    return (
        f"{wired.title} ({wired.parameters:,} parameters) on {material.name}: {counts} samples, "
        f"{len(material.classes)} classes\n{wired.plan}; run folder {folder.path}{at}"
    )


def train(recipe: Recipe, *, run: str | Path | None = None, overwrite: bool = False, data: object = None) -> Outcome:
    """Train and return the finished run; progress goes to stderr.

    Args:
        recipe: what to train on what.
        run: the run's folder; None picks a new one below runs/.
        overwrite: let `run` replace a run that is there.
        data: a torch Dataset of (picture, class), arrays (x, y), a Hugging Face dataset, or a dict of parts of these,
            in place of the recipe's data.

    Raises:
        StriateError: whatever is wrong, with what to do.
        Stopped: a signal came; everything is saved.
    """
    folder = Path(run) if run is not None else None
    with display() as shown:
        return shown.drain(start(recipe, run=folder, overwrite=overwrite, data=data, reading=shown.reading))


def resume(run: str | Path, *, data: object = None) -> Outcome:
    """Continue a run exactly where it stopped, and return it finished; progress goes to stderr.

    Args:
        run: its folder.
        data: what the program holds, for a run that was begun with such.

    Raises:
        StriateError: whatever is wrong, with what to do.
        Stopped: a signal came; everything is saved.
    """
    with display() as shown:
        return shown.drain(go_on(Path(run), data=data, reading=shown.reading))
