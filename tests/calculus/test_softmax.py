import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from striate.calculus.softmax import demonstrate, log_softmax, log_softmax_pullback, softmax, softmax_pullback

PAIRS = {
    "softmax": (softmax, softmax_pullback, F.softmax),
    "log_softmax": (log_softmax, log_softmax_pullback, F.log_softmax),
}


def draw(shape, seed):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def near(actual, expected):
    assert_close(actual, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", sorted(PAIRS))
@settings(max_examples=25, deadline=None, derandomize=True)
@given(shape=st.lists(st.integers(1, 5), min_size=1, max_size=4), data=st.data())
def test_value_and_pullback_are_torchs_along_any_axis(name, shape, data):
    forward, pullback, reference = PAIRS[name]
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    seed = data.draw(st.integers(0, 999))
    x, dy = 3 * draw(shape, seed), draw(shape, seed + 1)
    x = x.round() if seed % 2 else x  # ties for the largest score
    x.requires_grad_()
    y = reference(x, dim=dim)
    near(forward(x, dim=dim), y)
    near(pullback(dy, x.detach(), dim=dim), torch.autograd.grad(y, x, dy)[0])
    near(pullback(dy, x.detach(), dim=dim), torch.autograd.grad(forward(x, dim=dim), x, dy)[0])


@pytest.mark.parametrize("name", sorted(PAIRS))
def test_the_pullback_agrees_with_central_differences(name):
    forward, pullback, _ = PAIRS[name]
    x, dy, h = draw([3, 4], 0), draw([3, 4], 1), 1e-6
    steps = h * torch.eye(12, dtype=torch.float64).view(12, 3, 4)
    slopes = [((forward(x + step) - forward(x - step)) * dy).sum() / (2 * h) for step in steps]
    assert_close(pullback(dy, x), torch.stack(slopes).view(3, 4), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_scores_of_1e4_neither_overflow_nor_lose_the_answer(dtype):
    x = torch.tensor([[1e4, -1e4, 0.0], [1e4, 1e4, -1e4]], dtype=dtype)
    assert softmax(x).tolist() == [[1, 0, 0], [0.5, 0.5, 0]]
    assert log_softmax(x)[0].tolist() == [0, -2e4, -1e4]
    assert softmax_pullback(torch.ones_like(x), x).isfinite().all()
    assert log_softmax_pullback(torch.ones_like(x), x).isfinite().all()


def test_the_demonstration_can_be_checked_by_hand():
    text = demonstrate()
    assert "p 1.0000" in text
    for number in ("0.6652", "0.2447", "0.0900", "0.2227"):  # e^0, e^-1, e^-2 over 1.5032; 0.6652 (1 - 0.6652)
        assert number in text
