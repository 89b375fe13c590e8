"""The columns of the table, for terminals and for pages: what each shows, and by which convention."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from striate.analysis.numerals import per_axis, size
from striate.analysis.repeats import Line
from striate.analysis.summary import Row, Sight
from striate.base.operations import written

NOTHING = "-"
Cell = Callable[[Line], str]


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Args:
        head: what stands above it.
        cell: what it shows of a line.
        meaning: what that is, with its convention, for people.
        right: whether it is a number, to be set at the right.
    """

    head: str
    cell: Cell
    meaning: str
    right: bool = True


def _count(of: Callable[[Row], int]) -> Cell:
    return lambda line: f"{of(line.row):,}" if of(line.row) else NOTHING


def _bytes(of: Callable[[Row], int]) -> Cell:
    return lambda line: size(of(line.row)) if of(line.row) else NOTHING


def _parameters(line: Line) -> str:
    return "reused" if line.row.reused else _count(lambda row: row.parameters)(line)


def _pixels(of: Callable[[Sight], int | float]) -> Cell:
    """A figure of the receptive field: of the first block and the last where it grows from block to block."""

    def cell(line: Line) -> str:
        first, last = (per_axis([of(one) for one in row.sights]) for row in (line.row, line.last))
        return first if first == last else f"{first} to {last}"

    return cell


def _moving(of: Callable[[Sight], int | float]) -> Cell:
    """The same, where an output sees a part of the input alone."""
    known = _pixels(of)
    return lambda line: NOTHING if all(one.everything for one in line.row.sights) else known(line)


def _status(line: Line) -> str:
    """Empty where every axis is exact."""
    found = [one.status for one in line.row.sights]
    if set(found) <= {"exact"}:
        return ""
    return found[0] if len(set(found)) == 1 else " x ".join(found)


_OUTPUT = "one sample's, channels first"
_FIELD = "pixels of the input from the first to the last that an output depends on"
_JUMP = "pixels of the input from an output to its neighbour"
_START = "the first pixel that the first output sees, below 0 in the padding"
_STATUS = "exact where nothing stands; bound, it may see less; whole input, every output depends on all of it"
_MACS = "multiply-accumulates of convolutions and matrix products, without bias; FLOPs = 2 MACs"

NAME = Column("name", lambda line: line.name, "the module's path; a function's own name within it", right=False)
COUNT = Column("", lambda line: f"x {line.count}" if line.count > 1 else "", "so many blocks like it; counts of one")
KIND = Column("kind", lambda line: line.row.kind, "the layer's class, or the function's name", right=False)
INPUT = Column("input", lambda line: " ".join(map(written, line.row.input_shapes)), _OUTPUT, right=False)
OUTPUT = Column("output", lambda line: written(line.row.output_shape) or "1", _OUTPUT, right=False)
PARAMETERS = Column("parameters", _parameters, "numbers that are learnt or could be, biases included, once if shared")
TRAINABLE = Column("trainable", _count(lambda row: row.trainable), "those of them that are not frozen")
MACS = Column("MACs", _count(lambda row: row.macs), _MACS)
FLOPS = Column("FLOPs", _count(lambda row: row.flops), "2 a MAC")
CONNECTIONS = Column("connections", _count(lambda row: row.connections), "weights and biases, each as often as used")
ACTIVATIONS = Column("activations", _bytes(lambda row: row.activation_bytes), "memory of its output, views apart")
KEPT = Column("kept", _bytes(lambda row: row.saved_bytes), "memory that training keeps of it for the backward pass")
WEIGHTS = Column("weights", _bytes(lambda row: row.weight_bytes), "memory of its parameters and buffers")
FIELD = Column("field", _pixels(lambda one: one.receptive_field), _FIELD)
JUMP = Column("jump", _moving(lambda one: one.jump), _JUMP)
START = Column("start", _moving(lambda one: one.start), _START)
PADDING = Column("padding", _moving(lambda one: one.padding), "pixels before the input that the first output sees")
AFTER = Column("after", _moving(lambda one: one.after), "pixels past the end of the input that the last output sees")
STATUS = Column("status", _status, _STATUS, right=False)

USUAL = (NAME, COUNT, KIND, OUTPUT, PARAMETERS, MACS, FIELD, JUMP, START, STATUS)
_SHAPES = (NAME, COUNT, KIND, INPUT, OUTPUT)
_COUNTS = (PARAMETERS, TRAINABLE, MACS, FLOPS, CONNECTIONS, ACTIVATIONS, KEPT, WEIGHTS)
EVERY = (*_SHAPES, *_COUNTS, FIELD, JUMP, START, PADDING, AFTER, STATUS)


def filled(columns: Sequence[Column], lines: Sequence[Line]) -> tuple[Column, ...]:
    """Those columns that have something to say of some line."""
    return tuple(column for column in columns if any(column.cell(line) for line in lines))
