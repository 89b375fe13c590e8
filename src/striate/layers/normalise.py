"""Normalise: the standardisation of the data, inside the network."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.base.errors import ConfigError
from striate.calculus.normalise import normalise


class Normalise(nn.Module):
    """(x - mean) / std for each channel; saved with the weights, so that nobody can serve the network without it.

    Args:
        mean: one number a channel, in the input's units (pixels in [0, 1] elsewhere here).
        std: one number a channel, > 0, in the same units.

    Shape: (B, C, ...), kept.  Parameters: 0; buffers `mean` and `std`, of torch's default type.

    >>> Normalise(mean=[0.5], std=[0.25])(torch.ones(1, 1, 1, 2))
    tensor([[[[2., 2.]]]])
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float] | Tensor, std: Sequence[float] | Tensor) -> None:
        super().__init__()
        home, kind = torch.get_default_device(), torch.get_default_dtype()
        m, s = (torch.as_tensor(each, dtype=kind, device="cpu").detach().clone() for each in (mean, std))  # to be read
        if m.ndim != 1 or m.shape != s.shape:
            got = f"{list(m.shape)} and {list(s.shape)}"
            raise ConfigError("Normalise", "mean and std", "of one number a channel each", got=got, fix="[0.5], [0.25]")
        if not (m.isfinite().all() and s.isfinite().all()):
            raise ConfigError("Normalise", "mean and std", "finite", got=f"{m.tolist()}, {s.tolist()}", fix="fit again")
        if not (s > 0).all():
            fix = "a channel that never changes carries nothing: give it 1.0"
            raise ConfigError("Normalise", "std", "> 0", got=s.tolist(), fix=fix)
        self.register_buffer("mean", m.to(home))
        self.register_buffer("std", s.to(home))

    def forward(self, x: Float[Tensor, "B C *rest"]) -> Float[Tensor, "B C *rest"]:
        """Mean 0 and deviation 1, if the input is like the data."""
        if x.shape[1] != len(self.mean):  # one channel would broadcast to as many as there are means
            fix = "bring the picture to the channels that were measured"
            raise ConfigError("Normalise", "channels", str(len(self.mean)), got=x.shape[1], fix=fix)
        return normalise(x, self.mean, self.std)

    def extra_repr(self) -> str:
        """What `print(model)` shows between the brackets."""
        return f"channels={len(self.mean)}"
