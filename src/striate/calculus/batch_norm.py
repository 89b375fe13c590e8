"""Batch normalisation: every channel brought to mean 0 and variance 1, then scaled and shifted.

    h = (x - mu) / s        y = w h + b        s = sqrt(v + eps)

Training takes mu and v from the batch, over all N = B·(positions) numbers of a channel; v is the biased variance
(divided by N).  Then mu and s depend on x, and every number's gradient feels all others of its channel:

    dL/dx = w / s (dL/dy - mean(dL/dy) - h mean(dL/dy h))

Evaluation takes running statistics, which are constants:  dL/dx = w / s dL/dy.
In both, dL/dw = sum(dL/dy h) and dL/db = sum(dL/dy), over all but channels.

The running variance is fed the unbiased one (divided by N - 1), as torch does.
Ioffe and Szegedy, "Batch normalization", ICML 2015, algorithms 1 and 2 and the equations between them.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from striate.base.errors import ConfigError

Channels = Float[Tensor, " C"]
Gradients = tuple[Tensor, Tensor, Tensor]  # of x, weight and bias


def batch_statistics(x: Float[Tensor, "B C *spatial"]) -> tuple[Channels, Channels]:
    """Mean and biased variance of every channel.

    Raises:
        ConfigError: one number a channel has no variance.
    """
    _two_or_more(x[:, 0].numel())
    mean = x.mean(_all_but_channels(x))
    return mean, (x - _wide(mean, x)).square().mean(_all_but_channels(x))


def batch_norm(
    x: Float[Tensor, "B C *spatial"],
    mean: Channels,
    var: Channels,
    *,
    weight: Channels,
    bias: Channels,
    eps: float = 1e-5,
) -> Float[Tensor, "B C *spatial"]:
    """Normalise by the given statistics: those of the batch in training, running ones in evaluation."""
    return _wide(weight, x) * _normalised(x, mean, var, eps) + _wide(bias, x)


def batch_norm_pullback(
    dy: Float[Tensor, "B C *spatial"],
    x: Float[Tensor, "B C *spatial"],
    *,
    weight: Channels,
    eps: float = 1e-5,
) -> Gradients:
    """Training: dL/dx, dL/dw and dL/db from dL/dy, with mean and variance depending on x."""
    mean, var = batch_statistics(x)
    h = _normalised(x, mean, var, eps)
    axes = _all_but_channels(x)
    centred = dy - dy.mean(axes, keepdim=True) - h * (dy * h).mean(axes, keepdim=True)
    return centred * _wide(weight * (var + eps).rsqrt(), x), (dy * h).sum(axes), dy.sum(axes)


def batch_norm_evaluation_pullback(
    dy: Float[Tensor, "B C *spatial"],
    x: Float[Tensor, "B C *spatial"],
    mean: Channels,
    var: Channels,
    *,
    weight: Channels,
    eps: float = 1e-5,
) -> Gradients:
    """Evaluation: dL/dx, dL/dw and dL/db from dL/dy, with mean and variance held fixed."""
    axes = _all_but_channels(x)
    dw = (dy * _normalised(x, mean, var, eps)).sum(axes)
    return dy * _wide(weight * (var + eps).rsqrt(), x), dw, dy.sum(axes)


def update_running(
    running: tuple[Channels, Channels], batch: tuple[Channels, Channels], *, count: int, momentum: float = 0.1
) -> tuple[Channels, Channels]:
    """The next running mean and variance: the old ones, moved by `momentum` towards the batch's.

    Args:
        running: mean and variance so far.
        batch: mean and biased variance of this batch, from `batch_statistics`.
        count: N, the numbers of a channel in this batch, which unbiases its variance.
        momentum: share of the new in the average, in [0, 1] (torch's sense of the word).

    Raises:
        ConfigError: one number a channel has no unbiased variance.
    """
    _two_or_more(count)
    unbiased = batch[1] * count / (count - 1)
    return torch.lerp(running[0], batch[0], momentum), torch.lerp(running[1], unbiased, momentum)


def _two_or_more(count: int) -> None:
    if count < 2:
        fix = "train with a larger batch, or evaluate with running statistics"
        raise ConfigError("batch_norm", "numbers of a channel", ">= 2 in training", got=count, fix=fix)


def _all_but_channels(x: Tensor) -> tuple[int, ...]:
    return (0, *range(2, x.ndim))


def _wide(channel: Tensor, x: Tensor) -> Tensor:
    return channel.reshape(-1, *[1] * (x.ndim - 2))  # C 1 1: broadcasts over batch and positions


def _normalised(x: Tensor, mean: Tensor, var: Tensor, eps: float) -> Tensor:
    return (x - _wide(mean, x)) * _wide((var + eps).rsqrt(), x)


def demonstrate() -> str:
    """Four numbers of one channel, in training and in evaluation."""
    x = torch.tensor([[1.0], [3.0], [5.0], [7.0]], dtype=torch.float64)
    dy = torch.tensor([[1.0], [0.0], [0.0], [0.0]], dtype=torch.float64)
    one, zero = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    mean, var = batch_statistics(x)
    y = batch_norm(x, mean, var, weight=one, bias=zero, eps=0.0)
    dx, dw, db = batch_norm_pullback(dy, x, weight=one, eps=0.0)
    running = update_running((zero, one), (mean, var), count=4)

    def row(t: Tensor) -> str:
        return " ".join(f"{value:.4f}" for value in t.flatten().tolist())

    return "\n".join(
        [
            "Batch normalisation of x = 1 3 5 7 (one channel, w = 1, b = 0, eps = 0)",
            f"  mean = 16/4 = {mean.item():g}",
            f"  variance = (9 + 1 + 1 + 9)/4 = {var.item():g}, its root s = {var.item() ** 0.5:.4f}",
            f"  y = (x - 4)/s = {row(y)}",
            "Backward for dL/dy = 1 0 0 0: mean(dL/dy) = 1/4, mean(dL/dy h) = -1.3416/4",
            f"  dL/dx = (dL/dy - 1/4 + 0.3354 h)/s = {row(dx)}   (sums to 0: shifting all x changes no y)",
            f"  dL/dw = {row(dw)}   dL/db = {row(db)}",
            f"Running after one step of 0.1 from (0, 1): mean {row(running[0])}, variance {row(running[1])}",
            "  (0.9·0 + 0.1·4, and 0.9·1 + 0.1·5·4/3: the unbiased variance)",
        ]
    )


if __name__ == "__main__":
    print(demonstrate())
