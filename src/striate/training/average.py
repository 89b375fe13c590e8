"""A moving average of the weights, whose noise of single batches has cancelled: often the better network.

    a <- d a + (1 - d) w        d = min(decay, t / (9 + t))        t updates before this one

At the first update d is 0, so the random weights before it leave no trace; then the average remembers about the last
tenth of the updates, and at last 1 / (1 - decay) of them.

Polyak and Juditsky 1992; exponential and with a start like this one: TensorFlow's ExponentialMovingAverage.
"""

import copy

import torch
from torch import Tensor, nn

from striate.base.errors import ConfigError


class Average:
    """A network beside the trained one.

    Weights and floating-point buffers (the statistics of batch normalisation) are averaged.  Other buffers, counters
    and those with infinities such as masks, are the trained network's.

    Args:
        followed: the network being trained; only read.
        decay: of the past, in (0, 1), an update.

    Attributes:
        network: what to validate and keep: a copy in evaluation mode.

    Raises:
        ConfigError: a decay out of its range.
    """

    def __init__(self, followed: nn.Module, decay: float) -> None:
        if not 0 < decay < 1:
            raise ConfigError("update", "ema_decay", "in (0, 1)", got=decay, fix="0.999 is usual")
        self.decay = decay
        self.network = copy.deepcopy(followed).eval().requires_grad_(False)
        pairs: list[tuple[Tensor, Tensor]] = [*zip(self.network.parameters(), followed.parameters(), strict=True)]
        buffers = [*zip(self.network.buffers(), followed.buffers(), strict=True)]
        pairs += [pair for pair in buffers if _averages(pair[1])]
        self._averaged = [own.detach() for own, _ in pairs]
        self._trained = [theirs.detach() for _, theirs in pairs]
        self._copied = [pair for pair in buffers if not _averages(pair[1])]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after the update that `step` others were made before."""
        decay = min(self.decay, step / (9 + step))
        torch._foreach_lerp_(self._averaged, self._trained, 1 - decay)
        for own, theirs in self._copied:
            own.copy_(theirs)

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint must hold, by name."""
        return dict(self.network.state_dict())

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Give back what `tensors` took.

        Raises:
            RuntimeError: tensors of another network.
        """
        self.network.load_state_dict(tensors)


def _averages(buffer: Tensor) -> bool:
    return buffer.is_floating_point() and bool(buffer.isfinite().all())
