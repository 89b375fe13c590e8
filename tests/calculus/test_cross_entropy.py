import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from striate.base.errors import ConfigError, DataError
from striate.calculus.cross_entropy import (
    cross_entropy,
    cross_entropy_from_probabilities,
    cross_entropy_from_probabilities_pullback,
    cross_entropy_pullback,
    demonstrate,
)
from striate.calculus.softmax import softmax, softmax_pullback

ONE = torch.ones((), dtype=torch.float64)


def draw(shape, seed):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def near(actual, expected):
    assert_close(actual, expected, rtol=1e-10, atol=1e-12)


@st.composite
def cases(data):  # data: the composite draw
    """Logits, a target of either kind, and the options, as torch's function takes them."""
    batch, classes = data(st.integers(1, 4)), data(st.integers(1, 5))
    rest = data(st.lists(st.integers(1, 3), max_size=2))
    seed = data(st.integers(0, 999))
    logits = 3 * draw([batch, classes, *rest], seed)
    generator = torch.Generator().manual_seed(seed + 1)
    target = torch.randint(classes, [batch, *rest], generator=generator)
    if data(st.booleans()):
        target = draw(logits.shape, seed + 2).softmax(1)
    options = {
        "weight": draw([classes], seed + 3).exp() if data(st.booleans()) else None,
        "label_smoothing": data(st.sampled_from([0.0, 0.1, 0.7, 1.0])),
        "reduction": data(st.sampled_from(["mean", "sum", "none"])),
    }
    return logits, target, options, seed


@settings(max_examples=60, deadline=None, derandomize=True)
@given(case=cases())
def test_value_and_pullback_from_logits_are_torchs(case):
    logits, target, options, seed = case
    logits = logits.requires_grad_()
    loss = F.cross_entropy(logits, target, **options)
    near(cross_entropy(logits, target, **options), loss)
    dl = draw(loss.shape, seed)
    dlogits = cross_entropy_pullback(dl, logits.detach(), target, **options)
    near(dlogits, torch.autograd.grad(loss, logits, dl)[0])
    near(dlogits, torch.autograd.grad(cross_entropy(logits, target, **options), logits, dl)[0])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(case=cases())
def test_value_and_pullback_from_probabilities_agree_with_torch_and_autograd(case):
    logits, target, options, seed = case
    p = logits.softmax(1)
    near(cross_entropy_from_probabilities(p, target, **options), F.cross_entropy(logits, target, **options))
    p = (p * 0.9).requires_grad_()  # no longer a sum of 1: each probability is on its own
    loss = cross_entropy_from_probabilities(p, target, **options)
    dl = draw(loss.shape, seed)
    dp = cross_entropy_from_probabilities_pullback(dl, p.detach(), target, **options)
    near(dp, torch.autograd.grad(loss, p, dl)[0])
    if target.ndim == 1 and options["label_smoothing"] == 0:
        near(loss, F.nll_loss(p.log(), target, weight=options["weight"], reduction=options["reduction"]))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(case=cases())
def test_softmax_and_cross_entropy_in_two_steps_are_the_one(case):
    logits, target, options, seed = case
    dl = draw(F.cross_entropy(logits, target, **options).shape, seed)
    dp = cross_entropy_from_probabilities_pullback(dl, softmax(logits, dim=1), target, **options)
    near(softmax_pullback(dp, logits, dim=1), cross_entropy_pullback(dl, logits, target, **options))


def test_the_gradient_of_a_batch_is_p_minus_y_over_b():
    logits, target = draw([4, 3], 0), torch.tensor([2, 0, 1, 1])
    one_hot = F.one_hot(target, 3).double()
    expected = (logits.softmax(1) - one_hot) / 4
    near(cross_entropy_pullback(ONE, logits, target), expected)
    dp = cross_entropy_from_probabilities_pullback(ONE, softmax(logits, dim=1), target)
    near(softmax_pullback(dp, logits, dim=1), expected)


@pytest.mark.parametrize(
    ("loss", "pullback", "start"),
    [
        (cross_entropy, cross_entropy_pullback, draw([3, 4], 0)),
        (cross_entropy_from_probabilities, cross_entropy_from_probabilities_pullback, draw([3, 4], 0).softmax(1)),
    ],
)
def test_the_pullbacks_agree_with_central_differences(loss, pullback, start):
    target, h = torch.tensor([0, 3, 1]), 1e-6
    options = {"weight": draw([4], 5).exp(), "label_smoothing": 0.2}
    steps = h * torch.eye(12, dtype=torch.float64).view(12, 3, 4)
    slopes = [(loss(start + e, target, **options) - loss(start - e, target, **options)) / (2 * h) for e in steps]
    assert_close(pullback(ONE, start, target, **options), torch.stack(slopes).view(3, 4), rtol=1e-6, atol=1e-8)


def test_logits_1e4_apart_give_the_true_loss():
    logits = torch.tensor([[1e4, -1e4], [1e4, -1e4]], dtype=torch.float64)
    target = torch.tensor([0, 1])
    assert cross_entropy(logits, target, reduction="none").tolist() == [0, 2e4]
    dl = torch.ones(2, dtype=torch.float64)
    assert cross_entropy_pullback(dl, logits, target, reduction="none").tolist() == [[0, 0], [1, -1]]


def test_a_probability_of_zero_costs_infinity_where_it_is_right_and_nothing_elsewhere():
    p = torch.tensor([[0.0, 1.0], [0.0, 1.0]], dtype=torch.float64)
    target = torch.tensor([0, 1])
    assert cross_entropy_from_probabilities(p, target, reduction="none").tolist() == [math.inf, 0]
    dl = torch.ones(2, dtype=torch.float64)
    dp = cross_entropy_from_probabilities_pullback(dl, p, target, reduction="none")
    assert dp.tolist() == [[-math.inf, 0], [0, -1]]


@pytest.mark.parametrize("target", [-1, 3, -100])
def test_a_class_that_does_not_exist_is_refused(target):
    with pytest.raises(DataError, match=rf"every class must be in \[0, 3\), got {target}\."):
        cross_entropy(draw([1, 3], 0), torch.tensor([target]))


@pytest.mark.parametrize("smoothing", [-0.1, 1.5])
def test_label_smoothing_outside_0_to_1_is_refused(smoothing):
    with pytest.raises(ConfigError, match=r"label_smoothing must be in \[0, 1\]"):
        cross_entropy(draw([1, 3], 0), torch.tensor([0]), label_smoothing=smoothing)


def test_the_demonstration_can_be_checked_by_hand():
    text = demonstrate()
    assert "loss = -log 0.6652 = 0.4076" in text
    assert "0.8 * 0.4076 + 0.1 * 1.4076 + 0.1 * 2.4076 = 0.7076" in text
    assert "-0.3348" in text
