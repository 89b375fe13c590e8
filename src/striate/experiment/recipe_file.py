"""Recipes from files and from the command line."""

import re
import tomllib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from striate.base.errors import ConfigError
from striate.experiment.recipe import Recipe, parse_recipe
from striate.experiment.settle import lengths, usual_lr
from striate.models.own_file import is_file

SHORT = re.compile(r"[+-]?(\d+\.|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)  # .02 and 1., which TOML has not
RATED = ("model", "optimizer")  # what the usual learning rate follows from
BELONGING = {  # key -> what a file says of its value, which means something else or nothing beside another one
    "optimizer": ("momentum", "update.nesterov", "update.alpha", "update.beta1", "update.beta2"),
    "task": (
        "loss.name",
        "loss.label_smoothing",
        "loss.huber_delta",
        "augment.shift",
        "augment.flip",
        "augment.crop_scale",
    ),
    "loss.name": ("loss.label_smoothing", "loss.huber_delta"),
    "schedule.name": (
        "schedule.warmup_epochs",
        "schedule.step_epochs",
        "schedule.gamma",
        "schedule.power",
        "schedule.patience",
    ),
    "stopping.patience": ("stopping.min_delta",),
}


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
    for key, belonging in BELONGING.items():
        if key in changes and changes[key] != _get(values, key):
            for name in belonging:
                _drop(values, name)
    if any(key in changes and changes[key] != _get(values, key) for key in RATED):
        _drop_usual_lr(values)
    if "epochs" in changes:
        _drop_lengths(values)
    for key, value in changes.items():
        _set(values, key, value)
    return parse_recipe(values)


def _drop_usual_lr(values: dict[str, Any]) -> None:
    """Leave open again the rate that followed from a file's network and optimiser; one that somebody chose stays."""
    known: dict[str, Any] = {key: values[key] for key in RATED if key in values}
    if is_file(str(known.get("model"))):
        del known["model"]  # it has no factor of its own, and is not run to be replaced
    with suppress(ConfigError):  # what is wrong there may be what is replaced
        if values.get("lr") == usual_lr(parse_recipe(known)):
            _drop(values, "lr")


def _drop_lengths(values: dict[str, Any]) -> None:
    """Leave open again what followed from a file's number of epochs; what somebody chose stays."""
    epochs = values.get("epochs")
    if isinstance(epochs, int):
        for key, usual in lengths(_get(values, "schedule.name") or "cosine", epochs).items():
            if _get(values, key) == usual:
                _drop(values, key)


def _get(values: dict[str, Any], key: str) -> Any:
    found: Any = values
    for part in key.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _drop(values: dict[str, Any], key: str) -> None:
    *tables, name = key.split(".")
    table = _get(values, ".".join(tables)) if tables else values
    if isinstance(table, dict):
        table.pop(name, None)


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
    """`key=value` from the command line; the value is TOML, a number as one types it, or else a plain string.

    >>> parse_override("schedule.warmup_epochs=2"), parse_override("lr=.02"), parse_override("optimizer=adamw")
    (('schedule.warmup_epochs', 2), ('lr', 0.02), ('optimizer', 'adamw'))
    """
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise ConfigError("train", "argument", "RECIPE.toml or key=value", got=text, fix="for example lr=0.01")
    try:
        return key, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key, float(value) if SHORT.fullmatch(value) else value
