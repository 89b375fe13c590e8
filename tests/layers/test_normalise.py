import math

import pytest
import torch
from torch.testing import assert_close

from striate.base.errors import ConfigError
from striate.calculus.normalise import normalise_pullback
from striate.layers.normalise import Normalise

MEAN, STD = [0.5, -1.0, 2.0], [0.25, 2.0, 1.0]


def draw(shape, seed):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("rest", [(), (5,), (4, 5), (2, 3, 4)])
def test_each_channel_is_standardised_and_the_gradient_is_the_calculus(rest):
    x = draw([2, 3, *rest], 0).requires_grad_()
    y = Normalise(MEAN, STD).double()(x)
    for channel, (mean, std) in enumerate(zip(MEAN, STD, strict=True)):
        assert_close(y[:, channel], (x[:, channel] - mean) / std)
    dy = draw(y.shape, 1)
    expected = normalise_pullback(dy, torch.tensor(STD, dtype=torch.float64))
    assert_close(torch.autograd.grad(y, x, dy)[0], expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_numbers_travel_with_the_network_in_its_type_and_are_not_trained(dtype):
    layer = Normalise(torch.tensor(MEAN, dtype=torch.float64), STD).to(dtype)
    assert list(layer.state_dict()) == ["mean", "std"]
    assert not list(layer.parameters())
    other = Normalise([0.0] * 3, [1.0] * 3).to(dtype)
    other.load_state_dict(layer.state_dict())
    x = draw([1, 3, 2, 2], 0).to(dtype)
    assert other(x).dtype == dtype
    assert_close(other(x), layer(x), rtol=0, atol=0)


@pytest.mark.parametrize("std", [0.0, -1.0])
def test_a_deviation_that_is_not_above_zero_is_refused(std):
    with pytest.raises(
        ConfigError, match=r"Normalise: std must be > 0, got \[1\.0, .*\]\.\n  Fix: a channel that never"
    ):
        Normalise([0.0, 0.0], [1.0, std])


def test_numbers_that_are_none_or_do_not_match_are_refused():
    with pytest.raises(ConfigError, match="mean and std must be finite"):
        Normalise([0.0], [math.nan])
    with pytest.raises(ConfigError, match=r"of one number a channel each, got \[2\] and \[1\]"):
        Normalise([0.0, 0.0], [1.0])


def test_another_count_of_channels_is_refused_instead_of_broadcast():
    with pytest.raises(ConfigError, match="channels must be 3, got 1"):
        Normalise([0.5] * 3, [1.0] * 3)(torch.zeros(1, 1, 4, 4))
