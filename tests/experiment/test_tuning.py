"""What is found by trying: numbers in the recipe, said, drawn, and the same again."""

from striate.experiment.events import EpochEnded, Started
from striate.experiment.recipe import parse_recipe
from striate.experiment.recipe_file import read_recipe
from striate.experiment.train import start


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
