"""Striate: a convolutional-network system that you can see through.

    import striate

    net = striate.build("lenet5", num_classes=10, in_channels=1)
    run = striate.train(striate.Recipe(data="digits"))
    model = striate.load("runs/digits-lenet5")

The names below are loaded when they are first used, so `import striate` stays light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from striate.analysis.inspect import inspect as inspect
    from striate.deploy.samples import load as load
    from striate.experiment.recipe import Recipe as Recipe
    from striate.experiment.train import resume as resume
    from striate.experiment.train import train as train
    from striate.models.catalogue import build as build

__version__ = "0.1.0"

HOMES = {
    "Recipe": "striate.experiment.recipe",
    "build": "striate.models.catalogue",
    "inspect": "striate.analysis.inspect",
    "load": "striate.deploy.samples",
    "resume": "striate.experiment.train",
    "train": "striate.experiment.train",
}


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module 'striate' has no attribute {name!r}; it has {', '.join(HOMES)}")
    return getattr(import_module(HOMES[name]), name)


def __dir__() -> list[str]:
    return [*HOMES, "__version__"]
