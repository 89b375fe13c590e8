"""The equations of what mixes numbers: matrix products, normalisation, softmax, sums, joins."""

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

from striate.analysis.call import Record
from striate.analysis.formula import Formula, Reckoning, decimal, over, times, without_one

Rule = Callable[[Record], Formula | None]
LETTERS = ((), ("k",), ("i", "k"), ("c", "i", "j"), ("c", "h", "i", "j"))  # of a sample's axes, by how many they are


def product(record: Record, *, turned: bool, flowing: int) -> Formula | None:
    """A matrix product.

    Args:
        record: the operation.
        turned: whether the second factor is a weight of shape (out, in) that has been transposed.
        flowing: how many numbers go into the row, by which its factors are told from its weights.
    """
    a = record.arguments
    left, right = (a.get("mat1") or a.get("batch1") or a["self"]), (a.get("mat2") or a.get("batch2") or a.get("vec"))
    if right is None or len(left) < 2 or len(right) != len(left) or a.get("alpha", 1) != 1 or a.get("beta", 1) != 1:
        return None
    n, k, m = left[-2], left[-1], right[-1]
    if not record.connections or len(left) != 2:
        batch = "n, " if len(left) > 2 else ""
        equation = f"y[{batch}i, j] = sum over k < {k} of p[{batch}i, k] q[{batch}k, j]"
        return Formula(
            equation, note="both factors come of the input", macs=_macs(record, [*without_one(*left[:-1]), m, k])
        )
    bias = bool(record.connections - record.macs)
    if prod(left) != flowing and prod(right) == flowing:  # the weights stand in front
        equation = f"y[o, j] = sum over k < {k} of w[o, k] x[k, j]"
        learnt = Reckoning("parameters", n * k, f"{n}·{k}")
        return None if bias else Formula(equation, parameters=learnt, macs=_macs(record, without_one(n, m, k)))
    place = "i, " if n > 1 else ""
    shift = "" if not bias else f"b[{place}o] + " if len(a["self"]) > 1 and a["self"][0] > 1 else "b[o] + "
    weight = "w[o, k]" if turned else "w[k, o]"
    equation = f"y[{place}o] = {shift}sum over k < {k} of {weight} x[{place}k]"
    more = prod(a["self"]) if bias else 0
    learnt = Reckoning("parameters", k * m + more, f"{times([m, k])}{f' + {more}' if bias else ''}")
    return Formula(equation, parameters=learnt, macs=_macs(record, without_one(n, m, k)))


def _macs(record: Record, factors: Sequence[int]) -> Reckoning:
    return Reckoning("MACs", record.macs, times(factors))


def attended(macs: int, sizes: Sequence[int], *, masked: bool, scale: float | None = None) -> Formula:
    """Attention: every query takes a weighted mean of all values.

    Args:
        macs: multiply-accumulates.
        sizes: heads, queries, keys, numbers of a key, numbers of a value.
        masked: whether something is added before the softmax.
        scale: what the products are multiplied by; None: 1 over the root of a key's numbers.
    """
    heads, queries, keys, width, values = sizes
    scaled = f" / sqrt({width})" if scale is None else f"·{decimal(scale)}"
    return Formula(
        equation=f"y[h, i] = sum over j < {keys} of a[h, i, j] v[h, j], "
        f"a[h, i] = softmax over j of (q[h, i]·k[h, j]{scaled}{' + mask[i, j]' if masked else ''})",
        note=f"{heads} heads, {queries} queries, {keys} keys of {width} numbers, values of {values}",
        macs=Reckoning("MACs", macs, f"{times([heads, queries, keys])}·({width} + {values})"),
    )


def _fused_attention(record: Record) -> Formula:
    a = record.arguments
    q, k, v = a["query"], a["key"], a["value"]
    masked = bool(a.get("is_causal") or a.get("attn_mask") or a.get("attn_bias"))
    sizes = (prod(q[:-2]), q[-2], k[-2], q[-1], v[-1])
    return attended(record.macs, sizes, masked=masked, scale=a.get("scale"))


def _batch_norm(record: Record) -> Formula | None:
    a = record.arguments
    shape = a["input"]
    if not 2 <= len(shape) <= 5:
        return None
    at = ", ".join(_letters(shape))
    channel = "c" if len(shape) > 2 else at
    own = a.get("training", False)
    return Formula(
        equation=f"y[{at}] = {_scaled(at, channel, channel, a)}",
        note=f"m and v, mean and variance of a channel, {'of this sample' if own else 'as kept from training'}",
        parameters=_affine(a),
    )


def _letters(shape: Sequence[int]) -> tuple[str, ...]:
    """The letters of a sample's axes, channels first."""
    return ("c",) if len(shape) == 2 else ("c", "i") if len(shape) == 3 else LETTERS[len(shape) - 1]


def _scaled(at: str, mean: str, weight: str, a: Mapping[str, Any]) -> str:
    spread = f"(x[{at}] - m[{mean}]) / sqrt(v[{mean}] + {decimal(a['eps'])})"
    return (f"w[{weight}]·" if a["weight"] else "") + spread + (f" + b[{weight}]" if a["bias"] else "")


def _affine(a: Mapping[str, Any]) -> Reckoning | None:
    shapes = [shape for shape in (a["weight"], a["bias"]) if isinstance(shape, tuple)]
    counts = [prod(shape) for shape in shapes]
    return Reckoning("parameters", sum(counts), " + ".join(map(str, counts))) if counts else None


def _layer_norm(record: Record) -> Formula | None:
    a = record.arguments
    shape, count = a["input"], len(a["normalized_shape"])
    letters = LETTERS[len(shape) - 1] if len(shape) <= 5 else ()
    if not letters or count > len(letters):
        return None
    outer, inner = ", ".join(letters[: len(letters) - count]), ", ".join(letters[-count:])
    mean = f"[{outer}]" if outer else ""
    text = _scaled(", ".join(letters), "?", inner, a).replace("[?]", mean)
    ranges = ", ".join(f"{letter} < {n}" for letter, n in zip(letters[-count:], shape[-count:], strict=True))
    equation = f"y[{', '.join(letters)}] = {text}"
    return Formula(equation, note=f"m and v, mean and variance over {ranges}", parameters=_affine(a))


def _group_norm(record: Record) -> Formula | None:
    a = record.arguments
    letters = ", ".join(_letters(a["input"])) if len(a["input"]) <= 5 else ""
    each = a["C"] // a["group"]
    group = "c" if each == 1 else f"floor(c / {each})"
    if not letters:
        return None
    note = f"m and v, mean and variance of a group of {each} channels over all places"
    return Formula(f"y[{letters}] = {_scaled(letters, group, 'c', a)}", note=note, parameters=_affine(a))


def _softmax(record: Record) -> Formula | None:
    shape, dim = record.arguments["self"], record.arguments["dim"] % len(record.output)
    if dim == 0 or len(shape) > 5:
        return None
    letters = LETTERS[len(shape) - 1]
    own, primed = letters[dim - 1], f"{letters[dim - 1]}'"
    other = ", ".join(primed if letter == own else letter for letter in letters)
    total = f"sum over {primed} < {shape[dim]} of exp(x[{other}])"
    at = ", ".join(letters)
    if record.name == "_log_softmax":
        return Formula(f"y[{at}] = x[{at}] - log({total})")
    return Formula(f"y[{at}] = exp(x[{at}]) / ({total})")


def _reduce(how: str) -> Rule:
    def rule(record: Record) -> Formula | None:
        a = record.arguments
        shape, named = a["self"], a.get("dim")
        dims = {d % len(shape) for d in ([named] if isinstance(named, int) else named or range(len(shape)))}
        if 0 in dims or len(shape) > 5 or len(shape) < 2:
            return None
        letters = LETTERS[len(shape) - 1]
        pairs = list(enumerate(letters, start=1))
        kept = ", ".join("0" if d in dims else letter for d, letter in pairs if d not in dims or a.get("keepdim"))
        ranges = [f"{letter} < {shape[d]}" for d, letter in pairs if d in dims]
        left, right = f"y[{kept}]" if kept else "y", f"x[{', '.join(letters)}]"
        return Formula(f"{left} = {over(ranges, right, how=how)}")

    return rule


def _cat(record: Record) -> Formula | None:
    shapes, dim = record.arguments["tensors"], record.arguments["dim"] % len(record.output)
    if dim == 0:
        return None
    axis = "channels" if dim == 1 else f"axis {dim}"
    counts = [shape[dim] for shape in shapes]
    sizes = (Reckoning(axis, record.output[dim], " + ".join(map(str, counts))),)
    return Formula(f"y = {', '.join(f'x{k}' for k in range(1, len(counts) + 1))} one after another", sizes=sizes)


def _embedding(record: Record) -> Formula:
    rows, width = record.arguments["weight"]
    learnt = Reckoning("parameters", rows * width, f"{rows}·{width}")
    return Formula("y[i, k] = w[x[i], k]", note="the row of the table that the token names", parameters=learnt)


_SOFTMAX = ("_softmax", "_log_softmax", "_safe_softmax")
_NORMS = ("native_batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm")
_ATTENTION = ("flash_attention_for_cpu", "flash_attention", "efficient_attention", "cudnn_attention")
PRODUCTS = frozenset(("mm", "addmm", "bmm", "baddbmm"))
MIXING: Mapping[str, Rule] = {
    **dict.fromkeys(_SOFTMAX, _softmax),
    **dict.fromkeys(_NORMS, _batch_norm),
    **dict.fromkeys((f"_scaled_dot_product_{kind}" for kind in _ATTENTION), _fused_attention),
    "native_layer_norm": _layer_norm,
    "native_group_norm": _group_norm,
    "mean": _reduce("mean"),
    "sum": _reduce("sum"),
    "amax": _reduce("max"),
    "max": _reduce("max"),
    "amin": _reduce("min"),
    "cat": _cat,
    "embedding": _embedding,
}
