import math

import pytest
import torch

from striate.training.schedules import SCHEDULES, Curve, constant, cosine


def test_cosine_after_warm_up_is_torchs():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.3)
    reference = torch.optim.lr_scheduler.SequentialLR(
        optimizer,
        [
            torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.25, total_iters=3),
            torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=16),
        ],
        milestones=[4],
    )
    ours = cosine(0.3, warmup_steps=4, total_steps=20)
    for step in range(20):
        assert ours(step) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-12)
        optimizer.step()
        reference.step()


def test_constant_stays_after_the_rise():
    rate = constant(0.5, warmup_steps=2, total_steps=10)
    assert [rate(step) for step in range(4)] == [0.25, 0.5, 0.5, 0.5]


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("warmup", [0, 1, 7])
def test_a_rate_is_positive_and_at_most_the_peak(name, warmup):
    rate = SCHEDULES[name](0.1, warmup, 7, Curve(every=2, power=2.0))
    assert all(0 < rate(step) <= 0.1 and math.isfinite(rate(step)) for step in range(7))
