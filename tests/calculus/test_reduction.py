import pytest
import torch
from torch.testing import assert_close

from striate.base.errors import ConfigError
from striate.calculus.reduction import REDUCTIONS, reduce, reduce_pullback

LOSSES = torch.tensor([1.0, 2.0, 6.0], dtype=torch.float64)


def test_mean_sum_and_none():
    assert reduce(LOSSES, "mean", 3) == 3
    assert reduce(LOSSES, "mean", torch.tensor(4.5)) == 2  # the count may be a sum of weights
    assert reduce(LOSSES, "sum", 3) == 9
    assert torch.equal(reduce(LOSSES, "none", 3), LOSSES)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_pullback_agrees_with_autograd(reduction):
    losses = LOSSES.clone().requires_grad_()
    made = reduce(losses, reduction, 2)
    dy = torch.full_like(made, 0.7)
    expected = torch.autograd.grad(made, losses, dy)[0]
    assert_close(reduce_pullback(dy, reduction, 2).expand(3), expected, rtol=1e-10, atol=1e-12)


def test_an_unknown_reduction_is_refused():
    for call in (reduce, reduce_pullback):
        with pytest.raises(ConfigError, match=r"one of mean, sum, none, got average\.\n  Fix: mean is"):
            call(LOSSES, "average", 3)
