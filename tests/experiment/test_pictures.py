import math

import pytest

from striate.experiment import pictures
from striate.experiment.history import EpochRow, History
from striate.experiment.pictures import SHOWN_UPDATES, curves, schedule
from striate.training.schedules import SCHEDULES


def row(epoch, **changes):
    values = {"step": 100 * epoch, "seconds": 1.0, "lr": 0.1, "train_loss": 1 / epoch, "images_per_second": 1e3}
    return EpochRow(**{**values, "epoch": epoch, "validation_loss": 0.5, "validation_score": 0.9, **changes})


def test_the_schedule_shows_every_update_and_its_warm_up():
    lr_at = SCHEDULES["constant"](0.5, 50, 200)
    at, rates = schedule(row(2), lr_at)
    assert rates == [lr_at(update) for update in range(200)]
    assert at[:2] == [0.0, pytest.approx(0.01)]  # epochs
    assert rates[0] < rates[49] <= rates[50] == 0.5


def test_a_long_schedule_is_thinned_and_keeps_both_ends():
    at, rates = schedule(row(3, step=30_001), float)
    assert len(at) <= SHOWN_UPDATES + 1
    assert (rates[0], rates[-1]) == (0.0, 30_000.0)
    assert at[-1] == pytest.approx(3.0, abs=1e-3)


def axes_of(monkeypatch, history, lr_at=lambda update: 0.1 * update):
    """What is drawn: losses, score, learning rate."""
    figures = []
    monkeypatch.setattr(pictures, "png", lambda figure: figures.append(figure) or b"")
    curves(history, history.rows[-1], lr_at)
    return figures[0].axes


@pytest.mark.parametrize(("metric", "score"), [("accuracy", 0.9), ("r2", -3.0), ("none", math.nan)])
def test_the_curves_name_the_score_and_draw_the_learning_rate(monkeypatch, metric, score):
    history = History(metric=metric, rows=[row(n, validation_score=score) for n in (1, 2, 3)])
    loss, scores, rate = axes_of(monkeypatch, history)
    assert scores.get_ylabel() == f"validation {metric}"
    assert list(loss.lines[0].get_ydata()) == [1, 1 / 2, 1 / 3]
    assert len(rate.lines[0].get_ydata()) == 300


def test_the_curves_are_a_png():
    assert curves(History(rows=[row(1)]), row(1), lambda _: 0.1).startswith(b"\x89PNG")


def test_a_loss_of_zero_or_nan_is_drawn_on_a_linear_axis(monkeypatch):
    for loss in (0.0, math.nan):
        history = History(rows=[row(1, validation_loss=loss)])
        assert axes_of(monkeypatch, history)[0].get_yscale() == "linear"
