"""The analysis as one page that needs nothing else: totals, drawing, table, and for every row its equation and field.

A row is chosen by click, by its link or with the arrow keys; without scripts the links alone do it.  Every text that a
network brings along is escaped, and the page forbids itself to load anything.
"""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from striate.analysis.columns import EVERY, NAME, USUAL, filled
from striate.analysis.drawing import drawing
from striate.analysis.equations import equations
from striate.analysis.field_picture import field_picture
from striate.analysis.graph import graph
from striate.analysis.html_table import html_table
from striate.analysis.repeats import Line, lines_of
from striate.analysis.summary import Row, Summary
from striate.analysis.table import CONVENTIONS, figures
from striate.base.marks import shown
from striate.base.operations import Shape, written

Facts = Sequence[tuple[str, str]]  # (name, text): what stands in the head
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


def page(summary: Summary, facts: Facts = ()) -> str:
    """The page.

    Args:
        summary: the analysis.
        facts: what is known of the network besides, such as its source.
    """
    lines = lines_of(summary.rows)
    title = escape(summary.title)
    table = html_table(lines, filled(USUAL, lines), lambda line, name: f'<a href="#row-{line.number}">{name}</a>')
    details = "\n".join(_detail(line, summary) for line in lines)
    advice = "".join(f"<p>{escape(text)}</p>" for text in summary.advice)
    style, script = ((files("striate.analysis") / name).read_text("utf-8") for name in ("page.css", "page.js"))
    notes = "".join(f"<p class='dim'>note: {escape(text)}</p>" for text in summary.notes)
    text = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>{title}</title>
<style>
{style}</style></head>
<body>
<header><h1>{title}</h1><p class="dim">input {written(summary.input_shape)}</p>{_list(facts)}</header>
<main>
{_list(figures(summary.totals))}
{f'<h2>Advice</h2><div class="advice">{advice}</div>' if advice else ""}{notes}
<h2>Drawn to scale</h2><div class="scroll">{drawing(summary)}</div>
<h2>Rows</h2>
<div class="work"><div>
<p class="tools"><label>filter <input type="search" placeholder="name or kind, press /"></label>
<span class="count dim"></span></p>
<div class="scroll rows">{table}</div><p class="dim">{escape(_conventions(lines))}</p></div>
<aside class="details" aria-live="polite"><p class="hint dim">Choose a row: its equation, sizes, operations and what it
sees of the input.</p>
{details}</aside></div>
<div class="graph"><h2>Graph</h2><details><summary>Rows and the tensors between them</summary>
<div class="scroll">{graph(summary)}</div></details></div>
</main>
<script>
{script}</script>
</body></html>
"""
    return shown(text)


def _conventions(lines: Sequence[Line]) -> str:
    repeated = any(line.count > 1 for line in lines)
    return ("x 2: two blocks in a row alike, counts of one. " if repeated else "") + CONVENTIONS


def _list(facts: Facts) -> str:
    pairs = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts)
    return f"<dl>{pairs}</dl>" if facts else ""


def _detail(line: Line, summary: Summary) -> str:
    row = line.row
    worked = "".join(f"<pre>{text}</pre>" for text in _equations(row))
    operations = "\n".join(escape(_operation(record.name, record.arguments)) for record in row.records)
    known = [(column.head, column.cell(line)) for column in EVERY if column.head and column is not NAME]
    return f"""<section class="detail" id="row-{line.number}">
<h3>{escape(line.name)}</h3><p class="dim">{escape(row.kind)}{f", x {line.count}" if line.count > 1 else ""}</p>
{worked}{_field(row, summary.input_shape)}{_list([(name, text) for name, text in known if text not in ("", "-")])}
{f"<h3>Operations</h3><pre>{operations}</pre>" if operations else ""}</section>"""


def _equations(row: Row) -> Iterator[str]:
    """Each step's equation and arithmetic, right-hand sides set back."""
    steps = equations(row)
    for step in steps:
        formula = step.formula
        named = f"<b>{escape(step.operation)}</b>\n" if len(steps) > 1 else ""
        note = f"\n{_dim(formula.note)}" if formula.note else ""
        counts = [one for one in (*formula.sizes, formula.parameters, formula.macs) if one is not None]
        told = "".join(
            f'\n{escape(one.what)} {one.value:,} <span class="right-hand">= {escape(one.right)}</span>'
            for one in counts
        )
        yield f"{named}{escape(formula.equation)}{note}{told}"


def _dim(text: str) -> str:
    return f'<span class="right-hand">{escape(text)}</span>'


def _field(row: Row, input_shape: Shape) -> str:
    """The picture of the receptive field, with the key to its boxes."""
    if not row.sights:
        return ""
    if all(one.everything for one in row.sights):
        key = "every output may depend on the whole input"
    else:
        key = (
            '<span class="blue">the first output’s</span>, <span class="orange">its neighbour’s</span> and '
            '<span class="green">the last output’s</span> view of the input; grey is padding'
        )
    return f'{field_picture(row, input_shape)}<p class="key">{key}</p>'


def _operation(name: str, arguments: Mapping[str, Any]) -> str:
    """`convolution(input 1x1x32x32, weight 6x1x5x5, stride 1x1, ...)`, what is nothing or no left out."""
    told = [f"{key} {_value(value)}" for key, value in arguments.items() if not _is_nothing(value)]
    return f"{name}({', '.join(told)})"


def _value(value: Any) -> str:
    if isinstance(value, tuple) and all(isinstance(entry, int) for entry in value):
        return written(value)
    return ", ".join(map(_value, value)) if isinstance(value, tuple) else str(value)


def _is_nothing(value: Any) -> bool:
    return value is None or value is False or value == ()
