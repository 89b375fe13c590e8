import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from striate.base.errors import ConfigError
from striate.calculus import activations
from striate.calculus.activations import ACTIVATIONS, demonstrate, prelu, prelu_pullback

TORCH = {
    "linear": lambda x: x * 1,
    "hard_limit": lambda x: (torch.sign(x) + 1).clamp(max=1),
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "scaled_tanh": lambda x: 1.7159 * torch.tanh(2 * x / 3),
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "elu": F.elu,
    "swish": F.silu,
    "gelu": F.gelu,
}
EVERY = sorted(ACTIVATIONS)
POINTS = torch.tensor(
    [-1e4, -800.0, -40.0, -3.0, -1.0, -1e-9, -0.0, 0.0, 1e-9, 0.5, 1.0, 3.0, 40.0, 800.0, 1e4], dtype=torch.float64
)
shapes = st.lists(st.integers(1, 4), min_size=0, max_size=4)


def draw(shape, seed):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def near(actual, expected):
    assert_close(actual, expected, rtol=1e-10, atol=1e-12)


def slope_of(f, x, dy):
    x = x.clone().requires_grad_()
    return torch.autograd.grad(f(x), x, dy)[0]


def central_differences(f, x, dy, h=1e-6):
    """dL/dx of an elementwise f."""
    return dy * (f(x + h) - f(x - h)) / (2 * h)


def test_the_table_is_complete():
    assert set(ACTIVATIONS) == set(TORCH)
    for name, pair in ACTIVATIONS.items():
        assert pair == (getattr(activations, name), getattr(activations, f"{name}_pullback"))


@pytest.mark.parametrize("name", EVERY)
def test_values_and_slopes_are_torchs_from_minus_1e4_to_1e4_and_at_the_kink(name):
    forward, pullback = ACTIVATIONS[name]
    dy = torch.linspace(-2, 3, len(POINTS), dtype=torch.float64)
    near(forward(POINTS), TORCH[name](POINTS))
    near(pullback(dy, POINTS), slope_of(TORCH[name], POINTS, dy))


@pytest.mark.parametrize("name", EVERY)
def test_autograd_through_the_formula_gives_the_same_slopes_so_that_layers_may_use_it(name):
    forward, pullback = ACTIVATIONS[name]
    dy = torch.linspace(-2, 3, len(POINTS), dtype=torch.float64)
    near(slope_of(forward, POINTS, dy), pullback(dy, POINTS))


def test_the_sigmoid_is_its_formula():
    near(activations.sigmoid(POINTS), 1 / (1 + torch.exp(-POINTS)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("name", EVERY)
def test_nothing_overflows_in_any_precision_and_the_type_stays(name, dtype):
    forward, pullback = ACTIVATIONS[name]
    x = torch.cat([POINTS, torch.linspace(-1e4, 1e4, 1001, dtype=torch.float64)]).to(dtype)
    for result in (forward(x), pullback(torch.ones_like(x), x)):
        assert result.dtype == dtype
        assert result.isfinite().all()


@pytest.mark.parametrize(
    ("name", "left", "right"),
    [
        ("hard_limit", 0, 1),
        ("sigmoid", 0, 1),
        ("tanh", -1, 1),
        ("scaled_tanh", -1.7159, 1.7159),
        ("relu", 0, 1e4),
        ("leaky_relu", -100, 1e4),
        ("elu", -1, 1e4),
        ("swish", 0, 1e4),
        ("gelu", 0, 1e4),
    ],
)
def test_the_limits_are_reached(name, left, right):
    ends = ACTIVATIONS[name][0](torch.tensor([-1e4, 1e4], dtype=torch.float64))
    assert ends.tolist() == [left, right]


@settings(max_examples=25, deadline=None, derandomize=True)
@given(name=st.sampled_from(EVERY), shape=shapes, seed=st.integers(0, 999))
def test_every_pullback_agrees_with_autograd_and_central_differences(name, shape, seed):
    forward, pullback = ACTIVATIONS[name]
    x, dy = 3 * draw(shape, seed), draw(shape, seed + 1)
    x = torch.where(x.abs() < 1e-3, x + 0.01, x)  # away from the kink
    near(pullback(dy, x), slope_of(forward, x, dy))
    assert_close(pullback(dy, x), central_differences(forward, x, dy), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(("name", "slope"), [("relu", 0), ("leaky_relu", 0.01), ("elu", 1), ("hard_limit", 0)])
def test_at_the_kink_the_left_slope_is_taken(name, slope):
    zero = torch.zeros(2, dtype=torch.float64)
    assert ACTIVATIONS[name][1](zero + 1, zero).tolist() == [slope, slope]


def test_far_tails_keep_their_digits():
    x = torch.tensor(-40.0, dtype=torch.float64)
    assert float(activations.sigmoid(x)) == pytest.approx(math.exp(-40), rel=1e-12, abs=0)
    assert float(activations.sigmoid_pullback(x * 0 + 1, -x)) == pytest.approx(math.exp(-40), rel=1e-12, abs=0)
    assert float(activations.gelu(x / 4)) == pytest.approx(-10 * math.erfc(10 / math.sqrt(2)) / 2, rel=1e-12, abs=0)


@pytest.mark.parametrize("slope", [0.0, 0.2, 1.5])
def test_the_slope_of_leaky_relu_and_the_level_of_elu_are_torchs(slope):
    dy = draw(POINTS.shape, 3)
    near(activations.leaky_relu(POINTS, negative_slope=slope), F.leaky_relu(POINTS, slope))
    expected = slope_of(lambda x: F.leaky_relu(x, slope), POINTS, dy)
    near(activations.leaky_relu_pullback(dy, POINTS, negative_slope=slope), expected)
    near(activations.elu(POINTS, alpha=slope), F.elu(POINTS, slope))
    near(activations.elu_pullback(dy, POINTS, alpha=slope), slope_of(lambda x: F.elu(x, slope), POINTS, dy))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(shape=st.lists(st.integers(1, 4), min_size=1, max_size=4), single=st.booleans(), seed=st.integers(0, 999))
def test_prelu_learns_its_slopes_as_torchs_does(shape, single, seed):
    x, dy = draw(shape, seed), draw(shape, seed + 1)
    x.view(-1)[0] = 0  # a kink among them
    weight = draw([1 if single or len(shape) == 1 else shape[1]], seed + 2)
    x, weight = x.requires_grad_(), weight.requires_grad_()
    y = F.prelu(x, weight)
    near(prelu(x, weight), y)
    dx, dweight = prelu_pullback(dy, x.detach(), weight.detach())
    expected = torch.autograd.grad(y, (x, weight), dy)
    near(dx, expected[0])
    near(dweight, expected[1])


def test_prelu_refuses_a_wrong_number_of_slopes():
    with pytest.raises(ConfigError, match=r"prelu: weight must be of 1 or 3 slopes, got 2\.\n  Fix: one slope"):
        prelu(draw([2, 3, 4], 0), draw([2], 0))


def test_lecuns_tanh_keeps_plus_and_minus_one():
    ends = activations.scaled_tanh(torch.tensor([-1.0, 1.0], dtype=torch.float64))
    assert_close(ends, torch.tensor([-1.0, 1.0], dtype=torch.float64), rtol=0, atol=1e-4)


def test_autograd_through_the_hard_limit_says_zero_as_the_pullback_does():
    x = torch.tensor([-1.0, 0.0, 2.0], requires_grad=True)
    activations.hard_limit(x).sum().backward()
    assert x.grad.tolist() == [0, 0, 0]


def test_the_demonstration_can_be_checked_by_hand():
    text = demonstrate()
    s = 1 / (1 + math.exp(-1))
    assert f"= {s:.4f}" in text
    assert f"2 * {s * (1 - s):.4f} = {2 * s * (1 - s):.4f} below" in text
    sigmoid_row = next(line for line in text.splitlines() if line.startswith("sigmoid"))
    assert "0.5000 / 0.2500" in sigmoid_row
