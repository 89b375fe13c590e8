import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from striate.calculus.max_pool import demonstrate, max_pool, max_pool_pullback

TORCHS = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}


@st.composite
def cases(draw):
    """Input with or without ties, and one set of options for every axis."""
    size = draw(st.lists(st.integers(1, 7), min_size=1, max_size=3))
    kernel = [draw(st.integers(1, 3)) for _ in size]
    options = {
        "stride": tuple(draw(st.integers(1, 3)) for _ in size),
        "padding": tuple(draw(st.integers(0, k // 2)) for k in kernel),
        "dilation": tuple(draw(st.integers(1, min(2, n))) for n in size),
        "ceil_mode": draw(st.booleans()),
    }
    g = torch.Generator().manual_seed(draw(st.integers(0, 9)))
    x = torch.randn(2, 2, *size, dtype=torch.float64, generator=g)
    return x.round() if draw(st.booleans()) else x, tuple(kernel), options


@settings(max_examples=60, deadline=None, derandomize=True)
@given(cases())
def test_values_indices_and_pullback_are_torchs_ties_included(case):
    x, kernel, options = case
    x.requires_grad_()
    try:
        expected = TORCHS[x.ndim - 2](x, kernel, return_indices=True, **options)
    except RuntimeError:  # no window fits
        assume(False)
    values, indices = max_pool(x, kernel, **options)
    assert_close((values, indices), expected, rtol=0, atol=0)
    dy = torch.randn_like(values)
    dx = max_pool_pullback(dy, indices, tuple(x.shape[2:]))
    assert_close(dx, torch.autograd.grad(expected[0], x, dy)[0], rtol=1e-10, atol=1e-12)
    assert_close(dx, torch.autograd.grad(values, x, dy)[0], rtol=1e-10, atol=1e-12)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(cases(), st.integers(0, 9))
def test_pullback_agrees_with_central_differences_away_from_ties(case, seed):
    x, kernel, options = case
    g = torch.Generator().manual_seed(seed)
    x = torch.randperm(x.numel(), generator=g).reshape(x.shape).double()  # no two closer than 1
    v = torch.randn(x.shape, dtype=torch.float64, generator=g)
    try:
        values, indices = max_pool(x, kernel, **options)
    except ValueError:
        assume(False)
    dy = torch.randn(values.shape, dtype=torch.float64, generator=g)
    up, down = ((dy * max_pool(x + h * v, kernel, **options)[0]).sum() for h in (1e-3, -1e-3))
    slope = (max_pool_pullback(dy, indices, tuple(x.shape[2:])) * v).sum()
    assert_close((up - down) / 2e-3, slope, rtol=1e-6, atol=1e-9)


def test_of_equal_numbers_the_first_row_by_row_wins():
    x = torch.zeros(1, 1, 3, 3)
    assert max_pool(x, 3)[1].item() == 0
    assert max_pool(x, 3, stride=1, padding=1)[1].flatten().tolist() == [0, 0, 1, 0, 0, 1, 3, 3, 4]


def test_minus_infinity_everywhere_still_names_a_pixel_of_the_window():
    values, indices = max_pool(torch.full((1, 1, 3, 3), -torch.inf), 2, stride=2, padding=1)
    assert (values == -torch.inf).all()
    assert indices.flatten().tolist() == [0, 1, 3, 4]


def test_the_demonstration_shows_its_numbers():
    rows = [line.split() for line in demonstrate().splitlines()]
    assert ["5", "2"] in rows
    assert ["9", "15"] in rows
    assert ["10", "0", "0", "0"] in rows


def test_of_several_nans_the_first_has_the_index_and_torchs_is_the_last():
    x = torch.tensor([[[1.0, torch.nan, 2.0, torch.nan]]])
    assert max_pool(x, 4)[1].item() == 1
    assert F.max_pool1d(x, 4, return_indices=True)[1].item() == 3
