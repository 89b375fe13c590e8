"""The pullbacks that only move, add or scale numbers, against central differences; the others have it in their files.

For a linear f the difference quotient (f(x + h v) - f(x - h v)) / 2h is exact, so it must meet v . pullback(dy) in
every direction v.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from striate.calculus.branches import add, add_pullback, concatenate, concatenate_pullback
from striate.calculus.channel_shuffle import channel_shuffle, channel_shuffle_pullback
from striate.calculus.dropout import dropout, dropout_pullback
from striate.calculus.flatten import flatten, flatten_pullback
from striate.calculus.max_pool import max_pool
from striate.calculus.normalise import normalise, normalise_pullback
from striate.calculus.padding import pad, pad_pullback
from striate.calculus.reduction import reduce, reduce_pullback
from striate.calculus.unpool import max_unpool, max_unpool_pullback, nearest_unpool, nearest_unpool_pullback
from striate.calculus.windows import fold, windows

H = 1e-3


def numbers(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def other(x):
    return numbers(*x.shape, seed=7)


def partial_of(function, kind, count):
    return lambda tensor: function(tensor, kind, count)


def reduction_case(kind):
    def make(x):
        back = partial_of(reduce_pullback, kind, x.numel())
        return partial_of(reduce, kind, x.numel()), lambda dy: back(dy).expand(x.shape)

    return make


def dropout_case(x):
    mask = other(x) > 0
    return lambda t: dropout(t, mask, 0.3), lambda dy: dropout_pullback(dy, mask, 0.3)


def normalise_case(x):
    mean, std = numbers(x.shape[1]), numbers(x.shape[1]).abs() + 0.5
    return lambda t: normalise(t, mean, std), lambda dy: normalise_pullback(dy, std)


def max_unpool_case(x):
    size = (2 * x.shape[2], 2 * x.shape[3])
    indices = max_pool(numbers(*x.shape[:2], *size), 2)[1]
    return lambda t: max_unpool(t, indices, size), lambda dy: max_unpool_pullback(dy, indices)


def pad_case(border):
    def make(x):
        pairs = ((1, 0), (0, min(2, x.shape[3] - 1)))
        return lambda t: pad(t, pairs, border), lambda dy: pad_pullback(dy, pairs, border)

    return make


CASES = {
    "concatenate": lambda x: (
        lambda t: concatenate([other(x), t]),
        lambda dy: concatenate_pullback(dy, [x.shape[1]] * 2)[1],
    ),
    "add": lambda x: (lambda t: add([other(x), t]), lambda dy: add_pullback(dy, 2)[1]),
    "channel_shuffle": lambda _: (lambda t: channel_shuffle(t, 2), lambda dy: channel_shuffle_pullback(dy, 2)),
    "dropout": dropout_case,
    "flatten": lambda x: (flatten, lambda dy: flatten_pullback(dy, tuple(x.shape[1:]))),
    "normalise": normalise_case,
    "max_unpool": max_unpool_case,
    "nearest_unpool": lambda _: (lambda t: nearest_unpool(t, 2), lambda dy: nearest_unpool_pullback(dy, 2)),
    "windows": lambda x: (lambda t: windows(t, 2, 1, 1), lambda dy: fold(dy, tuple(x.shape[2:]), 1, 1)),
    **{f"pad, {border}": pad_case(border) for border in ("zeros", "reflect", "replicate", "circular")},
    **{f"reduce, {kind}": reduction_case(kind) for kind in ("mean", "sum", "none")},
}


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    B=st.integers(1, 3), half_C=st.integers(1, 3), H_=st.integers(2, 5), W=st.integers(2, 5), seed=st.integers(0, 99)
)
def test_the_pullback_meets_the_difference_quotient_in_every_direction(name, B, half_C, H_, W, seed):
    x = numbers(B, 2 * half_C, H_, W, seed=seed)
    forward, pullback = CASES[name](x)
    dy = numbers(*forward(x).shape, seed=seed + 1)
    dx = pullback(dy)
    assert dx.shape == x.shape
    for direction in range(3):
        v = numbers(*x.shape, seed=seed + 2 + direction)
        quotient = ((forward(x + H * v) - forward(x - H * v)) / (2 * H) * dy).sum()
        assert_close(quotient, (v * dx).sum(), rtol=1e-6, atol=1e-9)
