"""Depthwise separable, grouped and inception blocks: their arithmetic and what every layer must do."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

from striate.base.errors import ConfigError
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


def test_separable_is_depthwise_then_pointwise_and_its_product_is_one_convolution():
    block = DepthwiseSeparableConv2d(3, 5, 3, stride=2, padding=1, dtype=torch.float64)
    x = draw(2, 3, 9, 9)
    # one dense kernel that is the outer product of both: o, i, k -> point[o, i] depth[i, k]
    dense = block.pointwise.weight * block.depthwise.weight.transpose(0, 1)
    assert_close(block(x), F.conv2d(x, dense, block.pointwise.bias, 2, 1))
    assert sum(p.numel() for p in block.parameters()) == 3 * 9 + 3 * 5 + 5


def test_every_group_of_the_second_convolution_sees_every_group_of_the_first():
    x = torch.rand(1, 8, 1, 1, generator=torch.Generator().manual_seed(0)).requires_grad_()
    block = GroupedConvBlock(8, 8, kernel_size=1, groups=2, norm=None)
    for parameter in block.parameters():
        parameter.data.fill_(0.5)
    for o in range(8):
        assert torch.autograd.grad(block(x)[0, o, 0, 0], x)[0].count_nonzero() == 8


def test_grouped_block_saves_by_its_groups():
    weights = sum(p.numel() for p in GroupedConvBlock(8, 16, groups=4, norm=None).parameters() if p.ndim == 4)
    assert weights == (8 * 16 + 16 * 16 * 9) // 4
    with pytest.raises(ConfigError, match="use in_channels 9"):
        GroupedConvBlock(8, 9, groups=3)


def test_inception_is_its_four_branches_side_by_side():
    block = Inception(4, 2, 3, 5, 2, 3, 1).double()
    x = draw(1, 4, 6, 6)

    def step(x, sequence, padding=0):
        return F.relu(F.conv2d(x, sequence[0].weight, sequence[0].bias, padding=padding))

    wanted = [
        step(x, block.branch1),
        step(step(x, block.branch2[0]), block.branch2[1], 1),
        step(step(x, block.branch3[0]), block.branch3[1], 2),
        step(F.max_pool2d(x, 3, 1, 1), block.branch4[1]),
    ]
    assert_close(block(x), torch.cat(wanted, 1))
    assert block.out_channels == block(x).shape[1] == 11
    assert block.branch3[1][0].kernel_size == (5, 5)


def test_inception_with_a_norm_has_it_before_each_relu_and_no_bias():
    block = Inception(4, 2, 3, 5, 2, 3, 1, norm=nn.BatchNorm2d)
    assert sum(isinstance(m, nn.BatchNorm2d) for m in block.modules()) == 6
    assert all(m.bias is None for m in block.modules() if isinstance(m, nn.Conv2d))
