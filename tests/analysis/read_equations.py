"""Reads an equation as it is shown, and computes y from it: slowly, one number at a time, by its own words alone."""

import math
import re
from itertools import product

import torch

NAMES = {
    name: getattr(math, name) for name in ("floor", "ceil", "exp", "log", "sqrt", "tanh", "erf", "pi")
}  # and Python's own max, min, abs, sum
LOOP = re.compile(r"(\w+) < (\d+)$")
RANGE = re.compile(r"(.+) <= (\w+) (<=?) (.+)$")


class Entries:
    """A tensor whose entries outside are a number; `mirror` and `edge` say which entry stands in for them."""

    def __init__(self, tensor, outside=0.0, beyond=None):
        self.tensor, self.outside, self.beyond = tensor.double(), outside, beyond

    def __getitem__(self, place):
        place = place if isinstance(place, tuple) else (place,)
        assert len(place) <= self.tensor.ndim
        inside = []
        for at, n in zip(place, self.tensor.shape, strict=False):
            if not 0 <= at < n:
                if self.beyond is None:
                    return self.outside
                at = min(max(at, 0), n - 1) if self.beyond == "edge" else (-at if at < 0 else 2 * (n - 1) - at)
            inside.append(at)
        return self.tensor[tuple(inside)].item()


def arithmetic(text):
    """The value of a reckoning's right-hand side."""
    return eval(text.replace("·", "*"), {"floor": math.floor, "ceil": math.ceil, "min": min, "__builtins__": {}})


def compute(equation, y, **tensors):
    """Every entry of y by the right-hand side of `equation`, for the letters of its left-hand side."""
    left, right = equation.split(" = ", 1)
    letters = re.findall(r"\w+", left[1:])
    assert len(letters) == y.ndim or not letters, equation
    code = compile(python(right), equation, "eval")
    out = torch.zeros_like(y, dtype=torch.float64)
    for place in product(*map(range, y.shape)):
        named = {letter: at for letter, at in zip(letters, place, strict=False) if letter.isalpha()}
        scope = {**NAMES, **tensors, **named, "sizes": tensors["x"].tensor.shape[1:]}
        out[place] = eval(code, scope)
    return out


def python(text):
    """An equation's right-hand side as Python."""
    text = re.sub(r"\](\^[\w.]+)? (\w\[)", r"]\1·\2", text)
    text = re.sub(r"(?<![\w.])(\d+)(?!e-)([a-z](?![\w(]))", r"\1·\2", text)
    text = text.replace("·", "*").replace("^", "**").replace(" mod ", " % ").replace("'", "_")
    return expression(text)


def expression(text):
    found = re.search(r"(sum|mean|max|min) over ", text)
    if not found and " where " not in text:
        return text
    if not found:  # a sum of one term
        bias, plus, product_ = text.rpartition(" + ") if text.startswith("b[") else ("", "", text)
        return expression(f"{bias}{plus}sum over c_ < 1 of {product_}")
    before, rest = text[: found.start()], text[found.end() :]
    ranges, body = rest.split(" of ", 1)
    body, after = until_closed(body)
    how = {"mean": "mean"}.get(found[1], found[1])
    body, _, where = body.partition(" where ")
    loops = "".join(f" for {loop(one)}" for one in split(ranges))
    if where:  # a transposed convolution runs over all places of x that lead to this one
        sources = [letter for letter in "lmn" if re.search(rf"\b\d*\*?{letter}\b", where)]
        loops += "".join(f" for {letter} in range(sizes[{axis}])" for axis, letter in enumerate(sources))
        loops += " if " + " and ".join(one.replace(" = ", " == ") for one in where.split(", "))
    values = f"[{expression(body)}{loops}]"
    value = f"(sum({values}) / len({values}))" if how == "mean" else f"{how}({values})"
    return f"{before}{value}{expression(after)}"


def until_closed(text):
    """What stands before the bracket that closes more than has been opened, and the rest with it."""
    depth = 0
    for at, mark in enumerate(text):
        depth += {"(": 1, ")": -1}.get(mark, 0)
        if depth < 0:
            return text[:at], text[at:]
    return text, ""


def split(ranges):
    """At commas outside of brackets."""
    depth, parts, last = 0, [], 0
    for at, mark in enumerate(ranges):
        depth += {"(": 1, ")": -1}.get(mark, 0)
        if mark == "," and depth == 0:
            parts.append(ranges[last:at].strip())
            last = at + 1
    return [*parts, ranges[last:].strip()]


def loop(text):
    if simple := LOOP.match(text):
        return f"{simple[1]} in range({simple[2]})"
    first, letter, mark, last = RANGE.match(text).groups()
    return f"{letter} in range({first}, {last}{' + 1' if mark == '<=' else ''})"
