import pytest
import torch

from striate.base.errors import ConfigError
from striate.layers.grouped_conv_block import GroupedConvBlock


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
