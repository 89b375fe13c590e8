"""What a recipe asks to be found by trying: the batch size, then the learning rate with it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import count

from striate.data.cache_folder import cache_path
from striate.experiment.lr_picture import lr_picture
from striate.experiment.material import Material
from striate.experiment.recipe import Recipe
from striate.experiment.settle import batch_size, usual_lr
from striate.experiment.transfer import transferred
from striate.experiment.wiring import Wired, wire
from striate.training.batch_probe import Trainer, probe_batch_size
from striate.training.engine import Batch, fit
from striate.training.lr_range import Fit, lr_range
from striate.training.plan import Plan

DIGITS = 2  # of a rate that is found: the test knows no more


@dataclass(frozen=True, slots=True)
class Tuned:
    """What came of it.

    Args:
        recipe: with numbers for what was to be found.
        notes: what was found, a line each.
        pictures: of the search, by file name.
    """

    recipe: Recipe
    notes: list[str] = field(default_factory=list)
    pictures: dict[str, bytes] = field(default_factory=dict)


def usual_numbers(recipe: Recipe, samples: int) -> Recipe:
    """The recipe with the usual batch size and rate in place of those that are yet to be found."""
    usual = {"batch_size": batch_size(samples), "lr": usual_lr(recipe)}
    return recipe.model_copy(update={name: value for name, value in usual.items() if getattr(recipe, name) == "auto"})


def tuned(recipe: Recipe, material: Material, plan: Plan) -> Tuned:
    """Find what is asked to be found.

    Raises:
        NumericError: no rate lets the loss fall.
        ResourceError: not even one sample fits into memory.
    """
    found = Tuned(recipe)
    for name, search in (("batch_size", _batch_size), ("lr", _lr)):
        if getattr(recipe, name) == "auto":
            found = search(found, material, plan)
    return found


def _batch_size(before: Tuned, material: Material, plan: Plan) -> Tuned:
    samples = material.count("train")
    wired = wire(usual_numbers(before.recipe, samples), material, plan)
    trainer = Trainer(
        state=wired.state,
        batch_of=lambda size: next(iter(material.training(0, 0, batch_size=size))),
        fit=_fit(wired),
        form=plan.form,
        samples=samples,
    )
    probe = probe_batch_size(trainer, remembered=cache_path("plans"))
    recipe = before.recipe.model_copy(update={"batch_size": probe.batch_size})
    return Tuned(recipe, [*before.notes, str(probe)], before.pictures)


def _lr(before: Tuned, material: Material, plan: Plan) -> Tuned:
    wired = wire(usual_numbers(before.recipe, material.count("train")), material, plan)
    transferred(wired)  # the rate is for the weights that the run begins with
    test = lr_range(wired.state, _epochs(material, wired.batch_size), _fit(wired))
    lr = float(f"{test.lr:.{DIGITS}g}")
    note = f"lr {lr:g}, half the rate at which the loss stops falling: lr_range.png"
    recipe = before.recipe.model_copy(update={"lr": lr})
    return Tuned(recipe, [*before.notes, note], {**before.pictures, "lr_range.png": lr_picture(test)})


def _epochs(material: Material, size: int) -> Iterator[Batch]:
    """Training batches, epoch after epoch."""
    for epoch in count():
        yield from material.training(epoch, 0, batch_size=size)


def _fit(wired: Wired) -> Fit:
    return partial(fit, objective=wired.objective, rules=wired.rules, autocast=wired.plan.autocast)
