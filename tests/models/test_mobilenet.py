"""Figures: Howard et al. 2017, arXiv:1704.04861, Tables 1 and 4."""

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode

from striate.base.errors import ConfigError
from striate.models.catalogue import MODELS, build

TABLE_1 = (  # depthwise: side of the input, channels, stride, channels behind the 1x1 convolution that follows
    (112, 32, 1, 64),
    (112, 64, 2, 128),
    (56, 128, 1, 128),
    (56, 128, 2, 256),
    (28, 256, 1, 256),
    (28, 256, 2, 512),
    *((14, 512, 1, 512),) * 5,
    (14, 512, 2, 1024),
    (7, 1024, 1, 1024),  # printed with stride 2, and 7x7 on both sides
)


def by_hand():
    """Parameters and MACs at 3x224x224 with 1000 classes."""
    parameters, macs = 3 * 9 * 32 + 2 * 32, 3 * 9 * 32 * 112**2
    for side, inputs, stride, outputs in TABLE_1:
        parameters += 9 * inputs + inputs * outputs + 2 * (inputs + outputs)
        macs += (9 * inputs + inputs * outputs) * (side // stride) ** 2
    return parameters + 1024 * 1000 + 1000, macs + 1024 * 1000


def test_parameters_and_macs_are_the_published_ones():
    with torch.device("meta"):
        model = MODELS["mobilenet"].builder(MODELS["mobilenet"].usual).eval()
        with FlopCounterMode(display=False) as counter:
            model(torch.zeros(1, 3, 224, 224))
    parameters, macs = by_hand()
    assert sum(p.numel() for p in model.parameters()) == parameters == 4_231_976
    assert counter.get_total_flops() == 2 * macs
    assert (round(parameters / 1e6, 1), round(macs / 1e6)) == (4.2, 569)


def test_sizes_are_those_of_table_1():
    with torch.device("meta"):
        model, x = MODELS["mobilenet"].builder(MODELS["mobilenet"].usual).eval(), torch.zeros(1, 3, 224, 224)
        given = []
        for block in model.features:
            x = block(x)
            given.append((x.shape[2], x.shape[1]))
    assert given == [(112, 32), *((side // stride, outputs) for side, _, stride, outputs in TABLE_1)]


def test_a_block_is_depthwise_relu_pointwise_relu():
    model = build("mobilenet", num_classes=2, image_size=32).eval()
    block = model.features[2]
    x = torch.randn(2, 64, 5, 5, generator=torch.Generator().manual_seed(0))
    scale = (1 + block[1].eps) ** -0.5  # fresh normalisation in evaluation
    channels = [F.conv2d(x[:, [c]], block[0].weight[[c]], stride=2, padding=1) for c in range(64)]
    y = F.relu(torch.cat(channels, 1) * scale)
    weight = block[3].weight[:, :, 0, 0]
    assert_close(block(x), F.relu(torch.einsum("oc,bchw->bohw", weight, y) * scale))


def test_a_picture_below_32_pixels_is_refused():
    with pytest.raises(ConfigError, match="image_size must be >= 32 pixels, got 31"):
        build("mobilenet", image_size=31)
