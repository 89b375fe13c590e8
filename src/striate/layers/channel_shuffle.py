"""ChannelShuffle: channels dealt out to other groups, of vectors too."""

from jaxtyping import Float
from torch import Tensor, nn

from striate.base.errors import ConfigError
from striate.calculus.channel_shuffle import channel_shuffle


class ChannelShuffle(nn.Module):
    """Deal the channels of every group out over all groups: torch's ChannelShuffle, and for vectors too.

    Args:
        groups: a divisor of the channels.

    Shape: (B, C, ...) -> the same.  Parameters: 0.

    >>> import torch
    >>> ChannelShuffle(2)(torch.arange(4.0)[None])
    tensor([[0., 2., 1., 3.]])
    """

    def __init__(self, groups: int) -> None:
        super().__init__()
        if groups < 1:
            raise ConfigError("ChannelShuffle", "groups", ">= 1", got=groups, fix="use a divisor of the channels")
        self.groups = groups

    def forward(self, x: Float[Tensor, "B C *spatial"]) -> Float[Tensor, "B C *spatial"]:
        """The shuffled channels."""
        return channel_shuffle(x, self.groups)

    def extra_repr(self) -> str:
        """What `print(model)` shows between the brackets."""
        return f"groups={self.groups}"
