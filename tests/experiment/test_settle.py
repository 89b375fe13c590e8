"""What a recipe leaves open, and whether the rate that comes of it trains the networks of the catalogue."""

from itertools import islice
from math import log

import numpy as np
import pytest

from striate.experiment.opening import opened
from striate.experiment.recipe import parse_recipe
from striate.experiment.settle import USUAL_LR, usual_lr
from striate.experiment.wiring import asked_of, plan_of, wire
from striate.models.card import picture
from striate.models.catalogue import MODELS
from striate.training.engine import fit
from striate.training.plan import machine

SORTERS = [name for name, card in MODELS.items() if card.task == "classify" and card.sample is picture]
SIDES = {"alexnet": 64, "alexnet-2014": 64, "googlenet": 64, "googlenet-bn": 64}  # the least they take, or near it
PICTURES, BATCH, STEPS = 640, 16, 30
NOISE = 5  # updates whose mean is looked at
RISE = 0.25  # epochs of 28 updates to the peak: steeper than what is left to be settled
SURGE = 2.0  # times the loss at the start, or that of guessing: more is an explosion


@pytest.mark.parametrize("optimizer", USUAL_LR)
def test_the_rate_left_out_is_the_optimizers_times_the_networks_factor(optimizer, shapes):
    for model in ("lenet5", "lenet1989", "alexnet"):
        recipe = parse_recipe({"data": str(shapes), "optimizer": optimizer, "model": model})
        assert usual_lr(recipe) == pytest.approx(USUAL_LR[optimizer] * MODELS[model].lr_factor)


@pytest.mark.parametrize("asked", [None, 0.3, "auto"])
def test_a_rate_that_is_left_out_is_settled_with_the_data_and_one_that_is_given_stays(asked, shapes):
    values = {"data": str(shapes), "lr": asked}
    recipe, material = opened(parse_recipe(values), str(shapes), None, "cpu", None)
    material.close()
    assert recipe.lr == (asked or 0.02)


@pytest.fixture(scope="module")
def sets(real_data, tmp_path_factory):
    """Real pictures in colour and in grey."""
    with np.load(real_data / "cifar10-small" / "train.npz") as held:
        x, y = held["x"][:PICTURES], held["y"][:PICTURES]
    folder = tmp_path_factory.mktemp("sets")
    np.savez(folder / "colour.npz", x=x, y=y)
    np.savez(folder / "grey.npz", x=x.mean(-1).astype(np.uint8), y=y)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("name", SORTERS)
def test_the_rate_left_out_does_not_let_the_loss_explode(name, optimizer, sets):
    losses = first_losses(name, optimizer, sets)
    assert len(losses) == STEPS
    means = np.convolve(losses, np.full(NOISE, 1 / NOISE), mode="valid")
    assert means.max() < SURGE * max(losses[0], log(10))


def first_losses(name, optimizer, sets):
    usual = MODELS[name].usual
    data = str(sets / ("colour.npz" if usual.in_channels == 3 else "grey.npz"))
    values = {
        "data": data,
        "model": name,
        "optimizer": optimizer,
        "batch_size": BATCH,
        "preprocess": {"image_size": SIDES.get(name, min(32, usual.image_size))},
        "execution": {"device": "cpu", "precision": "float32", "memory_format": "contiguous", "allocator": "keep"},
        "schedule": {"warmup_epochs": RISE},
    }
    recipe, material = opened(parse_recipe(values), data, None, "cpu", None)
    plan = plan_of(recipe, material, machine(asked_of(recipe)))
    wired = wire(recipe, material, plan)
    batches = islice((b for epoch in range(2) for b in material.training(epoch, 0, batch_size=BATCH)), STEPS)
    losses = [*fit(wired.state, batches, objective=wired.objective, lr_at=wired.lr_at(()), rules=wired.rules)]
    material.close()
    return losses
