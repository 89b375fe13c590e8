import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from striate.calculus.mean_pool import demonstrate, mean_pool, mean_pool_pullback

TORCHS = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 7), min_size=1, max_size=3), st.data())
def test_forward_and_pullback_are_torchs(size, data):
    kernel = tuple(data.draw(st.integers(1, 4)) for _ in size)
    options = {
        "stride": tuple(data.draw(st.integers(1, 3)) for _ in size),
        "padding": tuple(data.draw(st.integers(0, k // 2)) for k in kernel),
        "ceil_mode": data.draw(st.booleans()),
        "count_include_pad": data.draw(st.booleans()),
    }
    x = torch.randn(2, 2, *size, dtype=torch.float64, requires_grad=True)
    try:
        expected = TORCHS[len(size)](x, kernel, **options)
    except RuntimeError:  # no window fits
        assume(False)
    y = mean_pool(x, kernel, **options)
    assert_close(y, expected, rtol=1e-12, atol=1e-12)
    dy = torch.randn_like(y)
    dx = mean_pool_pullback(dy, tuple(size), kernel, **options)
    assert_close(dx, torch.autograd.grad(expected, x, dy)[0], rtol=1e-10, atol=1e-12)
    assert_close(dx, torch.autograd.grad(y, x, dy)[0], rtol=1e-10, atol=1e-12)


def test_pullback_agrees_with_central_differences():
    g = torch.Generator().manual_seed(0)
    x, v = (torch.randn(2, 2, 5, 7, dtype=torch.float64, generator=g) for _ in range(2))
    options = {"stride": 2, "padding": 1, "ceil_mode": True, "count_include_pad": False}
    dy = torch.randn(mean_pool(x, 3, **options).shape, dtype=torch.float64, generator=g)
    up, down = ((dy * mean_pool(x + h * v, 3, **options)).sum() for h in (1e-5, -1e-5))
    slope = (mean_pool_pullback(dy, (5, 7), 3, **options) * v).sum()
    assert_close((up - down) / 2e-5, slope, rtol=1e-6, atol=0)


def test_the_demonstration_shows_its_numbers():
    text = demonstrate()
    rows = [line.split() for line in text.splitlines()]
    assert ["3.5", "5.5"] in rows
    assert ["3", "3", "4", "4"] in rows
    assert "14/9 = 1.5556" in text
    assert "14/4 = 3.5000" in text
