"""Whitening of small pictures: as `striate.calculus.whitening` does, in the units that pictures are stored in.

    y = M (x - m),  x = (v / w - mean) / std        v: the picture's C h w numbers in a row, w: its kind's white
      = A v - b,    A = M diag(1 / (w std)),  b = M (mean / std + m)

A is rounded to multiples of 2^-24 of the power of two above its largest entry, which is as fine as float32 there.
So A v is a sum of at most 2^12 products of whole numbers of 24 and 16 bits: it stays below 2^53, and float64 adds
it up without rounding, in any order.  That is why a picture alone has the bits that it has in a batch, on any number
of threads and on a GPU.  (Not so for floating-point pictures: there the last digit may depend on the batch.)
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from striate.base.errors import ConfigError
from striate.calculus.moments import streamed
from striate.calculus.whitening import pca_whitening, zca_whitening
from striate.data.kinds import WHITE
from striate.data.picture import Picture
from striate.data.statistics import chunked
from striate.data.tensor_kinds import Images

Method = Literal["pca", "zca"]
METHODS: tuple[Method, ...] = get_args(Method)
EPSILON = 0.01  # added to every variance, in squared units of x: a tenth of a standard deviation
LARGEST = 4096  # numbers a picture: 32x32 in colour is 3072; the matrix grows with the square
_BITS = 24


@dataclass(frozen=True, slots=True, eq=False)
class Whiten:
    """A fitted whitening.

    Args:
        method: "pca" turns to the principal axes, most variance first; "zca" turns back: pictures look like pictures.
        epsilon: what was added to every variance.
        matrix: A, (F, F), of numbers that float32 holds.
        offset: b, (F,).
    """

    method: Method
    epsilon: float
    matrix: Float64[Tensor, "F F"]
    offset: Float64[Tensor, " F"]

    def __call__(self, images: Images) -> Float32[Tensor, "N C h w"]:
        """The pictures whitened."""
        rows = images.to(torch.float64, memory_format=torch.contiguous_format).flatten(1)
        white = rows @ self.matrix.to(rows.device).T - self.offset.to(rows.device)
        return white.to(torch.float32).view(images.shape)

    def tensors(self) -> dict[str, Tensor]:
        """The numbers as a file holds them; `restored` takes them back."""
        return {"matrix": self.matrix.to(torch.float32), "offset": self.offset}


def layout(picture: Picture) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    """Name -> shape and type of `Whiten.tensors` for such pictures."""
    features = math.prod(picture.shape)
    return {"matrix": ((features, features), torch.float32), "offset": ((features,), torch.float64)}


def check(picture: Picture, method: object, epsilon: object) -> None:
    """Refuse what cannot be fitted.

    Raises:
        ConfigError: too large a picture, an unknown method, or an epsilon out of range.
    """
    if method not in METHODS:
        raise ConfigError("whiten", "method", f"one of {', '.join(METHODS)}", got=repr(method), fix="zca is usual")
    if type(epsilon) not in (int, float) or not (1e-12 <= epsilon <= 1e6):  # type: ignore[operator]
        raise ConfigError("whiten", "epsilon", "in [1e-12, 1e6]", got=repr(epsilon), fix=f"{EPSILON} is usual")
    features = math.prod(picture.shape)
    if features > LARGEST:
        got = f"{features} ({' x '.join(map(str, picture.shape))})"
        fix = "choose a smaller picture, 32x32 in colour for example, or preprocess.normalise=measured"
        raise ConfigError("whiten", "the numbers of a picture", f"at most {LARGEST}", got=got, fix=fix)


def restored(picture: Picture, method: Method, epsilon: float, tensors: Mapping[str, Tensor]) -> Whiten:
    """A whitening from what `Whiten.tensors` gave.

    Raises:
        ConfigError: as `check`, or tensors of other names, shapes or types, or numbers that are not finite.
    """
    check(picture, method, epsilon)
    found = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in tensors.items()}
    fix = "take them from Whiten.tensors()"
    if found != layout(picture):
        raise ConfigError("whiten", "the tensors", f"{layout(picture)}", got=f"{found}"[:200], fix=fix)
    if not all(tensor.isfinite().all() for tensor in tensors.values()):
        raise ConfigError("whiten", "every number", "finite", got="others", fix=fix)
    return Whiten(method, epsilon, tensors["matrix"].to(torch.float64), tensors["offset"])


def fit_whiten(
    images: Images | Iterable[Images],
    picture: Picture,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    *,
    method: Method,
    epsilon: float = EPSILON,
) -> Whiten:
    """Fit on the training split, all or batches of it, one in memory at a time.

    Args:
        images: uint8, uint16 or float32 (N, C, h, w), N >= 2.
        picture: what they are; at most LARGEST numbers.
        mean: per channel, of x; zeros and ones leave x = v / w.
        std: per channel, of x.
        method: "pca" or "zca".
        epsilon: added to every variance of x.

    Raises:
        ConfigError: as `check`.
        DataError: fewer than two pictures.
    """
    check(picture, method, epsilon)
    white = WHITE[picture.kind]
    size = math.prod(picture.shape[1:])
    mean_row, std_row = (torch.tensor(np.repeat(values, size), dtype=torch.float64) for values in (mean, std))
    batches = [images] if isinstance(images, Tensor) else images
    rows = (
        (part.to(torch.float64, memory_format=torch.contiguous_format).flatten(1) / white - mean_row) / std_row
        for batch in batches
        for part in chunked(batch, 1 << 22)
    )
    seen = streamed(rows)
    fitted = (pca_whitening if method == "pca" else zca_whitening)(seen, epsilon=epsilon)
    matrix = _in_fixed_point(fitted.matrix / (white * std_row))
    offset = matrix @ (white * (mean_row + std_row * fitted.mean))  # that of the rounded matrix: the mean goes to 0
    return Whiten(method, float(epsilon), matrix, offset)


def _in_fixed_point(matrix: Float64[Tensor, "F F"]) -> Float64[Tensor, "F F"]:
    step = 2.0 ** (math.frexp(float(matrix.abs().max()))[1] - _BITS)
    return (matrix / step).round() * step
