"""Pieces of the report's HTML; every text that comes from data is escaped."""

from collections.abc import Sequence
from html import escape


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A table."""
    cells = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return "<table><tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in head) + f"</tr>{cells}</table>"


def share(value: float | None) -> str:
    """A number in [0, 1], or what to print where there is none."""
    return "not available" if value is None or value != value else f"{value:.4f}"
