"""ScaledTanh: LeNet-5's activation."""

from jaxtyping import Float
from torch import Tensor, nn

from striate.calculus.activations import scaled_tanh


class ScaledTanh(nn.Module):
    """1.7159 tanh(2x / 3), which is ±1 at ±1: LeCun et al. 1998, appendix A.

    Shape: any, kept.  Parameters: 0.

    >>> import torch
    >>> ScaledTanh()(torch.tensor([0.0, 1.0]))
    tensor([0.0000, 1.0000])
    """

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Every number squashed."""
        return scaled_tanh(x)
