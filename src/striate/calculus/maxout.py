"""Maxout: the largest of k numbers, each the output of a linear unit of its own.

    y_c = max_j x_(c k + j),  j = 0 .. k - 1        dL/dx_(c k + j) = dL/dy_c if j is the winner, else 0

The channels c k .. c k + k - 1, neighbours, are the k pieces of output channel c: (B, C k, ...) -> (B, C, ...).
Among equal pieces the first wins and takes the whole error.  With two pieces x and 0 it is ReLU, with x and -x the
absolute value: a convex function with k - 1 bends, learnt.  Goodfellow et al. 2013, arXiv:1302.4389, equation 1.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from striate.base.errors import ConfigError
from striate.calculus.pencil import grid


def maxout(x: Float[Tensor, "B CK *rest"], *, pieces: int) -> Float[Tensor, "B C *rest"]:
    """The largest of every `pieces` neighbouring channels.

    Raises:
        ConfigError: the channels do not divide into groups of `pieces`.

    >>> maxout(torch.tensor([[1.0, 5.0, -2.0, -3.0]]), pieces=2).tolist()
    [[5.0, -2.0]]
    """
    return _grouped(x, pieces).max(2).values


def maxout_pullback(
    dy: Float[Tensor, "B C *rest"], x: Float[Tensor, "B CK *rest"], *, pieces: int
) -> Float[Tensor, "B CK *rest"]:
    """dL/dx: each error goes to the piece that won."""
    groups = _grouped(x, pieces)  # B C k ...
    winner = groups.argmax(2, keepdim=True)  # the first of equals
    return torch.zeros_like(groups).scatter(2, winner, dy.unsqueeze(2)).flatten(1, 2)


def _grouped(x: Tensor, pieces: int) -> Tensor:
    channels = x.shape[1]
    if pieces < 1 or channels % pieces:
        fix = "give the layer before it pieces * C output channels"
        raise ConfigError("maxout", "pieces", f"a divisor of the {channels} channels", got=pieces, fix=fix)
    return x.reshape(x.shape[0], channels // pieces, pieces, *x.shape[2:])  # B C k ...


def demonstrate() -> str:
    """Six channels in pairs, with a tie, forward and backward; then ReLU and the absolute value as maxouts."""
    x, dy = torch.tensor([[1.0, 5.0, -2.0, -3.0, 4.0, 4.0]]), torch.tensor([[10.0, 20.0, 30.0]])
    t = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0])
    relu, absolute = (maxout(torch.stack([t, other], 1), pieces=2) for other in (torch.zeros_like(t), -t))
    return "\n".join(
        [
            "MAXOUT   the largest of every 2 neighbouring channels",
            f"  x    {grid(x)}",
            f"  y    {grid(maxout(x, pieces=2))}   = max(1, 5), max(-2, -3), max(4, 4)",
            "BACKWARD   each error to the piece that won; of equals, to the first",
            f"  dy   {grid(dy)}",
            f"  dx   {grid(maxout_pullback(dy, x, pieces=2))}",
            "TWO PIECES ARE ENOUGH FOR MUCH",
            f"  t           {grid(t)}",
            f"  max(t, 0)   {grid(relu.T)}   ReLU",
            f"  max(t, -t)  {grid(absolute.T)}   the absolute value",
        ]
    )


if __name__ == "__main__":
    print(demonstrate())
