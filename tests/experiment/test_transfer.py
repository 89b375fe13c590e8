"""Training that begins with another run's weights."""

import shutil

import numpy as np
import pytest
import torch

from striate.base.errors import ConfigError, ModelFileError
from striate.deploy.predictor import load
from striate.experiment import train
from striate.experiment.events import EpochEnded, Finished, Started
from striate.experiment.recipe import parse_recipe
from striate.experiment.train import start
from striate.models.catalogue import build
from striate.training.checkpoint import newest
from striate.training.engine import train_mode


@pytest.fixture(scope="module")
def run(recipe, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "first"
    asked = parse_recipe({**recipe.model_dump(), "epochs": 1})
    assert any(isinstance(event, Finished) for event in start(asked, run=path))
    return path


def started(entries, run):
    """The note on what was taken, and the first and the last weights."""
    events = start(parse_recipe(entries), run=run)
    notes = next(event for event in events if isinstance(event, Started)).notes
    first = newest(run / "checkpoints")[0].tensors
    for event in events:
        if isinstance(event, EpochEnded):
            break
    events.close()
    return notes, first, newest(run / "checkpoints")[0].tensors


def test_all_weights_come_over_where_the_network_is_the_same(recipe, run, tmp_path):
    notes, first, _ = started({**recipe.model_dump(), "transfer": {"weights": str(run)}}, tmp_path / "run")
    given = load(run).bundle.model.state_dict()
    assert all(torch.equal(first[f"model.{name}"], tensor) for name, tensor in given.items())
    assert f"weights of {run}: {len(given)} tensors taken" in notes


def test_other_classes_get_a_new_last_layer_and_what_is_frozen_stays(shapes, run, tmp_path):
    with np.load(shapes) as arrays:
        np.savez(tmp_path / "two.npz", x=arrays["x"][arrays["y"] < 2], y=arrays["y"][arrays["y"] < 2])
    entries = {
        "data": str(tmp_path / "two.npz"),
        "epochs": 1,
        "transfer": {"weights": str(run), "freeze": ["features"]},
    }
    notes, first, last = started(entries, tmp_path / "run")
    assert any("these start anew: classifier" in note for note in notes)
    given = load(run).bundle.model.state_dict()
    frozen = [name for name in given if name.startswith("features")]
    assert frozen
    for name in frozen:
        assert torch.equal(last[f"model.{name}"], given[name])
    moved = [name for name in first if name.startswith("model.classifier")]
    assert moved
    assert not any(torch.equal(first[name], last[name]) for name in moved)


@pytest.mark.parametrize(
    ("transfer", "error", "told"),
    [
        ({"weights": "nowhere"}, ModelFileError, "a finished run or a bundle"),
        (
            {"freeze": ["feature"]},
            ConfigError,
            r"got feature\.\n  Fix: parameters begin with features, ",
        ),
        ({"freeze": ["features", "classifier"]}, ConfigError, "not all of the network"),
        ({"lr_factors": {"headd": 2.0}}, ConfigError, "headd"),
    ],
    ids=["nowhere", "unknown", "all", "factor"],
)
def test_what_cannot_be_is_said(transfer, error, told, recipe, tmp_path):
    with pytest.raises(error, match=told):
        started({**recipe.model_dump(), "transfer": transfer}, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_weights_of_a_network_with_nothing_in_common_are_refused(recipe, run, tmp_path):
    entries = {**recipe.model_dump(), "model": "resnet20", "regularise": {}, "transfer": {"weights": str(run)}}
    with pytest.raises(ConfigError, match="no layer of the same name and shape"):
        started(entries, tmp_path / "run")


def test_a_frozen_batch_normalisation_keeps_its_statistics():
    model = build("resnet20")
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("fc" in name)
    train_mode(model)
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    model(torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())


def test_damaged_weights_are_refused_before_the_data_are_read(recipe, run, tmp_path, monkeypatch):
    bundle = tmp_path / "bundle"
    shutil.copytree(run / "model", bundle)
    weights = bytearray((bundle / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (bundle / "model.safetensors").write_bytes(weights)
    monkeypatch.setattr(train, "opened", None)
    asked = parse_recipe({**recipe.model_dump(), "transfer": {"weights": str(bundle)}})
    with pytest.raises(ModelFileError, match=r"model\.safetensors"):
        next(iter(start(asked, run=tmp_path / "run")))
