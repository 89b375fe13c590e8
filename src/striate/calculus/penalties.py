"""Penalties: what large weights cost.

    L1       l sum |w|              l sign(w): a push of one strength, until 0 is reached; sign(0) = 0
    L2       (l / 2) sum w^2        l w: a push in proportion, torch's weight decay of l
    elastic  the two together

Only weights are penalised: parameters of two or more axes.  Biases and the gains and shifts of a normalisation (one
axis) are left out.  A bias moves a unit's threshold and multiplies no input, so a large one makes the output no more
sensitive to the input, which is what a penalty is to prevent; a penalised bias only ties the answer to the mean of the
targets.  After a normalisation a weight's own size means nothing, and its gain, pushed to 0, would silence a channel.

L1: Tibshirani 1996.  L2 as weight decay: Krogh and Hertz 1992.  Elastic net: Zou and Hastie 2005.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from striate.calculus.pencil import grid, number

Parameter = Float[Tensor, "*shape"]
Scalar = Float[Tensor, ""]


def l1(w: Parameter, strength: float) -> Scalar:
    """The cost strength * sum |w|."""
    return strength * w.abs().sum()


def l1_pullback(dy: Scalar, w: Parameter, strength: float) -> Parameter:
    """dL/dw."""
    return dy * strength * w.sign()


def l2(w: Parameter, strength: float) -> Scalar:
    """The cost strength / 2 * sum w^2.

    >>> float(l2(torch.tensor([3.0, 4.0]), 0.1))
    1.25
    """
    return strength / 2 * w.square().sum()


def l2_pullback(dy: Scalar, w: Parameter, strength: float) -> Parameter:
    """dL/dw."""
    return dy * strength * w


def elastic(w: Parameter, l1_strength: float, l2_strength: float) -> Scalar:
    """L1 and L2 together."""
    return l1(w, l1_strength) + l2(w, l2_strength)


def elastic_pullback(dy: Scalar, w: Parameter, l1_strength: float, l2_strength: float) -> Parameter:
    """dL/dw."""
    return l1_pullback(dy, w, l1_strength) + l2_pullback(dy, w, l2_strength)


def penalised(parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The parameters that a penalty or weight decay is for: those of two or more axes, in their order.

    >>> list(penalised({"conv.weight": torch.ones(6, 1, 5, 5), "conv.bias": torch.ones(6)}))
    ['conv.weight']
    """
    return {name: w for name, w in parameters.items() if w.ndim > 1}


def penalty(parameters: Mapping[str, Tensor], *, l1_strength: float = 0.0, l2_strength: float = 0.0) -> Scalar:
    """The cost of a whole network's weights, 0 if it has none.

    Args:
        parameters: by name, as `named_parameters` gives them; those of one axis are exempt.
        l1_strength: l of the L1 penalty.
        l2_strength: l of the L2 penalty.
    """
    costs = [elastic(w, l1_strength, l2_strength) for w in penalised(parameters).values()]
    return torch.stack(costs).sum() if costs else torch.zeros(())


def penalty_pullback(
    dy: Scalar, parameters: Mapping[str, Tensor], *, l1_strength: float = 0.0, l2_strength: float = 0.0
) -> dict[str, Tensor]:
    """dL/dw for every parameter by name, zero for the exempt, to be added to the loss's own gradients."""
    chosen = penalised(parameters)
    return {
        name: elastic_pullback(dy, w, l1_strength, l2_strength) if name in chosen else torch.zeros_like(w)
        for name, w in parameters.items()
    }


def demonstrate() -> str:
    """What four weights cost, how each penalty pushes them, and a bias that pays nothing."""
    w, one, bias = torch.tensor([[3.0, -4.0, 2.0, 0.0]]), torch.ones(()), torch.tensor([100.0])
    network = {"0.weight": w, "0.bias": bias}
    push = penalty_pullback(one, network, l1_strength=0.1, l2_strength=0.1)
    return "\n".join(
        [
            "PENALTIES   of strength l = 0.1",
            f"  w         {grid(w)}",
            f"  L1        {number(l1(w, 0.1).item())}   = 0.1 (3 + 4 + 2 + 0)",
            f"  L2        {number(l2(w, 0.1).item())}   = 0.1/2 (9 + 16 + 4 + 0)",
            f"  elastic   {number(elastic(w, 0.1, 0.1).item())}   = the two together",
            "BACKWARD   what is added to the gradient of each weight",
            f"  L1        {grid(l1_pullback(one, w, 0.1))}   = 0.1 sign(w): one strength for all",
            f"  L2        {grid(l2_pullback(one, w, 0.1))}   = 0.1 w: in proportion",
            f"  elastic   {grid(push['0.weight'])}",
            f"THE BIAS   {number(bias.item())}: costs nothing, and its push is {grid(push['0.bias'])}",
            f"  so weight and bias together cost {number(penalty(network, l1_strength=0.1, l2_strength=0.1).item())}",
        ]
    )


if __name__ == "__main__":
    print(demonstrate())
