"""A result as plain values for JSON, which has no NaN."""

from dataclasses import asdict
from math import isfinite, nan
from typing import Any


def plain(result: Any) -> dict[str, Any]:
    """The fields of a result, a dataclass; a number that is none, such as a mean of nothing, is None."""
    return {name: _told(value) for name, value in asdict(result).items()}


def number(value: float | None) -> float:
    """The inverse for a number."""
    return nan if value is None else value


def _told(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _told(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return tuple(map(_told, value))
    return None if isinstance(value, float) and not isfinite(value) else value
