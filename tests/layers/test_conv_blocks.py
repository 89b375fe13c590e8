"""What every layer must do, for the layers that are made of convolutions."""

import copy

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from striate.calculus.kernels import gaussian
from striate.layers.depthwise_separable_conv import DepthwiseSeparableConv2d
from striate.layers.fixed_filter import FixedFilter2d
from striate.layers.grouped_conv_block import GroupedConvBlock
from striate.layers.inception import Inception
from striate.layers.table_conv import LENET5_C3, TableConv2d

LAYERS = {
    "separable": lambda: (DepthwiseSeparableConv2d(6, 8, 3, padding=1), 6),
    "table": lambda: (TableConv2d(LENET5_C3, 3), 6),
    "grouped": lambda: (GroupedConvBlock(6, 8, groups=2), 6),
    "inception": lambda: (Inception(6, 2, 3, 4, 2, 3, 2), 6),
    "inception, norm": lambda: (Inception(6, 2, 3, 4, 2, 3, 2, norm=nn.BatchNorm2d), 6),
    "fixed": lambda: (FixedFilter2d(gaussian(3, 1.0)), 6),
}


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=sorted(LAYERS))
def layer(request):
    made, channels = LAYERS[request.param]()
    for i, parameter in enumerate(made.parameters()):
        parameter.data = draw(*parameter.shape, seed=i).to(parameter.dtype) / 4
    return made.eval(), draw(2, channels, 7, 7, seed=99).float()


def test_it_exports(layer):
    module, x = layer
    assert_close(torch.export.export(module, (x,)).module()(x), module(x))


def test_its_state_makes_the_round_trip_and_forward_changes_nothing(layer):
    module, x = layer
    before, given = copy.deepcopy(module.state_dict()), x.clone()
    y = module(x)
    assert torch.equal(x, given)
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    twin = copy.deepcopy(module)
    for parameter in twin.parameters():
        parameter.data.zero_()
    twin.load_state_dict(before)
    assert torch.equal(twin(x), y)


def test_channels_last_and_bfloat16_give_the_same_numbers(layer):
    module, x = layer
    y = module(x)
    assert_close(module(x.to(memory_format=torch.channels_last)), y, rtol=1e-4, atol=1e-5)
    low = module.bfloat16()(x.bfloat16())
    assert low.dtype == torch.bfloat16
    assert (low.float() - y).abs().mean() < 0.02 * y.abs().mean().clamp(min=1)


def test_gradients_are_those_of_finite_differences(layer):
    module, x = layer
    assert torch.autograd.gradcheck(module.double(), (x[:1, :, :4, :4].double().requires_grad_(),))
