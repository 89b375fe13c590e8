"""Activations: one number in, one number out, and the slope that the error is multiplied by on its way back.

    y = f(x)        dL/dx = dL/dy * f'(x)

    linear       x                              1
    hard limit   1 if x >= 0 else 0             0 (no useful derivative: see `hard_limit`)
    sigmoid      s(x) = 1 / (1 + e^-x)          s (1 - s), at most 1/4, at x = 0
    tanh         (e^x - e^-x) / (e^x + e^-x)    1 - tanh^2, at most 1, at x = 0
    scaled tanh  A tanh(S x)                    A S (1 - tanh^2(S x)),  A = 1.7159, S = 2/3
    ReLU         max(x, 0)                      1 if x > 0 else 0
    leaky ReLU   x if x > 0 else a x            1 if x > 0 else a
    PReLU        leaky ReLU, a learnt           1 if x > 0 else a;  dL/da = sum of dL/dy x over x <= 0
    ELU          x if x > 0 else a (e^x - 1)    1 if x > 0 else a e^x
    swish        x s(x)                         s + x s (1 - s)
    GELU         x P(x), P the normal CDF       P + x e^(-x^2 / 2) / sqrt(2 pi)

At a kink, x = 0, there is no derivative, and a choice must be made.  Ours is torch's: the slope of the left
side, so 0 for ReLU, a for leaky ReLU, PReLU and ELU.  Every shape is allowed and kept.  All values and slopes
are finite for |x| up to 1e4, because exp never has a result above 1; autograd agrees, so layers may use it.

Sources: scaled tanh: LeCun et al. 1998, "Gradient-based learning applied to document recognition", appendix A.
ReLU: Nair and Hinton 2010.  Leaky ReLU: Maas et al. 2013.  PReLU: He et al. 2015, arXiv:1502.01852, equations 1
and 3.  ELU: Clevert et al. 2016, arXiv:1511.07289, equation 15.  Swish (SiLU): Ramachandran et al. 2017,
arXiv:1710.05941.  GELU: Hendrycks and Gimpel 2016, arXiv:1606.08415.

`python -m striate.calculus.activations` shows a table to check with a pencil.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from striate.base.errors import ConfigError

AMPLITUDE = 1.7159  # LeCun's A: with S = 2/3, f(1) = 1 and f(-1) = -1
STRETCH = 2 / 3  # LeCun's S


def linear(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The number itself: the unit of a regression's output."""
    return x


def linear_pullback(dy: Float[Tensor, "*shape"], x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """dL/dx = dL/dy."""
    return dy.expand_as(x)


def hard_limit(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """1 where x >= 0, else 0: the unit of McCulloch and Pitts.

    Its derivative is 0 everywhere but at 0, where it has none: gradient descent learns nothing through it.  The
    perceptron rule (`calculus/perceptron.py`) does without a derivative.

    >>> hard_limit(torch.tensor([-0.5, 0.0, 2.0])).tolist()
    [0.0, 1.0, 1.0]
    """
    return (1 + x.sign()).clamp(max=1)  # not (x >= 0): autograd stops there with an error, here it says 0


def hard_limit_pullback(dy: Float[Tensor, "*shape"], x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Zero, also at x = 0: true, and of no use to learning."""
    return torch.zeros_like(dy + x)


def sigmoid(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """1 / (1 + e^-x), by torch's function: autograd through the formula meets 0 times infinity where e^-x overflows."""
    return torch.sigmoid(x)


def sigmoid_pullback(dy: Float[Tensor, "*shape"], x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """dL/dy s (1 - s).  The slope is at most 1/4: twenty layers of it divide an error by 4^20, about 10^12."""
    return dy * _sigmoid_slope(x)


def _sigmoid_slope(x: Tensor) -> Tensor:
    """The slope s (1 - s) = e / (1 + e)^2 with e = e^-|x| <= 1: nothing overflows and the tail keeps its digits."""
    e = torch.exp(-x.abs())
    return e / (1 + e).square()


def tanh(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The hyperbolic tangent, 2 s(2x) - 1; torch's function keeps the digits of small x, which the formula loses."""
    return torch.tanh(x)


def tanh_pullback(dy: Float[Tensor, "*shape"], x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """dL/dy (1 - tanh^2 x); because tanh x = 2 s(2x) - 1, the slope is 4 s' (2x)."""
    return dy * 4 * _sigmoid_slope(2 * x)


def scaled_tanh(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """1.7159 tanh(2x/3): at ±1 it is ±1 and bends most, so targets of ±1 do not drive weights to infinity."""
    return AMPLITUDE * tanh(STRETCH * x)


def scaled_tanh_pullback(dy: Float[Tensor, "*shape"], x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """dL/dy A S (1 - tanh^2(S x)); the slope at 0 is 1.7159 * 2/3 = 1.1439."""
    return tanh_pullback(AMPLITUDE * STRETCH * dy, STRETCH * x)


def relu(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """max(x, 0)."""
    return torch.where(x > 0, x, 0)


def relu_pullback(dy: Float[Tensor, "*shape"], x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The error passes where x > 0; at x = 0 it does not."""
    return torch.where(x > 0, dy, 0)


def leaky_relu(x: Float[Tensor, "*shape"], *, negative_slope: float = 0.01) -> Float[Tensor, "*shape"]:
    """The number x where x > 0, else negative_slope * x."""
    return torch.where(x > 0, x, negative_slope * x)


def leaky_relu_pullback(
    dy: Float[Tensor, "*shape"], x: Float[Tensor, "*shape"], *, negative_slope: float = 0.01
) -> Float[Tensor, "*shape"]:
    """The error passes where x > 0, else (at 0 too) times negative_slope."""
    return torch.where(x > 0, dy, negative_slope * dy)


def prelu(x: Float[Tensor, "B *rest"], weight: Float[Tensor, " C"]) -> Float[Tensor, "B *rest"]:
    """Leaky ReLU whose slope is learnt: one for each channel (axis 1), or a single one for all.

    Args:
        x: (B, C, ...), or any shape where `weight` has one entry.
        weight: the slopes, (C,) or (1,).

    Raises:
        ConfigError: the number of slopes is neither 1 nor the number of channels.
    """
    return torch.where(x > 0, x, _across(weight, x) * x)


def prelu_pullback(
    dy: Float[Tensor, "B *rest"], x: Float[Tensor, "B *rest"], weight: Float[Tensor, " C"]
) -> tuple[Float[Tensor, "B *rest"], Float[Tensor, " C"]]:
    """dL/dx, and dL/dweight: the sum of dL/dy * x over the places where x <= 0, for each slope."""
    dx = torch.where(x > 0, dy, _across(weight, x) * dy)
    terms = torch.where(x > 0, 0, dy * x)
    if len(weight) == 1:
        return dx, terms.sum().reshape(1)
    return dx, terms.sum([axis for axis in range(x.ndim) if axis != 1])


def _across(weight: Tensor, x: Tensor) -> Tensor:
    """The slopes shaped to multiply x: (C,) -> (1, C, 1, ...)."""
    channels = x.shape[1] if x.ndim > 1 else 1
    if len(weight) not in (1, channels):
        raise ConfigError("prelu", "weight", f"of 1 or {channels} slopes", got=len(weight), fix="one slope a channel")
    return weight.reshape(1, -1, *[1] * (x.ndim - 2)) if x.ndim > 1 else weight


def elu(x: Float[Tensor, "*shape"], *, alpha: float = 1.0) -> Float[Tensor, "*shape"]:
    """The number x where x > 0, else alpha (e^x - 1), which levels out at -alpha."""
    return torch.where(x > 0, x, alpha * torch.expm1(x.clamp(max=0)))  # clamped: `where` computes both sides


def elu_pullback(
    dy: Float[Tensor, "*shape"], x: Float[Tensor, "*shape"], *, alpha: float = 1.0
) -> Float[Tensor, "*shape"]:
    """The error passes where x > 0, else times alpha e^x; at 0 the slope is alpha, a kink unless alpha = 1."""
    return torch.where(x > 0, dy, dy * alpha * torch.exp(x.clamp(max=0)))


def swish(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The number times s(x), also called SiLU: ReLU with a round corner and a shallow dip to -0.28 at x = -1.28."""
    return x * sigmoid(x)


def swish_pullback(dy: Float[Tensor, "*shape"], x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """dL/dy (s + x s (1 - s)), by the product rule."""
    return dy * (sigmoid(x) + x * _sigmoid_slope(x))


def gelu(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The number times P(x), the chance that a standard normal number is below it (the erf form, not tanh's)."""
    return x * _normal_below(x)


def gelu_pullback(dy: Float[Tensor, "*shape"], x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """dL/dy (P(x) + x p(x)), p = P' the bell curve e^(-x^2/2) / sqrt(2 pi)."""
    bell = torch.exp(-x.square() / 2) / math.sqrt(2 * math.pi)
    return dy * (_normal_below(x) + x * bell)


def _normal_below(x: Tensor) -> Tensor:
    """P(x) = (1 + erf(x / sqrt 2)) / 2, as erfc(-x / sqrt 2) / 2, which keeps its digits far to the left."""
    return torch.erfc(-x / math.sqrt(2)) / 2


Elementwise = Callable[..., Tensor]

ACTIVATIONS: dict[str, tuple[Elementwise, Elementwise]] = {  # forward f(x), pullback g(dy, x); nothing to learn
    "linear": (linear, linear_pullback),
    "hard_limit": (hard_limit, hard_limit_pullback),
    "sigmoid": (sigmoid, sigmoid_pullback),
    "tanh": (tanh, tanh_pullback),
    "scaled_tanh": (scaled_tanh, scaled_tanh_pullback),
    "relu": (relu, relu_pullback),
    "leaky_relu": (leaky_relu, leaky_relu_pullback),
    "elu": (elu, elu_pullback),
    "swish": (swish, swish_pullback),
    "gelu": (gelu, gelu_pullback),
}


def demonstrate() -> str:
    """A table of every activation: value / slope at five numbers, and one error carried back."""
    points = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0], dtype=torch.float64)
    ones = torch.ones_like(points)
    lines = ["value / slope at x =" + "".join(f"{x:>18.0f}" for x in points.tolist())]
    for name, (forward, pullback) in ACTIVATIONS.items():
        pairs = zip(forward(points).tolist(), pullback(ones, points).tolist(), strict=True)
        lines.append(f"{name:<20}" + "".join(f"{y:>9.4f} / {slope:>6.4f}" for y, slope in pairs))
    s = float(sigmoid(ones[0]))
    slope = float(sigmoid_pullback(ones[0], ones[0]))
    lines += [
        "",
        "By hand, sigmoid at x = 1:  e^-1 = 0.3679",
        f"  value  1 / (1 + 0.3679) = {s:.4f}",
        f"  slope  {s:.4f} * (1 - {s:.4f}) = {slope:.4f}",
        f"  an error of 2 above becomes 2 * {slope:.4f} = {2 * slope:.4f} below",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(demonstrate())
