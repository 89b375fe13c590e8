"""RBF: LeNet-5's output, the distance to the code of each class."""

from jaxtyping import Float
from torch import Tensor, nn

from striate.base.errors import ConfigError
from striate.calculus.rbf import rbf


class RBF(nn.Module):
    """The squared distance of the input to a code for each class: the smallest output is the answer.

    Args:
        codes: (classes, features), copied; for LeNet-5 pictures of 7 x 12 pixels of -1 and 1.
        learnable: whether the codes are trained.  They are fixed by default, as in the paper: free codes could move
            into one point, where every distance, and with it the loss, is 0.

    Shape: (B, features) -> (B, classes).  Parameters: 0, or classes * features if learnable; `codes` in the state dict.

    >>> import torch
    >>> RBF(torch.tensor([[1.0, 1.0], [-1.0, 1.0]]))(torch.tensor([[1.0, 1.0]]))
    tensor([[0., 4.]])
    """

    codes: Tensor

    def __init__(self, codes: Tensor, *, learnable: bool = False) -> None:
        super().__init__()
        if codes.ndim != 2 or not codes.is_floating_point():
            got = f"{codes.dtype} of shape {tuple(codes.shape)}"
            raise ConfigError("RBF", "codes", "floats (classes, features)", got=got, fix="one row a class")
        if learnable:
            self.codes = nn.Parameter(codes.detach().clone())
        else:
            self.register_buffer("codes", codes.detach().clone())

    def forward(self, x: Float[Tensor, "B F"]) -> Float[Tensor, "B C"]:
        """The distances."""
        return rbf(x, self.codes)

    def extra_repr(self) -> str:
        """What `print(model)` shows between the brackets."""
        classes, features = self.codes.shape
        return f"classes={classes}, features={features}, learnable={isinstance(self.codes, nn.Parameter)}"
