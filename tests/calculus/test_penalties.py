import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

from striate.calculus.penalties import (
    demonstrate,
    elastic,
    elastic_pullback,
    l1,
    l1_pullback,
    l2,
    l2_pullback,
    penalised,
    penalty,
    penalty_pullback,
)

PAIRS = {
    "l1": (l1, l1_pullback, (0.3,)),
    "l2": (l2, l2_pullback, (0.3,)),
    "elastic": (elastic, elastic_pullback, (0.3, 0.2)),
}


def draw(shape, seed):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def near(actual, expected):
    assert_close(actual, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", sorted(PAIRS))
@settings(max_examples=25, deadline=None, derandomize=True)
@given(shape=st.lists(st.integers(1, 4), max_size=4), seed=st.integers(0, 999))
def test_the_pullbacks_agree_with_autograd_and_the_kink_at_zero_is_flat(name, shape, seed):
    cost, pullback, strengths = PAIRS[name]
    w = draw(shape, seed)
    w.view(-1)[0] = 0
    w.requires_grad_()
    dy = draw([], seed + 1)
    dw = pullback(dy, w.detach(), *strengths)
    near(dw, torch.autograd.grad(cost(w, *strengths), w, dy)[0])
    assert dw.view(-1)[0] == 0


@pytest.mark.parametrize("name", sorted(PAIRS))
def test_the_pullbacks_agree_with_central_differences(name):
    cost, pullback, strengths = PAIRS[name]
    w, h = draw([5], 0), 1e-6
    steps = h * torch.eye(5, dtype=torch.float64)
    slopes = [(cost(w + e, *strengths) - cost(w - e, *strengths)) / (2 * h) for e in steps]
    dw = pullback(torch.ones((), dtype=torch.float64), w, *strengths)
    assert_close(dw, torch.stack(slopes), rtol=1e-6, atol=1e-9)


def test_by_hand_three_and_four_cost_seven_and_twelve_and_a_half():
    w = torch.tensor([3.0, -4.0], dtype=torch.float64)
    assert float(l1(w, 1.0)) == 7
    assert float(l2(w, 1.0)) == 12.5
    assert float(elastic(w, 2.0, 1.0)) == 26.5


def test_the_l2_push_is_torchs_weight_decay():
    w = nn.Parameter(draw([3, 4], 0))
    w.grad = torch.zeros_like(w)
    before = w.detach().clone()
    torch.optim.SGD([w], lr=1.0, weight_decay=0.3).step()
    near(before - w.detach(), l2_pullback(torch.ones((), dtype=torch.float64), before, 0.3))


def test_biases_and_normalisation_are_exempt():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.PReLU(2), nn.Flatten(), nn.Linear(8, 3)).double()
    parameters = dict(net.named_parameters())
    assert list(penalised(parameters)) == ["0.weight", "4.weight"]
    cost = penalty(parameters, l1_strength=0.3, l2_strength=0.2)
    weights = torch.cat([net[0].weight.flatten(), net[4].weight.flatten()])
    near(cost, 0.3 * weights.abs().sum() + 0.1 * weights.square().sum())
    gradients = penalty_pullback(torch.ones_like(cost), parameters, l1_strength=0.3, l2_strength=0.2)
    expected = torch.autograd.grad(cost, list(parameters.values()), allow_unused=True)
    assert list(gradients) == list(parameters)
    for gradient, parameter, reference in zip(gradients.values(), parameters.values(), expected, strict=True):
        near(gradient.detach(), torch.zeros_like(parameter).detach() if reference is None else reference)


def test_a_network_without_weights_costs_nothing():
    assert penalty({"bias": torch.ones(3)}, l2_strength=1.0) == 0


def test_the_demonstration_can_be_checked_by_hand():
    text = demonstrate()
    w = torch.tensor([3.0, -4.0, 2.0, 0.0], dtype=torch.float64)
    assert f"L1        {0.1 * w.norm(1):.4g} " in text
    assert f"L2        {0.05 * w.norm() ** 2:.4g} " in text
    for push in ("L1        0.1  -0.1  0.1  0 ", "L2        0.3  -0.4  0.2  0 ", "elastic   0.4  -0.5  0.3  0\n"):
        assert push in text
    assert "its push is 0\n" in text
    assert text.endswith("cost 2.35")
