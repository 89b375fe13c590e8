"""LocalResponseNorm: torch's layer, several times as fast on a CPU, and in bfloat16 too.

Torch pools over a padded copy and keeps every step of it for the backward pass; all of that goes through main memory.
Here the batch is worked through in blocks that stay in the processor's cache, with the sums of neighbours as shifted
additions in a zero-padded scratch buffer; only x is kept, and the backward pass computes the rest again.

Where the native library is there and x is something that it takes, it does the same in one pass over x; values and
gradients then agree to float32's rounding, not to the bit.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.base.errors import ConfigError
from striate.calculus.local_response_norm import alpha_of_sum, local_response_norm, local_response_norm_pullback
from striate.native import local_response_norm as native

BLOCK = 1 << 17  # numbers of a block for each thread of a CPU: with its scratch buffers, about what L2 and L3 hold


class LocalResponseNorm(nn.Module):
    """Divide every number by a power of the energy of its neighbours across channels; torch's signature and values.

    Args:
        size: channels of a neighbourhood.
        alpha: coefficient of the mean of squares, zeros beyond the edges counted.  The paper's alpha is the coefficient
            of the sum: size times smaller.  AlexNet's 1e-4 over 5 channels is `alpha=5e-4` here.
        beta: exponent.
        k: what is added to the mean, > 0 wherever a neighbourhood can be silent.

    Shape: (B, C, *spatial) -> the same.  Parameters: 0.

    >>> LocalResponseNorm(5, k=2.0)(torch.zeros(1, 8, 4, 4)).shape
    torch.Size([1, 8, 4, 4])
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        if size < 1:
            raise ConfigError("LocalResponseNorm", "size", ">= 1 channel", got=size, fix="AlexNet takes 5")
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, x: Float[Tensor, "B C *spatial"]) -> Float[Tensor, "B C *spatial"]:
        """Normalise; by the plain formula where the network is being exported or compiled."""
        options = _Options(self.size, alpha_of_sum(self.alpha, self.size), self.beta, self.k)
        if torch.compiler.is_compiling():
            return options.plain(x)
        return _Norm.apply(x, options)  # type: ignore[no-untyped-call]

    def extra_repr(self) -> str:
        """What `print(model)` shows between the brackets."""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


@dataclass(frozen=True, slots=True)
class _Options:
    """n, the paper's alpha, beta and k."""

    size: int
    alpha: float
    beta: float
    k: float

    def fused(self, x: Tensor) -> Tensor:
        return native.local_response_norm(x, self.size, alpha=self.alpha, beta=self.beta, k=self.k)

    def fused_pullback(self, dy: Tensor, x: Tensor) -> Tensor:
        return native.local_response_norm_pullback(dy, x, self.size, alpha=self.alpha, beta=self.beta, k=self.k)

    def plain(self, x: Tensor) -> Tensor:
        return local_response_norm(x, self.size, alpha=self.alpha, beta=self.beta, k=self.k)

    def plain_pullback(self, dy: Tensor, x: Tensor) -> Tensor:
        return local_response_norm_pullback(dy, x, self.size, alpha=self.alpha, beta=self.beta, k=self.k)


class _Norm(torch.autograd.Function):
    """The operation and its pullback, block by block."""

    @staticmethod
    def forward(x: Tensor, options: _Options) -> Tensor:
        if native.takes(x):
            return options.fused(x)
        rows, y = _rows(x), _room(x)
        out = _rows(y, like=x)
        for block, scratch in _blocks(rows, options):
            wide = rows[block].to(scratch.power.dtype)
            torch.mul(wide, scratch.divide(wide), out=out[block])
        return y

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, _Options], output: Tensor) -> None:  # noqa: ARG004 - torch's signature
        x, ctx.options = inputs
        ctx.save_for_backward(x)
        ctx.save_for_forward(x)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None]:
        x, options = ctx.saved_tensors[0], ctx.options
        if torch.is_grad_enabled():  # somebody will differentiate the gradient
            return options.plain_pullback(dy, x), None
        if native.takes(x):
            return options.fused_pullback(dy, x), None
        rows, errors, dx = _rows(x), _rows(dy, like=x), _room(x)
        out = _rows(dx, like=x)
        for block, scratch in _blocks(rows, options):
            wide, error = rows[block].to(scratch.power.dtype), errors[block].to(scratch.power.dtype)
            direct = scratch.divide(wide).mul_(error)  # dy d^-beta
            torch.mul(direct, wide, out=scratch.inside).div_(scratch.energy)  # dy x d^(-beta-1)
            spread = scratch.sum(transposed=True).mul_(wide)
            torch.sub(direct, spread, alpha=2 * options.alpha * options.beta, out=out[block])
        return dx, None

    @staticmethod
    def jvp(ctx: Any, dx: Tensor, _: None) -> Tensor:
        """J dx.  The pullback, J^T dy, is linear in dy, so its own pullback is J."""
        x = ctx.saved_tensors[0]
        forwards = torch.func.vjp(lambda dy: ctx.options.plain_pullback(dy, x), torch.zeros_like(x))[1]
        return forwards(dx)[0]

    @staticmethod
    def vmap(_: Any, in_dims: tuple[int, None], x: Tensor, options: _Options) -> tuple[Tensor, int]:
        """Under `torch.func.vmap`, the mapped axis is more of the batch."""
        x = x.movedim(in_dims[0], 0)
        y = _Norm.apply(x.flatten(0, 1), options)  # type: ignore[no-untyped-call]
        return y.unflatten(0, x.shape[:2]), 0


class _Scratch:
    """Buffers for one block: outer by channels by inner, with zero channels on both sides of `inside`."""

    def __init__(self, rows: Tensor, outer: int, options: _Options) -> None:
        C, inner = rows.shape[1:]
        n = options.size
        self.options, self.channels, self.step = options, C, inner
        self.even = 1 - n % 2  # an even neighbourhood reaches one channel further down, its transpose further up
        work = torch.promote_types(rows.dtype, torch.float32)  # sums in bfloat16 would lose alpha's share
        self._padded = torch.zeros(outer, C + n - 1 + self.even, inner, dtype=work, device=rows.device)
        self._sums = torch.empty_like(self._padded)
        self.inside = self._padded[:, n // 2 : n // 2 + C]
        self.energy = self._sums[:, :C]
        self.power = torch.empty_like(self.inside)
        self._spare = torch.empty_like(self.inside)

    def divide(self, x: Tensor) -> Tensor:
        """d^-beta, in `power`; d stays in `energy` until the next sum."""
        torch.mul(x, x, out=self.inside)
        d = self.sum(transposed=False).mul_(self.options.alpha).add_(self.options.k)
        if self.options.beta != 0.75:
            return torch.pow(d, -self.options.beta, out=self.power)
        torch.rsqrt(d, out=self.power)  # d^-3/4 = d^-1/2 (d^-1/2)^1/2: two roots cost less than a power
        return self.power.mul_(torch.sqrt(self.power, out=self._spare))

    def sum(self, *, transposed: bool) -> Tensor:
        """The sums over neighbours of `inside`, by adding the flat buffer to itself, shifted by whole channels."""
        flat = self._padded.view(-1)
        length = flat.numel() - (self.options.size - 1) * self.step
        total = self._sums.view(-1)[:length].copy_(flat[:length])
        for shift in range(self.step, self.options.size * self.step, self.step):
            total.add_(flat[shift : shift + length])
        first = self.even if transposed else 0
        return self._sums[:, first : first + self.channels]


def _blocks(rows: Tensor, options: _Options) -> Iterator[tuple[slice, _Scratch]]:
    """Slices of the rows, each with scratch buffers of its length; on other devices than a CPU, one slice."""
    count = rows.shape[0]
    block = BLOCK * torch.get_num_threads() if rows.device.type == "cpu" else rows.numel()
    outer = max(1, min(count, block // max(1, rows[:1].numel())))
    scratch = _Scratch(rows, outer, options)
    for start in range(0, count, outer):
        if count - start < outer:  # the last, shorter block
            scratch = _Scratch(rows, count - start, options)
        yield slice(start, start + outer), scratch


def _channels_last(x: Tensor) -> bool:
    return not x.is_contiguous() and x.movedim(1, -1).is_contiguous()


def _rows(x: Tensor, like: Tensor | None = None) -> Tensor:
    """The same numbers as outer by channels by inner, without a copy where x is dense in the layout of `like`."""
    if _channels_last(x if like is None else like):
        return x.movedim(1, -1).reshape(-1, x.shape[1], 1)
    return x.reshape(x.shape[0], x.shape[1], x.shape[2:].numel())


def _room(x: Tensor) -> Tensor:
    """Memory of the shape and layout of x; not a view of its rows, so that the layer behind may write over it."""
    return torch.empty_like(x, memory_format=torch.preserve_format if _channels_last(x) else torch.contiguous_format)
