import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from striate.calculus.linear import demonstrate, linear, linear_pullback

sizes = st.integers(1, 5)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(sizes, max_size=3), sizes, sizes, st.booleans())
def test_forward_is_torchs_and_pullback_is_autograds(batch, inputs, outputs, biased):
    x = torch.randn(*batch, inputs, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(outputs, inputs, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(outputs, dtype=torch.float64, requires_grad=True)
    y = linear(x, weight, bias if biased else None)
    assert_close(y, F.linear(x, weight, bias if biased else None), rtol=1e-12, atol=1e-12)
    dy = torch.randn_like(y)
    expected = torch.autograd.grad(linear(x, weight, bias), (x, weight, bias), dy)
    assert_close(linear_pullback(dy, x, weight), expected, rtol=1e-10, atol=1e-12)


def test_pullback_agrees_with_central_differences():
    g = torch.Generator().manual_seed(0)
    x, weight, bias, dy = (torch.randn(*s, dtype=torch.float64, generator=g) for s in [(3, 4), (5, 4), (5,), (3, 5)])
    vx, vw, vb = (torch.randn(t.shape, dtype=torch.float64, generator=g) for t in (x, weight, bias))
    h = 1e-5

    def loss(t):
        return (dy * linear(x + t * vx, weight + t * vw, bias + t * vb)).sum()

    dx, dw, db = linear_pullback(dy, x, weight)
    slope = (dx * vx).sum() + (dw * vw).sum() + (db * vb).sum()
    assert_close((loss(h) - loss(-h)) / (2 * h), slope, rtol=1e-6, atol=0)


def test_the_demonstration_shows_its_numbers():
    text = demonstrate()
    for line in ("y_1 = 3·1 + (-1)·2 + 10 = 11", "y_2 = 0·1 + 2·2 + 20 = 24", "= 3\n", "= -3\n", "(1 2) and (-1 -2)"):
        assert line in text
