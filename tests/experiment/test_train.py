import json

import numpy as np
import pytest

import striate
from striate.base.errors import ConfigError, DataError
from striate.experiment.recipe import Recipe
from striate.experiment.train import check_trainable, start
from striate.models.catalogue import MODELS

OTHERS = {
    "fcn": "tells the class of every pixel of pictures of shape 3x128x128",
    "autoencoder": "gives back pictures of shape 1x28x28",
    "textcnn": "sorts samples of shape 20 into classes",
    "signal1d": "sorts samples of shape 1x32000 into classes",
    "c3d-small": "sorts samples of shape 3x16x32x32 into classes",
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_network_that_does_not_sort_pictures_is_refused_before_data_are_read(name, tmp_path):
    recipe = Recipe(model=name, data=str(tmp_path / "absent"))
    with pytest.raises(ConfigError) as caught:
        next(start(recipe, run=tmp_path / "run"))
    message = str(caught.value)
    assert f"model must be a network that sorts pictures into classes, got {name}, which {OTHERS[name]}." in message
    assert f'Fix: take lenet5, or train it by a loop of your own around striate.build("{name}")' in message
    assert not (tmp_path / "run").exists()


def test_every_other_network_may_be_trained_by_a_recipe():
    for name in MODELS:
        if name not in OTHERS:
            check_trainable(name)


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
