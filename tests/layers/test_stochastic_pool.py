import pytest
import torch
from torch.testing import assert_close

from striate.base.errors import ConfigError
from striate.base.random import StepRandomness, step_randomness
from striate.calculus.stochastic_pool import stochastic_pool_mean
from striate.layers.dropout import Dropout, number_layers
from striate.layers.stochastic_pool import StochasticPool1d, StochasticPool2d, StochasticPool3d

X = torch.rand(6, 3, 5, 5, generator=torch.Generator().manual_seed(0))


def draw(layer, x=X, **now):
    with step_randomness(StepRandomness(**{"seed": 1, "step": 2, **now})):
        return layer(x)


def test_evaluation_is_the_expectation_of_training():
    layer = StochasticPool2d(2, ceil_mode=True)
    mean = torch.stack([draw(layer, step=step) for step in range(400)]).mean(0)
    expected = layer.eval()(X)
    assert_close(expected, stochastic_pool_mean(X, 2, ceil_mode=True))
    assert_close(mean, expected, rtol=0, atol=5 * 0.5 / 400**0.5)


def test_a_step_can_be_repeated_and_a_row_does_not_know_its_batch():
    layer = StochasticPool2d(3, stride=1)
    whole = draw(layer)
    assert torch.equal(whole, draw(layer))
    assert torch.equal(whole[4:], draw(layer, X[4:], first_row=4))
    assert not torch.equal(whole, draw(layer, step=3))
    other = StochasticPool2d(3, stride=1)
    other.stream = 1
    assert not torch.equal(whole, draw(other))


def test_outside_an_engine_it_draws_from_torchs_generator():
    layer = StochasticPool2d(2)
    torch.manual_seed(0)
    y = layer(X)
    torch.manual_seed(0)
    assert torch.equal(y, layer(X))
    assert not torch.equal(y, layer(X))


def test_it_is_numbered_together_with_dropout():
    model = torch.nn.Sequential(Dropout(), StochasticPool2d(2))
    number_layers(model)
    assert [layer.stream for layer in model] == [0, 1]


def test_a_negative_activation_names_the_fix():
    with pytest.raises(ConfigError, match="Fix: put a ReLU before the pooling"):
        draw(StochasticPool2d(2), -X)


@pytest.mark.parametrize("training", [True, False])
def test_tensors_without_numbers_have_none_to_refuse(training):
    assert StochasticPool2d(2).train(training)(X.to("meta")).shape == (6, 3, 2, 2)


def test_a_signal_is_pooled_as_a_picture_of_one_row():
    x = X[:, :, :1]
    one, two = draw(StochasticPool1d(2, 1), x[:, :, 0]), draw(StochasticPool2d((1, 2), 1), x)
    assert torch.equal(one, two[:, :, 0])
    assert torch.equal(draw(StochasticPool3d((1, 2, 2)), X[:, :, None])[:, :, 0], draw(StochasticPool2d(2)))


def test_another_rank_names_the_class_that_takes_it():
    with pytest.raises(ConfigError, match=r"axes of the input must be 3, got 4\.\n  Fix: use StochasticPool2d"):
        StochasticPool1d(2)(X)
