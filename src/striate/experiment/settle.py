"""What a recipe leaves open is settled when its data are known; the run's recipe.toml holds what came of it.

With N training pictures:

    epochs          25,000 / N, but 20 to 200: a small set is looked at more often
    batch_size      the largest power of two up to N / 12, but 16 to 64: twelve updates an epoch at least
    lr              `USUAL_LR` of the optimiser times the `lr_factor` of the network's card
    warmup_epochs   half an epoch, and of more than 20 epochs a twentieth

    colour photographs of many sizes    flip, crop_scale 0.25, label_smoothing 0.1
    other colour pictures               flip, shift by an eighth of the side, label_smoothing 0.1
    grey pictures                       shift 2, no flip: they may be digits or letters, which a flip makes others

What the optimiser, the schedule and the loss leave open is `USUAL`.
"""

from collections.abc import Mapping

from striate.data.picture import Picture
from striate.data.samples import Source
from striate.experiment.recipe import Recipe
from striate.experiment.recipe_sense import loss_of, means, value_of
from striate.models.catalogue import card

LOOKS = 25_000  # at training pictures, in a whole run on few
LEAST_EPOCHS, MOST_EPOCHS = 20, 200
UPDATES = 12  # an epoch
SMALLEST_BATCH, LARGEST_BATCH = 16, 64
WARMUP = 0.5  # epochs
RISE = 0.3  # of one cycle
SMOOTHING = 0.1

USUAL_LR = {"sgd": 0.02, "adagrad": 0.01, "rmsprop": 0.001, "adam": 0.002, "adamw": 0.002}

UNCHANGED = {"augment.shift": 0, "augment.flip": False, "augment.crop_scale": 1.0, "loss.label_smoothing": 0.0}
USUAL: dict[str, float | int | bool] = {
    "update.nesterov": False,
    "update.alpha": 0.99,
    "update.beta1": 0.9,
    "update.beta2": 0.999,
    "schedule.gamma": 0.1,
    "schedule.power": 1.0,
    "schedule.patience": 5,
    "stopping.min_delta": 0.0,
    "loss.huber_delta": 1.0,
}


def settle(recipe: Recipe, count: int, changes: Mapping[str, object]) -> Recipe:
    """The recipe with nothing left open.

    Args:
        recipe: as it was asked for; what it says stays.
        count: training samples.
        changes: the usual random changes and label smoothing of such data.
    """
    epochs = recipe.epochs or min(MOST_EPOCHS, max(LEAST_EPOCHS, round(LOOKS / max(1, count))))
    usual = {
        **USUAL,
        **UNCHANGED,
        **changes,
        "loss.name": loss_of(recipe),
        **lengths(recipe.schedule.name, epochs),
    }
    filled = {
        "epochs": epochs,
        "batch_size": recipe.batch_size or batch_size(count),
        "lr": recipe.lr or usual_lr(recipe),
    }
    return with_open_filled(recipe.model_copy(update=filled), usual)


def lengths(schedule: str, epochs: int) -> dict[str, float]:
    """What is usual of a schedule in a run of so many epochs, in epochs: its rise, and from drop to drop."""
    rise = RISE * epochs if schedule == "one_cycle" else epochs / 20 if epochs > LEAST_EPOCHS else WARMUP
    return {"schedule.warmup_epochs": rise, "schedule.step_epochs": epochs / 3}


def with_open_filled(recipe: Recipe, usual: Mapping[str, object]) -> Recipe:
    """The recipe with the usual for every dotted key that is open and means something beside the others."""
    tables: dict[str, dict[str, object]] = {}
    for key, value in usual.items():
        table, name = key.split(".")
        if value_of(recipe, key) is None and means(recipe, key):
            tables.setdefault(table, {})[name] = value
    return recipe.model_copy(
        update={table: getattr(recipe, table).model_copy(update=values) for table, values in tables.items()}
    )


def batch_size(count: int) -> int:
    """Pictures an update.

    >>> [batch_size(count) for count in (10, 195, 500, 1294, 60_000)]
    [16, 16, 32, 64, 64]
    """
    largest = 1 << max(0, (count // UPDATES).bit_length() - 1)
    return min(LARGEST_BATCH, max(SMALLEST_BATCH, largest))


def usual_lr(recipe: Recipe) -> float:
    """The peak learning rate of optimiser and network, to three digits: 0.02 / 10 is 0.002.

    >>> usual_lr(Recipe()), usual_lr(Recipe(optimizer="adamw", model="vgg16"))
    (0.02, 0.0002)
    """
    return float(f"{USUAL_LR[recipe.optimizer] * card(recipe.model).lr_factor:.3g}")


def usual_changes(recipe: Recipe, source: Source, picture: Picture) -> dict[str, object]:
    """Small changes that leave a picture of its class, by what is to be learnt of it."""
    smoothing = {"loss.label_smoothing": SMOOTHING if picture.channels == 3 else 0.0}
    if recipe.task == "reconstruct":
        return {}
    if picture.channels != 3:
        return {"augment.shift": 2, **smoothing}
    if source.size is None:
        return {"augment.flip": True, "augment.crop_scale": 0.25, **smoothing}
    return {"augment.shift": picture.height // 8, "augment.flip": True, **smoothing}
