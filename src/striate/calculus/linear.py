"""The fully connected layer: every output is a weighted sum of all inputs, plus a bias.

    y = x W^T + b        y_o = sum_i W_oi x_i + b_o

    dL/dx = dL/dy W        dL/dW = dL/dy^T x        dL/db = sum over the batch of dL/dy

Parameters: O I + O.  A batch may have any number of axes; the last axis of x is the one that is summed over.
Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors", Nature 323 (1986), eqs. 1, 6, 7.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def linear(
    x: Float[Tensor, "*batch I"], weight: Float[Tensor, "O I"], bias: Float[Tensor, " O"] | None = None
) -> Float[Tensor, "*batch O"]:
    """Weigh and sum.

    >>> linear(torch.tensor([1.0, 2.0]), torch.tensor([[3.0, 4.0]]), torch.tensor([5.0]))
    tensor([16.])
    """
    y = torch.einsum("...i,oi->...o", x, weight)
    return y if bias is None else y + bias


def linear_pullback(
    dy: Float[Tensor, "*batch O"], x: Float[Tensor, "*batch I"], weight: Float[Tensor, "O I"]
) -> tuple[Float[Tensor, "*batch I"], Float[Tensor, "O I"], Float[Tensor, " O"]]:
    """dL/dx, dL/dW and dL/db from dL/dy."""
    O, I = weight.shape  # noqa: E741 - the letters of the shapes
    rows, inputs = dy.reshape(-1, O), x.reshape(-1, I)  # N O, N I
    return torch.einsum("...o,oi->...i", dy, weight), torch.einsum("no,ni->oi", rows, inputs), rows.sum(0)


def demonstrate() -> str:
    """Two inputs, two outputs: forward, then the error back to inputs, weights and biases."""
    x = torch.tensor([[1.0, 2.0]])
    weight, bias = torch.tensor([[3.0, -1.0], [0.0, 2.0]]), torch.tensor([10.0, 20.0])
    dy = torch.tensor([[1.0, -1.0]])
    y = linear(x, weight, bias)
    dx, dw, db = linear_pullback(dy, x, weight)

    def row(t: Tensor) -> str:
        return " ".join(f"{value:g}" for value in t.flatten().tolist())

    return "\n".join(
        [
            f"Fully connected: x = {row(x)}, W = rows ({row(weight[0])}) and ({row(weight[1])}), b = {row(bias)}",
            f"  y_1 = 3·1 + (-1)·2 + 10 = {y[0, 0]:g}",
            f"  y_2 = 0·1 + 2·2 + 20 = {y[0, 1]:g}",
            f"Backward for dL/dy = {row(dy)}",
            f"  dL/dx_1 = 3·1 + 0·(-1) = {dx[0, 0]:g}",
            f"  dL/dx_2 = (-1)·1 + 2·(-1) = {dx[0, 1]:g}",
            f"  dL/dW = error times input = rows ({row(dw[0])}) and ({row(dw[1])})",
            f"  dL/db = {row(db)}",
        ]
    )


if __name__ == "__main__":
    print(demonstrate())
