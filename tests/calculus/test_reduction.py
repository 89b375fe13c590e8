import pytest
import torch
from torch.testing import assert_close

from striate.base.errors import ConfigError
from striate.calculus.reduction import reduce, reduce_pullback


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("count", [4, torch.tensor(2.5, dtype=torch.float64)])  # terms, or the sum of their weights
def test_the_pullback_agrees_with_autograd(reduction, count):
    losses = torch.tensor([1.0, 2.0, 0.0, 5.0], dtype=torch.float64, requires_grad=True)
    loss = reduce(losses, reduction, count)
    dy = torch.full_like(loss, 3.0)
    expected = torch.autograd.grad(loss, losses, dy)[0]
    assert_close(reduce_pullback(dy, reduction, count).expand(4), expected, rtol=1e-10, atol=1e-12)


def test_mean_sum_and_none_by_hand():
    losses = torch.tensor([1.0, 2.0, 0.0, 5.0])
    assert float(reduce(losses, "mean", 4)) == 2
    assert float(reduce(losses, "sum", 4)) == 8
    assert reduce(losses, "none", 4).tolist() == [1, 2, 0, 5]


def test_an_unknown_reduction_names_the_known_ones():
    with pytest.raises(ConfigError, match="reduction must be one of mean, sum, none, got average"):
        reduce(torch.ones(2), "average", 2)
