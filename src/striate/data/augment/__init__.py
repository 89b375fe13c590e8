"""Random changes of training pictures, drawn apart from being applied."""

from striate.data.augment.applying import apply
from striate.data.augment.draws import Draws, draw
from striate.data.augment.settings import Augment, check

__all__ = ["Augment", "Draws", "apply", "check", "draw"]
