"""The equations of a row, from the operations that it comes to and their shapes: functional calls as well as layers.

A row of one operation that counts has that operation's equation.  A row of several, such as attention with its
projections, has those of its products, convolutions and norms, and the names of all; what has no equation here has
its name only.  What is shown as arithmetic is true: counts that do not come to the row's own are left out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod

from striate.analysis.call import Record
from striate.analysis.formula import Formula, Reckoning, times
from striate.analysis.formulas_layers import attentions, whole_row
from striate.analysis.formulas_mixing import MIXING, PRODUCTS, product
from striate.analysis.formulas_pointwise import POINTWISE
from striate.analysis.formulas_windows import WINDOWS
from striate.analysis.repeats import Line, lines_of
from striate.analysis.summary import Row
from striate.analysis.units import SILENT, VIEWS
from striate.base.operations import Shape, written

_MOVES = SILENT | VIEWS | {"repeat"}  # what computes nothing


@dataclass(frozen=True, slots=True)
class Step:
    """An operation of a row, and what it does.

    Args:
        operation: torch's name of it.
        formula: its equation.
    """

    operation: str
    formula: Formula


def equations(row: Row) -> tuple[Step, ...]:
    """The steps of a row that have an equation; none where it has none."""
    steps = tuple(_steps(row))
    parameters = sum(one.formula.parameters.value for one in steps if one.formula.parameters)
    macs = sum(one.formula.macs.value for one in steps if one.formula.macs)
    return tuple(replace(step, formula=_true(step.formula, row, parameters, macs)) for step in steps)


def _true(formula: Formula, row: Row, parameters: int, macs: int) -> Formula:
    """The formula without counts that are not the row's, of which these are the sums."""
    return replace(
        formula,
        parameters=formula.parameters if parameters == row.parameters else None,
        macs=formula.macs if macs == row.macs else None,
    )


def written_out(row: Row) -> list[str]:
    """Equations and arithmetic of a row, line by line; the names of its operations where it has no equation."""
    steps = equations(row)
    lines = []
    for step in steps:
        formula = step.formula
        named = f"{step.operation}: " if len(steps) > 1 else ""
        lines.append(f"{named}{formula.equation}{f'   ({formula.note})' if formula.note else ''}")
        counts = (formula.parameters, formula.macs)
        lines += [str(one) for one in (*formula.sizes, *counts) if one is not None]
    if not steps:
        working = dict.fromkeys(one.name for one in row.records if one.name not in _MOVES)
        lines.append(f"operations: {', '.join(working)}" if working else "moves numbers about")
    return lines


def all_written_out(rows: Sequence[Row]) -> str:
    """The same for all rows, repeated blocks once."""
    return "\n\n".join("\n  ".join([_head(line), *written_out(line.row)]) for line in lines_of(rows))


def _head(line: Line) -> str:
    """`features.0  Conv2d  1x32x32 -> 6x28x28`."""
    shapes = " and ".join(map(written, line.row.input_shapes))
    counted = f"  (x {line.count})" if line.count > 1 else ""
    return f"{line.name}{counted}  {line.row.kind}  {shapes} -> {written(line.row.output_shape) or 1}"


def _steps(row: Row) -> Iterator[Step]:
    working = [one for one in row.records if one.name not in _MOVES]
    if not working:
        yield from _moving(row)
        return
    whole = whole_row(row, working)
    if whole is not None:
        yield Step(row.kind, whole)
        return
    known = attentions(working)
    alone = len(working) == 1 or all(_says_something(one) for one in working)
    for number, record in enumerate(working):
        told = number in known or not (alone or record.macs)
        formula = known.get(number) if told else _of(record, row)
        if formula is not None:
            yield Step(record.name, formula)


def _says_something(record: Record) -> bool:
    """Whether an operation can be read among others: arithmetic between steps cannot, without where it is put."""
    return record.name in WINDOWS or record.name in MIXING or record.name in PRODUCTS


def _of(record: Record, row: Row) -> Formula | None:
    """The equation of one operation."""
    if record.name in PRODUCTS:
        factor = record.arguments.get("mat2")
        turned = any(one.name == "t" and one.output == factor for one in row.records)
        return product(record, turned=turned, flowing=prod(row.input_shapes[0]) if row.input_shapes else 0)
    if record.name in WINDOWS:
        formula = WINDOWS[record.name](record, max(len(row.output_shape) - 1, 0))
        return _with_its_weights(formula, record, row) if formula else None
    rule = MIXING.get(record.name) or POINTWISE.get(record.name)
    formula = rule(_as_it_was(record, row)) if rule else None
    return _with_its_view(formula, record, row) if formula else None


def _with_its_weights(formula: Formula, record: Record, row: Row) -> Formula:
    """Told where the weights are not learnt as they are: a mask, a norm, a kernel turned round."""
    weight = record.arguments.get("weight")
    makers = [one.name for one in row.records if one.output == weight and one.name not in _MOVES]
    made = [f"w: the weights after {makers[-1]}"] if makers else []
    return replace(formula, note="; ".join([*filter(None, [formula.note]), *made]))


def _with_its_view(formula: Formula, record: Record, row: Row) -> Formula:
    """Told where the operation works on the input in another shape."""
    x = record.arguments.get("self")
    same = {_thin(shape) for shape in row.input_shapes}
    if not isinstance(x, tuple) or _thin(x) in same or not any(one.name in VIEWS for one in row.records):
        return formula
    return replace(formula, note="; ".join([*filter(None, [formula.note]), f"x as {written(x[1:])}"]))


def _as_it_was(record: Record, row: Row) -> Record:
    """The mean of one axis, for which torch puts in a second one of size 1."""
    a = record.arguments
    if a.get("dim") != (-1, -2) or a["self"][-2] != 1 or not any(one.name == "unsqueeze" for one in row.records):
        return record
    thin = {**a, "self": (*a["self"][:-2], a["self"][-1]), "dim": (-1,)}
    return replace(record, arguments=thin, output=(*record.output[:-2], record.output[-1]))


def _thin(shape: Shape) -> Shape:
    return tuple(n for n in shape if n != 1)


def _moving(row: Row) -> Iterator[Step]:
    """A row that computes nothing: it lets pass, or gives another shape."""
    inputs, output = row.input_shapes, row.output_shape
    if not row.records and inputs == (output,):
        yield Step(row.kind, Formula("y = x", note="outside of training"))
    elif len(inputs) == 1 and len(output) == 1 and prod(inputs[0]) == output[0] and len(inputs[0]) > 1:
        size = Reckoning("features", output[0], times(inputs[0]))
        yield Step(row.kind, Formula("y = x in one row, the last axis running fastest", sizes=(size,)))
