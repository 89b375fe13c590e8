"""What a recipe leaves open is settled when its data are known; the run's recipe.toml holds what came of it.

    epochs        20; for N < 1000 training pictures 20,000 / N, at most 150
    batch_size    64; for N < 1000 training pictures 16
    colour photographs of many sizes    flip, crop_scale 0.25, no shift
    other colour pictures               flip, shift by an eighth of the side
    grey pictures                       shift 2: they may be digits or letters, which a flip makes others

Few pictures need many passes and small steps between updates: with 200 photographs and batches of 64 an epoch is three
updates.
"""

from striate.data.picture import Picture
from striate.data.samples import Source
from striate.experiment.recipe import Augment, Recipe

FEW = 1000  # training pictures
LOOKS = 20_000  # at training pictures, in a whole run on few
EPOCHS, MOST_EPOCHS = 20, 150
BATCH, SMALL_BATCH = 64, 16


def settle(recipe: Recipe, source: Source, picture: Picture, count: int) -> Recipe:
    """The recipe with nothing left open.

    Args:
        recipe: as it was asked for; what it says stays.
        source: the data.
        picture: what the network is to see.
        count: training pictures.
    """
    few = count < FEW
    epochs = min(MOST_EPOCHS, max(EPOCHS, LOOKS // max(1, count))) if few else EPOCHS
    return recipe.model_copy(
        update={
            "epochs": recipe.epochs or epochs,
            "batch_size": recipe.batch_size or (SMALL_BATCH if few else BATCH),
            "augment": _augment(recipe.augment, source, picture),
        }
    )


def _augment(asked: Augment, source: Source, picture: Picture) -> Augment:
    colour, photographs = picture.channels == 3, source.size is None
    usual: dict[str, object] = {"shift": 2, "flip": False, "crop_scale": 1.0}
    if colour:
        usual = {"shift": picture.height // 8, "flip": True, "crop_scale": 1.0}
    if colour and photographs:
        usual = {"shift": 0, "flip": True, "crop_scale": 0.25}
    return asked.model_copy(update={name: value for name, value in usual.items() if getattr(asked, name) is None})
