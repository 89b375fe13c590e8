"""The equations of layers that torch has no one operation for: their operations are recognised together."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from math import prod

from striate.analysis.call import Record
from striate.analysis.formula import Formula, Reckoning, decimal, over, times
from striate.analysis.formulas_mixing import attended
from striate.analysis.formulas_pointwise import POINTWISE
from striate.analysis.formulas_windows import WINDOWS, padded_convolution
from striate.analysis.summary import Row

Records = Sequence[Record]
_SOFTMAX = frozenset(("_softmax", "_safe_softmax"))
_X = re.compile(r"\bx\b")
_CALL = re.compile(r"\w+\([^()]*\)")


def whole_row(row: Row, working: Records) -> Formula | None:
    """The equation of all operations of a row together, if they are known together."""
    if row.kind in ("LocalResponseNorm", "local_response_norm"):
        return _local_response_norm(row)
    if (found := _complex_convolution(working)) is not None:
        return found
    rule = _SEQUENCES.get(tuple(one.name for one in working))
    formula = rule(working) if rule else None
    return formula or (_chain(working) if len(working) > 1 else None)


def attentions(working: Records) -> dict[int, Formula | None]:
    """Attention that has been taken apart: two products without weights around a softmax, told at the second."""
    found: dict[int, Formula | None] = {}
    products = [n for n, one in enumerate(working) if one.name in ("bmm", "baddbmm") and not one.connections]
    for first, second in pairwise(products):
        between = working[first + 1 : second]
        if any(one.name in _SOFTMAX for one in between) and first not in found:
            found.update(dict.fromkeys(range(first, second)))
            found[second] = _attention(working[first], between, working[second])
    return found


def _attention(first: Record, between: Records, second: Record) -> Formula:
    heads, queries, keys = first.output
    values = second.output[2]
    masked = any(one.name in ("add", "masked_fill", "where") for one in between) or first.name == "baddbmm"
    macs = first.macs + second.macs
    return attended(macs, (heads, queries, keys, macs // (heads * queries * keys) - values, values), masked=masked)


def _chain(working: Records) -> Formula | None:
    """Functions of one number put into each other: 1.7159 tanh(2x / 3)."""
    text = "x"
    for record in working:
        rule = POINTWISE.get(record.name)
        formula = rule(record) if rule else None
        if formula is None or formula.parameters or not _X.search(formula.equation):
            return None
        text = _put(text, formula.equation.removeprefix("y = "))
    return Formula(f"y = {text}")


def _put(inner: str, outer: str) -> str:
    """One function put into another.

    >>> _put("tanh(0.5·x)", "2·x"), _put("x + 1", "exp(x)"), _put("x + 1", "x / 2")
    ('2·tanh(0.5·x)', 'exp(x + 1)', '(x + 1) / 2')
    """
    whole = inner if inner == "x" or _CALL.fullmatch(inner) else f"({inner})"
    return _X.sub(lambda _: whole, outer).replace(f"({whole})", f"({inner})")


def _local_response_norm(row: Row) -> Formula | None:
    """Torch's, by a mean over padded channels, and our own layer's, by shifted sums."""
    alpha, k = (_scalar(row.records, name) for name in ("mul", "add"))
    pools = [one for one in row.records if one.name.startswith("avg_pool")]
    powers = [float(one.arguments["exponent"]) for one in row.records if one.name == "pow"]
    if alpha is None or k is None:
        return None
    if pools:
        size = pools[0].arguments["kernel_size"][0]
        alpha = alpha / size
    else:
        size = 1 + sum(one.name == "add" and isinstance(one.arguments["other"], tuple) for one in row.records)
    beta = abs(powers[0]) if powers else 0.75  # two square roots
    near = f"max(0, c - {size // 2}) <= k <= min({row.output_shape[0] - 1}, c + {(size - 1) // 2})"
    text = f"y[c] = x[c] / ({decimal(k)} + {decimal(alpha)}·(sum over {near} of x[k]^2))^{decimal(beta)}"
    return Formula(text, note="across channels, each place by itself")


def _scalar(records: Records, name: str) -> float | None:
    """The number that an operation of that name takes beside a tensor."""
    found = (one.arguments["other"] for one in records if one.name == name)
    return next((float(other) for other in found if isinstance(other, int | float)), None)


def _pooled(record: Record) -> Formula | None:
    return WINDOWS[record.name](record, len(record.output) - 2)


def _padded_convolution(working: Records) -> Formula | None:
    return padded_convolution(*working)


def _complex_convolution(working: Records) -> Formula | None:
    """Of complex numbers, for which torch makes three convolutions of their real and imaginary parts."""
    convolutions = [one for one in working if one.name == "convolution"]
    if len(convolutions) != 3 or not any(one.name == "view_as_real" for one in working):
        return None
    one = WINDOWS["convolution"](convolutions[0], 0)
    if one is None or one.macs is None:
        return None
    macs = Reckoning("MACs", 3 * one.macs.value, f"3·{one.macs.right}")
    note = "; ".join([*filter(None, [one.note]), "of complex numbers, by three convolutions of real ones"])
    return replace(one, note=note, macs=macs)


def _subsample(working: Records) -> Formula | None:
    """LeCun's: the numbers of a window are added, then scaled and shifted."""
    pool = _pooled(working[0])
    if pool is None or working[1].arguments["other"] != prod(working[0].arguments["kernel_size"]):
        return None
    left, right = pool.equation.split(" = ", 1)
    count = working[0].output[1]
    learnt = Reckoning("parameters", 2 * count, f"{count} + {count}")
    macs = Reckoning("MACs", prod(working[0].output), times(working[0].output[1:]))
    return replace(pool, equation=f"{left} = w[c]·({_summed(right)}) + b[c]", parameters=learnt, macs=macs)


def _lp_pool(working: Records) -> Formula | None:
    """The p-norm of a window."""
    pool, exponent = _pooled(working[1]), working[0].arguments["exponent"]
    if pool is None or working[-2].arguments["other"] != prod(working[1].arguments["kernel_size"]):
        return None
    left, right = pool.equation.split(" = ", 1)
    return replace(pool, equation=f"{left} = ({_summed(right)}^{decimal(exponent)})^(1 / {decimal(exponent)})")


def _summed(mean: str) -> str:
    """The sum in place of the mean."""
    return mean.replace("mean over", "sum over", 1)


def _distance(working: Records) -> Formula | None:
    """The squared distance to every row of a table."""
    x, codes = (working[0].arguments[name] for name in ("self", "other"))
    if len(codes) != 2 or x[-1] != codes[1]:
        return None
    rows, width = codes
    text = over([f"k < {width}"], "(x[k] - w[o, k])^2")
    macs = Reckoning("MACs", rows * width, f"{rows}·{width}")
    return Formula(f"y[o] = {text}", parameters=Reckoning("parameters", rows * width, f"{rows}·{width}"), macs=macs)


def _rms_norm(working: Records) -> Formula | None:
    """Each number by the root of the mean of squares along the last axis."""
    width, eps = working[0].output[-1], working[2].arguments["other"]
    if working[0].arguments["exponent"] != 2 or len(working[1].arguments["dim"]) != 1:
        return None
    scaled = len(working) == 6
    learnt = Reckoning("parameters", width, str(width)) if scaled else None
    squares = f"(sum over k' < {width} of x[k']^2) / {width}"
    text = f"{'w[k]·' if scaled else ''}x[k] / sqrt({decimal(eps)} + {squares})"
    return Formula(f"y[k] = {text}", parameters=learnt)


_RMS = ("pow", "mean", "add", "rsqrt", "mul")
_SEQUENCES: Mapping[tuple[str, ...], Callable[[Records], Formula | None]] = {
    ("constant_pad_nd", "convolution"): _padded_convolution,
    ("avg_pool2d", "mul", "mul", "add"): _subsample,
    ("pow", "avg_pool2d", "sign", "abs", "relu", "mul", "mul", "pow"): _lp_pool,
    ("sub", "pow", "sum"): _distance,
    _RMS: _rms_norm,
    (*_RMS, "mul"): _rms_norm,
}
