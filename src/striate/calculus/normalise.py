"""Mean subtraction and standardisation, feature by feature or channel by channel.

    y = (x - m) / s        x = s y + m        dL/dx = dL/dy / s

m is the mean and s the standard deviation of the training data, on axis 1: C colours of pictures (B, C, H, W), or F
features of samples (N, F).  Inputs of mean 0 and like size let one learning rate suit all weights (LeCun et al. 1998,
"Efficient BackProp", section 4.3).  A mean picture (Krizhevsky et al. 2012) is the same on flattened pictures.
"""

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from striate.base.errors import DataError
from striate.calculus.moments import Moments, covariance, moments
from striate.calculus.pencil import grid

Data = Float[Tensor, "B C *rest"]
PerChannel = Float[Tensor, " C"]


def subtract_mean(x: Data, mean: PerChannel) -> Data:
    """The data about 0.

    >>> subtract_mean(torch.tensor([[1.0, 2.0]]), torch.tensor([1.0, 1.0])).tolist()
    [[0.0, 1.0]]
    """
    return x - _across(mean, x)


def add_mean(y: Data, mean: PerChannel) -> Data:
    """The inverse of `subtract_mean`."""
    return y + _across(mean, y)


def normalise(x: Data, mean: PerChannel, std: PerChannel) -> Data:
    """The data about 0 with deviation 1, both in units of the data they were fitted on."""
    return (x - _across(mean, x)) / _across(std, x)


def normalise_pullback(dy: Data, std: PerChannel) -> Data:
    """dL/dx from dL/dy."""
    return dy / _across(std, dy)


def denormalise(y: Data, mean: PerChannel, std: PerChannel) -> Data:
    """The inverse of `normalise`."""
    return y * _across(std, y) + _across(mean, y)


def standard_deviations(m: Moments, *, epsilon: float = 0.0) -> Float64[Tensor, " C"]:
    """sqrt(variance + epsilon) of every feature, the variance with n - 1.

    Raises:
        DataError: fewer than two samples, or a feature that never changes and no epsilon.
    """
    spread = covariance(m)
    variance = spread.diagonal() if spread.ndim == 2 else spread
    constant = torch.nonzero(variance + epsilon <= 0).flatten().tolist()
    if constant:
        fix = "drop it, or pass epsilon > 0, which leaves it at 0"
        raise DataError(
            "standard_deviations", "every feature", "one that changes", got=f"constant {constant[0]}", fix=fix
        )
    return (variance + epsilon).sqrt()


def _across(values: Tensor, x: Tensor) -> Tensor:
    """(C,) shaped to meet (B, C, ...): (C, 1, ...)."""
    return values.reshape(-1, *[1] * (x.ndim - 2))


def demonstrate() -> str:
    """Three samples of two features in different units, brought to one size, and back."""
    x = torch.tensor([[1.0, 100.0], [3.0, 400.0], [5.0, 100.0]], dtype=torch.float64)
    m = moments(x)
    std = standard_deviations(m)
    y, dy = normalise(x, m.mean, std), torch.tensor([[1.0, 1.0]], dtype=torch.float64)
    return "\n".join(
        [
            "STANDARDISATION   y = (x - m) / s, every feature by itself",
            "x: three samples of two features",
            grid(x),
            f"m = {grid(m.mean)}    = (1 + 3 + 5)/3, (100 + 400 + 100)/3",
            f"s = {grid(std)}    = sqrt((4 + 0 + 4)/2), sqrt((10000 + 40000 + 10000)/2)",
            "x - m",
            grid(subtract_mean(x, m.mean)),
            "y: mean 0, deviation 1",
            grid(y),
            "s y + m: x again",
            grid(denormalise(y, m.mean, std)),
            f"BACKWARD   dx = dy / s: an error of 1 in each is {grid(normalise_pullback(dy, std))}",
        ]
    )


if __name__ == "__main__":
    print(demonstrate())
