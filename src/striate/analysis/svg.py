"""Scalable vector graphics as text: the few elements that our pictures are made of.

Texts are escaped here and control characters shown as such, so that a module may have any name.  Places and lengths
are in pixels, y downwards.
"""

from collections.abc import Iterable
from html import escape

from striate.base.marks import shown

Length = int | float  # pixels
FONT = "ui-sans-serif, system-ui, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"
BOLD = 1.12  # how much wider bold letters are
_WIDTHS = {0.34: "ijlI.,'| ", 0.42: "frtJ()[]:;/-!", 0.8: "ABCDEFGHKLNOPQRSTUVXYZ&", 1.0: "mwMW@%=+<>#^~…"}
_ADVANCE = {mark: width for width, marks in _WIDTHS.items() for mark in marks}  # at least that of DejaVu Sans


def number(value: Length) -> str:
    """A length with one decimal at most.

    >>> number(3.0), number(2.25)
    ('3', '2.2')
    """
    return f"{value:.1f}".removesuffix(".0")


def picture(
    size: tuple[Length, Length], label: str, style: str, content: Iterable[str], *, name: str = "picture"
) -> str:
    """A whole picture of the class `striate-NAME`; what draws its colours from `style` is named there by class."""
    width, height = map(number, size)
    return shown(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="{escape(label)}" font-family="{FONT}" class="striate-{name}">\n'
        f"<style>{style}</style>\n" + "\n".join(content) + "\n</svg>\n"
    )


def group(content: Iterable[str], *, title: str = "", attributes: str = "") -> str:
    """Elements together; `title` shows where the mouse rests."""
    shown = f"<title>{escape(title)}</title>" if title else ""
    return f"<g{f' {attributes}' if attributes else ''}>{shown}{''.join(content)}</g>"


def text(x: Length, y: Length, string: str, kind: str = "", *, anchor: str = "middle") -> str:
    """A line of text whose baseline is at y."""
    classed = f' class="{kind}"' if kind else ""
    return f'<text x="{number(x)}" y="{number(y)}" text-anchor="{anchor}"{classed}>{escape(string)}</text>'


def rectangle(x: Length, y: Length, width: Length, height: Length, attributes: str) -> str:
    """A box; `attributes` says how it is painted."""
    place = f'x="{number(x)}" y="{number(y)}" width="{number(width)}" height="{number(height)}"'
    return f"<rect {place} {attributes}/>"


def polygon(points: Iterable[tuple[Length, Length]], attributes: str) -> str:
    """A closed shape."""
    listed = " ".join(f"{number(x)},{number(y)}" for x, y in points)
    return f'<polygon points="{listed}" {attributes}/>'


def path(drawn: str, attributes: str) -> str:
    """A line, straight or curved."""
    return f'<path d="{drawn}" {attributes}/>'


def width_of(string: str, size: Length) -> Length:
    """How wide a text of that size is at most, in a font that is wide; none is asked, since none may be there.

    >>> width_of("iii", 10) < width_of("nnn", 10) < width_of("mmm", 10)
    True
    """
    return size * sum(_ADVANCE.get(mark, 0.64) for mark in string)


def shortened(string: str, size: Length, room: Length) -> str:
    """A text that fits, its end left out where it must be.

    >>> shortened("classifier", 10, 40), shortened("conv", 10, 40)
    ('class…', 'conv')
    """
    if width_of(string, size) <= room:
        return string
    kept = len(string)
    while kept and width_of(string[:kept] + "…", size) > room:
        kept -= 1
    return string[:kept] + "…" if kept else ""
