"""Figures: He, Zhang, Ren and Sun 2016, arXiv:1512.03385, Table 1 and section 4.2; torchvision's for its own stride."""

from math import floor

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode

from striate.base.errors import ConfigError
from striate.models.catalogue import MODELS, build
from striate.models.resnet import PaddedShortcut, basic, basic_padded, bottleneck, bottleneck_2015

TABLE_1 = {"resnet18": 1.8, "resnet34": 3.6, "resnet50-2015": 3.8}  # billion MACs, cut after the first decimal
BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3), "resnet50-2015": (3, 4, 6, 3)}
CONVOLUTIONS = {"resnet18": 2, "resnet34": 2, "resnet50": 3, "resnet50-2015": 3}  # of a block
NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def unfilled(name):
    with torch.device("meta"):
        return MODELS[name].builder(MODELS[name].usual).eval()


def macs(model, side):
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 3, side, side))
    return counter.get_total_flops() // 2


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", TABLE_1)
def test_macs_are_those_of_table_1(name):
    assert floor(macs(unfilled(name), 224) / 1e8) / 10 == TABLE_1[name]


def test_the_two_resnets_of_50_layers_differ_in_macs_alone():
    ours, theirs = unfilled("resnet50"), unfilled("resnet50-2015")
    assert [macs(net, 224) for net in (ours, theirs)] == [4_089_184_256, 3_857_973_248]
    shapes = [{name: value.shape for name, value in net.state_dict().items()} for net in (ours, theirs)]
    assert shapes[0] == shapes[1]


def test_resnet20_is_section_4_2s():
    model = unfilled("resnet20")
    parts, count = ((16, 16, 32, 6), (16, 32, 16, 1), (32, 32, 16, 5), (32, 64, 8, 1), (64, 64, 8, 5)), 16 * 3 * 9
    work = count * 32**2
    for inputs, outputs, side, convolutions in parts:
        count += inputs * outputs * 9 * convolutions
        work += inputs * outputs * 9 * side**2 * convolutions
    norms = 2 * (7 * 16 + 6 * 32 + 6 * 64)
    assert sum(p.numel() for p in model.parameters()) == count + norms + 650 == 269_722
    assert macs(model, 32) == work + 640
    layers = [part for part in model.modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    assert len(layers) == 20  # no shortcut has weights


@pytest.mark.parametrize("name", BLOCKS)
def test_names_are_torchvisions(name):
    def norm(prefix):
        return [f"{prefix}.{part}" for part in NORM]

    expected = ["conv1.weight", *norm("bn1")]
    for stage, count in enumerate(BLOCKS[name], 1):
        for place in range(count):
            block = f"layer{stage}.{place}"
            for n in range(1, CONVOLUTIONS[name] + 1):
                expected += [f"{block}.conv{n}.weight", *norm(f"{block}.bn{n}")]
            if place == 0 and (stage > 1 or CONVOLUTIONS[name] == 3):  # the shape changes
                expected += [f"{block}.downsample.0.weight", *norm(f"{block}.downsample.1")]
    assert list(unfilled(name).state_dict()) == [*expected, "fc.weight", "fc.bias"]


@pytest.mark.parametrize(
    ("make", "strides"),
    [(bottleneck, (1, 2, 1)), (bottleneck_2015, (2, 1, 1)), (basic, (2, 1)), (basic_padded, (2, 1))],
)
def test_a_block_halves_the_size_where_it_should(make, strides):
    block = make(8, 16, 2)
    found = [part.stride[0] for name, part in block.named_children() if name.startswith("conv")]
    assert tuple(found) == strides
    assert block(draw(1, 8, 7, 7)).shape == (1, block.out_channels, 4, 4)


@pytest.mark.parametrize("make", [basic, bottleneck])
def test_a_block_is_relu_of_input_and_branch_together(make):
    block = make(16, 16 if make is basic else 4, 1).eval()
    x = draw(2, 16, 5, 5)
    assert block.downsample is None
    y = x
    for n in (1, 2, 3)[: 2 if make is basic else 3]:
        conv, norm = block.get_submodule(f"conv{n}"), block.get_submodule(f"bn{n}")
        y = F.conv2d(F.relu(y) if n > 1 else y, conv.weight, padding=conv.kernel_size[0] // 2)
        y = y / torch.sqrt(torch.tensor(1 + norm.eps))  # fresh: mean 0, variance 1, gain 1
    assert_close(block(x), F.relu(x + y))


def test_a_block_whose_last_gain_is_zero_passes_on_its_shortcut():
    block, x = basic(4, 8, 2).eval(), draw(2, 4, 6, 6)
    nn.init.zeros_(block.bn2.weight)
    assert_close(block(x), F.relu(block.downsample(x)))


def test_option_a_takes_every_second_pixel_and_adds_channels_of_zeros():
    x = draw(2, 3, 5, 4)
    y = PaddedShortcut(2, 2)(x)
    assert y.shape == (2, 5, 3, 2)
    assert y[1, 2, 1, 1] == x[1, 2, 2, 2]
    assert torch.equal(y[:, :3], x[:, :, [0, 2, 4]][..., [0, 2]])
    assert not y[:, 3:].any()


def test_gains_start_at_one():
    for part in build("resnet18", num_classes=2).modules():
        if isinstance(part, nn.BatchNorm2d):
            assert part.weight.eq(1).all()


@pytest.mark.parametrize(("name", "smallest"), [("resnet20", 4), ("resnet50", 32)])
def test_a_picture_that_is_too_small_is_refused(name, smallest):
    with pytest.raises(ConfigError, match=f"image_size must be >= {smallest} pixels, got {smallest - 1}"):
        build(name, image_size=smallest - 1)
    if name == "resnet50":
        with pytest.raises(ConfigError, match="resnet20, which is made for small pictures"):
            build(name, image_size=28)
