"""Rules of padding by name, in whole numbers, for a kernel that reaches over r = d (K - 1) + 1 pixels.

    valid  no padding: only whole windows                               m = floor((n - r) / s) + 1
    same   p = max(s (ceil(n / s) - 1) + r - n, 0), before = floor(p / 2), after = p - before
                                                                        m = ceil(n / s)
    full   r - 1 on both sides: every window that touches a pixel       m = floor((n + r - 2) / s) + 1

With an odd p the extra pixel of "same" goes after (TensorFlow's rule; at stride 1 it is torch's too).
For an odd kernel f at stride 1 "same" is the textbooks' p = (f - 1) / 2 on each side.
What the padding holds is in `calculus/padding.py`.
Sources: Dumoulin and Visin 2016, arXiv:1603.07285; TensorFlow's notes on padding in tf.nn.
"""

from collections.abc import Iterable
from operator import index

from striate.base.axes import spatial_names
from striate.base.errors import ConfigError
from striate.base.shapes import LIMIT, Sizes, reach

Pair = tuple[int, int]  # pixels (before, after)
Pixels = int | tuple[int | Pair, ...]
Padding = str | Pixels
Border = str | int | float
RULES = ("valid", "same", "full")
BORDERS = ("zeros", "reflect", "replicate", "circular")


def resolve(padding: Padding, sizes: Sizes, kernel_size: Sizes, stride: Sizes, dilation: Sizes) -> tuple[Pair, ...]:
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

    Raises:
        ConfigError: no integers, another count of axes, a negative number, or one above `LIMIT`.
    """
    each = tuple(padding) if isinstance(padding, Iterable) else (padding,) * dims
    if len(each) != dims:
        fix = f"give one for each of {', '.join(spatial_names(dims))}; {_HOW}"
        raise ConfigError("padding", "the number of axes", str(dims), got=len(each), fix=fix)
    try:
        pairs = [tuple(map(index, p if isinstance(p, Iterable) else (p, p))) for p in each]
    except TypeError:
        pairs = [()]
    if any(len(pair) != 2 or min(pair) < 0 for pair in pairs):
        raise ConfigError("padding", "each axis", "pixels >= 0, or (before, after)", got=padding, fix=_HOW)
    if max(map(max, pairs), default=0) > LIMIT:
        raise ConfigError("padding", "each axis", f"<= {LIMIT} pixels", got=padding, fix=f"pad {LIMIT} or less")
    return tuple((before, after) for before, after in pairs)


def is_constant(border: Border) -> bool:
    """Whether the border is a number ("zeros" is 0) and not a copy of pixels."""
    return not isinstance(border, str) or border == "zeros"


def check_border(border: Border, sizes: Sizes, pairs: tuple[Pair, ...]) -> None:
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
            fix = f"pad {most}{' or less' if most else ''} along {name}, or use replicate or zeros"
            raise ConfigError("padding", f"{border} padding of an axis of {n} pixels", f"<= {most}", got=pair, fix=fix)
