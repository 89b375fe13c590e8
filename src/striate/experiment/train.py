"""Start a run, go on with one: generators of events, and the functions that drain them."""

from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path

from striate.base.errors import ConfigError, ModelFileError
from striate.base.files import locked
from striate.data.dataset import SHOWN
from striate.experiment.events import Event, Finished, Started
from striate.experiment.finish import finish, outcome_of
from striate.experiment.history import History
from striate.experiment.live import Live
from striate.experiment.loop import train_epochs
from striate.experiment.material import PARTS, Material
from striate.experiment.native_steps import followed
from striate.experiment.notes import write_notes
from striate.experiment.opening import FROM_PROGRAM, Reading, check_fits, opened
from striate.experiment.outcome import Outcome
from striate.experiment.position import align, restore_position, save_position
from striate.experiment.progress import SilentDisplay, display
from striate.experiment.recipe import Recipe
from striate.experiment.run_folder import RUNS, RunFolder, check_free, check_writable, create
from striate.experiment.throughput import with_bottleneck
from striate.experiment.track import check_installed, tracked, trackers
from striate.experiment.transfer import check_weights, transferred
from striate.experiment.tuning import tuned, usual_numbers
from striate.experiment.wiring import Wired, asked_of, plan_of, wire
from striate.models.catalogue import title
from striate.models.own_file import is_file, read_file, whole_name
from striate.training.checkpoint import Checkpoint, best, newest
from striate.training.joining import joined, launch, own_device
from striate.training.plan import machine, resumed
from striate.training.processes import ALONE, Processes
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
    processes: Processes = ALONE,
) -> Iterator[Event]:
    """Make a run, telling what happens; one that torchrun has started anew goes on with what it had made.

    Args:
        recipe: what to train on what.
        run: its folder; None picks a new one below runs/.
        overwrite: let `run` replace a run that is there.
        data: what the program holds, see `striate.data.from_python`, in place of the recipe's.
        reading: told of every picture that is decoded.
        processes: that train together, each with the same arguments.

    Raises:
        StriateError: whatever is wrong, with what to do.
        Stopped: a signal came; everything is saved.
    """
    left = processes.from_first(lambda: _left_behind(run))
    if run is not None and left:
        yield from go_on(run, data=data, reading=reading, processes=processes)
        return
    overwrite = overwrite or left == 0
    recipe = _whole(recipe) if data is None else _whole(recipe).model_copy(update={"data": FROM_PROGRAM})
    check_fits(recipe)
    check_installed(recipe.track)
    if recipe.transfer.weights is not None:
        check_weights(recipe.transfer.weights, recipe.model)
    if processes.first:
        check_writable(RUNS) if run is None else check_free(run, overwrite=overwrite)
    on = machine(asked_of(recipe))
    recipe, material = opened(recipe, recipe.data, data, own_device(processes, on.device), reading)
    with closing(material):
        plan = processes.from_first(
            lambda: plan_of(usual_numbers(recipe, material.count("train")), material, on, processes)
        )
        found = processes.from_first(lambda: tuned(recipe, material, plan))
        wired = wire(found.recipe, material, plan, processes)
        notes = [*plan.notes, *found.notes, *transferred(wired)]
        stem = f"{material.name}-{title(recipe.model)}"
        folder = processes.from_first(lambda: create(run, stem, overwrite=overwrite))
        yield from _begin(wired, folder, notes, found.pictures)


def _left_behind(run: Path | None) -> int | None:
    """Checkpoints that processes before these have made of this very run, if torchrun has started these instead.

    Raises:
        ConfigError: torchrun is to start processes anew, and the run has no name to be found by.
    """
    started = launch()
    if started.restarts and run is None:
        fix = "name the run with --run, so that processes that are started anew find it"
        raise ConfigError("train", "--run", "given with torchrun --max-restarts", got="none", fix=fix)
    if run is None or started.name is None or not RunFolder(run).made_by(started.name):
        return None
    return len([*RunFolder(run).checkpoints.glob("step-*.json")])


def _begin(wired: Wired, folder: RunFolder, notes: list[str], pictures: dict[str, bytes]) -> Iterator[Event]:
    """Write down what the run is, and run."""
    with _held(folder, wired.processes):
        if wired.processes.first:
            write_notes(folder, wired)
            for name, content in pictures.items():
                folder.write(name, content)
        history = History(metric=wired.task.metric)
        save_position(folder, wired, history)  # from here on a killed run can be resumed
        yield from _run(wired, history, folder, notes)


def _held(folder: RunFolder, processes: Processes) -> AbstractContextManager[None]:
    """The folder is for these processes alone; the first holds it for all."""
    return locked(folder.path) if processes.first else nullcontext()


def _whole(recipe: Recipe) -> Recipe:
    """The recipe with whole paths of the user's file and of other weights: the run is gone on with from any folder."""
    if is_file(recipe.model):
        recipe = recipe.model_copy(update={"model": whole_name(recipe.model)})
    if recipe.transfer.weights is None:
        return recipe
    weights = str(Path(recipe.transfer.weights).resolve())
    return recipe.model_copy(update={"transfer": recipe.transfer.model_copy(update={"weights": weights})})


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


def go_on(
    path: Path, *, data: object = None, reading: Reading | None = None, processes: Processes = ALONE
) -> Iterator[Event]:
    """Continue a run exactly where it stopped.

    Args:
        path: its folder.
        data: what the program holds, for a run that was begun with such.
        reading: told of every picture that is decoded.
        processes: that train together; as many as before, or others.

    Raises:
        StriateError: whatever is wrong, with what to do.
        Stopped: a signal came; everything is saved.
    """
    folder = RunFolder(path)
    recipe = processes.from_first(folder.recipe)
    with _held(folder, processes):
        done = processes.from_first(lambda: _taken_up(folder, recipe))
        if done is not None:
            yield Started(f"already finished ({done.epochs} of {recipe.epochs} epochs); nothing changed", (LONGER,))
            yield Finished(done)
            return
        check_installed(recipe.track)
        checkpoint, damaged = processes.from_first(lambda: _newest(folder))
        location = processes.from_first(lambda: folder.data_location(recipe))
        plan = followed(resumed(checkpoint.record.get("plan", {}), asked_of(recipe)), processes)
        recipe, material = opened(recipe, location, data, own_device(processes, plan.device), reading)
        with closing(material):
            wired = wire(recipe, material, plan, processes)
            history, notes = restore_position(folder, wired, checkpoint)
            history, lost = processes.from_first(lambda: _without_lost_best(history, folder))
            yield from _run(wired, history, folder, [*damaged, *notes, *lost])


def _newest(folder: RunFolder) -> tuple[Checkpoint, list[str]]:
    """The checkpoint to go on from, and what is wrong with newer ones."""
    checkpoint, faults = newest(folder.checkpoints)
    return checkpoint, [
        f"{fault.what}: {fault.got}; going on from step {checkpoint.step}, which is whole" for fault in faults
    ]


def _taken_up(folder: RunFolder, recipe: Recipe) -> Outcome | None:
    """Make a folder ready to go on in, unless the run is finished: then what it came to."""
    folder.tidy()
    done = outcome_of(folder)
    if done is None:
        _same_file(folder, recipe)
    return done


def _without_lost_best(history: History, folder: RunFolder) -> tuple[History, list[str]]:
    """Without its checkpoint the best epoch cannot be kept: the next best that is whole takes its place."""
    notes: list[str] = []
    while (row := history.best) is not None:
        try:
            best(folder.checkpoints, row.step)
        except ModelFileError as fault:
            notes.append(f"the best epoch so far, {row.epoch}, is lost ({fault.got})")
            history.lost.append(row.epoch)
        else:
            break
    return history, notes


def _run(wired: Wired, history: History, folder: RunFolder, notes: list[str]) -> Iterator[Event]:
    """The run, before the eyes of all who look on."""
    looking = [Live(folder.path, wired.epochs), *trackers(wired.recipe, folder.path)] if wired.processes.first else []
    events = with_bottleneck(_events(wired, history, folder, notes), wired.plan.device)
    yield from tracked(events, looking)


def _events(wired: Wired, history: History, folder: RunFolder, notes: list[str]) -> Generator[Event, None, None]:
    align(wired)
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
    together = f", {wired.processes.world} processes" if wired.processes.world > 1 else ""
    return (
        f"{wired.title} ({wired.parameters:,} parameters) on {material.name}: {counts} samples, "
        f"{len(material.classes)} classes\n{wired.plan}{together}; run folder {folder.path}{at}"
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
    with joined() as processes, display() if processes.first else nullcontext(SilentDisplay()) as shown:
        events = start(recipe, run=folder, overwrite=overwrite, data=data, reading=shown.reading, processes=processes)
        return shown.drain(events)


def resume(run: str | Path, *, data: object = None) -> Outcome:
    """Continue a run exactly where it stopped, and return it finished; progress goes to stderr.

    Args:
        run: its folder.
        data: what the program holds, for a run that was begun with such.

    Raises:
        StriateError: whatever is wrong, with what to do.
        Stopped: a signal came; everything is saved.
    """
    with joined() as processes, display() if processes.first else nullcontext(SilentDisplay()) as shown:
        return shown.drain(go_on(Path(run), data=data, reading=shown.reading, processes=processes))
