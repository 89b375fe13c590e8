"""Dropout whose masks belong to the training step, not to a generator's past."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from striate.base.random import current_step
from striate.calculus.dropout import check_probability, dropout, dropout_mask


class StepRandomLayer(nn.Module):
    """A layer that draws in training, keyed by the running step and by its own number.

    `stream` tells the layers of one network apart; `number_layers` sets it.  A layer that is called twice in one step
    draws the same numbers twice.
    """

    stream: int = 0


def number_layers(model: nn.Module) -> None:
    """Give every drawing layer of the model its number: its place among them in `model.modules()`."""
    drawing = (module for module in model.modules() if isinstance(module, StepRandomLayer))
    for number, layer in enumerate(drawing):
        layer.stream = number


class Dropout(StepRandomLayer):
    """Drop numbers in training, as torch's Dropout does; the identity in evaluation.

    Inside `striate.base.random.step_randomness` the mask is a pure function of (seed, step, this layer's number, row of
    the global batch, position).  Outside an engine it is torch's own dropout.

    Args:
        p: share dropped, in [0, 1], no unit.

    Shape: any -> the same.  Parameters: 0.

    Raises:
        ConfigError: p is no probability.

    >>> import torch
    >>> Dropout(0.5).eval()(torch.ones(1, 3))
    tensor([[1., 1., 1.]])
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        check_probability("Dropout", p)
        self.p = p

    def forward(self, x: Float[Tensor, "B *sample"]) -> Float[Tensor, "B *sample"]:
        """Drop in training, pass through in evaluation."""
        if not self.training or self.p == 0:
            return x
        now = current_step()
        if now is None:
            return F.dropout(x, self.p)
        mask = dropout_mask(
            tuple(x.shape),
            self.p,
            seed=now.seed,
            layer=self.stream,
            step=now.step,
            first_row=now.first_row,
            device=x.device,
        )
        return dropout(x, mask, self.p)

    def extra_repr(self) -> str:
        """What `print(model)` shows between the brackets."""
        return f"p={self.p}"
