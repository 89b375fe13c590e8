"""A split in memory: pictures, class numbers and names, in file order."""

from dataclasses import dataclass

from jaxtyping import Int64, UInt8
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Pictures of one size with their classes.

    Args:
        images: uint8 (N, C, h, w), channels last in memory where C > 1.
        labels: class numbers (N,).
        names: the path relative to the data's root, or "train/17" where the data is one array.
    """

    images: UInt8[Tensor, "N C h w"]
    labels: Int64[Tensor, " N"]
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        assert len(self.images) == len(self.labels) == len(self.names)

    def __len__(self) -> int:
        return len(self.names)
