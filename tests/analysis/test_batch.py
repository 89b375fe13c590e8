"""The axis of the samples, wherever it is."""

import pytest
import torch
from torch import nn

from striate.analysis.inspect import inspect
from striate.base.errors import ConfigError


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)

    def forward(self, x):
        return self.attention(x, x, x)[0]


class SequenceFirst(nn.Module):
    def __init__(self):
        super().__init__()
        self.recurrent, self.last = nn.LSTM(16, 12), nn.Linear(12, 3)

    def forward(self, x):
        return self.last(self.recurrent(x.transpose(0, 1))[0][-1])


class Frames(nn.Module):
    """Every picture of a clip as a sample of its own."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return self.conv(x.flatten(0, 1)).unflatten(0, (-1, x.shape[1]))


def shapes(model, shape):
    return [(row.input_shapes, row.output_shape) for row in inspect(model, shape)]


def test_attention_turns_the_batch_and_the_sequence():
    (only,) = shapes(Attention(), (10, 16))
    assert only == (((10, 16),) * 3, (10, 16))


def test_a_sequence_that_comes_first():
    recurrent, *_, last = shapes(SequenceFirst(), (10, 16))
    assert recurrent == (((10, 16),), (10, 12))
    assert last[1] == (3,)


def test_samples_folded_into_another_axis():
    *_, conv, unfolded = shapes(Frames(), (5, 3, 8, 8))
    assert conv == (((5, 3, 8, 8),), (5, 4, 6, 6))
    assert unfolded == (((5, 4, 6, 6),), (5, 4, 6, 6))


def test_an_output_that_knows_no_samples():
    class Fixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(4, 4))

        def forward(self, x):
            return x @ self.weight.tanh()

    assert [row.output_shape for row in inspect(Fixed(), (4,))] == [(4, 4), (4,)]


def test_a_network_that_takes_one_sample_alone():
    class Alone(nn.Module):
        def forward(self, x):
            return x.transpose(0, 1).reshape(4, 9) * 2

    assert [row.output_shape for row in inspect(Alone(), (4, 9))][-1] == (4, 9)
    with pytest.raises(ConfigError, match="batch_size must be one that the network takes, got 2"):
        inspect(Alone(), (4, 9), batch_size=2)
