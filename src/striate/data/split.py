"""A split: pictures, class numbers and names, in file order."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64, Shaped
from torch import Tensor

from striate.data.pictures import Pictures


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Pictures of one size with their classes.

    Args:
        pictures: what gives them.
        labels: class numbers (N,).
        names: the path relative to the data's root, or "train/17" where the data is one array.
    """

    pictures: Pictures
    labels: Int64[Tensor, " N"]
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        assert len(self.pictures) == len(self.labels) == len(self.names)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def images(self) -> Shaped[Tensor, "N C h w"]:
        """All pictures at once, in memory."""
        return self.pictures.gather(np.arange(len(self)))
