"""The explicit network in a run: its runs are those of autograd but for rounding."""

import pytest
from tests.faults.runs import alike, same, train

from striate.base.errors import ConfigError
from striate.experiment.events import Started
from striate.experiment.recipe import parse_recipe
from striate.experiment.train import go_on, start


@pytest.fixture
def asked(shapes):
    return {"data": str(shapes), "epochs": 2, "batch_size": 16, "lr": 0.01, "loss": {"label_smoothing": 0.1}}


def run(asked, path, **execution):
    train(start(parse_recipe({**asked, "execution": execution}), run=path))
    return path


@pytest.mark.parametrize(
    "more",
    [
        {"regularise": {"dropout": 0.2, "max_norm": 2.0}, "loss": {"class_weights": "balanced"}},
        {"optimizer": "rmsprop", "lr": 1e-3, "augment": {"mixup": 0.3, "shift": 2}, "update": {"clip_norm": 0.5}},
        {
            "model": "conv 4 3x3 same, batch_norm, relu, add(conv 4 3x3 same, batch_norm | ), gelu, maxpool 2, flatten,"
            " dropout 0.2, linear 3",
            "update": {"ema_decay": 0.9},
        },
    ],
    ids=["sgd", "soft targets", "branches"],
)
def test_a_run_is_that_of_torch_to_rounding(asked, more, tmp_path):
    asked = {**asked, **more}
    ours = run(asked, tmp_path / "ours", engine="calculus")
    torchs = run(asked, tmp_path / "torch", engine="torch", precision="float32", memory_format="contiguous")
    alike(ours, torchs)


def test_stopped_in_the_middle_of_an_epoch_it_goes_on_to_the_same_bits(asked, tmp_path):
    whole = run(asked, tmp_path / "whole", engine="calculus")
    cut = {**asked, "execution": {"engine": "calculus", "checkpoint_seconds": 1e-9}}
    events = start(parse_recipe(cut), run=tmp_path / "cut")
    headline = next(event for event in events if isinstance(event, Started)).headline
    assert "calculus engine" in headline
    for _ in range(4):
        next(events)
    events.close()
    train(go_on(tmp_path / "cut"))
    assert same(whole, tmp_path / "cut")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"loss": {"name": "hinge"}}, "loss.name = hinge"),
        ({"update": {"accumulate": 2}}, "update.accumulate = 2"),
        ({"transfer": {"freeze": ["0"]}}, "transfer.freeze"),
        ({"execution": {"engine": "calculus", "precision": "bfloat16"}}, "precision = bfloat16"),
        ({"execution": {"engine": "calculus", "memory_format": "channels_last"}}, "memory_format = channels_last"),
        ({"model": "resnet20"}, "calculus, but"),
    ],
)
def test_what_it_cannot_train_is_refused_with_the_reason(asked, change, why, tmp_path):
    wanted = {**asked, "execution": {"engine": "calculus"}, **change}
    with pytest.raises(ConfigError, match=why):
        next(start(parse_recipe(wanted), run=tmp_path / "run"))
