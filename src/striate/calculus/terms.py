"""One number of a network, taken apart: the terms that it is the sum of.

    result = term_1 + term_2 + ... (+ bias), or what `then` makes of that sum
    term   = value * factor, or, where there is no factor, the function of the value that the equation names

Forward, a value is an input and its factor a weight; backward, a value is an error dL/dy and its factor the slope
dy/dx (the chain rule: Rumelhart, Hinton and Williams, Nature 323, 1986).  `arithmetic.py` makes these.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import fsum

from striate.calculus.pencil import number

At = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Term:
    """One product.

    Args:
        at: where the value stands in its tensor; None in padding that copies no pixel.
        value: an input, or an error.
        factor: what it is multiplied by; None: the product is another function of the value.
        product: what is added.
        channel: the channel, or in a weight's gradient the picture, whose partial sum it belongs to.
        factor_at: where the factor stands in its tensor, if it is an entry of one.
        outside: whether the value lies in the padding.
    """

    at: At | None
    value: float
    factor: float | None
    product: float
    channel: int = 0
    factor_at: At | None = None
    outside: bool = False


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """How one number comes about; `print` shows it line by line.

    Args:
        equation: the formula.
        terms: all terms in the order of the sum.
        partial_sums: (channel, its sum) in order.
        bias: what is added to the sum, or None.
        then: what is made of the sum, each as (how, what comes out), the result last; empty: the sum is the result.
        result: the number.
        names: of the values' tensor and of the factors'.
        by: what the partial sums are taken by.
    """

    equation: str
    terms: tuple[Term, ...]
    partial_sums: tuple[tuple[int, float], ...]
    bias: float | None
    then: tuple[tuple[str, float], ...]
    result: float
    names: tuple[str, str] = ("x", "weight")
    by: str = "channel"

    def __str__(self) -> str:
        several = len(self.partial_sums) > 1
        lines, sums = [self.equation], dict(self.partial_sums)
        for index, term in enumerate(self.terms):
            lines.append("  " + self._line(term))
            last = index + 1 == len(self.terms) or self.terms[index + 1].channel != term.channel
            if several and last:
                lines.append(f"  {self.by} {term.channel}: {number(sums[term.channel])}")
        if self.terms and (several or len(self.terms) > 1 or self.bias is not None):
            parts = [number(value) for _, value in self.partial_sums] if several else ["the terms"]
            total = fsum([*sums.values(), self.bias or 0.0])
            lines.append(f"  sum: {' + '.join(parts)}{self._added()} = {number(total)}")
        lines += [f"  {how} = {number(value)}" for how, value in self.then]
        return "\n".join([*lines, f"= {number(self.result)}"])

    def _added(self) -> str:
        return "" if self.bias is None else f" + bias {number(self.bias)}"

    def _line(self, term: Term) -> str:
        value, factor = self.names
        where = "padding" if term.at is None else f"{value}{list(term.at)}"
        if term.outside and term.at is not None:
            where = f"padding, a copy of {where}"
        by = f"{factor}{list(term.factor_at)} " if term.factor_at is not None else ""
        if term.factor is None:
            return f"{where} {number(term.value)}  ->  {number(term.product)}"
        return f"{where} {number(term.value)}  × {by}{number(term.factor)} = {number(term.product)}"


def total(
    equation: str,
    terms: Iterable[Term],
    *,
    bias: float | None = None,
    names: tuple[str, str] = ("x", "weight"),
    by: str = "channel",
) -> Arithmetic:
    """A number that is the sum of its terms and the bias.

    >>> print(total("y = sum of w x", [Term((0,), 2.0, 3.0, 6.0), Term((1,), 1.0, 4.0, 4.0)], bias=1.0))
    y = sum of w x
      x[0] 2  × 3 = 6
      x[1] 1  × 4 = 4
      sum: the terms + bias 1 = 11
    = 11
    """
    terms, sums = tuple(terms), {}
    for channel in dict.fromkeys(term.channel for term in terms):
        sums[channel] = fsum(term.product for term in terms if term.channel == channel)
    result = fsum([*sums.values(), bias or 0.0])
    return Arithmetic(equation, terms, tuple(sums.items()), bias, (), result, names, by)


def worked(equation: str, terms: Iterable[Term], then: Iterable[tuple[str, float]]) -> Arithmetic:
    """A number that is more than a sum: `then` says what is made of it, step by step."""
    base, steps = total(equation, terms), tuple(then)
    return Arithmetic(equation, base.terms, base.partial_sums, None, steps, steps[-1][1])


def product(
    at: At | None, value: float, factor: float, *, channel: int = 0, factor_at: At | None = None, outside: bool = False
) -> Term:
    """Value times factor."""
    return Term(at, value, factor, value * factor, channel, factor_at, outside)


def slopes(equation: str, terms: Iterable[Term]) -> Arithmetic:
    """A gradient: errors times slopes."""
    return total(equation, terms, names=("dy", "slope"))
