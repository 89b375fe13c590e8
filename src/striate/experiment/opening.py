"""From a recipe to the data of its run: which kind they are follows from task and network."""

from collections.abc import Callable

from striate.base.errors import ConfigError, DataError
from striate.base.operations import written
from striate.data.from_python import source_of
from striate.data.generated import GENERATED
from striate.data.samples import Source
from striate.data.source import open_source
from striate.experiment.material import Material
from striate.experiment.picture_material import picture_material, prepare_data, settled
from striate.experiment.recipe import Recipe
from striate.experiment.record_material import record_material
from striate.models.card import picture
from striate.models.catalogue import card, title

USUAL = {"classify": "lenet5", "segment": "fcn", "reconstruct": "autoencoder"}
PURPOSES = {
    "classify": "sorts samples of shape {} into classes",
    "segment": "tells the class of every pixel of pictures of shape {}",
    "reconstruct": "gives back pictures of shape {}",
}
FROM_PROGRAM = "python"  # where data lie that no path leads to
Reading = Callable[[int, int], None]  # pictures decoded so far, and in all


def opened(
    recipe: Recipe, location: str, data: object, device: str, reading: Reading | None
) -> tuple[Recipe, Material]:
    """The recipe with nothing left open, and its data.

    Args:
        recipe: as it was asked for.
        location: where the data lie.
        data: what the program holds, in their place.
        device: where batches go.
        reading: told of every picture that is decoded.

    Raises:
        StriateError: data that cannot be trusted, or options that do not fit them.
    """
    if _as_records(recipe, location):
        if data is not None or location == FROM_PROGRAM:
            fix, got = "save them as .npz, see docs/data-sources.md", "the program's own"
            raise ConfigError("data", f"the data to {recipe.task}", "a file or folder", got=got, fix=fix)
        return record_material(recipe, location, device)
    source = _source(recipe, location, data)
    recipe = settled(recipe, source)
    dataset = prepare_data(recipe, source, reading)
    try:
        return recipe, picture_material(recipe, source, dataset, device)
    except BaseException:
        dataset.close()
        raise


def _source(recipe: Recipe, location: str, data: object) -> Source:
    """The data of a run: where they lie, or what the program holds."""
    if data is not None:
        return source_of(data, name=FROM_PROGRAM)
    if location == FROM_PROGRAM:
        fix = "give them again: striate.resume(run, data=...)"
        raise DataError("data", "the data of this run", "given by the program that holds them", got="none", fix=fix)
    return open_source(location, skip_bad=recipe.split.skip_bad)


def _as_records(recipe: Recipe, location: str) -> bool:
    """Whether the data are samples of any shape and not pictures with classes."""
    chosen = card(recipe.model)
    other_samples = chosen.sample is not picture and chosen.text is None
    return location in GENERATED or recipe.task not in ("classify", "reconstruct") or other_samples


def check_fits(recipe: Recipe) -> None:
    """Refuse a network that is for something else; a text of the user's, and his file, are for what he says.

    Raises:
        ConfigError: what to take in its place.
    """
    chosen = card(recipe.model)
    wanted = {"segment": "segment", "reconstruct": "reconstruct"}.get(recipe.task, "classify")
    if chosen.text is None and chosen.digest is None and chosen.task != wanted:
        got = f"{title(recipe.model)}, which {PURPOSES[chosen.task].format(written(chosen.sample(chosen.usual)))}"
        fix = f"take {USUAL[wanted]}, or set task={chosen.task}"
        raise ConfigError("recipe", "model", f"a network that can {recipe.task}", got=got, fix=fix)
