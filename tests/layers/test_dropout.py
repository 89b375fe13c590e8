import pytest
import torch
from torch import nn
from torch.testing import assert_close

from striate.base.errors import ConfigError
from striate.base.random import StepRandomness, step_randomness
from striate.calculus.dropout import dropout_mask
from striate.layers.dropout import Dropout, number_layers


def test_inside_a_step_the_mask_is_the_steps():
    layer = Dropout(0.25)
    layer.stream = 4
    with step_randomness(StepRandomness(seed=1, step=2, first_row=8)):
        y = layer(torch.ones(3, 5, 4))
    mask = dropout_mask((3, 5, 4), 0.25, seed=1, layer=4, step=2, first_row=8)
    assert_close(y, mask / 0.75)


def test_a_step_can_be_repeated_and_leaves_torchs_generator_alone():
    layer, x = Dropout(0.5), torch.ones(4, 50)
    before = torch.get_rng_state()
    draws = []
    for step in (7, 7, 8):
        with step_randomness(StepRandomness(seed=1, step=step)):
            draws.append(layer(x))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert torch.equal(before, torch.get_rng_state())


def test_outside_an_engine_it_is_torchs_dropout():
    x = torch.ones(4, 50)
    torch.manual_seed(0)
    ours = Dropout(0.5)(x)
    torch.manual_seed(0)
    assert torch.equal(ours, nn.Dropout(0.5)(x))


def test_evaluation_is_the_identity():
    x = torch.randn(2, 3)
    with step_randomness(StepRandomness(seed=1, step=0)):
        assert Dropout(0.9).eval()(x) is x


def test_layers_are_numbered_in_their_order_in_the_model():
    model = nn.Sequential(Dropout(), nn.Linear(2, 2), nn.Sequential(Dropout(), nn.ReLU(), Dropout()))
    number_layers(model)
    assert [m.stream for m in model.modules() if isinstance(m, Dropout)] == [0, 1, 2]
    with step_randomness(StepRandomness(seed=1, step=0)):
        a, b = (model[i](torch.ones(1, 64)) if i == 0 else model[i][0](torch.ones(1, 64)) for i in (0, 2))
    assert not torch.equal(a, b)


def test_a_bad_share_names_the_fix():
    with pytest.raises(ConfigError, match=r"Dropout: p must be a probability"):
        Dropout(p=2.0)
