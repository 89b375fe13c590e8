"""Every option of a recipe changes the run: none is taken and ignored."""

import pytest
import torch

from striate.base.errors import DataError
from striate.experiment.events import EpochEnded
from striate.experiment.recipe import Recipe, known_keys, parse_recipe, read_recipe
from striate.experiment.train import start
from striate.training.checkpoint import newest

# key -> another value; None where another test shows its effect, and why.
OTHER = {
    "task": None,  # one value so far
    "data": None,  # other pictures: test_train.py
    "model": "resnet20",
    "epochs": 2,
    "batch_size": 8,
    "lr": 0.03,
    "optimizer": "adamw",
    "momentum": 0.5,
    "weight_decay": 0.1,
    "seed": 1,
    "split.validation_fraction": 0.3,
    "split.test_fraction": 0.4,
    "split.skip_bad": None,  # needs a bad file: below
    "preprocess.image_size": 40,
    "preprocess.normalise": "none",
    "augment.shift": 0,
    "augment.flip": True,
    "loss.label_smoothing": 0.1,
    "regularise.dropout": 0.3,
    "schedule.name": "constant",
    "schedule.warmup_epochs": 1.0,
    # Execution must not change results beyond precision.
    "execution.engine": None,
    "execution.device": None,
    "execution.threads": None,
    "execution.checkpoint_seconds": None,
}


def weights(recipe: Recipe, run):
    events = start(recipe, run=run)
    for event in events:
        if isinstance(event, EpochEnded) and event.row.epoch == event.epochs:
            events.close()
    return newest(run / "checkpoints")[0].tensors


@pytest.fixture(scope="module")
def base(shapes):
    return {"data": str(shapes), "epochs": 1, "batch_size": 16}


@pytest.fixture(scope="module")
def reference(base, tmp_path_factory):
    return weights(parse_recipe(base), tmp_path_factory.mktemp("r") / "run")


def test_the_table_knows_every_key():
    assert list(OTHER) == known_keys()


@pytest.mark.parametrize("key", [key for key, value in OTHER.items() if value is not None])
def test_each_option_changes_the_weights(key, base, reference, tmp_path):
    other = read_recipe(None, [*base.items(), (key, OTHER[key])])
    found = weights(other, tmp_path / "run")
    same = found.keys() == reference.keys() and all(
        found[name].shape == tensor.shape and torch.equal(found[name], tensor) for name, tensor in reference.items()
    )
    assert not same


@pytest.mark.parametrize(("key", "value"), [("execution.checkpoint_seconds", 1e-4), ("execution.threads", 1)])
def test_execution_changes_nothing(key, value, base, reference, tmp_path):
    found = weights(read_recipe(None, [*base.items(), (key, value)]), tmp_path / "run")
    assert all(torch.equal(found[name], tensor) for name, tensor in reference.items())


def test_bad_files_are_refused_or_left_out_as_asked(tmp_path):
    from PIL import Image

    for name, level in (("dark", 30), ("light", 220)):
        folder = tmp_path / "photos" / name
        folder.mkdir(parents=True)
        for number in range(8):
            Image.new("L", (28, 28), level + number).save(folder / f"{number}.png")
    (tmp_path / "photos" / "dark" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    base = {"data": str(tmp_path / "photos"), "epochs": 1}
    with pytest.raises(DataError, match=r"dark/broken\.png"):
        weights(parse_recipe(base), tmp_path / "refused")
    assert not (tmp_path / "refused").exists()
    assert weights(parse_recipe({**base, "split": {"skip_bad": True}}), tmp_path / "run")
    assert "broken.png" in (tmp_path / "run" / "data.json").read_text()
