"""A summary as a notebook shows it: the table and the totals, with a style of their own that touches nothing else."""

from html import escape

from striate.analysis.columns import USUAL, filled
from striate.analysis.html_table import html_table
from striate.analysis.repeats import lines_of
from striate.analysis.summary import Summary
from striate.analysis.table import CONVENTIONS, figures
from striate.base.marks import shown
from striate.base.operations import written

STYLE = """
.striate-summary table { border-collapse: collapse; margin: .5em 0; font-size: 12px }
.striate-summary td, .striate-summary th { padding: .15em .7em; text-align: left; font-weight: normal; border: 0;
  border-bottom: 1px solid rgba(128, 128, 128, .3); white-space: nowrap }
.striate-summary thead th { font-weight: 600 }
.striate-summary .right { text-align: right; font-variant-numeric: tabular-nums }
.striate-summary .small { font-size: 11px; opacity: .75; max-width: 60em }
"""


def notebook(summary: Summary) -> str:
    """A piece of HTML."""
    lines = lines_of(summary.rows)
    columns = filled(USUAL, lines)
    totals = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in figures(summary.totals)
    )
    said = [f"advice: {text}" for text in summary.advice] + [f"note: {text}" for text in summary.notes]
    return shown(
        f'<div class="striate-summary"><style>{STYLE}</style>'
        f"<p><b>{escape(summary.title)}</b>, input {written(summary.input_shape)}</p>"
        f"{html_table(lines, columns, lambda _, name: name)}<p class='small'>{escape(CONVENTIONS)}</p>"
        f"<table>{totals}</table>{''.join(f'<p>{escape(text)}</p>' for text in said)}</div>"
    )
