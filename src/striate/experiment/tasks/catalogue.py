"""The tasks by name."""

from collections.abc import Callable
from typing import Any

from striate.evaluate.classification import Classification
from striate.evaluate.result import Result
from striate.experiment.material import Material
from striate.experiment.recipe import Recipe
from striate.experiment.tasks.classify import Classify
from striate.experiment.tasks.task import Task

TASKS: dict[str, Callable[[Recipe, Material], Task]] = {"classify": Classify}
RESULTS: dict[str, Callable[[dict[str, Any]], Result]] = {"classify": Classification.from_dict}
