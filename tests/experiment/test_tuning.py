"""What is found by trying: numbers in the recipe, said, drawn, and the same again."""

import torch

from striate.deploy.predictor import load
from striate.experiment import tuning
from striate.experiment.events import EpochEnded, Started
from striate.experiment.recipe import parse_recipe
from striate.experiment.recipe_file import read_recipe
from striate.experiment.train import start
from striate.training.lr_range import lr_range


def test_rate_and_batch_size_are_found_said_drawn_and_found_again(recipe, tmp_path):
    asked = parse_recipe({**recipe.model_dump(), "epochs": 1, "lr": "auto", "batch_size": "auto"})
    found = []
    for name in ("one", "other"):
        events = start(asked, run=tmp_path / name)
        notes = next(event for event in events if isinstance(event, Started)).notes
        assert any("batch_size 16" in note for note in notes)  # twelve updates an epoch are the fewest
        assert any("lr " in note and "lr_range.png" in note for note in notes)
        assert any(isinstance(event, EpochEnded) for event in events)
        found.append(read_recipe(tmp_path / name / "recipe.toml"))
        assert (tmp_path / name / "lr_range.png").read_bytes().startswith(b"\x89PNG")
    assert found[0] == found[1]
    assert found[0].batch_size == 16
    assert 1e-5 < found[0].lr < 1


def test_the_rate_is_found_with_the_weights_that_the_run_begins_with(recipe, tmp_path, monkeypatch):
    for _ in start(parse_recipe({**recipe.model_dump(), "epochs": 1}), run=tmp_path / "first"):
        pass
    given = load(tmp_path / "first").bundle.model.state_dict()
    tried = []

    def seen(state, *rest):
        tried.append({name: tensor.clone() for name, tensor in state.model.state_dict().items()})
        return lr_range(state, *rest)

    monkeypatch.setattr(tuning, "lr_range", seen)
    asked = {**recipe.model_dump(), "epochs": 1, "lr": "auto", "transfer": {"weights": str(tmp_path / "first")}}
    assert any(isinstance(event, Started) for event in start(parse_recipe(asked), run=tmp_path / "second"))
    (weights,) = tried
    assert all(torch.equal(weights[name], tensor) for name, tensor in given.items())
