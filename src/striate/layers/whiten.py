"""Whiten: a fitted decorrelation or whitening, inside the network."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.base.errors import ConfigError
from striate.calculus.whitening import whiten


class Whiten(nn.Module):
    """matrix (x - mean) for each sample, saved with the weights.

    Fit it with `calculus/whitening.py`: `w = zca_whitening(moments(x), epsilon=…)`, then `Whiten(w.mean, w.matrix)`.
    Pictures go in flattened (`nn.Flatten()`), and come out of ZCA as pictures with `nn.Unflatten(1, (C, H, W))`.

    Args:
        mean: (F,), in the input's units.
        matrix: (K, F).

    Shape: (B, F) -> (B, K).  Parameters: 0; buffers `mean` and `matrix`, of torch's default type.

    >>> Whiten(torch.ones(2), torch.tensor([[2.0, 0.0]]))(torch.tensor([[3.0, 5.0]]))
    tensor([[4.]])
    """

    mean: Tensor
    matrix: Tensor

    def __init__(self, mean: Tensor, matrix: Tensor) -> None:
        super().__init__()
        if mean.ndim != 1 or matrix.ndim != 2 or matrix.shape[1] != len(mean):
            got = f"{tuple(mean.shape)} and {tuple(matrix.shape)}"
            fix = "pass the mean and the matrix of one fit"
            raise ConfigError("Whiten", "mean and matrix", "(F,) and (K, F)", got=got, fix=fix)
        self.register_buffer("mean", mean.detach().to(torch.get_default_dtype(), copy=True))
        self.register_buffer("matrix", matrix.detach().to(torch.get_default_dtype(), copy=True))

    def forward(self, x: Float[Tensor, "B F"]) -> Float[Tensor, "B K"]:
        """The samples along their axes."""
        return whiten(x, self.mean, self.matrix)

    def extra_repr(self) -> str:
        """What `print(model)` shows between the brackets."""
        outputs, inputs = self.matrix.shape
        return f"{inputs} -> {outputs}"
