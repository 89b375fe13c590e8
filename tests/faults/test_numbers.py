"""NaN and infinity stop a run before the update; metrics that are no numbers are worst, and said."""

import csv

import numpy as np
import pytest
import torch
from tests.faults.runs import tensors, train

from striate.base.errors import DataError, NumericError
from striate.experiment import loop, wiring
from striate.experiment.events import Started, Stepped
from striate.experiment.history import History
from striate.experiment.html import share
from striate.experiment.train import go_on, start
from striate.training.checkpoint import newest

NAN, INFINITY = float("nan"), float("inf")
SAMPLES = r"batch of all/\d+, all/\d+, all/\d+ and 13 more"
ALONG = rf"(loss|gradient norm) at step 4 \(lr 0\.\d+\) in epoch 2 \({SAMPLES}\) must be"


def spoilt(events, spoil):
    """Spoil the run's network between two steps, the fourth and the fifth."""
    made = 0
    for event in events:
        made += isinstance(event, Stepped)
        if made == 4:
            spoil()
            made += 100


def in_the_input(real, value):
    def fit(state, batches, **options):
        def changed():
            for number, (x, y) in enumerate(batches):
                if number == 1 and state.step == 4:
                    x[0, 0, 0, 0] = value
                yield x, y

        return real(state, changed(), **options)

    return fit


def in_one_parameter(real, value):
    def fit(state, batches, **options):
        for loss in real(state, batches, **options):
            if state.step == 4:
                with torch.no_grad():
                    next(state.model.parameters()).view(-1)[0] = value
            yield loss

    return fit


def in_one_gradient(real, value):
    def fit(state, batches, **options):
        parameter = next(state.model.parameters())
        parameter.register_hook(lambda gradient: gradient * (value if state.step == 4 else 1.0))
        return real(state, batches, **options)

    return fit


@pytest.mark.parametrize("value", [NAN, INFINITY])
@pytest.mark.parametrize("place", [in_the_input, in_one_parameter, in_one_gradient])
def test_what_is_not_finite_stops_before_the_update_and_says_where(recipe, tmp_path, monkeypatch, place, value):
    run = tmp_path / "run"
    monkeypatch.setattr(wiring, "fit", place(wiring.fit, value))
    with pytest.raises(NumericError, match=ALONG) as told:
        train(start(recipe, run=run))
    assert told.value.exit_code == 5
    assert "lower lr" in str(told.value)
    found, faults = newest(run / "checkpoints")
    assert (found.step, faults) == (3, [])
    assert all(tensor.isfinite().all() for tensor in found.tensors.values())


def test_a_rate_of_1e20_leaves_finite_checkpoints_alone(recipe, tmp_path):
    run = tmp_path / "run"
    often = recipe.execution.model_copy(update={"checkpoint_seconds": 1e-9})
    wild = recipe.model_copy(update={"lr": 1e20, "execution": often})
    with pytest.raises(NumericError, match="finite"):
        train(start(wild, run=run))
    assert all(tensor.isfinite().all() for tensor in tensors(run).values())


@pytest.mark.parametrize("part", ["running statistics", "momentum", "running mean of the weights"])
def test_what_no_loss_shows_is_never_saved(recipe, tmp_path, part, monkeypatch):
    run = tmp_path / "run"
    real = wiring.fit

    def fit(state, batches, **options):
        for loss in real(state, batches, **options):
            if state.step == 4:
                if part == "running statistics":
                    next(b for name, b in state.model.named_buffers() if "running_var" in name).fill_(INFINITY)
                elif part == "momentum":
                    next(iter(state.optimizer.state.values()))["momentum_buffer"].view(-1)[0] = NAN
                else:
                    state.average.tensors()
                    next(state.average.network.parameters()).data.view(-1)[0] = NAN
            yield loss

    monkeypatch.setattr(wiring, "fit", fit)
    update = recipe.update.model_copy(update={"ema_decay": 0.5})
    often = recipe.execution.model_copy(update={"checkpoint_seconds": 1e-9})
    model = "conv 4 3x3, batchnorm, relu, maxpool 2, flatten, linear 2" if part == "running statistics" else "lenet5"
    regularise = recipe.regularise.model_copy(update={"dropout": None})
    changes = {"update": update, "execution": often, "model": model, "regularise": regularise}
    with pytest.raises(NumericError, match="after step 4 must be finite"):
        train(start(recipe.model_copy(update=changes), run=run))
    assert newest(run / "checkpoints")[0].step == 3
    assert all(tensor.isfinite().all() for tensor in tensors(run).values())


def history_of(*figures):
    history = History()
    for step, (score, loss) in enumerate(figures, start=1):
        history.add_batch(1.0, 1, 0.1)
        history.end_epoch(step=step, lr=0.1, validation_loss=loss, validation_score=score)
    return history


@pytest.mark.parametrize(
    ("figures", "best"),
    [
        ([(0.5, 1.0), (0.5, 1.0), (0.5, 1.0)], 1),  # constant: the earliest
        ([(0.5, 1.0), (0.5, 0.9), (0.5, 0.9)], 2),  # a tie of scores: the loss decides, then the earlier
        ([(NAN, NAN), (0.1, 2.0)], 2),
        ([(0.1, 2.0), (0.9, NAN)], 1),  # NaN is worst
        ([(NAN, NAN), (NAN, NAN)], 1),
        ([(NAN, 2.0), (NAN, 1.0)], 2),  # no score at all: the loss decides
    ],
)
def test_the_best_epoch_is_the_earliest_of_the_best_and_never_nan(figures, best):
    history = history_of(*figures)
    assert history.best.epoch == best
    again = History.from_dict(history.as_dict())
    assert again.best.epoch == best


def test_a_figure_that_is_none_is_not_available_and_never_0():
    assert share(NAN) == share(None) == "not available"


def test_an_early_stop_counts_epochs_without_a_number():
    from striate.training.stopping import should_stop

    assert should_stop(history_of((0.5, 1.0), (NAN, NAN), (NAN, NAN)).scores, 2, 0.0)
    assert not should_stop(history_of((NAN, NAN), (NAN, NAN), (0.5, 1.0)).scores, 2, 0.0)


def test_an_empty_validation_split_is_refused_before_anything_is_written(recipe, tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "few.npz"
    np.savez(path, x=rng.integers(0, 255, (4, 28, 28)).astype(np.uint8), y=np.array([0, 0, 1, 1]))
    with pytest.raises(DataError, match="validation pictures must be at least one"):
        next(start(recipe.model_copy(update={"data": str(path)}), run=tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_validation_loss_of_nan_is_said_and_no_model_is_made(recipe, tmp_path, monkeypatch):
    run = tmp_path / "run"
    real = loop.measured

    def spoilt_measure(*arguments):
        result, number = real(*arguments)
        object.__setattr__(result, "loss", NAN)
        return result, number

    monkeypatch.setattr(loop, "measured", spoilt_measure)
    with pytest.raises(NumericError, match="nan in every one"):
        list(start(recipe, run=run))
    assert not (run / "model").exists()
    table = list(csv.DictReader((run / "metrics.csv").read_text().splitlines()))
    assert [row["validation_loss"] for row in table] == ["nan", "nan"]
    events = go_on(run)
    assert isinstance(next(events), Started)
    events.close()
