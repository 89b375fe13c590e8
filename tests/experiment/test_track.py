"""Onlookers are told everything and can harm nothing."""

import time
from pathlib import Path

import pytest
import torch

from striate.base.errors import ConfigError, NumericError, Stopped
from striate.evaluate.classification import classification
from striate.experiment import track
from striate.experiment.events import Finished, Noted, Started, Stepped
from striate.experiment.outcome import Outcome
from striate.experiment.recipe import parse_recipe
from striate.experiment.track import tracked, trackers
from striate.experiment.train import start

STARTED = Started("lenet5 on digits", ())
TEST = classification(torch.eye(2), torch.tensor([0, 0]), ("a", "b"))
FINISHED = Finished(Outcome(Path("run"), "classify", 1, 1.0, 0.5, TEST, 60_000))
STEPS = [Stepped(1, 1, batch, 4, 0.5, 100.0) for batch in (1, 2, 3, 4)]


class Recorder:
    name = "recorder"

    def __init__(self):
        self.seen, self.ended = [], []

    def show(self, event):
        self.seen.append(event)

    def end(self, end):
        self.ended.append(end)


class Broken(Recorder):
    name = "broken"

    def show(self, event):
        super().show(event)
        raise OSError("no route to host\nand more")

    def end(self, end):
        super().end(end)
        raise OSError("no route to host")


def run(*, error=None):
    yield STARTED
    yield from STEPS
    if error:
        raise error
    yield FINISHED


def test_all_events_are_shown_and_passed_on_in_order():
    recorder = Recorder()
    passed = list(tracked(run(), [recorder]))
    assert passed == recorder.seen == [STARTED, *STEPS, FINISHED]
    assert not recorder.ended


def test_a_failing_tracker_is_reported_once_and_the_run_and_the_others_go_on():
    broken, recorder = Broken(), Recorder()
    passed = list(tracked(run(), [broken, recorder]))
    notes = [event.note for event in passed if isinstance(event, Noted)]
    assert notes == ["broken failed (no route to host); the run goes on, metrics.csv has all its figures"]
    assert [event for event in passed if not isinstance(event, Noted)] == recorder.seen == [*run()]


def test_a_tracker_that_takes_its_time_to_fail_rests_but_is_asked_again_at_the_end():
    class Slow(Broken):
        def show(self, event):
            time.sleep(0.01)
            super().show(event)

    slow = Slow()
    list(tracked(run(), [slow]))
    assert slow.seen == [STARTED, FINISHED]


@pytest.mark.parametrize(
    ("error", "state", "code"),
    [
        (Stopped("stopped by SIGTERM", 15), "stopped", 143),
        (NumericError("training", "loss", "finite", got="nan", fix="lower lr"), "failed", 5),
        (MemoryError("8 GB"), "failed", 1),
    ],
)
def test_the_trackers_learn_how_a_run_ended_and_the_error_passes(error, state, code):
    recorder, broken = Recorder(), Broken()
    with pytest.raises(type(error)):
        list(tracked(run(error=error), [broken, recorder]))
    (end,) = recorder.ended
    assert (end.state, end.exit_code) == (state, code)
    assert str(error) in end.message


def test_a_program_that_wants_no_more_closes_the_run_and_the_trackers():
    closed = []

    def events():
        try:
            yield from run()
        finally:
            closed.append(True)

    recorder = Recorder()
    going = tracked(events(), [recorder])
    next(going)
    going.close()
    assert closed
    assert recorder.ended[0].state == "stopped"


@pytest.mark.parametrize("name", ["tensorboard", "mlflow"])
def test_a_missing_extra_is_refused_with_what_to_install_before_anything_is_done(monkeypatch, recipe, tmp_path, name):
    monkeypatch.setattr(track, "find_spec", lambda _: None)
    assert trackers(recipe, tmp_path) == []
    asked = parse_recipe({**recipe.model_dump(), "data": "nowhere", "track": {name: True}})
    says = rf"track\.{name} must be installed.*\n  Fix: pip install 'striate\[track\]'"
    with pytest.raises(ConfigError, match=says):
        next(start(asked, run=tmp_path / "run"))
    assert not (tmp_path / "run").exists()
