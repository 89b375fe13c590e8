"""Padding: what a kernel sees beyond the border of the picture, and where its gradient goes back to.

    number     .. c c c | a b c d | c c c ..        ("zeros" is the number 0)
    reflect    .. d c b | a b c d | c b a ..        the border pixel is the mirror, not repeated
    replicate  .. a a a | a b c d | d d d ..
    circular   .. b c d | a b c d | a b c ..

    xp[i] = x[source[i]]        dx[j] = sum of dxp[i] over source[i] = j

A padded axis is a selection, so its pullback adds every padded pixel's gradient to its source.  A number has no source;
its gradient is dropped.

How many pixels the rules "valid", "same" and "full" mean is in `base/padding.py`.
Goodfellow, Bengio and Courville 2016, Deep Learning, section 9.5 (valid, same, full); borders as in torch and NumPy.
"""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from striate.base.padding import BORDERS as BORDERS  # the whole numbers of padding, also by this room's name
from striate.base.padding import RULES as RULES
from striate.base.padding import Border as Border
from striate.base.padding import Padding as Padding
from striate.base.padding import Pair as Pair
from striate.base.padding import Pixels as Pixels
from striate.base.padding import check_border as check_border
from striate.base.padding import explicit as explicit
from striate.base.padding import is_constant as is_constant
from striate.base.padding import resolve as resolve
from striate.calculus.pencil import beside, grid


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


def demonstrate() -> str:
    """Four pixels within every border, and an error of 1 on every padded pixel folded back; then a picture."""
    x, ones = torch.tensor([[[1.0, 2.0, 3.0, 4.0]]]), torch.ones(1, 1, 8)
    borders: tuple[Border, ...] = ("zeros", 9, "reflect", "replicate", "circular")
    lines = [
        f"{border!s:<10}  {grid(pad(x, ((2, 2),), border)):<24}  {grid(pad_pullback(ones, ((2, 2),), border))}"
        for border in borders
    ]
    picture = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    padded = pad(picture, ((1, 0), (1, 0)), "replicate")
    dy = torch.tensor([[[[1.0, 2.0, 0.0], [3.0, 0.0, 0.0], [0.0, 0.0, 5.0]]]])
    dx = pad_pullback(dy, ((1, 0), (1, 0)), "replicate")
    return "\n\n".join(
        [
            "PADDING   1 2 3 4 by two pixels on each side, and dx for an error of 1 on every padded pixel",
            "\n".join([f"{'border':<10}  {'padded':<24}  dx: how often each pixel was copied", *lines]),
            "A PICTURE   one row above and one column before, replicated",
            beside(grid(picture[0, 0]), "->", grid(padded[0, 0])),
            "BACKWARD   the corner gathers all that were copied from it: 1 + 2 + 3 + 0 = 6",
            beside(grid(dy[0, 0]), "->", grid(dx[0, 0])),
        ]
    )


if __name__ == "__main__":
    print(demonstrate())
