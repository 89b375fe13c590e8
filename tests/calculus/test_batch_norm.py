import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from striate.base.errors import ConfigError
from striate.calculus.batch_norm import (
    batch_norm,
    batch_norm_evaluation_pullback,
    batch_norm_pullback,
    batch_statistics,
    demonstrate,
    update_running,
)

shapes = st.tuples(st.integers(2, 4), st.integers(1, 4), st.lists(st.integers(1, 4), max_size=3))


def draw(shape):
    g = torch.Generator().manual_seed(0)
    x = torch.randn(shape[0], shape[1], *shape[2], dtype=torch.float64, generator=g)
    dy = torch.randn(x.shape, dtype=torch.float64, generator=g)
    return x, dy, *torch.randn(4, shape[1], dtype=torch.float64, generator=g)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(shapes, st.sampled_from([1e-5, 1e-2]))
def test_training_is_torchs_and_its_pullback_autograds(shape, eps):
    x, dy, weight, bias, _, _ = draw(shape)
    for leaf in (x, weight, bias):
        leaf.requires_grad_()
    y = batch_norm(x, *batch_statistics(x), weight=weight, bias=bias, eps=eps)
    torchs = F.batch_norm(x, None, None, weight, bias, training=True, eps=eps)
    assert_close(y, torchs, rtol=1e-10, atol=1e-12)
    expected = torch.autograd.grad(y, (x, weight, bias), dy)
    assert_close(batch_norm_pullback(dy, x, weight=weight, eps=eps), expected, rtol=1e-10, atol=1e-12)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(shapes, st.sampled_from([1e-5, 1e-2]))
def test_evaluation_is_torchs_and_its_pullback_autograds(shape, eps):
    x, dy, weight, bias, mean, var = draw(shape)
    var = var.exp()
    for leaf in (x, weight, bias):
        leaf.requires_grad_()
    y = batch_norm(x, mean, var, weight=weight, bias=bias, eps=eps)
    assert_close(y, F.batch_norm(x, mean, var, weight, bias, training=False, eps=eps), rtol=1e-10, atol=1e-12)
    expected = torch.autograd.grad(y, (x, weight, bias), dy)
    gradients = batch_norm_evaluation_pullback(dy, x, mean, var, weight=weight, eps=eps)
    assert_close(gradients, expected, rtol=1e-10, atol=1e-12)


def test_the_pullback_agrees_with_central_differences():
    x, dy, weight, bias, _, _ = draw((3, 2, [4]))
    v, h = torch.randn(x.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)), 1e-5

    def loss(t):
        moved = x + t * v
        return (dy * batch_norm(moved, *batch_statistics(moved), weight=weight, bias=bias)).sum()

    slope = (batch_norm_pullback(dy, x, weight=weight)[0] * v).sum()
    assert_close((loss(h) - loss(-h)) / (2 * h), slope, rtol=1e-6, atol=0)


def test_running_statistics_are_torchs():
    x, _, _, _, mean, var = draw((3, 4, [5, 2]))
    var = var.exp()
    torch_mean, torch_var = mean.clone(), var.clone()
    F.batch_norm(x, torch_mean, torch_var, training=True, momentum=0.3)
    ours = update_running((mean, var), batch_statistics(x), count=x[:, 0].numel(), momentum=0.3)
    assert_close(ours, (torch_mean, torch_var), rtol=1e-12, atol=1e-12)


def test_one_number_a_channel_is_refused():
    with pytest.raises(ConfigError, match=r">= 2 in training, got 1\.\n  Fix: train with a larger batch"):
        batch_statistics(torch.ones(1, 3, 1, 1))


def test_the_demonstration_shows_its_numbers():
    text = demonstrate()
    assert "y = (x - 4)/s = -1.3416 -0.4472 0.4472 1.3416" in text
    assert "= 0.1342 -0.1789 -0.0447 0.0894 " in text
    assert "mean 0.4000, variance 1.5667" in text


def test_one_number_a_channel_moves_no_running_statistics():
    one = (torch.zeros(2), torch.ones(2))
    with pytest.raises(ConfigError, match=r">= 2 in training, got 1\.\n  Fix: train with a larger batch"):
        update_running(one, one, count=1)
