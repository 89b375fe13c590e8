import pytest
import torch
from torch import nn
from torch.nn import functional as F

from striate.training import trials
from striate.training.forms import Form
from striate.training.trials import Trial, Work, fastest, runs, try_forms

FORMS = (Form("float32", "channels_last"), Form("float32", "contiguous"))


class Slow(nn.Module):
    """Works twenty times as much unless its input lies as this asks, and runs out of memory on demand."""

    def __init__(self, fails_at=None):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(3, 4, 2, 2))
        self.fails_at, self.calls = fails_at, 0

    def forward(self, x):
        last = not self.weight.is_contiguous()
        self.calls += 1
        if last and self.fails_at is not None and self.calls >= self.fails_at:
            raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried\nmore")
        for _ in range(60 if last else 3):
            y = torch.mm(x, x.T)
        return (y.sum() * self.weight.sum()).expand(len(x), 3)


def work(network):
    x = torch.rand(64, 64, generator=torch.Generator().manual_seed(0))
    return Work(network=network, batch=(x, torch.zeros(64, dtype=torch.long)), loss=F.cross_entropy, macs=1, samples=1)


def test_the_fast_form_is_found():
    tried = try_forms(FORMS, work(Slow()), "cpu", seconds=0.1)
    assert [trial.form for trial in tried] == list(FORMS)
    assert fastest(tried) == FORMS[1]


@pytest.mark.parametrize("fails_at", [1, 3])  # while warming up, and later
def test_a_form_that_runs_out_of_memory_is_left_and_the_others_go_on(fails_at):
    first, second = try_forms(FORMS, work(Slow(fails_at)), "cpu", seconds=0.1)
    assert first.seconds is None
    assert first.fault == "DefaultCPUAllocator: not enough memory: you tried"
    assert second.seconds is not None
    assert fastest((first, second)) == FORMS[1]


def test_where_nothing_runs_the_usual_form_is_taken():
    assert fastest((Trial(FORMS[0], None, "a"), Trial(FORMS[1], None, "b"))) == FORMS[0]


@pytest.mark.parametrize(("other", "taken"), [(0.95, 0), (0.89, 1)])
def test_another_form_than_the_usual_one_is_taken_only_for_a_tenth(other, taken):
    assert fastest((Trial(FORMS[0], 1.0), Trial(FORMS[1], other))) == FORMS[taken]


def test_the_steps_of_the_forms_alternate(monkeypatch):
    order = []
    steps = Work.steps

    def recorded(self, form, device):
        for _ in steps(self, form, device):
            order.append(form)
            yield

    monkeypatch.setattr(Work, "steps", recorded)
    try_forms(FORMS, work(nn.Linear(64, 3)), "cpu", seconds=0.0)
    assert order == [*FORMS] * (1 + trials.LEAST)


def test_a_trial_ends_when_its_time_is_up(monkeypatch):
    now = iter(range(1000))
    monkeypatch.setattr(trials.time, "perf_counter", lambda: float(next(now)))
    calls = []
    monkeypatch.setattr(Work, "steps", lambda _self, form, _device: (calls.append(form) for _ in range(1000)))
    try_forms(FORMS, work(nn.Linear(64, 3)), "cpu", seconds=30.0)
    assert 6 <= len(calls) <= 20


def test_a_trial_leaves_weights_buffers_and_gradients_alone():
    network = nn.Sequential(nn.Linear(64, 3), nn.BatchNorm1d(3)).eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    try_forms(FORMS, work(network), "cpu", seconds=0.0)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert network[0].weight.grad is None
    assert not network.training


def test_a_step_of_a_few_rows_tells_what_is_wrong():
    assert runs(FORMS[0], work(nn.Linear(64, 3)), "cpu") == ""
    assert "shapes cannot be multiplied" in runs(FORMS[0], work(nn.Linear(63, 3)), "cpu")
