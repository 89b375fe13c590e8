import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim import lr_scheduler

from striate.training.schedules import SCHEDULES, Curve, constant, cosine, one_cycle, plateau_factor, polynomial, step


def reference(make, steps, lr=0.3):
    """The rates that a scheduler of torch goes through."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler, rates = make(optimizer), []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def after_warm_up(then, warmup=4):
    def make(optimizer):
        rise = lr_scheduler.LinearLR(optimizer, start_factor=1 / warmup, total_iters=warmup - 1)
        return lr_scheduler.SequentialLR(optimizer, [rise, then(optimizer)], milestones=[warmup])

    return make


def test_cosine_after_warm_up_is_torchs():
    expected = reference(after_warm_up(lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=16)), 20)
    ours = cosine(0.3, warmup_steps=4, total_steps=20)
    assert [ours(step) for step in range(20)] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("power", [1.0, 0.9, 2.0])
def test_polynomial_after_warm_up_is_torchs(power):
    expected = reference(after_warm_up(lambda o: lr_scheduler.PolynomialLR(o, total_iters=16, power=power)), 20)
    ours = polynomial(0.3, 4, 20, Curve(power=power))
    assert [ours(step) for step in range(20)] == pytest.approx(expected, abs=1e-12)


def test_step_is_torchs_counted_from_the_first_update():
    expected = reference(lambda o: lr_scheduler.StepLR(o, step_size=6, gamma=0.5), 20)
    plain, warmed = (step(0.3, warmup, 20, Curve(every=6, gamma=0.5)) for warmup in (0, 4))
    assert [plain(s) for s in range(20)] == pytest.approx(expected, abs=1e-12)
    assert [warmed(s) for s in range(4)] == pytest.approx([0.075, 0.15, 0.225, 0.3])
    assert [warmed(s) for s in range(4, 20)] == pytest.approx(expected[4:], abs=1e-12)


@pytest.mark.parametrize(("rise", "total"), [(6, 20), (2, 10), (9, 30)])
def test_one_cycle_is_torchs(rise, total):
    def exact(optimizer):
        return lr_scheduler.OneCycleLR(
            optimizer, max_lr=0.3, total_steps=total, pct_start=rise / total, cycle_momentum=False
        )

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    scheduler, expected = exact(optimizer), []
    for number in range(total):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if number < total - 1:
            scheduler.step()
    ours = one_cycle(0.3, rise, total)
    assert [ours(s) for s in range(total)] == pytest.approx(expected, abs=1e-12)


def test_constant_stays_after_the_rise():
    rate = constant(0.5, warmup_steps=2, total_steps=10)
    assert [rate(s) for s in range(4)] == [0.25, 0.5, 0.5, 0.5]


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("warmup", [0, 1, 7])
@pytest.mark.parametrize("total", [1, 7])
def test_a_rate_is_positive_and_at_most_the_peak(name, warmup, total):
    rate = SCHEDULES[name](0.1, min(warmup, total), total, Curve(every=2, power=2.0))
    assert all(0 < rate(s) <= 0.1 and math.isfinite(rate(s)) for s in range(total))


@settings(deadline=None)
@given(
    scores=st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4, 0.5, float("nan")]), max_size=20),
    patience=st.integers(0, 4),
    gamma=st.sampled_from([0.1, 0.5, 1.0]),
)
def test_a_plateau_is_torchs_reduce_on_plateau(scores, patience, gamma):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = (
        lr_scheduler.ReduceLROnPlateau(optimizer, mode="max", factor=gamma, patience=patience, threshold=0.0, eps=0.0)
        if gamma < 1
        else None
    )
    for score in scores if scheduler else ():
        scheduler.step(score)
    assert plateau_factor(scores, patience, gamma) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
