"""Random changes of training pictures: drawn apart from being applied, each draw a pure function of its sample."""

from striate.data.augment.applying import apply
from striate.data.augment.colour import colour_axes
from striate.data.augment.draws import Draws, draw
from striate.data.augment.mixing import mix
from striate.data.augment.moves import moves
from striate.data.augment.settings import Augment, check

__all__ = ["Augment", "Draws", "apply", "check", "colour_axes", "draw", "mix", "moves"]
