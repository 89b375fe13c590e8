"""Figures: Springenberg, Dosovitskiy, Brox and Riedmiller 2015, arXiv:1412.6806, Tables 1 to 3."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode

from striate.base.errors import ConfigError
from striate.layers.dropout import Dropout
from striate.models.catalogue import MODELS, build

LAYERS = (  # kernel, outputs, side of the output
    (3, 96, 32),
    (3, 96, 32),
    (3, 96, 16),
    (3, 192, 16),
    (3, 192, 16),
    (3, 192, 8),
    (3, 192, 6),
    (1, 192, 6),
    (1, 10, 6),
)


def test_sizes_parameters_and_macs_are_the_published_ones():
    inputs, parameters, macs = 3, 0, 0
    for kernel, outputs, side in LAYERS:
        weights = kernel**2 * inputs * outputs
        parameters, macs, inputs = parameters + weights + outputs, macs + weights * side**2, outputs
    with torch.device("meta"):
        model, x, given = MODELS["allconv"].builder(MODELS["allconv"].usual).eval(), torch.zeros(1, 3, 32, 32), []
        with FlopCounterMode(display=False) as counter:
            for layer in model.features:
                x = layer(x)
                given += [(layer.kernel_size[0], *x.shape[1:3])] if isinstance(layer, nn.Conv2d) else []
    assert tuple(given) == LAYERS
    assert sum(p.numel() for p in model.parameters()) == parameters == 1_369_738  # 1.4 million in Table 3
    assert counter.get_total_flops() == 2 * macs


def drops(model):
    return [(place, layer.p) for place, layer in enumerate(model.features) if isinstance(layer, Dropout)]


def test_dropout_stands_on_the_input_and_behind_the_strided_convolutions():
    model = build("allconv")
    assert drops(model) == [(0, 0.2), (7, 0.5), (14, 0.5)]
    strided = [n for n, layer in enumerate(model.features) if isinstance(layer, nn.Conv2d) and layer.stride[0] == 2]
    assert strided == [5, 12]
    assert {p for _, p in drops(build("allconv", dropout=0.0))} == {0.0}


def test_logits_are_the_mean_of_each_classs_map():
    model = build("allconv", image_size=12, seed=1).eval()
    x = torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    maps = model.features(x)
    assert maps.shape == (2, 10, 1, 1)
    larger = torch.randn(2, 3, 21, 24, generator=torch.Generator().manual_seed(0))
    assert model.features(larger).shape == (2, 10, 4, 4)
    assert_close(model(larger), model.features(larger).sum((2, 3)) / 16)
    assert model(larger).ge(0).all()


def test_a_picture_below_9_pixels_is_refused():
    with pytest.raises(ConfigError, match="image_size must be >= 9 pixels, got 8"):
        build("allconv", image_size=8)
