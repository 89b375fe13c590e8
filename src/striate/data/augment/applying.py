"""Apply what was drawn."""

from jaxtyping import Shaped
from torch import Tensor

from striate.data.augment.draws import Draws
from striate.data.augment.moves import moved


def apply(images: Shaped[Tensor, "B C H W"], draws: Draws, fill: int | float = 0) -> Shaped[Tensor, "B C H W"]:
    """Apply what was drawn, one draw a picture."""
    assert len(draws) == len(images), f"{len(draws)} draws for {len(images)} pictures"
    return moved(images, draws, tuple(images.shape[2:]), fill)
