import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from striate.calculus.binary_cross_entropy import (
    binary_cross_entropy,
    binary_cross_entropy_pullback,
    binary_cross_entropy_with_logits,
    binary_cross_entropy_with_logits_pullback,
    demonstrate,
)

ONE = torch.ones((), dtype=torch.float64)
CASES = {
    "shape": st.lists(st.integers(1, 4), max_size=3),
    "weighted": st.booleans(),
    "hard": st.booleans(),
    "reduction": st.sampled_from(["mean", "sum", "none"]),
    "seed": st.integers(0, 999),
}


def draw(shape, seed):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def near(actual, expected):
    assert_close(actual, expected, rtol=1e-10, atol=1e-12)


def answers(shape, hard, seed):
    t = draw(shape, seed).sigmoid()
    return t.round() if hard else t


@settings(max_examples=40, deadline=None, derandomize=True)
@given(**CASES)
def test_value_and_pullback_from_logits_are_torchs(shape, weighted, hard, reduction, seed):
    x, t = 5 * draw(shape, seed), answers(shape, hard, seed + 1)
    x.view(-1)[0] = 0  # an untrained network's answer
    x.requires_grad_()
    w = draw(shape[-1:], seed + 2).exp() if weighted else None  # one for each of the last axis
    loss = F.binary_cross_entropy_with_logits(x, t, pos_weight=w, reduction=reduction)
    near(binary_cross_entropy_with_logits(x, t, pos_weight=w, reduction=reduction), loss)
    dl = draw(loss.shape, seed + 3)
    dx = binary_cross_entropy_with_logits_pullback(dl, x.detach(), t, pos_weight=w, reduction=reduction)
    near(dx, torch.autograd.grad(loss, x, dl)[0])
    ours = binary_cross_entropy_with_logits(x, t, pos_weight=w, reduction=reduction)
    near(dx, torch.autograd.grad(ours, x, dl)[0])


@settings(max_examples=40, deadline=None, derandomize=True)
@given(**CASES)
def test_value_and_pullback_from_probabilities_are_torchs(shape, weighted, hard, reduction, seed):
    x, t = draw(shape, seed), answers(shape, hard, seed + 1)
    w = draw(shape[-1:], seed + 2).exp() if weighted else None
    p = x.sigmoid().requires_grad_()
    loss = binary_cross_entropy(p, t, pos_weight=w, reduction=reduction)
    near(loss, F.binary_cross_entropy_with_logits(x, t, pos_weight=w, reduction=reduction))
    dl = draw(loss.shape, seed + 3)
    dp = binary_cross_entropy_pullback(dl, p.detach(), t, pos_weight=w, reduction=reduction)
    near(dp, torch.autograd.grad(loss, p, dl)[0])
    if not weighted:
        near(dp, torch.autograd.grad(F.binary_cross_entropy(p, t, reduction=reduction), p, dl)[0])


@pytest.mark.parametrize(
    ("loss", "pullback", "x"),
    [
        (binary_cross_entropy_with_logits, binary_cross_entropy_with_logits_pullback, draw([6], 0)),
        (binary_cross_entropy, binary_cross_entropy_pullback, draw([6], 0).sigmoid()),
    ],
)
def test_the_pullbacks_agree_with_central_differences(loss, pullback, x):
    t, w, h = answers([6], False, 1), draw([6], 2).exp(), 1e-6
    steps = h * torch.eye(6, dtype=torch.float64)
    slopes = [(loss(x + e, t, pos_weight=w) - loss(x - e, t, pos_weight=w)) / (2 * h) for e in steps]
    assert_close(pullback(ONE, x, t, pos_weight=w), torch.stack(slopes), rtol=1e-6, atol=1e-9)


def test_logits_of_1e4_give_the_true_loss():
    x = torch.tensor([1e4, 1e4, -1e4, -1e4, 0.0], dtype=torch.float64)
    t = torch.tensor([1.0, 0, 1, 0, 0], dtype=torch.float64)
    losses = binary_cross_entropy_with_logits(x, t, reduction="none")
    near(losses, F.binary_cross_entropy_with_logits(x, t, reduction="none"))
    assert losses.tolist()[:4] == [0, 1e4, 1e4, 0]
    dx = binary_cross_entropy_with_logits_pullback(torch.ones_like(x), x, t, reduction="none")
    assert dx.tolist() == [0, 1, -1, 0, 0.5]


def test_a_certain_answer_costs_torchs_hundred_nats_when_wrong():
    p = torch.tensor([0.0, 1.0, 0.0, 1.0], dtype=torch.float64, requires_grad=True)
    t = torch.tensor([1.0, 0.0, 0.0, 1.0], dtype=torch.float64)
    losses = F.binary_cross_entropy(p, t, reduction="none")
    near(binary_cross_entropy(p.detach(), t, reduction="none"), losses)
    dp = binary_cross_entropy_pullback(torch.ones_like(t), p.detach(), t, reduction="none")
    # torch keeps its floor of 1e-12 in single precision
    assert_close(dp, torch.autograd.grad(losses.sum(), p)[0], rtol=1e-7, atol=0)


def test_the_demonstration_can_be_checked_by_hand():
    rows = {line.split("  ")[1]: line.split() for line in demonstrate().splitlines() if line.startswith("  ")}
    assert rows["l"][1:4] == ["0.6694", "4.828", "0.6931"]  # the last one: three times the answers to yes
    assert "  l              0.2231  1.609  0.6931   = -log 0.8, -log 0.2, -log(1 - 0.5)" in demonstrate()
    p, t = torch.tensor([0.8, 0.2, 0.5], dtype=torch.float64, requires_grad=True), torch.tensor([1.0, 1, 0]).double()
    x = torch.logit(p.detach()).requires_grad_()
    for leaf, loss, name in (
        (p, F.binary_cross_entropy(p, t), "dL/dp"),
        (x, F.binary_cross_entropy_with_logits(x, t), "dL/dx"),
    ):
        assert f"= {loss.item():.4f}\n" in demonstrate()
        assert rows[name][1:4] == [f"{v:.4g}" for v in torch.autograd.grad(loss, leaf)[0].tolist()]
