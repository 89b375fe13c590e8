import json

import numpy as np
import pytest

import striate
from striate.base.errors import ConfigError, DataError
from striate.experiment.opening import check_fits
from striate.experiment.recipe import Recipe
from striate.experiment.train import start
from striate.models.catalogue import MODELS

OTHERS = {
    ("classify", "fcn"): (
        "tells the class of every pixel of pictures of shape 3x128x128",
        "lenet5, or set task=segment",
    ),
    ("classify", "autoencoder"): ("gives back pictures of shape 1x28x28", "lenet5, or set task=reconstruct"),
    ("segment", "textcnn"): ("sorts samples of shape 20 into classes", "fcn, or set task=classify"),
    ("reconstruct", "fcn"): ("tells the class of every pixel of", "autoencoder, or set task=segment"),
    ("regress", "autoencoder"): ("gives back pictures of shape 1x28x28", "lenet5, or set task=reconstruct"),
}


@pytest.mark.parametrize(("task", "name"), OTHERS)
def test_a_network_for_another_task_is_refused_before_data_are_read(task, name, tmp_path):
    recipe = Recipe(task=task, model=name, data=str(tmp_path / "absent"))
    does, instead = OTHERS[task, name]
    with pytest.raises(ConfigError) as caught:
        next(start(recipe, run=tmp_path / "run"))
    assert f"model must be a network that can {task}, got {name}, which {does}" in str(caught.value)
    assert str(caught.value).endswith(f"Fix: take {instead}")
    assert not (tmp_path / "run").exists()


def test_every_other_network_may_be_trained_by_a_recipe():
    for name, card in MODELS.items():
        tasks = ("classify", "multilabel", "regress") if card.task == "classify" else (card.task,)
        for task in tasks:
            check_fits(Recipe(task=task, model=name))


def test_a_program_trains_on_what_it_holds_as_on_the_same_from_a_file(shapes, recipe, tmp_path):
    with np.load(shapes) as arrays:
        x, y = arrays["x"], arrays["y"]
    plain = recipe.model_copy(update={"epochs": 1})
    from_file = striate.train(plain, run=tmp_path / "file")
    held = striate.train(plain, run=tmp_path / "held", data=(x, y))
    assert held.test.accuracy == from_file.test.accuracy
    assert json.loads((tmp_path / "held" / "data.json").read_text())["location"] == "python"


def test_a_run_on_what_a_program_holds_is_resumed_with_it(shapes, recipe, tmp_path):
    with np.load(shapes) as arrays:
        x, y = arrays["x"], arrays["y"]
    events = start(recipe, run=tmp_path / "run", data=(x, y))
    for _ in range(4):
        next(events)
    events.close()
    with pytest.raises(DataError, match=r"given by the program that holds them, got none\.\n  Fix: give them again"):
        striate.resume(tmp_path / "run")
    other = x.copy()
    other[0, 0, 0] ^= 255
    with pytest.raises(DataError, match="other pictures or labels: 1 changed"):
        striate.resume(tmp_path / "run", data=(other, y))
    assert striate.resume(tmp_path / "run", data=(x, y)).epochs == recipe.epochs
