"""Recipes from files and from the command line."""

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from striate.base.errors import ConfigError
from striate.experiment.recipe import Recipe, parse_recipe


def read_recipe(path: Path | None, overrides: Iterable[tuple[str, Any]] = ()) -> Recipe:
    """A recipe from a TOML file, with dotted keys set anew.

    Raises:
        ConfigError: the file is missing or not TOML, or a value does not fit.
    """
    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = tomllib.loads(path.read_text())
        except OSError as error:
            raise ConfigError(
                "recipe", str(path), "a readable file", got=error.strerror, fix="check the path; recipes end in .toml"
            ) from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(
                "recipe", str(path), "TOML", got=error, fix="correct that line, or start from a run's recipe.toml"
            ) from None
    changes = dict(overrides)
    if changes.get("optimizer", values.get("optimizer")) != values.get("optimizer"):
        values = {key: value for key, value in values.items() if key not in ("lr", "momentum")}  # of the other one
    for key, value in changes.items():
        _set(values, key, value)
    return parse_recipe(values)


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    *tables, name = key.split(".")
    for table in tables:
        values = values.setdefault(table, {})
        if not isinstance(values, dict):
            raise ConfigError(
                "recipe", key, "a known key", got=f"{table} is not a table", fix="see `striate train --help`"
            )
    values[name] = value


def parse_override(text: str) -> tuple[str, Any]:
    """`key=value` from the command line; the value is TOML, or else a plain string.

    >>> parse_override("schedule.warmup_epochs=2"), parse_override("optimizer=adamw")
    (('schedule.warmup_epochs', 2), ('optimizer', 'adamw'))
    """
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise ConfigError("train", "argument", "RECIPE.toml or key=value", got=text, fix="for example lr=0.01")
    try:
        return key, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key, value
