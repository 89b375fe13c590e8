"""`shape-masks`, `shape-labels` and `clips`: pictures of figures, each with what is to be learnt of it.

    shape-masks    480 colour pictures of 48x48 pixels with a disc, a square and a triangle, or some of them, and masks
    shape-labels   4,000 grey pictures of 32x32 pixels and which of five figures each shows
    clips          360 grey clips of 16 frames of 32x32 pixels: a figure that moves, grows or shrinks; its motion is
                   the class, so that no frame tells it

Figures are as light as chance has it, on a background with noise.  In shape-masks a later one hides what is behind it,
in the mask as in the picture.
"""

import numpy as np

from striate.data.generated.draws import Chance
from striate.data.generated.figures import FIGURES, covered, raster
from striate.data.record_set import Records, all_rows

MASKED = ("disc", "square", "triangle")
MOTIONS = ("down", "grow", "left", "right", "shrink", "up")
FRAMES = 16


def shape_masks() -> Records:
    """(480, 3, 48, 48) uint8 and masks of four classes."""
    count, size = 480, 48
    chance = Chance(4, count)
    image = chance.uniform(20, 110, 3)[:, :, None, None] * np.ones((1, 1, size, size))
    mask = np.zeros((count, size, size), dtype=np.uint8)
    for number, figure in enumerate(MASKED, start=1):
        left, top = chance.uniform(8, size - 8, 2).T
        here = covered(figure, *raster(size, left, top, chance.uniform(6, 13)[:, 0]))
        here &= (chance.uniform(0, 1) < 0.75)[:, :, None]
        colour = chance.uniform(90, 240, 3)[:, :, None, None]
        image = np.where(here[:, None], colour, image)
        mask = np.where(here, np.uint8(number), mask)
    image += chance.grain(30, 3 * size * size).reshape(image.shape)
    return Records(
        name="shape-masks",
        location="shape-masks",
        kind="masks",
        inputs=_bytes(image),
        targets=mask,
        classes=("background", *MASKED),
        parts=all_rows(count),
    )


def shape_labels() -> Records:
    """(4000, 1, 32, 32) uint8 and five labels."""
    count, size = 4000, 32
    chance = Chance(5, count)
    image = chance.uniform(10, 70)[:, :, None] * np.ones((1, size, size))
    shown = np.zeros((count, len(FIGURES)), dtype=np.float32)
    for number, figure in enumerate(FIGURES):
        left, top = chance.uniform(6, size - 6, 2).T
        there = chance.uniform(0, 1)[:, 0] < 0.4
        here = covered(figure, *raster(size, left, top, chance.uniform(4, 7)[:, 0])) & there[:, None, None]
        image = np.where(here, chance.uniform(110, 240)[:, :, None], image)
        shown[:, number] = there
    image += chance.grain(25, size * size).reshape(image.shape)
    return Records(
        name="shape-labels",
        location="shape-labels",
        kind="labels",
        inputs=_bytes(image)[:, None],
        targets=shown,
        classes=FIGURES,
        parts=all_rows(count),
    )


def clips() -> Records:
    """(360, 1, 16, 32, 32) uint8 in six classes."""
    count, size = 360, 32
    chance = Chance(6, count)
    motion = np.arange(count) % len(MOTIONS)
    figure = chance.whole(len(FIGURES))[:, 0]
    start, half = chance.uniform(12, 20, 2), chance.uniform(4, 6)
    step = chance.uniform(0.4, 0.8)  # pixels a frame
    moved = step * (np.arange(FRAMES) - FRAMES / 2)  # N D
    by = {name: (motion == number)[:, None] * moved for number, name in enumerate(MOTIONS)}
    left = start[:, :1] + by["right"] - by["left"]
    top = start[:, 1:] + by["down"] - by["up"]
    halves = half + 0.5 * (by["grow"] - by["shrink"])
    here = np.empty((count, FRAMES, size, size), dtype=bool)
    for number, name in enumerate(FIGURES):
        rows = figure == number
        x, y = raster(size, *(value[rows].ravel() for value in (left, top, halves)))
        here[rows] = covered(name, x, y).reshape(-1, FRAMES, size, size)
    image = np.where(here, chance.uniform(110, 240)[:, :, None, None], chance.uniform(10, 70)[:, :, None, None])
    image += chance.grain(25, FRAMES * size * size).reshape(image.shape)
    return Records(
        name="clips",
        location="clips",
        kind="classes",
        inputs=_bytes(image)[:, None],
        targets=motion.astype(np.int64),
        classes=MOTIONS,
        parts=all_rows(count),
    )


def _bytes(image: np.ndarray) -> np.ndarray:
    return np.rint(image).clip(0, 255).astype(np.uint8)
