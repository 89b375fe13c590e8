"""Figures: Zhang, Zhou, Lin and Sun 2018, arXiv:1707.01083, Table 1."""

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode

from striate.base.errors import ConfigError
from striate.models.catalogue import build
from striate.models.shufflenet import Added, Joined, ShuffleNet

COMPLEXITY = {1: 143, 2: 140, 3: 137, 4: 133, 8: 137}  # million multiply-adds of the convolutions, by groups
CHANNELS = {1: (144, 288, 576), 2: (200, 400, 800), 3: (240, 480, 960), 4: (272, 544, 1088), 8: (384, 768, 1536)}


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("groups", COMPLEXITY)
def test_channels_sizes_and_macs_are_those_of_table_1(groups):
    with torch.device("meta"):
        model, x, shapes = ShuffleNet(groups=groups).eval(), torch.zeros(1, 3, 224, 224), {}
        for name in ("conv1", "maxpool", "stage2", "stage3", "stage4"):
            model.get_submodule(name).register_forward_hook(
                lambda _, __, y, name=name: shapes.update({name: tuple(y.shape[1:])})
            )
        with FlopCounterMode(display=False) as counter:
            model(x)
    a, b, c = CHANNELS[groups]
    assert shapes == {
        "conv1": (24, 112, 112),
        "maxpool": (24, 56, 56),
        "stage2": (a, 28, 28),
        "stage3": (b, 14, 14),
        "stage4": (c, 7, 7),
    }
    convolutions = counter.get_flop_counts()["Global"][torch.ops.aten.convolution] / 2e6
    assert round(convolutions) == COMPLEXITY[groups]
    assert [len(stage) for stage in (model.stage2, model.stage3, model.stage4)] == [4, 8, 4]


def test_only_the_first_1x1_convolution_is_not_in_groups():
    with torch.device("meta"):
        model = ShuffleNet()
    units = [block.unit for stage in (model.stage2, model.stage3, model.stage4) for block in stage]
    assert [unit.conv1.groups for unit in units] == [1] + [3] * 15
    assert {unit.conv3.groups for unit in units} == {3}
    assert all(unit.conv2.groups == unit.conv2.in_channels for unit in units)


def by_hand(unit, x, groups):
    """A fresh unit in evaluation: normalisation only divides by sqrt(1 + eps)."""
    scale = (1 + unit.bn1.eps) ** -0.5
    y = F.relu(F.conv2d(x, unit.conv1.weight, groups=unit.conv1.groups) * scale)
    count = y.shape[1]
    order = [group * (count // groups) + place for place in range(count // groups) for group in range(groups)]
    y = F.conv2d(y[:, order], unit.conv2.weight, stride=unit.conv2.stride, padding=1, groups=count) * scale
    return F.conv2d(y, unit.conv3.weight, groups=groups) * scale


def test_a_unit_is_added_to_its_input():
    block, x = Added(24, 3).eval(), draw(2, 24, 5, 5)
    assert_close(block(x), F.relu(x + by_hand(block.unit, x, 3)))


def test_a_strided_unit_stands_beside_its_pooled_input():
    block, x = Joined(12, 36, 3, 1).eval(), draw(2, 12, 5, 5)
    pooled = F.avg_pool2d(x, 3, 2, 1)
    assert_close(block(x), F.relu(torch.cat([pooled, by_hand(block.unit, x, 3)], 1)))


def test_every_group_reaches_every_output_of_the_next_unit():
    unit = Added(36, 3).eval().unit
    x = draw(1, 36, 3, 3).requires_grad_()
    for channel in (0, 17, 35):
        (gradient,) = torch.autograd.grad(unit(x)[0, channel].square().sum(), x)
        assert gradient.abs().sum((0, 2, 3)).view(3, 12).sum(1).gt(0).all()
    unit.shuffle = torch.nn.Identity()
    (gradient,) = torch.autograd.grad(unit(x)[0, 0].square().sum(), x)
    assert not gradient[:, 12:].any()


def test_what_cannot_be_built_is_refused():
    with pytest.raises(ConfigError, match="image_size must be >= 32 pixels, got 31"):
        build("shufflenet", image_size=31)
    with pytest.raises(ConfigError, match="groups must be one of 1, 2, 3, 4, 8, got 5"):
        ShuffleNet(groups=5)
