"""What is worth a second look in a network: a sentence for each finding, with the rows and what to do.

Nothing here is an error.  A rule speaks only where what it says is true of the operations that ran: what a network can
have for a good reason is left alone, such as a code narrower than the picture that is to come out.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import gcd, prod

from torch import nn

from striate.analysis.families import family
from striate.analysis.formula import per_axis
from striate.analysis.summary import Row, Totals
from striate.analysis.trace import INPUT
from striate.base.operations import Shape, written
from striate.base.shapes import reach

ENOUGH = 2 / 3  # of the input that a pooled map should see
HALF = 1 / 2  # of the input that a decision about a pixel should see; of a window that should lie on the map
NAMED = 3  # rows that a sentence names


@dataclass(frozen=True, slots=True)
class _Network:
    """Rows, and which rows take from which."""

    rows: Sequence[Row]
    model: nn.Module
    users: Mapping[int, Sequence[int]]
    input_shape: Shape

    def source(self, row: Row) -> Row | None:
        """The one row that a row takes from, None if there are several or it is the input."""
        number = row.sources[0] if len(row.sources) == 1 else INPUT
        return None if number == INPUT else self.rows[number]


Finding = tuple[str, str]  # (name of a row, what is to be said of it)
Rule = Callable[[_Network], Iterator[Finding]]


def advice_for(rows: Sequence[Row], totals: Totals, model: nn.Module) -> tuple[str, ...]:
    """A sentence for each finding; rows of which the same is to be said share one.

    Args:
        rows: of the whole network.
        totals: their sums.
        model: the network, for what no row shows.
    """
    users: dict[int, list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        for source in row.sources:
            users[source].append(number)
    first = next((row for row in rows if INPUT in row.sources and row.input_shapes), None)
    network = _Network(rows, model, users, first.input_shapes[0] if first else ())
    found: dict[str, list[str]] = defaultdict(list)
    for rule in _RULES:
        for name, text in rule(network):
            if name not in found[text]:
                found[text].append(name)
    said = [f"{_listed(names)}: {text}" for text, names in found.items()]
    return (*said, *_unused(network, totals))


def _listed(names: Sequence[str]) -> str:
    if len(names) > NAMED:
        return f"{', '.join(names[:NAMED])} and {len(names) - NAMED} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _narrow_view(network: _Network) -> Iterator[Finding]:
    """Global pooling, or a decision for each pixel, over outputs that see little of the input."""
    for row in network.rows if len(network.input_shape) > 2 else ():  # in text and sound what is local may well decide
        before = network.source(row)
        if before is not None and family(row) == "pooling" and prod(row.output_shape[1:]) == 1 and row.sights:
            size = _sees_less_than(before, ENOUGH, network.input_shape)
            if size and prod(before.output_shape[1:]) > 1:
                text = (
                    f"sees {size} pixels of the input before {row.name} pools all places; nothing larger is seen whole"
                )
                yield before.name, f"{text}; add layers or strides before it, or give smaller pictures"
    last = network.rows[-1] if network.rows else None
    windows = sum(family(row) == "convolution" for row in network.rows)
    if last is None or len(last.output_shape) != len(network.input_shape) or windows < 3 or len(last.output_shape) < 2:
        return
    size = _sees_less_than(last, HALF, network.input_shape)
    if size and last.output_shape[1:] == network.input_shape[1:]:
        yield (
            last.name,
            f"decides each place from {size} pixels of the input; dilation or a pooling before lets it see more",
        )


def _sees_less_than(row: Row, share: float, input_shape: Shape) -> str:
    """`43 of 224`, along the axis where a row sees the smallest share, if it is too small; else nothing."""
    sizes = input_shape[len(input_shape) - len(row.sights) :]
    seen = [(one.receptive_field / n, one, n) for one, n in zip(row.sights, sizes, strict=True) if n > 1]
    narrow, one, n = min(seen, key=lambda entry: entry[0], default=(1.0, None, 0))
    return f"{one.receptive_field} of {n}" if one and narrow < share and one.status != "whole input" else ""


def _windows(row: Row) -> Iterator[tuple[Shape, list[tuple[int, int, int, int]]]]:
    """For each sliding window its map's sizes, and an axis' kernel, stride, padding, dilation."""
    for record in row.records:
        a = record.arguments
        if record.name == "convolution" and not a["transposed"]:
            shape, kernel = a["input"], a["weight"][2:]
        elif "kernel_size" in a and "pool" in record.name:
            shape, kernel = a["self"], tuple(a["kernel_size"])
        else:
            continue
        axes = len(kernel)
        options = (a["stride"] or kernel, a["padding"], a.get("dilation", 1))
        yield shape[len(shape) - axes :], list(zip(kernel, *(per_axis(one, axes) for one in options), strict=True))


def _on_padding(network: _Network) -> Iterator[Finding]:
    """Kernels that lie on padding for the most part, or at the border altogether."""
    for row in network.rows:
        for sizes, axes in _windows(row):
            kernel = written(tuple(k for k, *_ in axes))
            if not any(padding for _, _, padding, _ in axes):
                continue
            inside = prod(_inside(n, *axis) for n, axis in zip(sizes, axes, strict=True))
            if prod(sizes) == 1:
                yield row.name, f"the {kernel} kernel meets a map of one place, all else is padding; shrink less before"
            elif inside < HALF:
                share = f"{1 - inside:.0%} of what {kernel} windows cover on the {written(sizes)} map is padding"
                yield row.name, f"{share}; shrink less before or take a smaller kernel"
            elif any(padding >= reach(k, dilation) for k, _, padding, dilation in axes):
                yield row.name, f"windows at the border see padding alone; pad by less than the {kernel} kernel"


def _inside(n: int, kernel: int, stride: int, padding: int, dilation: int) -> float:
    """The share of kernel entries that lie on the map, over all windows of an axis."""
    count = max((n + 2 * padding - reach(kernel, dilation)) // stride + 1, 1)
    on_map = 0
    for entry in range(kernel):
        before = padding - entry * dilation  # window m has this entry at m stride - before
        first, last = max(-(-before // stride), 0), min((n - 1 + before) // stride, count - 1)
        on_map += max(last - first + 1, 0)
    return on_map / (count * kernel)


def _skipped(network: _Network) -> Iterator[Finding]:
    """Strides wider than the window, where nobody else looks at what lies between."""
    for number, row in enumerate(network.rows):
        if not _skips(row):
            continue
        others = [network.rows[user] for source in row.sources for user in network.users[source] if user != number]
        if all(map(_skips, others)):
            yield (
                row.name,
                "the stride is wider than the window, and pixels between are never seen; pool, or widen the window",
            )


def _skips(row: Row) -> bool:
    return any(
        stride > reach(kernel, dilation) and n > stride
        for sizes, axes in _windows(row)
        for n, (kernel, stride, _, dilation) in zip(sizes, axes, strict=True)
    )


def _narrow_waist(network: _Network) -> Iterator[Finding]:
    """A layer that everything passes and that leaves fewer numbers than there are classes."""
    rows, last = network.rows, len(network.rows) - 1
    classes = prod(rows[-1].output_shape) if rows and len(rows[-1].output_shape) == 1 else 0
    if classes == prod(network.input_shape):  # what goes in is to come out: a code is meant to be narrow
        return
    for number, row in enumerate(rows[:-1]):
        left = prod(row.output_shape)
        if (
            row.macs
            and left < classes
            and 2 * left <= max(map(prod, row.input_shapes))
            and _all_pass(rows, number, last)
        ):
            yield row.name, f"leaves {left} numbers for {classes} outputs; give it at least as many"


def _all_pass(rows: Sequence[Row], number: int, last: int) -> bool:
    """Whether every way from the input to the last row leads through a row."""
    reached = {INPUT}
    for other, row in enumerate(rows[: last + 1]):
        if other != number and reached.intersection(row.sources):
            reached.add(other)
    return last not in reached


def _bias_before_norm(network: _Network) -> Iterator[Finding]:
    """A bias that the norm behind takes away again."""
    for number, row in enumerate(network.rows):
        behind = [network.rows[user] for user in network.users.get(number, ())]
        biased = any(one.connections > one.macs > 0 for one in row.records)
        if biased and len(behind) == 1 and behind[0].kind.lower().startswith(("batchnorm", "batch_norm")):
            yield row.name, "the normalisation behind takes the bias away again; bias=False saves it"


def _repeated(network: _Network) -> Iterator[Finding]:
    """An activation behind itself, and ReLU on what is never negative."""
    positive: set[int] = set()
    for number, row in enumerate(network.rows):
        names = [one.name for one in row.records]
        before = network.source(row)
        all_positive = bool(row.sources) and all(source in positive for source in row.sources)
        if before is not None and family(row) == "activation" and names == [one.name for one in before.records]:
            yield row.name, f"repeats the activation before, {before.name}; one is enough"
        elif names == ["relu"] and all_positive:
            yield row.name, "no negative number comes here, so ReLU changes nothing; leave it out"
        if (names and set(names) <= _POSITIVE) or (all_positive and _keeps_sign(row)):
            positive.add(number)


def _keeps_sign(row: Row) -> bool:
    """Whether nothing negative comes out where nothing negative goes in."""
    if row.parameters or row.reused:
        return False
    tensors = [len(one.arguments.get("tensors", (1, 1))) for one in row.records if one.name in _JOINS]
    joined = not tensors or len(row.sources) == max(tensors)  # none of them is a constant
    return family(row) == "pooling" or (joined and {one.name for one in row.records} <= _KEEPS)


def _dropping_nothing(network: _Network) -> Iterator[Finding]:
    """Dropout of p = 0 beside some that drops; where none does, it is switched off as a whole."""
    rates = {path: float(module.p) for path, module in network.model.named_modules() if _drops(module)}
    if any(rates.values()):
        yield from ((path, "drops nothing (p = 0); set p or leave it out") for path, p in rates.items() if p == 0)


def _drops(module: nn.Module) -> bool:
    return "Dropout" in type(module).__name__ and isinstance(getattr(module, "p", None), int | float)


def _side_by_side(network: _Network) -> Iterator[Finding]:
    """Groups that no row ever brings together."""
    every = ((row.name, one) for row in network.rows for one in row.records)
    grouped = [(name, one.arguments["groups"]) for name, one in every if one.name == "convolution"]
    groups = gcd(*(count for _, count in grouped)) if grouped else 1
    kinds = {one.name for row in network.rows for one in row.records}
    apart = all(family(row) in ("convolution", "pooling", "activation") or _by_channel(row) for row in network.rows)
    if len(grouped) > 1 and groups > 1 and apart and not kinds & _MIXING:
        text = f"the {groups} groups never mix, so these are {groups} networks side by side; a 1x1 convolution mixes"
        yield from ((name, text) for name, _ in grouped)


def _by_channel(row: Row) -> bool:
    return row.kind.startswith(("BatchNorm", "InstanceNorm")) or not row.records


def _unused(network: _Network, totals: Totals) -> Iterator[str]:
    """Parameters that this pass does not need."""
    if totals.unused <= 0:
        return
    ran = {row.path for row in network.rows}
    idle = [name for name, _ in network.model.named_parameters() if name.rpartition(".")[0] not in ran]
    named = f", {idle[0]} among them" if idle else ""
    yield f"{totals.unused:,} parameters are not used in this pass{named}; leave them out if no other pass needs them"


_POSITIVE = frozenset("relu sigmoid _softmax hardsigmoid _safe_softmax".split())
_JOINS = ("cat", "add")
_KEEPS = frozenset(("view", "_unsafe_view", "clone", "upsample_nearest2d", *_JOINS))
_MIXING = frozenset("_softmax _log_softmax channel_shuffle native_channel_shuffle permute transpose".split())
_RULES: tuple[Rule, ...] = (
    _narrow_view,
    _on_padding,
    _skipped,
    _narrow_waist,
    _bias_before_norm,
    _repeated,
    _dropping_nothing,
    _side_by_side,
)
