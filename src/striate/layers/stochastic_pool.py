"""StochasticPool2d: pooling that draws in training and averages in evaluation."""

import torch
from jaxtyping import Float
from torch import Tensor

from striate.base.random import Purpose, current_step, key, uniform
from striate.calculus.dropout import sample_words
from striate.calculus.pool_windows import Size, pool_windows
from striate.calculus.stochastic_pool import stochastic_pool, stochastic_pool_mean
from striate.layers.dropout import StepRandomLayer


class StochasticPool2d(StepRandomLayer):
    """Draw one pixel of each window, strong ones more often; in evaluation take the expectation (Zeiler & Fergus 2013).

    Inside `striate.base.random.step_randomness` the draw is a pure function of (seed, step, this layer's number, row of
    the global batch, window).  Outside an engine it comes from torch's generator, as torch's own layers draw.

    Args:
        kernel_size: pixels of a window.
        stride: pixels from window to window; the kernel's size if None.
        ceil_mode: keep the windows that hang over the edge.

    Shape: (B, C, H, W) >= 0 -> (B, C, windows down, windows across).  Parameters: 0.

    Raises:
        ConfigError: in forward, a negative activation or no room for a window.

    >>> StochasticPool2d(2).eval()(torch.tensor([[[[1.0, 3.0], [0.0, 0.0]]]]))
    tensor([[[[2.5000]]]])
    """

    def __init__(self, kernel_size: Size, stride: Size | None = None, *, ceil_mode: bool = False) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.ceil_mode = kernel_size, stride, ceil_mode

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C P Q"]:
        """Draw in training, average in evaluation."""
        if not self.training:
            return stochastic_pool_mean(x, self.kernel_size, stride=self.stride, ceil_mode=self.ceil_mode)
        u = self._draw(x)
        return stochastic_pool(x, u, self.kernel_size, stride=self.stride, ceil_mode=self.ceil_mode)[0]

    def extra_repr(self) -> str:
        """What `print(model)` shows between the brackets."""
        return f"{self.kernel_size}, stride={self.stride}, ceil_mode={self.ceil_mode}"

    def _draw(self, x: Tensor) -> Tensor:
        """One uniform number in [0, 1) for each window, B C P Q."""
        place = pool_windows(tuple(x.shape[2:]), self.kernel_size, stride=self.stride, ceil_mode=self.ceil_mode)
        shape = (*x.shape[:2], *place.out)
        now = current_step()
        if now is None:
            return torch.rand(shape, dtype=torch.float64, device=x.device)
        draw = (now.step, self.stream)
        words = sample_words(shape, key(now.seed, Purpose.POOLING), draw, first_row=now.first_row, device=x.device)
        return uniform(words)
