import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from striate.calculus.rbf import demonstrate, rbf, rbf_pullback


def draw(shape, seed):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(batch=st.integers(1, 4), classes=st.integers(1, 4), features=st.integers(1, 5), seed=st.integers(0, 999))
def test_distances_are_torchs_squared_and_pull_back_like_autograd(batch, classes, features, seed):
    x, codes = draw([batch, features], seed).requires_grad_(), draw([classes, features], seed + 1).requires_grad_()
    y = torch.cdist(x, codes, compute_mode="donot_use_mm_for_euclid_dist").square()
    assert_close(rbf(x, codes), y, rtol=1e-10, atol=1e-12)
    dy = draw([batch, classes], seed + 2)
    dx, dcodes = rbf_pullback(dy, x.detach(), codes.detach())
    expected = torch.autograd.grad(y, (x, codes), dy)
    assert_close(dx, expected[0], rtol=1e-10, atol=1e-12)
    assert_close(dcodes, expected[1], rtol=1e-10, atol=1e-12)


def test_the_pullbacks_agree_with_central_differences():
    x, codes, dy, h = draw([2, 3], 0), draw([4, 3], 1), draw([2, 4], 2), 1e-5
    dx, dcodes = rbf_pullback(dy, x, codes)
    steps = h * torch.eye(6, dtype=torch.float64).view(6, 2, 3)
    slopes = [((rbf(x + e, codes) - rbf(x - e, codes)) * dy).sum() / (2 * h) for e in steps]
    assert_close(dx, torch.stack(slopes).view(2, 3), rtol=1e-6, atol=1e-8)
    steps = h * torch.eye(12, dtype=torch.float64).view(12, 4, 3)
    slopes = [((rbf(x, codes + e) - rbf(x, codes - e)) * dy).sum() / (2 * h) for e in steps]
    assert_close(dcodes, torch.stack(slopes).view(4, 3), rtol=1e-6, atol=1e-8)


def test_at_its_code_an_input_has_distance_zero_and_feels_no_pull():
    codes = draw([3, 84], 0).sign()
    assert rbf(codes, codes).diagonal().tolist() == [0, 0, 0]
    dx, _ = rbf_pullback(torch.eye(3, dtype=torch.float64), codes, codes)
    assert dx.abs().max() == 0


def test_the_demonstration_can_be_checked_by_hand():
    text = demonstrate()
    x = torch.tensor([[1.0, 0.0, -1.0]], requires_grad=True)
    codes = torch.tensor([[1.0, 1.0, -1.0], [-1.0, 1.0, 1.0], [-1.0, -1.0, -1.0]], requires_grad=True)
    y = (x - codes).square().sum(1)
    dx, dcodes = torch.autograd.grad(y, (x, codes), torch.tensor([1.0, 0.0, -1.0]))
    assert y.tolist() == [1, 9, 5]
    assert "y = 1  9  5    the smallest is the answer: class 0" in text
    assert dx.tolist() == [[-4, -4, 0]]
    assert "dx = their sum = -4  -4  0" in text
    assert dcodes.tolist() == [[0, 2, 0], [0, 0, 0], [4, 2, 0]]
    assert text.splitlines()[-1].split() == ["4", "2", "0"]
