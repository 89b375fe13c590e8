"""Numbers as tables and pictures show them."""

from collections.abc import Sequence

from striate.base.operations import Number

THOUSAND = ("", "k", "M", "G", "T", "P", "E")
BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def short(count: Number) -> str:
    """Three digits and a letter: k, M, G, T for thousands of thousands.

    >>> short(832), short(61706), short(4089184256), short(999950)
    ('832', '61.7 k', '4.09 G', '1 M')
    """
    return _scaled(count, 1000, THOUSAND)


def size(count: Number) -> str:
    """Bytes, in units of 1,024.

    >>> size(640), size(39496), size(1048575)
    ('640 B', '38.6 KiB', '1 MiB')
    """
    return _scaled(count, 1024, BINARY)


def _scaled(count: Number, step: int, units: Sequence[str]) -> str:
    value, unit = float(count), 0
    while value >= step - 0.5 and unit + 1 < len(units):
        value, unit = value / step, unit + 1
    text = f"{value:.3g}" if value < 999.5 else f"{value:,.0f}"
    return f"{text} {units[unit]}".rstrip()


def per_axis(values: Sequence[Number]) -> str:
    """One number where all axes have the same, else one an axis.

    >>> per_axis((5, 5)), per_axis((5, 3)), per_axis((0.5,)), per_axis(())
    ('5', '5x3', '0.5', '')
    """
    return "x".join(f"{value:g}" if isinstance(value, float) else str(value) for value in _alike(values))


def _alike(values: Sequence[Number]) -> Sequence[Number]:
    return values[:1] if len(set(values)) == 1 else values
