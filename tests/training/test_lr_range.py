import copy
from functools import partial
from itertools import repeat

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from striate.base.errors import NumericError
from striate.experiment.lr_picture import lr_picture
from striate.training.engine import TrainState, fit
from striate.training.lr_range import Point, choose, lr_range, rates

CURVATURE = 4.0  # of the loss below: plain descent diverges beyond a rate of 2 / CURVATURE


class Bowl(nn.Module):
    """One weight whose loss is CURVATURE w^2 / 2."""

    def __init__(self, start=1.0):
        super().__init__()
        self.w = nn.Parameter(torch.tensor([start]))

    def forward(self, x):
        return CURVATURE * self.w**2 / 2 + 0 * x.sum()


def bowl(start=1.0):
    model = Bowl(start)
    return TrainState(model=model, optimizer=torch.optim.SGD(model.parameters(), lr=1.0), seed=0)


BATCHES = repeat((torch.zeros(1), torch.zeros(1)))


@pytest.fixture
def engine(request):
    """The engine as training calls it, for a loss of the network's own."""
    return partial(fit, **objective(lambda outputs, _: outputs.mean()))


def objective(loss):
    try:
        from striate.training.engine import Objective
    except ImportError:
        return {"loss_fn": loss}
    return {"objective": Objective(loss)}


def test_the_rates_grow_in_equal_ratios():
    at = rates(1e-5, 10.0, 100)
    ratios = [at(step + 1) / at(step) for step in range(99)]
    assert ratios == pytest.approx([ratios[0]] * 99)
    assert (at(0), at(99)) == pytest.approx((1e-5, 10.0))


def test_the_rate_of_a_bowl_lies_below_where_descent_diverges_and_is_of_use(engine):
    found = lr_range(bowl(), BATCHES, engine)
    assert 0.01 / CURVATURE < found.lr < 2 / CURVATURE


def test_the_losses_are_those_of_training_at_the_same_rates(engine):
    found = lr_range(bowl(), BATCHES, engine)
    w, at = 1.0, rates()
    for step, point in enumerate(found.points[:60]):
        assert point.lr == at(step)
        assert point.loss == pytest.approx(CURVATURE * w * w / 2, rel=1e-4)
        w -= at(step) * CURVATURE * w


def test_the_smoothed_loss_is_a_weighted_mean_of_the_losses_so_far(engine):
    points = lr_range(bowl(), BATCHES, engine).points
    for step in (0, 7, 40):
        weights = [0.9 ** (step - k) for k in range(step + 1)]
        mean = sum(w * p.loss for w, p in zip(weights, points, strict=False)) / sum(weights)
        assert points[step].smoothed == pytest.approx(mean)


def test_the_test_ends_when_the_loss_runs_away(engine):
    points = lr_range(bowl(), BATCHES, engine).points
    assert len(points) < 100
    assert points[-1].smoothed > 4 * min(point.smoothed for point in points)


def test_a_loss_that_is_no_number_ends_the_test():
    def loss(outputs, _):
        value = outputs.mean()
        return value if value < 10 else value * float("inf")

    found = lr_range(bowl(), BATCHES, partial(fit, **objective(loss)))
    assert all(point.loss < 10 for point in found.points)
    assert found.lr < 2 / CURVATURE


def test_the_same_state_and_batches_give_the_same_rate(engine):
    assert lr_range(bowl(), BATCHES, engine) == lr_range(bowl(), BATCHES, engine)


def test_network_optimiser_and_randomness_are_left_as_they_are():
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 2))
    state = TrainState(model=model, optimizer=torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9), seed=0, step=7)
    before = copy.deepcopy(model.state_dict())
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    lr_range(state, repeat((torch.eye(6)[:, :4], torch.tensor([0, 1] * 3))), partial(fit, **objective(F.cross_entropy)))
    assert torch.equal(torch.rand(2), expected)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert (state.step, state.optimizer.param_groups[0]["lr"], len(state.optimizer.state)) == (7, 0.5, 0)


def test_a_loss_that_never_falls_is_said(engine):
    with pytest.raises(NumericError, match=r"the loss must be falling at some rate"):
        lr_range(bowl(start=0.0), BATCHES, engine)


def test_a_loss_that_is_no_number_from_the_beginning_is_said():
    with pytest.raises(NumericError, match=r"the loss must be falling at some rate"):
        lr_range(bowl(), BATCHES, partial(fit, **objective(lambda outputs, _: outputs.mean() * float("nan"))))


def test_the_picture_is_a_png(engine):
    assert lr_picture(lr_range(bowl(), BATCHES, engine)).startswith(b"\x89PNG")


def test_the_rate_is_half_of_that_at_which_falling_is_over_however_long_the_floor_is():
    losses = [5.0, 4.0, 2.0, 1.0, 0.9, 0.91, 0.89, 0.9, 5.0]
    points = tuple(Point(10.0 ** (step - 4), loss, loss) for step, loss in enumerate(losses))
    assert choose(points) == pytest.approx(0.1 / 2)  # 1.0 is the first below 0.89 + 0.05 (5 - 0.89)
