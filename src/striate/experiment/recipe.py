"""A run is one typed recipe: TOML in, the same TOML out; an unknown key is an error that names the nearest."""

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import Field, ModelWrapValidatorHandler, ValidationError, model_validator

from striate.base.errors import ConfigError
from striate.base.marks import shown
from striate.experiment.recipe_sense import refuse_senseless
from striate.experiment.recipe_tables import (
    Augment,
    Execution,
    Loss,
    Preprocess,
    Regularise,
    Sampling,
    Schedule,
    Split,
    Stopping,
    Table,
    Track,
    Transfer,
    Update,
)

Task = Literal["classify", "multilabel", "regress", "segment", "reconstruct"]
DEFAULT_MOMENTUM = {"sgd": 0.9, "rmsprop": 0.0}


class Recipe(Table):
    """Everything that decides a run.

    Args:
        task: "classify" gives one class a sample, "multilabel" any number of labels, "regress" numbers, "segment" a
            class a pixel, "reconstruct" the sample itself.
        data: "digits", a folder of class folders and whatever docs/data-sources.md tells of.
        model: the name of a network, a text in the notation, or FILE.py:NAME.
        epochs: passes over the training split; left out, 20, and more for few pictures.
        batch_size: samples an update; left out, 64, and fewer for few pictures; "auto" tries which is fastest.
        lr: peak learning rate; left out, the usual of optimiser and network; "auto" is found by a range test.
        optimizer: "sgd", "adagrad", "rmsprop", "adam" or "adamw".
        momentum: of sgd and rmsprop, in [0, 1); left out, 0.9 and 0.
        weight_decay: pull of weights to zero (L2; of adamw beside the gradient), biases and normalisation apart.
        seed: every random number of the run is a pure function of it.
    """

    task: Task = "classify"
    data: str = Field(default="digits", pattern="^")  # any text that TOML can hold: a path may be no UTF-8
    model: str = Field(default="lenet5", pattern="^")
    epochs: int | None = Field(default=None, ge=1)
    batch_size: Annotated[int, Field(ge=1)] | Literal["auto"] | None = None
    lr: Annotated[float, Field(gt=0)] | Literal["auto"] | None = None
    optimizer: Literal["sgd", "adagrad", "rmsprop", "adam", "adamw"] = "sgd"
    momentum: float | None = Field(default=None, ge=0, lt=1)
    weight_decay: float = Field(default=5e-4, ge=0)
    seed: int = Field(default=0, ge=0, lt=2**56)
    split: Split = Split()
    preprocess: Preprocess = Preprocess()
    augment: Augment = Augment()
    sampling: Sampling = Sampling()
    loss: Loss = Loss()
    regularise: Regularise = Regularise()
    update: Update = Update()
    schedule: Schedule = Schedule()
    stopping: Stopping = Stopping()
    transfer: Transfer = Transfer()
    execution: Execution = Execution()
    track: Track = Track()

    @model_validator(mode="wrap")
    @classmethod
    def _explained(cls, values: Any, handler: ModelWrapValidatorHandler["Recipe"]) -> "Recipe":
        """Errors say what to do, also where a recipe is made in Python."""
        try:
            return handler(values)
        except ValidationError as error:
            raise _explain(error) from None

    @model_validator(mode="before")
    @classmethod
    def _momentum_of_the_optimizer(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        optimizer = values.get("optimizer", "sgd")
        if optimizer in DEFAULT_MOMENTUM and values.get("momentum") is None:
            return {**values, "momentum": DEFAULT_MOMENTUM[optimizer]}
        return values

    @model_validator(mode="after")
    def _no_option_without_effect(self) -> "Recipe":
        refuse_senseless(self)
        return self

    def as_toml(self) -> str:
        """The recipe as TOML that `read_recipe` takes back unchanged."""
        return tomli_w.dumps(self.model_dump(exclude_none=True))


def parse_recipe(values: Mapping[str, Any]) -> Recipe:
    """A recipe from plain values.

    Raises:
        ConfigError: unknown key, wrong type or out of range; all of them, each with what would do.
    """
    try:
        return Recipe.model_validate(dict(values))
    except ValidationError as error:
        raise _explain(error) from None


def _explain(error: ValidationError) -> ConfigError:
    first = error.errors()[0]
    ours = first.get("ctx", {}).get("error")
    if isinstance(ours, ConfigError):
        return ours
    keys = _keys(first)
    path = ".".join(keys) or "recipe"
    if first["type"] == "extra_forbidden":
        known = known_keys()
        near = difflib.get_close_matches(path, known, n=1, cutoff=0.0)
        return ConfigError("recipe", "key", "a known one", got=path, fix=f"did you mean {near[0]}?")
    same = [entry for entry in error.errors() if _keys(entry)[: len(keys)] == keys]  # of a union, one for each branch
    must = " or ".join(dict.fromkeys(entry["msg"].removeprefix("Input should be ") for entry in same))
    rest = error.error_count() - len(same)
    return ConfigError(
        "recipe",
        path,
        must.removeprefix("Value error, "),
        got=shown(str(first["input"])),
        fix=f"change {path} in the recipe or on the command line" + (f" ({rest} more after this one)" if rest else ""),
    )


def _keys(entry: Mapping[str, Any]) -> list[str]:
    """Where in the recipe, the branches of unions apart."""
    return [str(part) for part in entry["loc"] if not set("[-") & set(str(part))]


def known_keys(table: type[Table] = Recipe, prefix: str = "") -> list[str]:
    """Every key of the recipe, dotted.

    >>> known_keys()[:3]
    ['task', 'data', 'model']
    """
    keys: list[str] = []
    for name, field in table.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Table):
            keys += known_keys(kind, f"{prefix}{name}.")
        else:
            keys.append(prefix + name)
    return keys
