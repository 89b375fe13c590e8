import pytest

from striate.base.errors import ConfigError
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
