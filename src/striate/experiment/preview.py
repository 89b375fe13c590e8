"""What a network will really see: pictures augmented as the recipe says, each as four epochs show it, on one sheet."""

from collections.abc import Callable
from contextlib import closing

import numpy as np
from PIL import Image
from torch import Tensor

from striate.base.errors import ConfigError
from striate.data.batches import batch_of, epoch_samples
from striate.data.dataset import Dataset
from striate.data.doctor.sheet import sheet
from striate.data.doctor.visible import visible
from striate.data.kinds import Kind
from striate.data.preprocess import Preprocess
from striate.data.source import open_source
from striate.experiment.picture_material import feed_of, picture_of, prepare_data, settled
from striate.experiment.recipe import Recipe

EPOCHS = 4  # in how many each picture is shown


def preview(recipe: Recipe, count: int, reading: Callable[[int, int], None] | None = None) -> Image.Image:
    """A sheet of `count` pictures, each in four epochs side by side, before mean and deviation are taken away.

    Args:
        recipe: of the run to come; the network is not built.
        count: how many different pictures.
        reading: told of every picture that is decoded.

    Raises:
        StriateError: whatever is wrong with data or recipe.
    """
    if count < 1:
        raise ConfigError("data show", "--count", ">= 1", got=count, fix="12 fill a sheet")
    source = open_source(recipe.data, skip_bad=recipe.split.skip_bad)
    recipe = settled(recipe, source)
    with closing(prepare_data(recipe, source, reading)) as dataset:
        feed = feed_of(recipe, dataset, Preprocess.plain(picture_of(recipe, source)), "cpu")
        samples = epoch_samples(feed, 0)[:count]
        batches = [batch_of(feed, epoch, samples) for epoch in range(EPOCHS)]
    images = [_bytes(inputs[i], source.kind) for i in range(len(samples)) for inputs, _ in batches]
    titles = [_title(dataset, targets[i]) for i in range(len(samples)) for _, targets in batches]
    return sheet(images, titles, columns=2 * EPOCHS if len(samples) > 4 else EPOCHS)


def _bytes(x: Tensor, kind: Kind) -> np.ndarray:
    """C H W of bytes that a person can look at."""
    pixels = x.permute(1, 2, 0).numpy()
    whole = pixels if kind == "float32" else (255 * pixels).round().astype(np.uint8)
    return visible(whole).transpose(2, 0, 1)


def _title(dataset: Dataset, target: Tensor) -> str:
    """The class, or what of it is in a mixture."""
    if not target.is_floating_point():
        return dataset.classes[int(target)]
    parts = [(float(share), name) for share, name in zip(target, dataset.classes, strict=True) if share > 0]
    return " + ".join(f"{share:.0%} {name}" for share, name in sorted(parts, reverse=True))
