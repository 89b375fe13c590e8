"""What an analysis comes to: a row for every layer's or function's call, and the totals."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from math import ceil, floor
from pathlib import Path
from typing import Any, Literal

from striate.analysis.call import Record
from striate.analysis.field import Field
from striate.base.files import write
from striate.base.marks import shown
from striate.base.operations import Shape

Status = Literal["exact", "bound", "whole input"]
Pixels = int | float  # a whole number wherever it can be


@dataclass(frozen=True, slots=True)
class Sight:
    """What an output sees of the input along one axis, in pixels.

    Args:
        receptive_field: from the first pixel that it depends on to the last; may be larger than the input.
        jump: from an output to its neighbour; 0 where no output has a neighbour along this axis, or where nothing
            narrower than the whole input is known of any.
        start: the first pixel that the first output sees; below 0 in the padding.
        after: pixels that the last output sees past the end of the input.
        status: "exact"; "bound", it may see less; "whole input", every output depends on all of it.
    """

    receptive_field: int
    jump: Pixels
    start: int
    after: int
    status: Status

    @property
    def padding(self) -> int:
        """The effective padding: pixels before the input that the first output sees (Araujo et al. 2019)."""
        return -self.start

    @property
    def everything(self) -> bool:
        """Whether an output sees, or may see, the whole input, wherever it lies."""
        return self.jump == 0 and self.start <= 0 <= self.after


def sight_of(field_: Field, axis: int, size: int) -> Sight:
    """What the entries of a tensor see along one axis of an input of `size` pixels."""
    field_ = field_.walked(axis)
    one, jump = field_.intervals[axis], field_.jumps()[axis]
    ways = [atom.jumps[axis] * (atom.size - 1) for dim in field_.dims for atom in dim]
    forth, back = sum(max(0, way) for way in ways), sum(min(0, way) for way in ways)
    covers = one.low + forth <= 0 and one.high + back >= size - 1  # wherever the entry lies
    if covers and (jump == 0 or not one.exact):
        return Sight(size, 0, 0, 0, "whole input" if one.exact else "bound")
    return Sight(
        receptive_field=floor(one.high - one.low) + 1,
        jump=_plain(jump),
        start=ceil(one.low),
        after=floor(one.high + forth + back) - (size - 1),
        status="exact" if one.exact else "bound",
    )


def _plain(number: Fraction | int) -> Pixels:
    return int(number) if number == int(number) else float(number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A layer's call, or a function's outside of any layer.  Shapes, counts and bytes are those of one sample.

    Args:
        name: the module's path; for a function, that of the module it runs in and the function's name.
        kind: the layer's class, or the function's name.
        input_shapes: what goes in.
        output_shape: what comes out.
        parameters: numbers that are learnt, or could be; 0 where an earlier row has counted them.
        trainable: those of them that are not frozen.
        reused: the parameters are an earlier row's.
        macs: multiply-accumulates.
        connections: weights and biases, each as often as it is used.
        activation_bytes: memory that the output takes; 0 for another view of the same numbers.
        moved_bytes: of all numbers that go in and come out, views and copies alike.
        saved_bytes: what training keeps of it for the backward pass.
        weight_bytes: memory of parameters and buffers, counted once.
        sights: for each axis of the input, what an output sees.
        records: the operations that it comes to.
        sources: numbers of the rows that it takes from; -1 is the input.
        path: of the module that it runs in.
    """

    name: str
    kind: str
    input_shapes: tuple[Shape, ...]
    output_shape: Shape
    parameters: int
    trainable: int
    reused: bool
    macs: int
    connections: int
    activation_bytes: int
    moved_bytes: int
    saved_bytes: int
    weight_bytes: int
    sights: tuple[Sight, ...]
    records: tuple[Record, ...] = field(repr=False)
    sources: tuple[int, ...]
    path: str

    @property
    def flops(self) -> int:
        """Floating-point operations: 2 a MAC."""
        return 2 * self.macs

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; receptive fields as one number an axis."""
        return {
            "name": self.name,
            "kind": self.kind,
            "output_shape": list(self.output_shape),
            "parameters": self.parameters,
            "trainable": self.trainable,
            "reused": self.reused,
            "macs": self.macs,
            "flops": self.flops,
            "connections": self.connections,
            "activation_bytes": self.activation_bytes,
            "saved_bytes": self.saved_bytes,
            "weight_bytes": self.weight_bytes,
            "receptive_field": [one.receptive_field for one in self.sights],
            "jump": [one.jump for one in self.sights],
            "start": [one.start for one in self.sights],
            "padding": [one.padding for one in self.sights],
            "padding_after": [one.after for one in self.sights],
            "status": [one.status for one in self.sights],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """The sums.  Counts are those of one sample; what depends on the batch says so.

    Args:
        parameters: numbers that are learnt or could be, shared ones once.
        trainable: those that are not frozen.
        unused: parameters that this pass does not use.
        macs: multiply-accumulates.
        connections: weights and biases, each as often as it is used.
        activation_bytes: all outputs, if all were kept.
        saved_bytes: what training keeps for the backward pass.
        weight_bytes: parameters and buffers.
        disk_bytes: the file of weights, as a bundle holds it: safetensors, header included.
        batch_size: samples, for what follows.
        peak_inference_bytes: weights, input and the most that is held at once.
        peak_training_bytes: the same with gradients, what is kept for the backward pass, and one momentum.
        intensity: FLOPs a byte that has to be moved: weights once, every row's inputs and outputs once.
    """

    parameters: int
    trainable: int
    unused: int
    macs: int
    connections: int
    activation_bytes: int
    saved_bytes: int
    weight_bytes: int
    disk_bytes: int
    batch_size: int
    peak_inference_bytes: int
    peak_training_bytes: int | None
    intensity: float

    @property
    def flops(self) -> int:
        """Floating-point operations: 2 a MAC."""
        return 2 * self.macs

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"flops": self.flops, **asdict(self)}


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Summary:
    """A true account of a network.

    Args:
        title: its name or class.
        input_shape: of one sample.
        input_bytes: of one sample.
        rows: in the order in which they run.
        totals: their sums.
        advice: what is worth a second look, a sentence each.
        notes: how the figures were had, where not as usual.
    """

    title: str
    input_shape: Shape
    input_bytes: int
    rows: tuple[Row, ...]
    totals: Totals
    advice: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __getitem__(self, name: str) -> Row:
        """The first row of that name."""
        return next(row for row in self.rows if row.name == name)

    def __str__(self) -> str:
        from striate.analysis.table import table, terminal_width

        return table(self, terminal_width())

    __repr__ = __str__  # what a prompt shows

    def in_full(self) -> str:
        """The same with every row for itself and every column."""
        from striate.analysis.columns import EVERY
        from striate.analysis.table import full_table

        return full_table(self, EVERY)

    def equations(self) -> str:
        """Each row's equation, and its sizes and counts reckoned with its own numbers; repeated blocks once."""
        from striate.analysis.equations import all_written_out

        return shown(all_written_out(self.rows))

    def drawing(self) -> str:
        """The network drawn to scale, as SVG."""
        from striate.analysis.drawing import drawing

        return drawing(self)

    def graph(self) -> str:
        """The computational graph, as SVG."""
        from striate.analysis.graph import graph

        return graph(self)

    def graph_with_gradients(self) -> str:
        """The same with the gradients' way back and what each backward step computes."""
        from striate.analysis.graph import graph_with_gradients

        return graph_with_gradients(self)

    def save_html(self, path: str | Path, facts: Sequence[tuple[str, str]] = ()) -> None:
        """Write the whole analysis as one page that needs nothing else.

        Args:
            path: the file.
            facts: (name, text) pairs for its head: what is known of the network beside what it computes.

        Raises:
            ResourceError: it could not be written.
        """
        from striate.analysis.page import page

        write(Path(path), page(self, facts))

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from striate.analysis.notebook import notebook

        return notebook(self)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON: title, input_shape, totals, rows, advice, notes."""
        return {
            "title": self.title,
            "input_shape": list(self.input_shape),
            "totals": self.totals.as_dict(),
            "rows": [row.as_dict() for row in self.rows],
            "advice": list(self.advice),
            "notes": list(self.notes),
        }
