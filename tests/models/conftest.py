"""A short training, and drawn networks: every operation with every option, in one to three dimensions, with branches.

Hypothesis draws plain values, of which the network is made afterwards: what does not fit where it stands is left out.
"""

from math import prod

import pytest
import torch
from hypothesis import strategies as st

from striate.base.errors import ConfigError
from striate.base.network import Branches, Network
from striate.base.operations import (
    ACTIVATIONS,
    Activation,
    BatchNorm,
    ChannelShuffle,
    Dropout,
    Flatten,
    Linear,
    LocalResponseNorm,
    Maxout,
    PReLU,
    Softmax,
)
from striate.base.padding import BORDERS, RULES
from striate.base.windowed import (
    AdaptiveMaxPool,
    AdaptiveMeanPool,
    Conv,
    ConvTranspose,
    LpPool,
    MaxPool,
    MeanPool,
    StochasticPool,
)


@pytest.fixture
def learn():
    """Adam, so many steps down a loss that is computed anew in each."""

    def steps(model, loss, *, lr, count):
        optimizer = torch.optim.Adam(model.parameters(), lr=lr)
        for _ in range(count):
            optimizer.zero_grad()
            loss().backward()
            optimizer.step()

    return steps


LARGEST = 300  # numbers of a sample: the formulas are slow
BOOLS = st.booleans()
JOIN = st.sampled_from(["add", "concatenate"])


def sizes(axes, low, high):
    number = st.integers(low, high)
    return number | st.tuples(*[number] * axes)


def pixels(axes):
    side = st.integers(0, 2)
    return side | st.tuples(*[side | st.tuples(side, side)] * axes)


def numbers(low, high):
    return st.floats(low, high) | st.integers(low, high)


def call(kind, *arguments):
    return st.tuples(st.just(kind), *arguments)


def windowed(axes):
    """Operations over the axes of a picture."""
    kernel, stride, dilation = sizes(axes, 1, 3), sizes(axes, 1, 3), sizes(axes, 1, 2)
    gap, pad = st.none() | stride, sizes(axes, 0, 1)
    padding = pixels(axes) | st.sampled_from(RULES)
    channels, groups = st.integers(1, 4), st.sampled_from([1, 1, 2])
    border = st.sampled_from(BORDERS)
    return [
        call(Conv, channels, kernel, stride, padding, dilation, groups, BOOLS, border, BOOLS),
        call(ConvTranspose, channels, kernel, stride, pixels(axes), pad, groups, BOOLS, dilation),
        call(MaxPool, kernel, gap, pad, dilation, BOOLS),
        call(MeanPool, kernel, gap, pad, BOOLS, BOOLS),
        call(LpPool, numbers(1, 4), kernel, gap, BOOLS),
        call(StochasticPool, kernel, gap, BOOLS),
        call(AdaptiveMeanPool, sizes(axes, 1, 3)),
        call(AdaptiveMaxPool, sizes(axes, 1, 3)),
    ]


OTHERS = [
    call(Activation, st.sampled_from(ACTIVATIONS)),
    call(Activation, st.just("leaky_relu"), numbers(-1, 2)),
    call(Activation, st.just("elu"), st.just(0.01), numbers(0, 2)),
    call(PReLU, st.integers(1, 4), numbers(-1, 2)),
    call(Maxout, st.integers(1, 3)),
    call(Softmax),
    call(Flatten),
    call(Dropout, st.floats(0, 0.9)),
    call(BatchNorm, st.floats(1e-6, 1), st.floats(0, 1)),
    call(LocalResponseNorm, st.integers(1, 5), st.floats(0, 1), numbers(0, 1), numbers(1, 2)),
    call(ChannelShuffle, st.integers(1, 4)),
    call(Linear, st.integers(1, 5), BOOLS),
]


def rows(axes, depth):
    kinds = [*windowed(axes) * 3, *OTHERS] if axes else OTHERS
    if depth:
        kinds = [*kinds, *[call(Branches, st.lists(rows(axes, depth - 1), min_size=1, max_size=3), JOIN)] * 3]
    return st.lists(st.sampled_from(kinds).flatmap(lambda kind: kind), min_size=depth, max_size=5)


def drawn(axes):
    return st.tuples(st.tuples(*[st.integers(2, 6)] * (axes + 1)), rows(axes, 2), st.sampled_from([1, 1, 2]))


def fitted(row, x):
    """The operations of a drawn row that fit, one after the other, and the shape after them."""
    kept = []
    for kind, *arguments in row:
        try:
            if kind is Branches:
                arguments[0] = tuple(tuple(fitted(inner, x)[0]) for inner in arguments[0])
            operation = kind(*arguments)
            y = operation.shape(x)
        except ConfigError:
            continue
        if kind is MeanPool and len(x) == 4 and min(x[1:]) < 3:
            continue  # torch's AvgPool3d refuses some of these: test_described.py
        if prod(y) <= LARGEST:
            kept += [Activation("sigmoid")] if kind is StochasticPool else []  # it takes numbers >= 0
            kept.append(operation)
            x = y
    return kept, x


@pytest.fixture(scope="session")
def draw_network():
    """A function that draws a network from hypothesis's data."""

    def draw(data):
        x, row, times = data.draw(st.integers(0, 3).flatmap(drawn))
        return Network(x, tuple(fitted(row * times, x)[0]))

    return draw
