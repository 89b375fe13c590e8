"""Stochastic pooling: a window's answer is drawn, strong pixels more often; evaluation takes the expectation.

    p_k = a_k / S,   S = sum_k a_k,   a_k >= 0

    training     y = a_l,  l the first entry with a_1 + … + a_l > u S,  u uniform on [0, 1)
                 dL/dx goes to the drawn pixel, as in max pooling
    evaluation   y = sum_k p_k a_k = sum_k a_k^2 / S
                 dL/da_k = dL/dy (2 a_k - y) / S

A window of zeros gives 0; in evaluation its gradient is taken as 0, in training it goes to the
first pixel of the window.

Zeiler and Fergus, "Stochastic pooling for regularization of deep convolutional neural networks", ICLR 2013, section 3.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from striate.base.errors import ConfigError
from striate.calculus.pool_windows import Size, pool_windows, route, show


def stochastic_pool(
    x: Float[Tensor, "B C *spatial"],
    u: Float[Tensor, "B C *out"],
    kernel_size: Size,
    *,
    stride: Size | None = None,
    ceil_mode: bool = False,
) -> tuple[Float[Tensor, "B C *out"], Int[Tensor, "B C *out"]]:
    """Training: the drawn number of each window and its pixel, numbered row-major over the spatial axes.

    Args:
        x: activations, >= 0.
        u: one uniform number in [0, 1) for each window.
        kernel_size: pixels of a window.
        stride: pixels from window to window; the kernel's size if None.
        ceil_mode: keep the windows that hang over the edge.

    Raises:
        ConfigError: a negative activation, which has no probability.
    """
    _check(x)
    place = pool_windows(tuple(x.shape[2:]), kernel_size, stride=stride, ceil_mode=ceil_mode)
    a = place.view(x, fill=0.0)
    sums = a.double().cumsum(-1)  # double: u S < S must hold for every u < 1
    entry = (sums <= u.double()[..., None] * sums[..., -1:]).sum(-1)
    entry = torch.where(sums[..., -1] > 0, entry, 0)
    return a.gather(-1, entry[..., None])[..., 0], place.pixel(entry)


def stochastic_pool_pullback(
    dy: Float[Tensor, "B C *out"], indices: Int[Tensor, "B C *out"], size: tuple[int, ...]
) -> Float[Tensor, "B C *spatial"]:
    """Training: dL/dx from dL/dy, to the drawn pixels."""
    return route(dy, indices, size)


def stochastic_pool_mean(
    x: Float[Tensor, "B C *spatial"], kernel_size: Size, *, stride: Size | None = None, ceil_mode: bool = False
) -> Float[Tensor, "B C *out"]:
    """Evaluation: the expectation of what training draws.

    >>> stochastic_pool_mean(torch.tensor([[[1.0, 3.0, 0.0, 0.0]]]), 2).tolist()
    [[[2.5, 0.0]]]
    """
    _check(x)
    a = pool_windows(tuple(x.shape[2:]), kernel_size, stride=stride, ceil_mode=ceil_mode).view(x, fill=0.0)
    return a.square().sum(-1) / _positive(a.sum(-1))


def stochastic_pool_mean_pullback(
    dy: Float[Tensor, "B C *out"],
    x: Float[Tensor, "B C *spatial"],
    kernel_size: Size,
    *,
    stride: Size | None = None,
    ceil_mode: bool = False,
) -> Float[Tensor, "B C *spatial"]:
    """Evaluation: dL/dx from dL/dy."""
    place = pool_windows(tuple(x.shape[2:]), kernel_size, stride=stride, ceil_mode=ceil_mode)
    a = place.view(x, fill=0.0)
    total = _positive(a.sum(-1, keepdim=True))
    y = a.square().sum(-1, keepdim=True) / total
    return place.fold(dy[..., None] * (2 * a - y) / total)


def _positive(total: Tensor) -> Tensor:
    return torch.where(total > 0, total, 1)  # a window of zeros: 0 / 1


def _check(x: Tensor) -> None:
    if torch.compiler.is_compiling() or x.is_meta:
        return  # no numbers to look at yet
    if bool((x < 0).any()):
        fix = "put a ReLU before the pooling"
        raise ConfigError("stochastic_pool", "every activation", ">= 0", got=f"{x.min().item():g}", fix=fix)


def demonstrate() -> str:
    """One 2x2 window: its probabilities, a draw, its expectation and gradient."""
    x = torch.tensor([[[[1.6, 0.0], [0.0, 2.4]]]], dtype=torch.float64)
    draws = [
        stochastic_pool(x, torch.full((1, 1, 1, 1), u, dtype=torch.float64), 2)[0].item() for u in (0.1, 0.39, 0.41)
    ]
    one = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    return "\n".join(
        [
            "Stochastic pooling of one 2x2 window",
            show(x[0, 0]),
            "S = 1.6 + 0 + 0 + 2.4 = 4, probabilities 0.4 0 0 0.6, running sums 0.4 0.4 0.4 1",
            f"training: u = 0.1 draws {draws[0]:g}, u = 0.39 draws {draws[1]:g}, u = 0.41 draws {draws[2]:g}",
            f"evaluation: 0.4·1.6 + 0.6·2.4 = {stochastic_pool_mean(x, 2).item():g}",
            "its gradient for dL/dy = 1, (2a - 2.08)/4:",
            show(stochastic_pool_mean_pullback(one, x, 2)[0, 0]),
        ]
    )


if __name__ == "__main__":
    print(demonstrate())
