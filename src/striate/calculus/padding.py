"""Padding: what a kernel sees beyond the border of the picture, and where its gradient goes back to.

    number     .. c c c | a b c d | c c c ..        ("zeros" is the number 0)
    reflect    .. d c b | a b c d | c b a ..        the border pixel is the mirror, not repeated
    replicate  .. a a a | a b c d | d d d ..
    circular   .. b c d | a b c d | a b c ..

A padded axis is a selection, xp[i] = x[source[i]], so its pullback adds every padded pixel's gradient
to its source: dx[j] = sum of dxp[i] over source[i] = j.  A number has no source; its gradient is dropped.

Rules by name, for a kernel that reaches over r = d (K - 1) + 1 pixels:
    valid  no padding: only whole windows                               m = floor((n - r) / s) + 1
    same   p = max(s (ceil(n / s) - 1) + r - n, 0), before = floor(p / 2), after = p - before
                                                                        m = ceil(n / s)
    full   r - 1 on both sides: every window that touches a pixel       m = floor((n + r - 2) / s) + 1

With an odd p the extra pixel of "same" goes after (TensorFlow's rule; at stride 1 it is torch's too).
For an odd kernel f at stride 1 "same" is the textbooks' p = (f - 1) / 2 on each side.
Sources: Dumoulin and Visin 2016, arXiv:1603.07285; TensorFlow's notes on padding in tf.nn.
"""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from striate.base.axes import spatial_names
from striate.base.errors import ConfigError
from striate.calculus.windows import reach

Pair = tuple[int, int]  # pixels (before, after)
Pixels = int | tuple[int | Pair, ...]
Padding = str | Pixels
Border = str | int | float
RULES = ("valid", "same", "full")
BORDERS = ("zeros", "reflect", "replicate", "circular")


def resolve(
    padding: Padding,
    sizes: tuple[int, ...],
    kernel_size: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
) -> tuple[Pair, ...]:
    """Pixels (before, after) on every axis, from a rule's name, a number, a number an axis or pairs.

    >>> resolve("same", (5,), (4,), (2,), (1,))
    ((1, 2),)

    Raises:
        ConfigError: an unknown rule, another count of axes, or a negative number.
    """
    if isinstance(padding, str):
        if padding not in RULES:
            raise ConfigError("padding", "the rule", f"one of {', '.join(RULES)}", got=repr(padding), fix=_HOW)
        axes = zip(sizes, kernel_size, stride, dilation, strict=True)
        return tuple(_by_rule(padding, n, reach(k, d), s) for n, k, s, d in axes)
    return explicit(padding, len(sizes))


_HOW = "name a rule, or give pixels: 1, (1, 2) an axis each, or ((before, after), ...)"


def _by_rule(rule: str, n: int, need: int, stride: int) -> Pair:
    if rule == "valid":
        return 0, 0
    if rule == "full":
        return need - 1, need - 1
    total = max((-(-n // stride) - 1) * stride + need - n, 0)
    return total // 2, total - total // 2


def explicit(padding: Pixels, dims: int) -> tuple[Pair, ...]:
    """Pairs from a number, a number an axis, or pairs.

    >>> explicit((1, (0, 2)), 2)
    ((1, 1), (0, 2))
    """
    each = (padding,) * dims if isinstance(padding, int) else tuple(padding)
    if len(each) != dims:
        fix = f"give one for each of {', '.join(spatial_names(dims))}; {_HOW}"
        raise ConfigError("padding", "the number of axes", str(dims), got=len(each), fix=fix)
    pairs = [(p, p) if isinstance(p, int) else p for p in each]
    if any(len(pair) != 2 or min(pair) < 0 for pair in pairs):
        raise ConfigError("padding", "each axis", "pixels >= 0, or (before, after)", got=padding, fix=_HOW)
    return tuple(pairs)


def is_constant(border: Border) -> bool:
    """Whether the border is a number ("zeros" is 0) and not a copy of pixels."""
    return not isinstance(border, str) or border == "zeros"


def check_border(border: Border, sizes: tuple[int, ...], pairs: tuple[Pair, ...]) -> None:
    """Refuse an unknown border, and copies of more pixels than there are.

    Raises:
        ConfigError: with the most that fits.
    """
    if is_constant(border):
        return
    if border not in BORDERS:
        must = f"a number or one of {', '.join(BORDERS)}"
        raise ConfigError("padding", "border", must, got=repr(border), fix="use zeros where in doubt")
    for name, n, pair in zip(spatial_names(len(sizes)), sizes, pairs, strict=True):
        most = {"reflect": n - 1, "circular": n, "replicate": max(pair) if n else 0}[str(border)]
        if max(pair) > most:
            fix = f"pad {most} or less along {name}, or use replicate or zeros"
            raise ConfigError("padding", f"{border} padding of an axis of {n} pixels", f"<= {most}", got=pair, fix=fix)


def sources(n: int, pair: Pair, border: str, device: torch.device | None = None) -> Tensor:
    """The pixel 0 .. n-1 that every padded pixel copies.

    >>> sources(4, (2, 2), "reflect").tolist()
    [2, 1, 0, 1, 2, 3, 2, 1]
    """
    i = torch.arange(-pair[0], n + pair[1], device=device)
    if border == "reflect":
        return n - 1 - (n - 1 - i.abs()).abs()
    return i.clamp(0, n - 1) if border == "replicate" else i % n


def pad(
    x: Shaped[Tensor, "B C *spatial"], pairs: tuple[Pair, ...], border: Border = "zeros"
) -> Shaped[Tensor, "B C *padded"]:
    """Surround the picture by (before, after) pixels on every axis.

    >>> pad(torch.tensor([[[1.0, 2.0, 3.0]]]), ((2, 1),), "replicate")[0, 0].tolist()
    [1.0, 1.0, 1.0, 2.0, 3.0, 3.0]

    Raises:
        ConfigError: the border copies more pixels than there are.
    """
    sizes = tuple(x.shape[2:])
    check_border(border, sizes, pairs)
    if is_constant(border):
        number = 0 if isinstance(border, str) else border
        xp = x.new_full((*x.shape[:2], *(n + sum(pair) for n, pair in zip(sizes, pairs, strict=True))), number)
        xp[_inside(sizes, pairs)] = x
        return xp
    for axis, (n, pair) in enumerate(zip(sizes, pairs, strict=True), start=2):
        x = x.index_select(axis, sources(n, pair, str(border), x.device))
    return x


def pad_pullback(
    dy: Float[Tensor, "B C *padded"], pairs: tuple[Pair, ...], border: Border = "zeros"
) -> Float[Tensor, "B C *spatial"]:
    """dL/dx from dL/d(padded x): every padded pixel's gradient folded back onto its source.

    >>> pad_pullback(torch.ones(1, 1, 6), ((2, 1),), "replicate")[0, 0].tolist()
    [3.0, 1.0, 2.0]
    """
    sizes = tuple(m - sum(pair) for m, pair in zip(dy.shape[2:], pairs, strict=True))
    if is_constant(border):
        return dy[_inside(sizes, pairs)]
    for axis, (n, pair) in enumerate(zip(sizes, pairs, strict=True), start=2):
        shape = (*dy.shape[:axis], n, *dy.shape[axis + 1 :])
        dy = dy.new_zeros(shape).index_add(axis, sources(n, pair, str(border), dy.device), dy)
    return dy


def _inside(sizes: tuple[int, ...], pairs: tuple[Pair, ...]) -> tuple[slice, ...]:
    """Where the picture lies in the padded picture."""
    rest = (slice(before, before + n) for n, (before, _) in zip(sizes, pairs, strict=True))
    return slice(None), slice(None), *rest
