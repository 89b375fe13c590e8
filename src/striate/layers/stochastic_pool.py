"""StochasticPool1d, StochasticPool2d, StochasticPool3d: pooling that draws in training and averages in evaluation."""

import torch
from jaxtyping import Float
from torch import Tensor

from striate.base.errors import ConfigError
from striate.base.random import Purpose, current_step, key, uniform
from striate.calculus.dropout import sample_words
from striate.calculus.pool_windows import Size, pool_windows
from striate.calculus.stochastic_pool import stochastic_pool, stochastic_pool_mean
from striate.layers.dropout import StepRandomLayer


class _StochasticPool(StepRandomLayer):
    """What the three ranks share; the calculus takes the rank from its input."""

    axes: int

    def __init__(self, kernel_size: Size, stride: Size | None = None, *, ceil_mode: bool = False) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.ceil_mode = kernel_size, stride, ceil_mode

    def forward(self, x: Float[Tensor, "B C *spatial"]) -> Float[Tensor, "B C *out"]:
        """Draw in training, average in evaluation."""
        if x.ndim != self.axes + 2:
            fix = f"use StochasticPool{x.ndim - 2}d" if 3 <= x.ndim <= 5 else "give (B, C, ...)"
            raise ConfigError(type(self).__name__, "the axes of the input", str(self.axes + 2), got=x.ndim, fix=fix)
        if not self.training:
            return stochastic_pool_mean(x, self.kernel_size, stride=self.stride, ceil_mode=self.ceil_mode)
        u = self._draw(x)
        return stochastic_pool(x, u, self.kernel_size, stride=self.stride, ceil_mode=self.ceil_mode)[0]

    def extra_repr(self) -> str:
        """What `print(model)` shows between the brackets."""
        return f"{self.kernel_size}, stride={self.stride}, ceil_mode={self.ceil_mode}"

    def _draw(self, x: Tensor) -> Tensor:
        """One uniform number in [0, 1) for each window."""
        place = pool_windows(tuple(x.shape[2:]), self.kernel_size, stride=self.stride, ceil_mode=self.ceil_mode)
        shape = (*x.shape[:2], *place.out)
        now = current_step()
        if now is None:
            return torch.rand(shape, dtype=torch.float64, device=x.device)
        draw = (now.step, self.stream)
        words = sample_words(shape, key(now.seed, Purpose.POOLING), draw, first_row=now.first_row, device=x.device)
        return uniform(words)


class StochasticPool1d(_StochasticPool):
    """Draw one sample of each window; see `StochasticPool2d`, whose arguments it takes.

    Shape: (B, C, W) >= 0 -> (B, C, windows).  Parameters: 0.

    >>> StochasticPool1d(2).eval()(torch.tensor([[[1.0, 3.0]]]))
    tensor([[[2.5000]]])
    """

    axes = 1


class StochasticPool2d(_StochasticPool):
    """Draw one pixel of each window, strong ones more often; in evaluation take the expectation (Zeiler & Fergus 2013).

    Inside `striate.base.random.step_randomness` the draw is a pure function of (seed, step, this layer's number, row of
    the global batch, window).  Outside an engine it comes from torch's generator, as torch's own layers draw.

    Args:
        kernel_size: pixels of a window.
        stride: pixels from window to window; the kernel's size if None.
        ceil_mode: keep the windows that hang over the edge.

    Shape: (B, C, H, W) >= 0 -> (B, C, windows down, windows across).  Parameters: 0.

    Raises:
        ConfigError: in forward, a negative activation, an input of another rank, or no room for a window.

    >>> StochasticPool2d(2).eval()(torch.tensor([[[[1.0, 3.0], [0.0, 0.0]]]]))
    tensor([[[[2.5000]]]])
    """

    axes = 2


class StochasticPool3d(_StochasticPool):
    """Draw one pixel of each window; see `StochasticPool2d`, whose arguments it takes.

    Shape: (B, C, D, H, W) >= 0 -> (B, C, windows along each).  Parameters: 0.

    >>> StochasticPool3d(2).eval()(torch.full((1, 1, 2, 2, 2), 2.0)).item()
    2.0
    """

    axes = 3
