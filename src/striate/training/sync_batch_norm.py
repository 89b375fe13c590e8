"""Batch normalisation over the rows of all processes, forward and backward.

    n = sum_r n_r        mu = sum_r n_r mu_r / n        v = sum_r n_r (v_r + (mu_r - mu)^2) / n

    h = (x - mu) / s     y = w h + b     s = sqrt(v + eps)

    dL/dx = w / s (dL/dy - sum(dL/dy) / n - h sum(dL/dy h) / n)        sums over all rows of all processes

n_r numbers of a channel are process r's, with mean mu_r and biased variance v_r; that form does not cancel where a mean
is large (Chan, Golub and LeVeque 1983, The American Statistician 37:242).  dL/dw and dL/db are each process's own part:
they are summed with all other gradients.  One exchange forward and one backward.

torch.nn.SyncBatchNorm computes the same and refuses the CPU.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from striate.training.processes import Processes, others_alive

_apart: ContextVar[bool] = ContextVar("striate_apart", default=False)


@contextmanager
def each_by_itself() -> Iterator[None]:
    """Inside the block every process has the whole batch: its statistics are the batch's, as they are."""
    token = _apart.set(True)
    try:
        yield
    finally:
        _apart.reset(token)


class SyncBatchNorm(nn.modules.batchnorm._BatchNorm):
    """What all three have in common: training takes mean and variance over all processes, evaluation is torch's.

    Made by `synchronise`.

    Shape: (B, C, *positions), kept; B may differ between processes.
    State: that of the layer it was.
    """

    def forward(self, x: Float[Tensor, "B C *spatial"]) -> Float[Tensor, "B C *spatial"]:
        """Normalise each channel."""
        if not self.training or _apart.get():
            return super().forward(x)
        self._check_input_dim(x)  # type: ignore[no-untyped-call]
        mean, var, count = _statistics(x)
        self._run(mean, var, count)
        return _Normalise.apply(x, mean, var, count, self.weight, self.bias, self.eps)  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def _run(self, mean: Tensor, var: Tensor, count: Tensor) -> None:
        """Move the running statistics, by the unbiased variance as torch does."""
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        momentum = 1 / self.num_batches_tracked if self.momentum is None else self.momentum
        for running, new in ((self.running_mean, mean), (self.running_var, var * (count / (count - 1)))):
            running.mul_(1 - momentum).add_(momentum * new)


class SyncBatchNorm1d(SyncBatchNorm, nn.BatchNorm1d):
    """`nn.BatchNorm1d` over all processes."""


class SyncBatchNorm2d(SyncBatchNorm, nn.BatchNorm2d):
    """`nn.BatchNorm2d` over all processes."""


class SyncBatchNorm3d(SyncBatchNorm, nn.BatchNorm3d):
    """`nn.BatchNorm3d` over all processes."""


SYNCHRONISED: dict[type[nn.Module], type[SyncBatchNorm]] = {
    nn.BatchNorm1d: SyncBatchNorm1d,
    nn.BatchNorm2d: SyncBatchNorm2d,
    nn.BatchNorm3d: SyncBatchNorm3d,
}


def synchronise(model: nn.Module, processes: Processes) -> nn.Module:
    """Let every batch normalisation of the network see the rows of all processes; gives the same network.

    The layers stay the objects they are and only change their class: their names, parameters, hooks and whoever else
    holds them are not disturbed, and they still are `nn.BatchNorm2d` to those who ask.  Classes derived from torch's
    are left as they are: what they do is their own.
    """
    for module in model.modules():
        if processes.world > 1 and type(module) in SYNCHRONISED:
            module.__class__ = SYNCHRONISED[type(module)]
    return model


def _statistics(x: Float[Tensor, "B C *spatial"]) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and biased variance of every channel over all processes, and of how many numbers they are."""
    with torch.no_grad():
        wide = x if x.dtype == torch.float64 else x.float()
        var, mean = torch.var_mean(wide, dim=_all_but_channels(x), correction=0)
        own = torch.cat([mean, var, mean.new_tensor([x[:, 0].numel()])])
        parts = [torch.empty_like(own) for _ in range(dist.get_world_size())]
        with others_alive():
            dist.all_gather(parts, own)
        means, variances, counts = torch.split(torch.stack(parts), [x.shape[1], x.shape[1], 1], dim=1)  # world C, C, 1
        total = counts.sum()
        mean = (counts * means).sum(0) / total
        var = (counts * (variances + (means - mean).square())).sum(0) / total
        return mean, var, total


class _Normalise(torch.autograd.Function):
    """y from x and the statistics of all processes, which depend on x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *rest: Any) -> Tensor:
        mean, var, count, weight, bias, eps = rest
        ctx.save_for_backward(x, mean, (var + eps).rsqrt(), count, weight)
        return F.batch_norm(x, mean, var, weight, bias, training=False, eps=eps)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (dy,) = gradients
        x, mean, scale, count, weight = ctx.saved_tensors  # scale = 1 / s
        axes = _all_but_channels(x)
        dy_wide = dy.to(scale.dtype)
        h = (x - _wide(mean, x)) * _wide(scale, x)
        own = torch.stack([dy_wide.sum(axes), (dy_wide * h).sum(axes)])
        total = own.clone()
        with others_alive():
            dist.all_reduce(total)
        offset, slope = (total / count).unbind()
        gain = scale if weight is None else scale * weight
        dx = (dy_wide - _wide(offset, x) - h * _wide(slope, x)) * _wide(gain, x)
        db, dw = own.unbind() if weight is not None else (None, None)
        return dx.to(x.dtype), None, None, None, dw, db, None


def _all_but_channels(x: Tensor) -> tuple[int, ...]:
    return (0, *range(2, x.ndim))


def _wide(channel: Tensor, x: Tensor) -> Tensor:
    return channel.reshape(-1, *[1] * (x.ndim - 2))
