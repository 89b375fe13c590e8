"""Which options of a recipe mean something beside which: one that would be taken and ignored is refused."""

from collections.abc import Callable
from functools import reduce
from typing import TYPE_CHECKING, Any

from striate.base.errors import ConfigError
from striate.experiment.recipe_tables import Augment

if TYPE_CHECKING:
    from striate.experiment.recipe import Recipe

LOSSES = {  # of each task; the first is its own
    "classify": ("cross_entropy", "hinge", "mse"),
    "multilabel": ("bce",),
    "regress": ("mse", "mae", "huber"),
    "segment": ("cross_entropy",),
    "reconstruct": ("mse", "mae"),
}


def loss_of(recipe: "Recipe") -> str:
    """The name of the loss, the task's own where none is asked for."""
    return recipe.loss.name or LOSSES[recipe.task][0]


def _classes(recipe: "Recipe") -> bool:
    return recipe.task == "classify" and loss_of(recipe) == "cross_entropy"


def _changeable(recipe: "Recipe") -> bool:
    return recipe.task in ("classify", "reconstruct")


Rule = tuple[str, Callable[["Recipe"], bool], str]
RULES: tuple[Rule, ...] = (  # key, where it means something, and that in words
    ("momentum", lambda r: r.optimizer in ("sgd", "rmsprop"), "optimizer sgd or rmsprop"),
    ("update.nesterov", lambda r: r.optimizer == "sgd" and bool(r.momentum), "optimizer sgd and momentum"),
    ("update.alpha", lambda r: r.optimizer == "rmsprop", "optimizer rmsprop"),
    ("update.beta1", lambda r: r.optimizer in ("adam", "adamw"), "optimizer adam or adamw"),
    ("update.beta2", lambda r: r.optimizer in ("adam", "adamw"), "optimizer adam or adamw"),
    ("schedule.step_epochs", lambda r: r.schedule.name == "step", "schedule step"),
    ("schedule.gamma", lambda r: r.schedule.name in ("step", "plateau"), "schedule step or plateau"),
    ("schedule.power", lambda r: r.schedule.name == "polynomial", "schedule polynomial"),
    ("schedule.patience", lambda r: r.schedule.name == "plateau", "schedule plateau"),
    ("stopping.min_delta", lambda r: r.stopping.patience > 0, "stopping.patience"),
    ("loss.huber_delta", lambda r: loss_of(r) == "huber", "loss huber"),
    ("loss.label_smoothing", _classes, "cross-entropy of classes"),
    ("loss.focal_gamma", _classes, "cross-entropy of classes"),
    ("loss.class_weights", lambda r: loss_of(r) == "cross_entropy", "cross-entropy of classes or pixels"),
    *((f"augment.{name}", _changeable, "task classify or reconstruct") for name in ("shift", "flip", "crop_scale")),
    ("augment.mixup", _classes, "cross-entropy of classes"),
    ("augment.cutmix", _classes, "cross-entropy of classes"),
    ("sampling.balanced", lambda r: r.task == "classify", "task classify"),
)


def value_of(recipe: "Recipe", key: str) -> Any:
    """The value of a dotted key."""
    return reduce(getattr, key.split("."), recipe)


def _default_of(recipe: "Recipe", key: str) -> Any:
    """What the key is where nobody sets it."""
    *tables, name = key.split(".")
    return type(reduce(getattr, tables, recipe)).model_fields[name].default


def means(recipe: "Recipe", key: str) -> bool:
    """Whether a key means something beside the others."""
    return all(rule(recipe) for known, rule, _ in RULES if known == key)


def refuse_senseless(recipe: "Recipe") -> None:
    """Refuse what would be ignored.

    Raises:
        ConfigError: an option that means nothing beside the others.
    """
    if loss_of(recipe) not in LOSSES[recipe.task]:
        must, fix = " or ".join(LOSSES[recipe.task]), "leave loss.name out: the task has its own"
        raise ConfigError("recipe", f"loss.name of task {recipe.task}", must, got=recipe.loss.name, fix=fix)
    for key, rule, needs in RULES:
        value = value_of(recipe, key)
        if value == _default_of(recipe, key) or rule(recipe):
            continue
        fix = f"remove {key}; it goes with {needs}"
        must = "left out where it means nothing"
        raise ConfigError("recipe", key, must, got=f"{value} without {needs}", fix=fix)
    if recipe.task != "classify":
        _refuse_for_others(recipe)


def _refuse_for_others(recipe: "Recipe") -> None:
    """Targets of other tasks do not move with an augmented picture; their data are not divided into folds."""
    usual = {f"augment.{name}": (getattr(recipe.augment, name), default) for name, default in Augment()}
    usual |= {f"split.{name}": (getattr(recipe.split, name), 0) for name in ("folds", "fold")}
    if recipe.task == "reconstruct":  # its target is made of the changed picture
        usual = {}
    for key, (value, default) in usual.items():
        if value != default:
            got, fix = f"{value} with task {recipe.task}", f"remove {key}"
            raise ConfigError("recipe", key, "left out where it means nothing", got=got, fix=fix)
