"""The table as HTML, for pages and notebooks.  Every text that a network brings along is escaped."""

from collections.abc import Callable, Sequence
from html import escape

from striate.analysis.columns import NAME, Column
from striate.analysis.repeats import Line

Wrap = Callable[[Line, str], str]  # what is made of the name, escaped, of a line


def html_table(lines: Sequence[Line], columns: Sequence[Column], named: Wrap) -> str:
    """A `<table>` with a row for each line, which has its number as `data-row`.

    Args:
        lines: the rows.
        columns: the columns.
        named: what is made of a line's name, such as a link.
    """
    heads = "".join(_head(column) for column in columns)
    body = "\n".join(f'<tr data-row="{line.number}">{_cells(line, columns, named)}</tr>' for line in lines)
    return f"<table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def _head(column: Column) -> str:
    right = ' class="right"' if column.right else ""
    return f'<th scope="col"{right} title="{escape(column.meaning)}">{escape(column.head)}</th>'


def _cells(line: Line, columns: Sequence[Column], named: Wrap) -> str:
    return "".join(_cell(line, column, named) for column in columns)


def _cell(line: Line, column: Column, named: Wrap) -> str:
    text = escape(column.cell(line))
    if column is NAME:
        return f'<th scope="row">{named(line, text)}</th>'
    return f'<td class="right">{text}</td>' if column.right else f"<td>{text}</td>"
