"""Maxout: the largest of neighbouring channels."""

from jaxtyping import Float
from torch import Tensor, nn

from striate.base.errors import ConfigError
from striate.calculus.maxout import maxout


class Maxout(nn.Module):
    """Keep the largest of every `pieces` neighbouring channels.

    Put it behind a linear layer or a convolution of pieces * C output channels: the two together are the maxout unit of
    Goodfellow et al. 2013, a convex activation that is learnt.  Among equals the first takes the gradient.

    Args:
        pieces: channels to choose from, >= 1.

    Shape: (B, C * pieces, ...) -> (B, C, ...).  Parameters: 0.

    >>> import torch
    >>> Maxout(2)(torch.tensor([[1.0, 5.0, -2.0, -3.0]]))
    tensor([[ 5., -2.]])
    """

    def __init__(self, pieces: int) -> None:
        super().__init__()
        if pieces < 1:
            raise ConfigError("Maxout", "pieces", ">= 1", got=pieces, fix="2 or more; 1 changes nothing")
        self.pieces = pieces

    def forward(self, x: Float[Tensor, "B CK *rest"]) -> Float[Tensor, "B C *rest"]:
        """The winners."""
        return maxout(x, pieces=self.pieces)

    def extra_repr(self) -> str:
        """What `print(model)` shows between the brackets."""
        return f"pieces={self.pieces}"
