"""A split in memory: pictures, class numbers and names, in file order."""

from dataclasses import dataclass

from jaxtyping import Int64
from torch import Tensor

from striate.data.kinds import Images


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Pictures of one size with their classes.

    Args:
        images: of the picture's kind, (N, C, h, w), channels last in memory where C > 1.
        labels: class numbers (N,).
        names: the path relative to the data's root, or "train/17" where the data is one array.
    """

    images: Images
    labels: Int64[Tensor, " N"]
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        assert len(self.images) == len(self.labels) == len(self.names)

    def __len__(self) -> int:
        return len(self.names)
