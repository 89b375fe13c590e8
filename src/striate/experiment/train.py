"""Start a run, go on with one: generators of events, and the functions that drain them."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from striate.base.errors import ConfigError, DataError, ModelFileError
from striate.base.files import locked
from striate.base.operations import written
from striate.data.dataset import SHOWN, Dataset
from striate.data.from_python import source_of
from striate.data.manifest import manifest
from striate.data.samples import Source
from striate.data.source import open_source, whole_location
from striate.experiment.events import Event, Finished, Started
from striate.experiment.finish import finish, outcome_of
from striate.experiment.history import History
from striate.experiment.loop import train_epochs
from striate.experiment.outcome import Outcome
from striate.experiment.position import restore_position, save_position
from striate.experiment.progress import display
from striate.experiment.recipe import Recipe
from striate.experiment.run_folder import RunFolder, check_free, create, environment
from striate.experiment.wiring import Wired, prepare_data, settled, wire
from striate.models.card import Task, picture
from striate.models.catalogue import card, title
from striate.models.own_file import is_file, read_file, whole_name
from striate.training.checkpoint import best
from striate.training.plan import make_plan
from striate.training.signals import stop_requests

PURPOSES: dict[Task, str] = {
    "classify": "sorts samples of shape {} into classes",
    "segment": "tells the class of every pixel of pictures of shape {}",
    "reconstruct": "gives back pictures of shape {}",
}
FROM_PROGRAM = "python"  # where data lie that no path leads to
Reading = Callable[[int, int], None]  # pictures decoded so far, and in all


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
    plan = make_plan(recipe.execution.device, recipe.execution.threads)
    source = _source(recipe, recipe.data, data)
    recipe = settled(recipe, source)
    with closing(prepare_data(recipe, source, reading)) as dataset:
        wired = wire(recipe, source, dataset, plan)
        folder = create(run, f"{source.name}-{title(recipe.model)}", overwrite=overwrite)
        yield from _begin(wired, folder)


def _source(recipe: Recipe, location: str, data: object) -> Source:
    """The data of a run: where they lie, or what the program holds."""
    if data is not None:
        return source_of(data, name=FROM_PROGRAM)
    if location == FROM_PROGRAM:
        fix = "give them again: striate.resume(run, data=...)"
        raise DataError("data", "the data of this run", "given by the program that holds them", got="none", fix=fix)
    return open_source(location, skip_bad=recipe.split.skip_bad)


def _begin(wired: Wired, folder: RunFolder) -> Iterator[Event]:
    """Write down what the run is, and run."""
    recipe, dataset = wired.recipe, wired.dataset
    with locked(folder.path):
        folder.write("recipe.toml", recipe.as_toml())  # first: it marks the folder as a run
        folder.write_json("environment.json", environment())
        folder.write_json("data.json", {"location": whole_location(recipe.data), **_describe(dataset)})
        folder.write("manifest.csv", manifest(dataset))
        if wired.card.digest is not None:
            folder.write_json("network.json", {"file": recipe.model, "sha256": wired.card.digest})
        history = History()
        save_position(folder, wired, history)  # from here on a killed run can be resumed
        yield from _run(wired, history, folder, [])


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
            yield Started(f"already finished ({done.epochs} of {recipe.epochs} epochs); nothing changed", ())
            yield Finished(done)
            return
        _same_file(folder, recipe)
        source = _source(recipe, folder.data_location(recipe), data)
        recipe = settled(recipe, source)
        plan = make_plan(recipe.execution.device, recipe.execution.threads or folder.threads())
        with closing(prepare_data(recipe, source, reading)) as dataset:
            wired = wire(recipe, source, dataset, plan)
            history, notes = restore_position(folder, wired)
            _drop_lost_best(history, folder, notes)
            yield from _run(wired, history, folder, notes)


def check_trainable(name: str) -> None:
    """Refuse a network that is not for pictures with classes, which is what a recipe describes.

    Raises:
        ConfigError: an unknown name, or a network that is for something else.
    """
    chosen = card(name)
    if chosen.task != "classify" or (chosen.sample is not picture and chosen.text is None):  # a text says it itself
        got = f"{name}, which {PURPOSES[chosen.task].format(written(chosen.sample(chosen.usual)))}"
        fix = f'take lenet5, or train it by a loop of your own around striate.build("{name}")'
        raise ConfigError("recipe", "model", "a network that sorts pictures into classes", got=got, fix=fix)


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
        yield Started(_headline(wired, history, folder), (*_notes(wired.dataset), *notes))
        yield from train_epochs(wired, history, folder, stop)
        yield Finished(finish(wired, history, folder))


def _notes(dataset: Dataset) -> tuple[str, ...]:
    left_out = tuple(f"left out: {fault}" for fault in dataset.left_out[:SHOWN])
    more = (f"left out: {len(dataset.left_out) - SHOWN} more, see data.json",) if dataset.left_out[SHOWN:] else ()
    return (*dataset.notes, *left_out, *more)


def _headline(wired: Wired, history: History, folder: RunFolder) -> str:
    dataset = wired.dataset
    splits = {"training": dataset.train, "validation": dataset.validation, "test": dataset.test}
    counts = ", ".join(f"{len(split):,} {name}" for name, split in splits.items())
    at = (
        f", from step {wired.state.step} in epoch {min(len(history.rows) + 1, wired.epochs)}"
        if wired.state.step
        else ""
    )
    return (
        f"{wired.title} ({wired.parameters:,} parameters) on {dataset.name}: {counts} pictures, "
        f"{len(dataset.classes)} classes\n{wired.plan}; run folder {folder.path}{at}"
    )


def _describe(dataset: Dataset) -> dict[str, object]:
    splits = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    return {
        "name": dataset.name,
        "fingerprint": dataset.fingerprint,
        "classes": list(dataset.classes),
        "splits": {
            name: {"count": len(split.labels), "per_class": _per_class(split.labels.tolist(), dataset.classes)}
            for name, split in splits.items()
        },
        "notes": list(dataset.notes),
        "left_out": [str(fault) for fault in dataset.left_out],
    }


def _per_class(labels: list[int], classes: tuple[str, ...]) -> dict[str, int]:
    counts = Counter(labels)
    return {name: counts[number] for number, name in enumerate(classes)}


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
