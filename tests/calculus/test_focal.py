import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from striate.base.errors import ConfigError, DataError
from striate.calculus.cross_entropy import cross_entropy, cross_entropy_pullback
from striate.calculus.focal import demonstrate, focal, focal_pullback

ONE = torch.ones((), dtype=torch.float64)


def draw(shape, seed):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def by_hand(logits, target, gamma, weight, smoothing):
    """Sample by sample and class by class, as the equation is written."""
    classes, total, count = logits.shape[1], 0.0, 0.0
    for x, y in zip(logits, target, strict=True):
        p = x.exp() / x.exp().sum()
        for c in range(classes):
            a = weight[c] * ((1 - smoothing) * (c == int(y)) + smoothing / classes)
            total = total - a * (1 - p[c]) ** gamma * p[c].log()
        count = count + weight[int(y)]
    return total / count


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    batch=st.integers(1, 4),
    classes=st.integers(2, 5),
    gamma=st.sampled_from([0.0, 0.5, 1.0, 2.0, 5.0]),
    smoothing=st.sampled_from([0.0, 0.1]),
    seed=st.integers(0, 999),
)
def test_loss_and_gradient_are_those_of_the_equation(batch, classes, gamma, smoothing, seed):
    logits = draw([batch, classes], seed).requires_grad_()
    target = torch.randint(classes, [batch], generator=torch.Generator().manual_seed(seed + 1))
    weight = draw([classes], seed + 2).exp()
    expected = by_hand(logits, target, gamma, weight, smoothing)
    options = {"gamma": gamma, "weight": weight, "label_smoothing": smoothing}
    assert_close(focal(logits.detach(), target, **options), expected.detach(), rtol=1e-10, atol=1e-12)
    slope = focal_pullback(ONE, logits.detach(), target, **options)
    assert_close(slope, torch.autograd.grad(expected, logits)[0], rtol=1e-9, atol=1e-12)


def test_without_focus_it_is_cross_entropy_also_of_probabilities_and_maps():
    for logits, target in (
        (draw([3, 4], 0), torch.tensor([1, 3, 0])),
        (draw([3, 4], 0), draw([3, 4], 1).softmax(1)),
        (draw([2, 3, 5, 6], 2), torch.randint(3, [2, 5, 6], generator=torch.Generator().manual_seed(0))),
    ):
        assert_close(focal(logits, target, gamma=0.0), cross_entropy(logits, target))
        assert_close(focal_pullback(ONE, logits, target, gamma=0.0), cross_entropy_pullback(ONE, logits, target))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_certain_and_impossible_classes_give_finite_numbers(gamma):
    logits = torch.tensor([[1000.0, -1000.0]], dtype=torch.float64)
    for target in (torch.tensor([0]), torch.tensor([1])):
        assert focal(logits, target, gamma=gamma).isfinite()
        assert focal_pullback(ONE, logits, target, gamma=gamma).isfinite().all()
    assert float(focal(logits, torch.tensor([0]), gamma=gamma)) == 0


def test_a_focus_below_zero_and_a_class_that_is_none_are_refused():
    with pytest.raises(ConfigError, match=r"gamma must be >= 0, got -1\.0\.\n  Fix: 2 is usual"):
        focal(torch.zeros(1, 2), torch.tensor([0]), gamma=-1.0)
    with pytest.raises(DataError, match="every class must be in"):
        focal(torch.zeros(1, 2), torch.tensor([2]), gamma=1.0)


def test_the_worked_example():
    text = demonstrate()
    assert "( 0, 0)     0.5000   0.6931      0.2500  0.1733" in text
    assert "loss = -log p times (1 - p)^2" in text
