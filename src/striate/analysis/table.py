"""A summary as text: an aligned table, the totals, advice and notes."""

import sys
from collections.abc import Iterator, Sequence
from shutil import get_terminal_size
from textwrap import wrap

from striate.analysis.columns import COUNT, JUMP, KIND, MACS, OUTPUT, START, STATUS, USUAL, Column, filled
from striate.analysis.numerals import short, size
from striate.analysis.repeats import Line, each_row, lines_of
from striate.analysis.summary import Summary, Totals
from striate.base.marks import shown
from striate.base.operations import written

WIDTH = 120  # characters; a table that is wider for its names stays so
GAP = "  "
SPARED = (START, JUMP, STATUS, KIND, OUTPUT, MACS)  # columns that give way where a terminal is narrow, in order
CONVENTIONS = (
    "MACs: multiply-accumulates of convolutions and matrix products, without bias; FLOPs = 2 MACs. "
    "In pixels of the input: field, what an output sees; jump, from an output to the next; start, < 0 in the padding."
)


def table(summary: Summary, width: int = WIDTH) -> str:
    """The usual columns, repeated blocks once.

    Args:
        summary: what is told.
        width: characters of a line; the least needed columns are left out, and named, until the rest has room.
    """
    lines = lines_of(summary.rows)
    every = filled(USUAL, lines)
    columns = every
    for least in SPARED if width < WIDTH else (START,):  # in a file a line may be long
        if _width(columns, lines) > width:
            columns = tuple(column for column in columns if column is not least)
    missing = [column.head for column in every if column not in columns] if width < WIDTH else []
    return _text(summary, lines, columns, width, missing)


def terminal_width() -> int:
    """Characters of a line: of the terminal that is written to where it is narrow, else as many as a table wants."""
    return min(WIDTH, get_terminal_size((WIDTH, 0)).columns) if sys.stdout.isatty() else WIDTH


def full_table(summary: Summary, columns: Sequence[Column]) -> str:
    """Every row and all the columns given, however wide."""
    lines = each_row(summary.rows)
    return _text(summary, lines, filled(columns, lines), WIDTH, ())


def _text(
    summary: Summary, lines: Sequence[Line], columns: Sequence[Column], width: int, missing: Sequence[str]
) -> str:
    parts = [f"{summary.title}, input {written(summary.input_shape)}"]
    if lines:
        parts.append("\n".join(_rows(lines, columns)))
        parts.append("\n".join(_conventions(lines, columns, width, missing)))
    told = [f"{name:<13}{text}" for name, text in figures(summary.totals)]
    parts.append("\n".join(line for text in told for line in wrap(text, width, subsequent_indent=" " * 13)))
    said = [f"advice: {text}" for text in summary.advice] + [f"note: {text}" for text in summary.notes]
    parts += ["\n".join(line for text in said for line in wrap(text, width, subsequent_indent="  "))] if said else []
    return shown("\n\n".join(parts))


def _rows(lines: Sequence[Line], columns: Sequence[Column]) -> Iterator[str]:
    cells = [[column.head for column in columns], *([column.cell(line) for column in columns] for line in lines)]
    widths = [max(map(len, texts)) for texts in zip(*cells, strict=True)]
    for row in cells:
        sized = zip(row, widths, columns, strict=True)
        yield GAP.join(text.rjust(n) if column.right else text.ljust(n) for text, n, column in sized).rstrip()


def _width(columns: Sequence[Column], lines: Sequence[Line]) -> int:
    return max(map(len, _rows(lines, columns)), default=0)


def _conventions(lines: Sequence[Line], columns: Sequence[Column], width: int, missing: Sequence[str]) -> list[str]:
    """What the table counts, and how, as one paragraph."""
    said = [CONVENTIONS]
    if COUNT in columns:
        said.insert(0, "x 2: two blocks in a row alike, counts of one.")
    if any(one.status == "bound" for line in lines for one in line.row.sights):
        said.append("bound: it may see less.")
    if missing:
        said.append(f"Left out, since a line has {width} characters: {', '.join(missing)}.")
    return wrap(" ".join(said), width)


def figures(totals: Totals) -> tuple[tuple[str, str], ...]:
    """The totals as (name, text), in the order of interest."""
    frozen = totals.parameters - totals.trainable
    share = f"{totals.trainable:,} trainable, {frozen:,} frozen" if frozen else "all trainable"
    unused = f", {totals.unused:,} unused in this pass" if totals.unused else ""
    training = totals.peak_training_bytes
    trained = f", training {size(training)} (with gradients and one momentum)" if training is not None else ""
    batch = f"at batch {totals.batch_size}"
    return (
        ("parameters", f"{totals.parameters:,} ({share}{unused})" if totals.parameters else "none"),
        ("MACs", f"{totals.macs:,} a sample{_in_short(totals.macs)}"),
        ("FLOPs", f"{totals.flops:,} a sample, 2 a MAC{_in_short(totals.flops)}"),
        ("connections", f"{totals.connections:,}, weights and biases as often as used"),
        ("weights", f"{size(totals.weight_bytes)} with buffers, {size(totals.disk_bytes)} on disk (safetensors)"),
        ("activations", f"{size(totals.activation_bytes)} a sample, {size(totals.saved_bytes)} kept for backward"),
        ("peak memory", f"inference {size(totals.peak_inference_bytes)}{trained}, {batch}"),
        ("intensity", f"{totals.intensity:.3g} FLOPs a byte moved, {batch}"),
    )


def _in_short(count: int) -> str:
    return f" ({short(count)})" if count >= 10_000_000 else ""
