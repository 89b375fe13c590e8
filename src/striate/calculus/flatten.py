"""Flatten: a feature map read row by row, channel after channel, as one vector.

    y[b, (c H + h) W + w] = x[b, c, h, w]        dL/dx is dL/dy, folded back

No number changes; the step between convolutions and fully connected layers.  The order is row-major, as NumPy's
(Harris et al. 2020, arXiv:2006.10256) and torch's.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from striate.calculus.pencil import beside, grid


def flatten(x: Float[Tensor, "B *sample"]) -> Float[Tensor, "B F"]:
    """All axes of a sample in one, the last axis running fastest."""
    return x.reshape(x.shape[0], x.shape[1:].numel())  # not -1: an empty batch has no size to infer


def flatten_pullback(dy: Float[Tensor, "B F"], sample: tuple[int, ...]) -> Float[Tensor, "B *sample"]:
    """dL/dx from dL/dy.

    Args:
        dy: error of the vectors.
        sample: the axes of one sample, such as (C, H, W).
    """
    return dy.reshape(dy.shape[0], *sample)


def demonstrate() -> str:
    """Two channels of 2x3 pixels as one vector, and an error folded back."""
    x = torch.arange(12.0).reshape(1, 2, 2, 3)
    dy = torch.tensor([[0.0, 0.0, 0.0, 0.0, 0.0, 5.0, 7.0, 0.0, 0.0, 0.0, 0.0, 0.0]])
    dx = flatten_pullback(dy, (2, 2, 3))
    return "\n\n".join(
        [
            "FLATTEN   place of x[c, h, w] in y: (c H + h) W + w, here (2 c + h) 3 + w",
            beside("channel 0:", grid(x[0, 0]), "   channel 1:", grid(x[0, 1])),
            f"y = {grid(flatten(x))}",
            f"for example x[1, 0, 2] = 8 stands at (2 x 1 + 0) x 3 + 2 = 8: y[8] = {flatten(x)[0, 8]:.0f}",
            f"BACKWARD   dy = {grid(dy)}",
            beside("channel 0:", grid(dx[0, 0]), "   channel 1:", grid(dx[0, 1])),
        ]
    )


if __name__ == "__main__":
    print(demonstrate())
