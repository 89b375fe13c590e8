"""Runs of networks that the user described or wrote: what they are called, what is kept, how they go on."""

import textwrap

import pytest
import torch

import striate
from striate.base.errors import ConfigError, ModelFileError
from striate.experiment.events import EpochEnded, Finished, Stepped
from striate.experiment.recipe import parse_recipe
from striate.experiment.recipe_file import read_recipe
from striate.experiment.train import go_on, resume, start, train
from striate.models.syntax import NotationError
from striate.native.library import absence, library
from striate.training.checkpoint import newest

TEXT = "conv 4 5x5 stride 2, bn, relu, maxpool 4, dropout 0.2, flatten, linear 3"
FILE = """
    import torch
    from torch import nn
    from torch.nn.utils.parametrizations import weight_norm

    class Net(nn.Module):
        def __init__(self, num_classes, image_size):
            super().__init__()
            self.body = nn.Sequential(nn.Flatten(), nn.Linear(image_size**2, 16), nn.ReLU(), nn.Dropout(0.5))
            self.last = nn.Linear(16, num_classes)

        def forward(self, x):
            noise = torch.randn_like(x) if self.training else 0  # torch's own generator
            return self.last(self.body(x + 0.1 * noise))

    class Masked(Net):
        def __init__(self, num_classes, image_size):
            super().__init__(num_classes, image_size)
            self.register_buffer("mask", torch.full((4, 4), float("-inf")).triu(1))

    def normed():
        return nn.Sequential(nn.Flatten(), weight_norm(nn.Linear(32 * 32, 3)))

    def fixed():
        return nn.Sequential(nn.Flatten(), nn.Linear(32 * 32, 3)).requires_grad_(False)

    class Two(Net):
        def forward(self, x):
            assert len(x) > 1
            return super().forward(x)

    ready = nn.Sequential(nn.Flatten(), nn.Linear(32 * 32, 5))
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The file, in the folder where we are."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(textwrap.dedent(FILE))
    return tmp_path / "net.py"


def of(recipe, model, **changes):
    values = recipe.model_dump() | {"model": model, "regularise": {}, "epochs": 2} | changes
    return parse_recipe(values)


def stop_after(events, steps):
    """Leave the run in the middle, as a kill would."""
    for event in events:
        if isinstance(event, Stepped) and (steps := steps - 1) == 0:
            events.close()
            return


def trained(events):
    for event in events:
        if isinstance(event, EpochEnded) and event.row.epoch == event.epochs:
            events.close()


def weights(run):
    return newest(run / "checkpoints")[0].tensors


def test_a_text_is_trained_packed_and_loaded(recipe, tmp_path, monkeypatch, shapes):
    monkeypatch.chdir(tmp_path)
    outcome = train(of(recipe, TEXT))
    assert str(outcome.path) == "runs/shapes-network"
    bundle = outcome.model.bundle
    assert bundle.config.architecture.name == f"input 1x32x32, {TEXT}"
    assert read_recipe(outcome.path / "recipe.toml").model == TEXT  # as it was written
    card = (outcome.path / "model" / "README.md").read_text()
    assert "its own notation" in card
    assert f"```\ninput 1x32x32,\n{TEXT.replace(', ', f',{chr(10)}')}\n```\n" in card
    assert "# network on shapes" in card
    assert not (outcome.path / "network.json").exists()


def test_lenet5_as_a_text_learns_what_lenet5_learns_to_the_bit(recipe, tmp_path):
    text = """
        conv 6 5x5, maxpool 2, relu, conv 16 5x5, maxpool 2, relu, flatten,
        linear 120, relu, dropout 0.2, linear 84, relu, dropout 0.2, linear 3
    """
    runs = [of(recipe, text), of(recipe, "lenet5", regularise={"dropout": 0.2})]
    for run, name in zip(runs, ("text", "name"), strict=True):
        trained(start(run, run=tmp_path / name))
    one, other = (in_order(weights(tmp_path / name)) for name in ("text", "name"))
    assert len(one) == len(other) == 10
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(one, other, strict=True))


def in_order(tensors):
    """The weights of a network by the place of their layers: model.features.3.weight, model.11.weight."""
    named = {name: value for name, value in tensors.items() if name.startswith("model.")}
    place = {name: ("classifier" in name, int(name.split(".")[-2]), name) for name in named}
    return [named[name] for name in sorted(named, key=place.get)]


def test_the_texts_input_is_the_size_of_the_pictures(recipe, tmp_path):
    run = of(recipe, "input 1x20x20, flatten, linear 3", epochs=1)
    outcome = train(run, run=tmp_path / "run")
    picture = outcome.model.bundle.preprocess.picture
    assert (picture.channels, picture.height, picture.width) == (1, 20, 20)


@pytest.mark.parametrize(
    ("model", "changes", "said"),
    [
        ("flatten, linear 10", {}, "linear 10: the output must be a vector of 3 numbers.*write linear 3"),
        ("flatten, linear 3, relu, conv 3 3", {}, "conv 3 3 on 3: the input must be channels"),
        ("input 3x32x32, flatten, linear 3", {}, "the input must be 1x32x32 here.*write input 1x32x32"),
        ("input 1x28x20, flatten, linear 3", {}, "the input must be 1x20x20 here, got 1x28x20"),
        ("input 784, linear 3", {}, "the input must be 1x32x32 here, got 784"),
        ("input 1x28x28, flatten, linear 3", {"preprocess": {"image_size": 32}}, "the input must be 1x32x32 here"),
        ("flatten, linear 3", {"regularise": {"dropout": 0.5}}, "write dropout 0.5 in the text"),
        ("flatten, linear 3, softmax", {}, "the output must be logits, got softmax.*leave the softmax out"),
        ("net.py:ready", {}, r"the output of ready for 2 pictures must be \(2, 3\).*got \(2, 5\)"),
        ("net.py:Nat", {}, "did you mean Net"),
        ("net.py:fixed", {}, "must be one that has something to learn, got nothing"),
    ],
)
def test_what_cannot_train_is_refused_before_a_run_is_there(recipe, tmp_path, own, model, changes, said):
    with pytest.raises(ConfigError, match=f"(?s){said}"):
        train(of(recipe, model, **changes), run=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_is_no_network_at_all_is_refused_before_the_data_are_read(recipe, tmp_path):
    for model in ("conv 6 5x5, rleu", "absent.py:Net", "lenet6"):
        with pytest.raises(ConfigError, match=r"one of|must be a file|is known"):
            train(of(recipe, model, data="absent"), run=tmp_path / "run")


def test_a_file_is_trained_packed_and_loaded_by_whoever_names_it(recipe, own):
    outcome = train(of(recipe, "net.py:Net"))
    assert str(outcome.path) == "runs/shapes-Net"
    assert read_recipe(outcome.path / "recipe.toml").model == f"{own}:Net"  # from whatever folder it is used
    assert outcome.predict(next((outcome.path / "samples").iterdir())).probability > 0
    with pytest.raises(ConfigError, match=r"add --model net\.py:Net"):
        striate.load(outcome.path)
    predictor = striate.load(outcome.path, model="net.py:Net")
    x = torch.rand(2, 1, 32, 32)
    assert torch.equal(predictor.bundle.model(x), outcome.model.bundle.model(x))
    card = (outcome.path / "model" / "README.md").read_text()
    assert "picture.png --model net.py:Net\n" in card
    assert "the file net.py, SHA-256" in card
    assert str(own.parent) not in card + (outcome.path / "model" / "config.json").read_text()


@pytest.mark.usefixtures("own")
def test_a_network_whose_weights_are_computed_is_trained(recipe):
    outcome = train(of(recipe, "net.py:normed", epochs=1))
    assert "model.network.1.parametrizations.weight.original1" in weights(outcome.path)


@pytest.mark.usefixtures("own")
def test_a_network_that_takes_no_single_sample_is_not_tried_with_one(recipe, tmp_path):
    trained(start(of(recipe, "net.py:Two", epochs=1), run=tmp_path / "run"))
    assert (tmp_path / "run" / "metrics.csv").is_file()


def test_editing_the_file_while_it_trains_changes_nothing(recipe, own):
    events = start(of(recipe, "net.py:Net"), run=own.parent / "run")
    for event in events:
        if isinstance(event, Stepped):
            own.write_text("raise RuntimeError")
        if isinstance(event, Finished):
            outcome = event.outcome
    assert "SHA-256" in (outcome.path / "model" / "README.md").read_text()
    with pytest.raises(ModelFileError, match="must be the file that the model was trained with"):
        striate.load(outcome.path, model="net.py:Net")


@pytest.mark.parametrize("model", [TEXT, "net.py:Net"])
def test_a_run_goes_on_as_if_it_had_not_stopped(recipe, own, tmp_path, monkeypatch, model):
    chosen = of(recipe, model)
    trained(start(chosen, run=tmp_path / "whole"))
    (tmp_path / "elsewhere").mkdir()
    stopping = start(of(recipe, model, execution={"checkpoint_seconds": 1e-6}), run=tmp_path / "stopped")
    stop_after(stopping, 4)
    monkeypatch.chdir(tmp_path / "elsewhere")
    torch.manual_seed(99)  # what a global generator holds does not matter
    trained(go_on(tmp_path / "stopped"))
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "stopped")
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_changed_file_is_refused_before_it_is_run(recipe, own, tmp_path):
    stop_after(start(of(recipe, "net.py:Net"), run=tmp_path / "run"), 3)
    own.write_text(own.read_text() + f"\nfrom pathlib import Path\nPath({str(tmp_path / 'ran')!r}).touch()\n")
    with pytest.raises(ConfigError, match=r"resume: .*net\.py must be the file that the run was started with"):
        resume(tmp_path / "run")
    assert not (tmp_path / "ran").exists()
    (tmp_path / "run" / "network.json").unlink()
    with pytest.raises(ConfigError, match=r"must be the file that the run was started with"):
        resume(tmp_path / "run")


def test_a_run_whose_file_has_moved_goes_on_where_its_recipe_says(recipe, own, tmp_path):
    run = tmp_path / "run"
    stop_after(start(of(recipe, "net.py:Net"), run=run), 3)
    (tmp_path / "moved").mkdir()
    moved = own.rename(tmp_path / "moved" / "net.py")
    with pytest.raises(ConfigError, match="must be a file that can be read"):
        resume(run)
    told = (run / "recipe.toml").read_text()
    (run / "recipe.toml").write_text(told.replace(f"{own}:", f"{moved}:"))
    assert resume(run).epochs == 2


def test_a_text_that_was_changed_is_another_run(recipe, tmp_path):
    run = tmp_path / "run"
    stop_after(start(of(recipe, TEXT), run=run), 3)
    told = (run / "recipe.toml").read_text()
    (run / "recipe.toml").write_text(told.replace("conv 4", "conv 5"))
    with pytest.raises((ConfigError, ModelFileError), match="the one the run was started with"):
        resume(run)


def test_a_fault_of_the_text_shows_the_place_in_the_recipes_own_lines(tmp_path):
    (tmp_path / "recipe.toml").write_text('model = """\nconv 4 5x5,\nrleu, flatten, linear 10"""\nepochs = 1\n')
    with pytest.raises(NotationError, match=r"line 2, column 1: .*\n    rleu, flatten, linear 10\n    \^\n"):
        train(read_recipe(tmp_path / "recipe.toml"), run=tmp_path / "run")


@pytest.mark.usefixtures("own")
def test_infinities_that_a_network_is_made_with_are_no_fault(recipe, tmp_path):
    events = start(of(recipe, "net.py:Masked", update={"ema_decay": 0.9}), run=tmp_path / "run")
    stop_after(events, 9)
    assert any(isinstance(event, Finished) for event in go_on(tmp_path / "run"))
    saved = weights(tmp_path / "run")
    masks = [saved[name] for name in saved if name.endswith("mask")]
    assert len(masks) == 2  # the running mean's too
    assert all(torch.equal(mask, torch.full((4, 4), float("-inf")).triu(1)) for mask in masks)


@pytest.mark.parametrize(
    ("changes", "fix"),
    [
        ({"batch_size": 16, "update": {"accumulate": 16}}, "lower update.accumulate"),
        *(
            pytest.param(
                {"batch_size": 43, "execution": {"engine": engine}},
                "take another batch_size: 87 samples leave 1 for the last batch",
                id=engine,
                marks=pytest.mark.skipif(engine == "native" and library() is None, reason=absence()),
            )
            for engine in ("torch", "calculus", "native")
        ),
    ],
)
def test_a_single_sample_before_batch_normalisation_is_refused_with_the_way_out(recipe, tmp_path, changes, fix):
    events = start(of(recipe, "flatten, linear 8, batchnorm, relu, linear 3", **changes), run=tmp_path / "run")
    with pytest.raises(ConfigError, match=f"of two samples or more, got a single one in epoch 1[^F]*Fix: {fix}"):
        trained(events)
