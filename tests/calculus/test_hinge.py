import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from striate.base.errors import ConfigError, DataError
from striate.calculus.hinge import (
    binary_hinge,
    binary_hinge_pullback,
    demonstrate,
    multi_class_hinge,
    multi_class_hinge_pullback,
)

ONE = torch.ones((), dtype=torch.float64)


def draw(shape, seed):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def near(actual, expected):
    assert_close(actual, expected, rtol=1e-10, atol=1e-12)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    batch=st.integers(1, 4),
    classes=st.integers(1, 5),
    p=st.sampled_from([1, 2]),
    margin=st.sampled_from([0.5, 1.0, 2.0]),
    weighted=st.booleans(),
    ties=st.booleans(),
    reduction=st.sampled_from(["mean", "sum", "none"]),
    seed=st.integers(0, 999),
)
def test_the_many_class_hinge_is_torchs_multi_margin_loss(batch, classes, p, margin, weighted, ties, reduction, seed):
    scores = draw([batch, classes], seed)
    scores = (scores.round() if ties else scores).requires_grad_()  # whole numbers meet the kink
    target = torch.randint(classes, [batch], generator=torch.Generator().manual_seed(seed + 1))
    weight = draw([classes], seed + 2).exp() if weighted else None
    options = {"p": p, "margin": margin, "weight": weight, "reduction": reduction}
    loss = F.multi_margin_loss(scores, target, **options)
    near(multi_class_hinge(scores.detach(), target, **options), loss)
    dl = draw(loss.shape, seed + 3)
    dscores = multi_class_hinge_pullback(dl, scores.detach(), target, **options)
    near(dscores, torch.autograd.grad(loss, scores, dl)[0])
    near(dscores, torch.autograd.grad(multi_class_hinge(scores, target, **options), scores, dl)[0])


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    shape=st.lists(st.integers(1, 4), max_size=3),
    margin=st.sampled_from([0.5, 1.0]),
    ties=st.booleans(),
    reduction=st.sampled_from(["mean", "sum", "none"]),
    seed=st.integers(0, 999),
)
def test_the_binary_hinge_is_relu_of_the_shortfall(shape, margin, ties, reduction, seed):
    x, target = draw(shape, seed), draw(shape, seed + 1).sign()
    x = (x.round() if ties else x).requires_grad_()
    each = F.relu(margin - target * x)
    loss = {"mean": each.mean(), "sum": each.sum(), "none": each}[reduction]
    near(binary_hinge(x.detach(), target, margin=margin, reduction=reduction), loss)
    dl = draw(loss.shape, seed + 2)
    dx = binary_hinge_pullback(dl, x.detach(), target, margin=margin, reduction=reduction)
    near(dx, torch.autograd.grad(loss, x, dl)[0])
    ours = binary_hinge(x, target, margin=margin, reduction=reduction)
    near(dx, torch.autograd.grad(ours, x, dl)[0])


@pytest.mark.parametrize("p", [1, 2])
def test_the_pullbacks_agree_with_central_differences(p):
    scores, target, h = draw([3, 4], 0), torch.tensor([0, 3, 1]), 1e-6
    signs = draw([3, 4], 1).sign()
    steps = h * torch.eye(12, dtype=torch.float64).view(12, 3, 4)

    def slopes(loss):
        return torch.stack([(loss(scores + e) - loss(scores - e)) / (2 * h) for e in steps]).view(3, 4)

    many = slopes(lambda x: multi_class_hinge(x, target, p=p))
    assert_close(multi_class_hinge_pullback(ONE, scores, target, p=p), many, rtol=1e-6, atol=1e-9)
    two = slopes(lambda x: binary_hinge(x, signs))
    assert_close(binary_hinge_pullback(ONE, scores, signs), two, rtol=1e-6, atol=1e-9)


def test_at_the_kink_nothing_is_pushed():
    scores = torch.tensor([[2.0, 1.0]], dtype=torch.float64)  # leads by exactly the margin
    assert multi_class_hinge_pullback(ONE, scores, torch.tensor([0])).tolist() == [[0, 0]]
    one = torch.ones(1, dtype=torch.float64)
    assert binary_hinge_pullback(ONE, one, one).tolist() == [0]


def test_bad_exponents_and_classes_are_refused():
    scores = draw([1, 3], 0)
    with pytest.raises(ConfigError, match="p must be 1 or 2, got 3"):
        multi_class_hinge(scores, torch.tensor([0]), p=3)
    with pytest.raises(DataError, match=r"every class must be in \[0, 3\), got 3"):
        multi_class_hinge(scores, torch.tensor([3]))


def test_the_demonstration_can_be_checked_by_hand():
    text = demonstrate()
    assert "loss = (0.5 + 0.0) / 3 = 0.1667" in text
    assert "-0.3333" in text
