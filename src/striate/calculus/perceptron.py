"""The perceptron: one hard-limit unit, taught without a derivative.

    y = 1 if w . x + b >= 0 else 0          after each sample:  w <- w + (t - y) x,   b <- b + (t - y)

A right answer changes nothing; a wrong one moves the line towards getting this sample right.  If some line separates
the classes, the rule finds one after at most (R / d)^2 corrections, R the longest (x, 1) and d the distance that a
separating plane through the origin of the (x, 1) can keep from them all (Novikoff 1962).  If none does, w and b stay
bounded (Block and Levin 1970); with whole-number inputs they are whole numbers, so some pass must end where an earlier
one did, and from there the rule goes round for ever.  That is how we tell.

XOR has no line.  It would need, for inputs 00, 01, 10, 11:

    b < 0       w2 + b >= 0       w1 + b >= 0       w1 + w2 + b < 0

The two in the middle sum to w1 + w2 + 2b >= 0, the outer two to w1 + w2 + 2b < 0.  Two units before the unit do it:
h1 = x1 or x2, h2 = x1 and x2, y = h1 and not h2: XOR is two lines.

Shapes: samples x (N, F), targets t (N,) of 0 and 1, w (F,), b ().  Rosenblatt 1958; Minsky and Papert 1969.

`python -m striate.calculus.perceptron` shows every correction of AND, and XOR going round.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from striate.base.errors import DataError
from striate.calculus.activations import hard_limit

Weight = Float[Tensor, " F"]
Bias = Float[Tensor, ""]
Samples = Float[Tensor, "N F"]


@dataclass(frozen=True, slots=True)
class Lesson:
    """What the rule came to.

    Args:
        weight: (F,).
        bias: ().
        corrections: how often a sample was wrong and the line was moved: the steps taken.
        passes: how often all samples were gone through, the last, faultless pass included.
        separable: True if all samples are right now, False if the rule goes round, None if the passes ran out.
    """

    weight: Weight
    bias: Bias
    corrections: int
    passes: int
    separable: bool | None


def perceive(x: Samples, weight: Weight, bias: Bias) -> Float[Tensor, " N"]:
    """The unit's answers, 0 or 1."""
    return hard_limit(x @ weight + bias)


def correct(weight: Weight, bias: Bias, x: Float[Tensor, " F"], target: Float[Tensor, ""]) -> tuple[Weight, Bias]:
    """The rule, for one sample."""
    fault = target - perceive(x[None], weight, bias)[0]  # -1, 0 or 1
    return weight + fault * x, bias + fault


def learn(x: Samples, target: Float[Tensor, " N"], *, passes: int = 1000) -> Lesson:
    """Go through the samples, in their order and from w = 0, b = 0, until all are right or the rule goes round.

    Args:
        x: the samples; whole numbers for a certain end.
        target: 0 or 1 for each.
        passes: where to stop if neither happens.

    Raises:
        DataError: a target that is neither 0 nor 1.

    >>> learn(torch.tensor([[0.0], [1.0]]), torch.tensor([1.0, 0.0])).separable  # NOT
    True
    """
    if not ((target == 0) | (target == 1)).all():
        raise DataError("perceptron", "every target", "0 or 1", got=target.tolist(), fix="name the two classes 0 and 1")
    weight, bias = x.new_zeros(x.shape[1]), x.new_zeros(())
    corrections, seen = 0, {_key(weight, bias)}
    for done in range(1, passes + 1):
        before = corrections
        for sample, wanted in zip(x, target, strict=True):
            wrong = perceive(sample[None], weight, bias)[0] != wanted
            weight, bias = correct(weight, bias, sample, wanted)
            corrections += int(wrong)
        if corrections == before:
            return Lesson(weight, bias, corrections, done, separable=True)
        if _key(weight, bias) in seen:
            return Lesson(weight, bias, corrections, done, separable=False)
        seen.add(_key(weight, bias))
    return Lesson(weight, bias, corrections, passes, separable=None)


def _key(weight: Tensor, bias: Tensor) -> tuple[float, ...]:
    return (*weight.tolist(), float(bias))


def xor_fault(w1: float, w2: float, b: float) -> tuple[int, int]:
    """An input that the line answers wrongly if it is to be XOR: every line has one, by the signs alone.

    >>> xor_fault(1.0, 1.0, -0.5)  # OR
    (1, 1)
    """
    if b >= 0:
        return 0, 0  # says 1, should say 0
    if w2 + b < 0:
        return 0, 1  # says 0, should say 1
    if w1 + b < 0:
        return 1, 0  # the same
    return 1, 1  # w1 >= -b and w2 >= -b, so w1 + w2 + b >= -b > 0: says 1, should say 0


def xor_with_a_hidden_layer(x: Float[Tensor, "N 2"]) -> Float[Tensor, " N"]:
    """Two hidden hard-limit units, OR and AND, and one that fires for the first without the second.

    >>> xor_with_a_hidden_layer(torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])).tolist()
    [0.0, 1.0, 1.0, 0.0]
    """
    hidden = hard_limit(x @ x.new_tensor([[1.0, 1.0], [1.0, 1.0]]) + x.new_tensor([-0.5, -1.5]))
    return perceive(hidden, x.new_tensor([1.0, -1.0]), x.new_tensor(-0.5))


def demonstrate() -> str:
    """Every correction while AND is learnt; then XOR, which returns to where it was."""
    x = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    target = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=torch.float64)
    lesson = learn(x, target)
    lines = ["AND            x   w.x+b   y   t       w     b after"]
    weight, bias = x.new_zeros(2), x.new_zeros(())
    for turn in range(lesson.passes):
        for sample, wanted in zip(x, target, strict=True):
            score, answer = float(sample @ weight + bias), float(perceive(sample[None], weight, bias))
            weight, bias = correct(weight, bias, sample, wanted)
            if answer != wanted:
                a, b, c, d = (int(value) for value in (*sample.tolist(), *weight.tolist()))
                numbers = (
                    f"({a}, {b})  {score:>6.0f}   {answer:.0f}   {wanted:.0f}  ({c:>2}, {d:>2})  {float(bias):>3.0f}"
                )
                lines.append(f"pass {turn + 1}:   {numbers}")
    lines.append(f"after {lesson.corrections} corrections pass {lesson.passes} has no fault: AND is learnt")
    xor = learn(x, torch.tensor([0.0, 1.0, 1.0, 0.0], dtype=torch.float64))
    at = f"w ({xor.weight[0]:.0f}, {xor.weight[1]:.0f}), b {float(xor.bias):.0f}"
    lines.append(f"XOR: pass {xor.passes} ends at {at}, where an earlier pass ended: it goes round for ever")
    hidden = ", ".join(f"{answer:.0f}" for answer in xor_with_a_hidden_layer(x).tolist())
    lines.append(f"with a hidden layer, h1 = [x1 + x2 >= 0.5], h2 = [x1 + x2 >= 1.5], y = [h1 - h2 >= 0.5]: {hidden}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(demonstrate())
