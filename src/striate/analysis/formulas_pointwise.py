"""The equations of what works number by number: activations, and arithmetic of two tensors or a tensor and a number."""

from collections.abc import Callable, Mapping
from typing import Any

from striate.analysis.call import Record
from striate.analysis.formula import Formula, Reckoning, decimal

Arguments = Mapping[str, Any]
Rule = Callable[[Record], Formula | None]


def _plain(text: str) -> Rule:
    return lambda _: Formula(f"y = {text}")


def _with(text: Callable[[Arguments], str]) -> Rule:
    return lambda record: Formula(f"y = {text(record.arguments)}")


def _elu(a: Arguments) -> str:
    inside = "" if a["input_scale"] == 1 else f"{decimal(a['input_scale'])}·"
    curve = f"x if x > 0 else {decimal(a['alpha'])}·(exp({inside}x) - 1)"
    return curve if a["scale"] == 1 else f"{decimal(a['scale'])}·({curve})"


def _gelu(a: Arguments) -> str:
    if a["approximate"] == "tanh":
        return "0.5·x·(1 + tanh(sqrt(2 / pi)·(x + 0.044715·x^3)))"
    return "0.5·x·(1 + erf(x / sqrt(2)))"


def _softplus(a: Arguments) -> str:
    beta = decimal(a["beta"])
    return "log(1 + exp(x))" if beta == "1" else f"log(1 + exp({beta}·x)) / {beta}"


def _clamp(a: Arguments) -> str:
    low, high = a.get("min"), a.get("max")
    text = "x" if high is None else f"min(x, {decimal(high)})"
    return text if low is None else f"max({decimal(low)}, {text})"


def _prelu(record: Record) -> Formula:
    count = max(record.arguments["weight"])
    learnt = Reckoning("parameters", count, str(count))
    return Formula(f"y = x if x > 0 else {'w[c]' if count > 1 else 'w'}·x", parameters=learnt)


def _binary(mark: str) -> Rule:
    """x1 + x2, or x + 2."""

    def rule(record: Record) -> Formula | None:
        a, b = record.arguments["self"], record.arguments["other"]
        if not isinstance(a, tuple) or record.arguments.get("alpha", 1) != 1 or record.arguments.get("rounding_mode"):
            return None
        if isinstance(b, int | float):
            return Formula(f"y = {decimal(b)}·x" if mark == "·" else f"y = x {mark} {decimal(b)}")
        note = "" if a == b else "the smaller one repeated to the size of the larger"
        return Formula("y = x1·x2" if mark == "·" else f"y = x1 {mark} x2", note=note)

    return rule


def _power(record: Record) -> Formula | None:
    exponent = record.arguments["exponent"]
    base = record.arguments["self"]
    if not isinstance(exponent, int | float) or not isinstance(base, tuple):
        return None
    return Formula(f"y = x^{decimal(exponent)}")


POINTWISE: Mapping[str, Rule] = {
    "relu": _plain("max(0, x)"),
    "sigmoid": _plain("1 / (1 + exp(-x))"),
    "tanh": _plain("tanh(x)"),
    "silu": _plain("x / (1 + exp(-x))"),
    "mish": _plain("x·tanh(log(1 + exp(x)))"),
    "hardswish": _plain("x·min(max(x + 3, 0), 6) / 6"),
    "hardsigmoid": _plain("min(max(x + 3, 0), 6) / 6"),
    "log_sigmoid_forward": _plain("-log(1 + exp(-x))"),
    "abs": _plain("abs(x)"),
    "neg": _plain("-x"),
    "exp": _plain("exp(x)"),
    "log": _plain("log(x)"),
    "sqrt": _plain("sqrt(x)"),
    "rsqrt": _plain("1 / sqrt(x)"),
    "leaky_relu": _with(lambda a: f"x if x > 0 else {decimal(a['negative_slope'])}·x"),
    "hardtanh": _with(lambda a: f"min(max(x, {decimal(a['min_val'])}), {decimal(a['max_val'])})"),
    "elu": _with(_elu),
    "celu": _with(lambda a: f"x if x > 0 else {decimal(a['alpha'])}·(exp(x / {decimal(a['alpha'])}) - 1)"),
    "gelu": _with(_gelu),
    "softplus": _with(_softplus),
    "threshold": _with(lambda a: f"x if x > {decimal(a['threshold'])} else {decimal(a['value'])}"),
    "clamp": _with(_clamp),
    "_prelu_kernel": _prelu,
    "add": _binary("+"),
    "sub": _binary("-"),
    "mul": _binary("·"),
    "div": _binary("/"),
    "pow": _power,
}
