"""From a recipe to the data of its run: which kind they are follows from task and network."""

from collections.abc import Callable

from striate.base.errors import ConfigError, DataError
from striate.base.operations import written
from striate.data.from_python import source_of
from striate.data.samples import Source
from striate.data.source import open_source
from striate.experiment.material import Material
from striate.experiment.picture_material import picture_material, prepare_data, settled
from striate.experiment.recipe import Recipe
from striate.models.card import Task, picture
from striate.models.catalogue import card

PURPOSES: dict[Task, str] = {
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
