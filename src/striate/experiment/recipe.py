"""A run is one typed recipe: TOML in, the same TOML out; an unknown key is an error that names the nearest."""

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PositiveFloat,
    ValidationError,
    model_validator,
)

from striate.base.errors import ConfigError
from striate.base.marks import shown
from striate.data.augment.settings import Augment as Changes

DEFAULT_LR = {"sgd": 0.02, "adamw": 0.002}
DEFAULT_MOMENTUM = 0.9
MAX_THREADS = 1024


class Table(BaseModel):
    """A frozen table of the recipe that knows all its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def _numbers(value: Any) -> Any:
    """TOML has lists, and writes 1 for 1.0."""
    numbers = isinstance(value, list) and all(type(entry) in (int, float) for entry in value)
    return tuple(map(float, value)) if numbers else value


Numbers = Annotated[tuple[float, ...], BeforeValidator(_numbers)]
Weights = Annotated[Literal["none", "balanced"] | tuple[PositiveFloat, ...], BeforeValidator(_numbers)]


class Split(Table):
    """How data that brings no split is divided, class by class.

    Args:
        validation_fraction: share of the training pictures that choose the best epoch, in (0, 0.9].
        test_fraction: share of all pictures that judge the result once, in (0, 0.9].
        folds: cut what is left of training into so many folds, of which one is validation, instead of a share; 0 is no.
        fold: which of them, from 0.
        skip_bad: leave out files that do not decode, and list them, instead of refusing.
    """

    validation_fraction: float = Field(default=0.1, gt=0, le=0.9)
    test_fraction: float = Field(default=0.2, gt=0, le=0.9)
    folds: int = Field(default=0, ge=0, le=1000)
    fold: int = Field(default=0, ge=0)
    skip_bad: bool = False


class Preprocess(Table):
    """From a decoded picture to the network's input.

    Args:
        image_size: side of the square input in pixels; none is the network's own.
        channels: 1 grey, 3 colour, 4 colour with transparency; none is what the data have.
        resize: "squash" to the square, "crop" its middle, or "letterbox" it with black.
        normalise: "measured" takes mean and standard deviation of the training split, "given" those below, "none"
            leaves [0, 1]; "pca" and "zca" whiten small pictures.
        mean, std: of each channel, with "given"; in [0, 1] units.
    """

    image_size: int | None = Field(default=None, ge=1)
    channels: int | None = Field(default=None, ge=1)
    resize: Literal["squash", "crop", "letterbox"] = "squash"
    normalise: Literal["measured", "given", "none", "pca", "zca"] = "measured"
    mean: Numbers | None = None
    std: Numbers | None = None

    @model_validator(mode="after")
    def _given_with_its_numbers(self) -> "Preprocess":
        numbers = self.mean is not None and self.std is not None
        if (self.normalise == "given") != numbers or (self.mean is None) != (self.std is None):
            raise ConfigError(
                "recipe",
                "preprocess.mean and preprocess.std",
                'both there with normalise "given", and else left out',
                got=f"mean {self.mean}, std {self.std} with {self.normalise!r}",
                fix="normalise=given mean=[0.485, 0.456, 0.406] std=[0.229, 0.224, 0.225] are ImageNet's",
            )
        return self


class Augment(Table):
    """Random changes of the training pictures, drawn per (seed, epoch, picture); docs/augmentation.md tells of each.

    Args:
        shift: up to so many pixels in each direction, black where nothing was.
        flip: mirror left and right with probability 1/2; wrong for digits and letters.
        crop_scale: smallest share of the area of a random crop; 1 is no crop.
    """

    shift: int | None = Field(default=None, ge=0)
    flip: bool | None = None
    crop_scale: float | None = Field(default=None, gt=0, le=1)
    vertical_flip: bool = False
    rotate: float = 0.0
    shear: float = 0.0
    translate: float = 0.0
    zoom: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    colour_noise: float = 0.0
    erase: float = 0.0
    policy: Literal["none", "randaugment", "trivialaugment"] = "none"
    policy_magnitude: float | None = None
    policy_operations: int | None = None
    elastic: float = 0.0
    elastic_sigma: float | None = None
    mixup: float = 0.0
    cutmix: float = 0.0

    @model_validator(mode="after")
    def _each_means_something(self) -> "Augment":
        for name, on in (
            ("policy_magnitude", self.policy == "randaugment"),
            ("policy_operations", self.policy == "randaugment"),
            ("elastic_sigma", self.elastic > 0),
        ):
            if getattr(self, name) is not None and not on:
                fix = "set augment.elastic" if name == "elastic_sigma" else "set augment.policy=randaugment"
                must = "left out where it means nothing"
                raise ConfigError("recipe", f"augment.{name}", must, got=getattr(self, name), fix=fix)
        self.changes()  # the ranges
        return self

    def changes(self) -> Changes:
        """What is drawn; options that are not settled yet are off."""
        return Changes(**{name: value for name, value in self if value is not None})


class Sampling(Table):
    """Which pictures make an epoch.

    Args:
        balanced: every class equally often; pictures of small classes come several times, changed anew each time.
    """

    balanced: bool = False


class Loss(Table):
    """Cross-entropy, and what is made of it for classes that are not alike.

    Args:
        label_smoothing: share of the target spread evenly over all classes, in [0, 1) (arXiv:1512.00567, section 7);
            left out, 0.1 for colour pictures.
        class_weights: "none", "balanced" (pictures in all over classes times pictures of the class), or a number a
            class, in the order of their numbers.
        focal_gamma: >= 0; larger looks away from what is classified well already (arXiv:1708.02002), 0 is no.
    """

    label_smoothing: float | None = Field(default=None, ge=0, lt=1)
    class_weights: Weights = "none"
    focal_gamma: float = Field(default=0.0, ge=0, le=100)


class Regularise(Table):
    """Against learning by heart.

    Args:
        dropout: share of features dropped in training, in [0, 1), of a network that drops any; none is its own.
    """

    dropout: float | None = Field(default=None, ge=0, lt=1)


class Schedule(Table):
    """Learning rate over the run.

    Args:
        name: "cosine" falls to 0 at the end; "constant" stays.
        warmup_epochs: the rise at the start, in epochs, may be a fraction; left out, 0.5, and a twentieth of many.
    """

    name: Literal["cosine", "constant"] = "cosine"
    warmup_epochs: float | None = Field(default=None, ge=0, le=1_000_000)


class Execution(Table):
    """How the steps are run; changes results by no more than rounding.

    Args:
        engine: "torch"; "auto" picks.
        device: "auto" takes a GPU when there is one.
        threads: CPU threads; 0 is torch's own choice.
        cache: where decoded pictures are kept: on "disk", in "memory", nowhere ("stream": decoded anew each time), or
            what fits ("auto").
        cache_gb: what all decoded pictures of all data may take on disk, in 10^9 bytes.
        workers: processes that decode where nothing is kept; 0 is one for each core.
        checkpoint_seconds: a checkpoint at every epoch's end and, within long epochs, this often.
    """

    engine: Literal["auto", "torch"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = Field(default=0, ge=0, le=MAX_THREADS)
    cache: Literal["auto", "disk", "memory", "stream"] = "auto"
    cache_gb: float = Field(default=20.0, gt=0)
    workers: int = Field(default=0, ge=0, le=MAX_THREADS)
    checkpoint_seconds: float = Field(default=60.0, gt=0)


class Recipe(Table):
    """Everything that decides a run.

    Args:
        task: "classify".
        data: "digits", a folder of IDX files, an .npz, a folder of class folders.
        model: the name of a network, a text in the notation, or FILE.py:NAME.
        epochs: passes over the training split; left out, 20, and more for few pictures.
        batch_size: pictures an update; left out, 64, and fewer for few pictures.
        lr: peak learning rate; left out, 0.02 for sgd and 0.002 for adamw.
        optimizer: "sgd" or "adamw".
        momentum: of sgd, in [0, 1); left out, 0.9.
        weight_decay: pull of weights to zero, biases and normalisation apart.
        seed: every random number of the run is a pure function of it.
    """

    task: Literal["classify"] = "classify"
    data: str = Field(default="digits", pattern="^")  # any text that TOML can hold: a path may be no UTF-8
    model: str = Field(default="lenet5", pattern="^")
    epochs: int | None = Field(default=None, ge=1)
    batch_size: int | None = Field(default=None, ge=1)
    lr: float = Field(default=DEFAULT_LR["sgd"], gt=0)
    optimizer: Literal["sgd", "adamw"] = "sgd"
    momentum: float | None = Field(default=None, ge=0, lt=1)
    weight_decay: float = Field(default=5e-4, ge=0)
    seed: int = Field(default=0, ge=0, lt=2**56)
    split: Split = Split()
    preprocess: Preprocess = Preprocess()
    augment: Augment = Augment()
    sampling: Sampling = Sampling()
    loss: Loss = Loss()
    regularise: Regularise = Regularise()
    schedule: Schedule = Schedule()
    execution: Execution = Execution()

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
    def _defaults_of_the_optimizer(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        optimizer = values.get("optimizer", "sgd")
        filled = dict(values)
        if optimizer in DEFAULT_LR:
            filled.setdefault("lr", DEFAULT_LR[optimizer])
        if optimizer == "sgd" and filled.get("momentum") is None:
            filled["momentum"] = DEFAULT_MOMENTUM
        return filled

    @model_validator(mode="after")
    def _no_option_without_effect(self) -> "Recipe":
        if self.optimizer != "sgd" and self.momentum is not None:
            raise ConfigError(
                "recipe",
                "momentum",
                "left out where it means nothing",
                got=f"{self.momentum} with optimizer {self.optimizer}",
                fix="remove momentum, or use optimizer sgd",
            )
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
    return [str(part) for part in entry["loc"] if "[" not in str(part)]


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
