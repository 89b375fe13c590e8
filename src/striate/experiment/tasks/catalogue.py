"""The tasks by name."""

from collections.abc import Callable
from typing import Any

from striate.evaluate.classification import Classification
from striate.evaluate.multilabel import Multilabel
from striate.evaluate.reconstruction import Reconstruction
from striate.evaluate.regression import Regression
from striate.evaluate.result import Result
from striate.evaluate.segmentation import Segmentation
from striate.experiment.recipe import Recipe
from striate.experiment.tasks.classify import Classify
from striate.experiment.tasks.multilabel import TellLabels
from striate.experiment.tasks.reconstruct import GiveBack
from striate.experiment.tasks.regress import TellNumbers
from striate.experiment.tasks.segment import TellPixels
from striate.experiment.tasks.task import Task

TASKS: dict[str, Callable[[Recipe, Any], Task]] = {
    "classify": Classify,
    "multilabel": TellLabels,
    "regress": TellNumbers,
    "segment": TellPixels,
    "reconstruct": GiveBack,
}
RESULTS: dict[str, Callable[[dict[str, Any]], Result]] = {
    "classify": Classification.from_dict,
    "multilabel": Multilabel.from_dict,
    "regress": Regression.from_dict,
    "segment": Segmentation.from_dict,
    "reconstruct": Reconstruction.from_dict,
}
