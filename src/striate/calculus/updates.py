"""Updates: a parameter and its gradient to the next parameter, as pure functions of everything they need.

g is the gradient, d the weight decay (all but AdamW: g <- g + d w first), k the learning rate, t = 1, 2, ... the step.

    gradient descent   w <- w - k g
    momentum           v <- m v + g                 w <- w - k v
    Nesterov           v <- m v + g                 w <- w - k (g + m v)
    AdaGrad            s <- s + g^2                 w <- w - k g / (sqrt(s) + e)
    RMSprop            s <- a s + (1 - a) g^2       w <- w - k g / (sqrt(s) + e)
    Adam               m <- b1 m + (1 - b1) g       w <- w - k (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + e)
                       v <- b2 v + (1 - b2) g^2
    AdamW              w <- (1 - k d) w first, then Adam without decay

The conventions are torch.optim's: momentum without dampening; e outside the root.  Every function is
(parameter, gradient, state, *, options) -> (parameter, state): nothing is changed in place, so a step can be looked at,
taken back, or taken twice.  `State.start(parameter)` is the state before the first step.

Sources: momentum: Polyak 1964; Nesterov 1983 in the form of Sutskever et al. 2013; AdaGrad: Duchi et al. 2011; RMSprop:
Tieleman and Hinton 2012, lecture 6.5; Adam: Kingma and Ba 2015, arXiv:1412.6980, algorithm 1; AdamW: Loshchilov and
Hutter 2019, arXiv:1711.05101, algorithm 2.

`python -m striate.calculus.updates` shows every one of them on a parabola.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

Parameter = Float[Tensor, "*shape"]


@dataclass(frozen=True, slots=True)
class NoState:
    """Gradient descent remembers nothing."""

    @classmethod
    def start(cls, parameter: Parameter) -> "NoState":  # noqa: ARG003 - the other states need it
        """Before the first step."""
        return cls()


@dataclass(frozen=True, slots=True)
class Velocity:
    """Of momentum and Nesterov: the decaying sum of the gradients."""

    velocity: Tensor

    @classmethod
    def start(cls, parameter: Parameter) -> "Velocity":
        """Before the first step: at rest."""
        return cls(torch.zeros_like(parameter))


@dataclass(frozen=True, slots=True)
class Squares:
    """Of AdaGrad, the sum, and of RMSprop, the running mean, of the squared gradients."""

    squares: Tensor

    @classmethod
    def start(cls, parameter: Parameter) -> "Squares":
        """Before the first step."""
        return cls(torch.zeros_like(parameter))


@dataclass(frozen=True, slots=True)
class AdamState:
    """Running means of the gradient and of its square, and the number of steps made."""

    mean: Tensor
    squares: Tensor
    step: int

    @classmethod
    def start(cls, parameter: Parameter) -> "AdamState":
        """Before the first step."""
        return cls(torch.zeros_like(parameter), torch.zeros_like(parameter), 0)


def gradient_descent(
    parameter: Parameter, gradient: Parameter, state: NoState, *, lr: float, weight_decay: float = 0.0
) -> tuple[Parameter, NoState]:
    """One step down the slope.

    >>> w, _ = gradient_descent(torch.tensor([1.0]), torch.tensor([0.5]), NoState(), lr=0.5)
    >>> w.tolist()
    [0.75]
    """
    return parameter - lr * (gradient + weight_decay * parameter), state


def momentum(
    parameter: Parameter,
    gradient: Parameter,
    state: Velocity,
    *,
    lr: float,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
) -> tuple[Parameter, Velocity]:
    """A ball that rolls: a steady slope is gone down up to 1 / (1 - momentum) times as fast."""
    velocity = momentum * state.velocity + gradient + weight_decay * parameter
    return parameter - lr * velocity, Velocity(velocity)


def nesterov(
    parameter: Parameter,
    gradient: Parameter,
    state: Velocity,
    *,
    lr: float,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
) -> tuple[Parameter, Velocity]:
    """Momentum that counts the newest gradient once more, as if it had looked one step ahead."""
    gradient = gradient + weight_decay * parameter
    velocity = momentum * state.velocity + gradient
    return parameter - lr * (gradient + momentum * velocity), Velocity(velocity)


def adagrad(
    parameter: Parameter,
    gradient: Parameter,
    state: Squares,
    *,
    lr: float = 1e-2,
    eps: float = 1e-10,
    weight_decay: float = 0.0,
) -> tuple[Parameter, Squares]:
    """A step size for each number, which shrinks with all it has seen and never grows again."""
    gradient = gradient + weight_decay * parameter
    squares = state.squares + gradient.square()
    return parameter - lr * gradient / (squares.sqrt() + eps), Squares(squares)


def rmsprop(
    parameter: Parameter,
    gradient: Parameter,
    state: Squares,
    *,
    lr: float = 1e-2,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> tuple[Parameter, Squares]:
    """AdaGrad that forgets: the squares of about the last 1 / (1 - alpha) steps.  torch's options, hence seven."""
    gradient = gradient + weight_decay * parameter
    squares = alpha * state.squares + (1 - alpha) * gradient.square()
    return parameter - lr * gradient / (squares.sqrt() + eps), Squares(squares)


def adam(
    parameter: Parameter,
    gradient: Parameter,
    state: AdamState,
    *,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> tuple[Parameter, AdamState]:
    """Momentum over RMSprop, each mean divided by the weight it has gathered so far.  torch's options, hence seven."""
    gradient = gradient + weight_decay * parameter
    step, (b1, b2) = state.step + 1, betas
    mean = b1 * state.mean + (1 - b1) * gradient
    squares = b2 * state.squares + (1 - b2) * gradient.square()
    size = (squares / (1 - b2**step)).sqrt() + eps
    return parameter - lr * (mean / (1 - b1**step)) / size, AdamState(mean, squares, step)


def adamw(
    parameter: Parameter,
    gradient: Parameter,
    state: AdamState,
    *,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
) -> tuple[Parameter, AdamState]:
    """Adam whose decay is its own step, so that a large gradient does not divide it away."""
    return adam((1 - lr * weight_decay) * parameter, gradient, state, lr=lr, betas=betas, eps=eps)


UPDATES: dict[str, tuple[Callable[..., tuple[Tensor, Any]], Callable[[Tensor], Any]]] = {  # the update, its start
    "gradient_descent": (gradient_descent, NoState.start),
    "momentum": (momentum, Velocity.start),
    "nesterov": (nesterov, Velocity.start),
    "adagrad": (adagrad, Squares.start),
    "rmsprop": (rmsprop, Squares.start),
    "adam": (adam, AdamState.start),
    "adamw": (adamw, AdamState.start),
}


def demonstrate() -> str:
    """Four steps of every update down L = w^2 / 2, whose gradient is w itself, from w = 1 with k = 0.1."""
    lines = [
        "L = w^2 / 2, so g = w; w after each step from 1, lr 0.1:",
        f"{'':<18}" + "".join(map("{:>9}".format, "1234")),
    ]
    for name, (update, start) in UPDATES.items():
        w = torch.ones(1, dtype=torch.float64)
        state, path = start(w), []
        for _ in range(4):
            w, state = update(w, w, state, lr=0.1)
            path.append(f"{round(float(w), 4) + 0.0:>9.4f}")  # + 0.0: no minus before a zero
        lines.append(f"{name:<18}" + "".join(path))
    lines += [
        "",
        "By hand, momentum 0.9:  v = 1, w = 1 - 0.1 * 1 = 0.9;  v = 0.9 * 1 + 0.9 = 1.8, w = 0.9 - 0.1 * 1.8 = 0.72",
        "By hand, RMSprop's first step:  s = 0.01 g^2, w = 1 - 0.1 * g / (0.1 g) = 0: ten times lr, for s starts empty",
        "By hand, Adam's first step:  m = 0.1 g, v = 0.001 g^2; corrected g and g^2; w = 1 - 0.1 * g / |g| = 0.9",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(demonstrate())
