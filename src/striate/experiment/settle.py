"""What a recipe leaves open is settled when its data are known; the run's recipe.toml holds what came of it.

With N training pictures:

    epochs          25,000 / N, but 20 to 200: a small set is looked at more often
    batch_size      the largest power of two up to N / 12, but 16 to 64: twelve updates an epoch at least
    warmup_epochs   half an epoch, and of more than 20 epochs a twentieth

    colour photographs of many sizes    flip, crop_scale 0.25, label_smoothing 0.1
    other colour pictures               flip, shift by an eighth of the side, label_smoothing 0.1
    grey pictures                       shift 2, no flip: they may be digits or letters, which a flip makes others
"""

from typing import TypeVar

from striate.data.picture import Picture
from striate.data.samples import Source
from striate.experiment.recipe import Recipe, Table

LOOKS = 25_000  # at training pictures, in a whole run on few
LEAST_EPOCHS, MOST_EPOCHS = 20, 200
UPDATES = 12  # an epoch
SMALLEST_BATCH, LARGEST_BATCH = 16, 64
WARMUP = 0.5  # epochs
SMOOTHING = 0.1

Filled = TypeVar("Filled", bound=Table)


def settle(recipe: Recipe, source: Source, picture: Picture, count: int) -> Recipe:
    """The recipe with nothing left open.

    Args:
        recipe: as it was asked for; what it says stays.
        source: the data.
        picture: what the network is to see.
        count: training pictures.
    """
    epochs = recipe.epochs or min(MOST_EPOCHS, max(LEAST_EPOCHS, round(LOOKS / max(1, count))))
    return recipe.model_copy(
        update={
            "epochs": epochs,
            "batch_size": recipe.batch_size or batch_size(count),
            "augment": _filled(recipe.augment, _moves(source, picture)),
            "loss": _filled(recipe.loss, {"label_smoothing": SMOOTHING if picture.channels == 3 else 0.0}),
            "schedule": _filled(recipe.schedule, {"warmup_epochs": epochs / 20 if epochs > LEAST_EPOCHS else WARMUP}),
        }
    )


def batch_size(count: int) -> int:
    """Pictures an update.

    >>> [batch_size(count) for count in (10, 195, 500, 1294, 60_000)]
    [16, 16, 32, 64, 64]
    """
    largest = 1 << max(0, (count // UPDATES).bit_length() - 1)
    return min(LARGEST_BATCH, max(SMALLEST_BATCH, largest))


def _moves(source: Source, picture: Picture) -> dict[str, object]:
    if picture.channels != 3:
        return {"shift": 2, "flip": False, "crop_scale": 1.0}
    if source.size is None:
        return {"shift": 0, "flip": True, "crop_scale": 0.25}
    return {"shift": picture.height // 8, "flip": True, "crop_scale": 1.0}


def _filled(table: Filled, usual: dict[str, object]) -> Filled:
    return table.model_copy(update={name: value for name, value in usual.items() if getattr(table, name) is None})
