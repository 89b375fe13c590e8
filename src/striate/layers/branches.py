"""Concatenate and Add: the same input through several modules, whose outputs then meet."""

from jaxtyping import Float
from torch import Tensor, nn

from striate.base.errors import ConfigError
from striate.calculus.branches import add, concatenate


class _Branches(nn.Module):
    """Modules side by side, named "0", "1", ... as in `torch.nn.Sequential`."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        if not branches:
            fix = "give at least one; nn.Identity() is the shortcut of a residual block"
            raise ConfigError(type(self).__name__, "branches", "at least one", got="none", fix=fix)
        for number, branch in enumerate(branches):
            self.add_module(str(number), branch)

    def _ends(self, x: Tensor) -> list[Tensor]:
        return [branch(x) for branch in self.children()]


class Concatenate(_Branches):
    """Outputs side by side along the channels, as in an inception block.

    Args:
        branches: modules that each take the input, and agree but for channels.

    Shape: (B, C, ...) -> (B, the sum of the branches' channels, ...).  Parameters: those of the branches.

    Raises:
        ConfigError: no branch; in forward, outputs of other sizes.

    >>> import torch
    >>> Concatenate(nn.Identity(), nn.Conv2d(1, 2, 1))(torch.zeros(1, 1, 3, 3)).shape
    torch.Size([1, 3, 3, 3])
    """

    def forward(self, x: Float[Tensor, "B C *spatial"]) -> Float[Tensor, "B O *out"]:
        """All branches on the same input."""
        return concatenate(self._ends(x))


class Add(_Branches):
    """Outputs added number by number, as in a residual block; nothing is broadcast.

    Args:
        branches: modules that each take the input and give one shape.

    Shape: (B, C, ...) -> that of the branches.  Parameters: those of the branches.

    Raises:
        ConfigError: no branch; in forward, outputs of other shapes.

    >>> import torch
    >>> Add(nn.ReLU(), nn.Identity())(torch.tensor([[1.0, -1.0]]))
    tensor([[ 2., -1.]])
    """

    def forward(self, x: Float[Tensor, "B C *spatial"]) -> Float[Tensor, "B O *out"]:
        """All branches on the same input."""
        return add(self._ends(x))
