"""HardLimit: the unit that fires or does not."""

from jaxtyping import Float
from torch import Tensor, nn

from striate.calculus.activations import hard_limit


class HardLimit(nn.Module):
    """1 where the input is >= 0, else 0.

    The gradient is 0 everywhere: nothing in front of this layer learns by gradient descent.  For given weights, and for
    the perceptron rule.

    Shape: any, kept.  Parameters: 0.

    >>> import torch
    >>> HardLimit()(torch.tensor([-0.5, 0.0, 2.0]))
    tensor([0., 1., 1.])
    """

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Fire or not."""
        return hard_limit(x)
