import subprocess
import sys

import pytest
import torch
from torch.testing import assert_close

from striate.base.errors import ConfigError
from striate.calculus.cross_entropy import cross_entropy, cross_entropy_pullback
from striate.calculus.reduction import check_same_shape, reduce, reduce_pullback


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


def test_what_would_broadcast_is_refused():
    with pytest.raises(ConfigError, match=r"target must be of shape \(4, 1\), got \(4,\)"):
        check_same_shape("loss", torch.zeros(4, 1), torch.zeros(4))
    check_same_shape("loss", torch.zeros(4, 1), torch.ones(4, 1))


LOSSES_IN_USE = """
import torch
from striate.base.errors import ConfigError
from striate.calculus.binary_cross_entropy import binary_cross_entropy, binary_cross_entropy_with_logits
from striate.calculus.cross_entropy import cross_entropy
from striate.calculus.hinge import binary_hinge
from striate.calculus.mean_squared_error import mean_squared_error

column, row, logits = torch.full((4, 1), 0.5), torch.full((4,), 0.5), torch.zeros(4, 3)
for loss in (mean_squared_error, binary_cross_entropy, binary_cross_entropy_with_logits, binary_hinge):
    try:
        loss(column, row)
    except ConfigError as error:
        print(error)
for target, weight in (([0, 1, 2], None), ([[0.0]] * 4, None), ([0, 1, 2, 0], torch.ones(1))):
    try:
        cross_entropy(logits, torch.tensor(target), weight=weight)
    except ConfigError as error:
        print(error)
"""


def test_every_loss_refuses_it_where_no_shapes_are_checked():
    """In the tests jaxtyping would refuse first; a user has none, hence a process of its own."""
    printed = subprocess.run([sys.executable, "-c", LOSSES_IN_USE], capture_output=True, text=True, check=True).stdout
    assert printed.count("must be of shape") == 7
    assert "cross_entropy: target must be of shape (4,), got (3,)" in printed
    assert "cross_entropy: weight must be of shape (3,), got (1,)" in printed


def test_a_masked_class_costs_nothing():
    logits = torch.tensor([[1.0, -torch.inf, 2.0]], dtype=torch.float64, requires_grad=True)
    found = cross_entropy(logits, torch.tensor([0]))
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor([0]))
    assert_close(found, expected)
    assert_close(torch.autograd.grad(found, logits)[0], torch.autograd.grad(expected, logits)[0])
    assert_close(
        cross_entropy_pullback(torch.ones((), dtype=torch.float64), logits.detach(), torch.tensor([0])),
        torch.autograd.grad(torch.nn.functional.cross_entropy(logits, torch.tensor([0])), logits)[0],
    )
