"""Figures: Dai, Dai, Qu, Li and Das 2017, arXiv:1610.00087, Table 1, network M5."""

from math import pi

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from striate.base.errors import ConfigError
from striate.layers.conv import Conv1d
from striate.models.catalogue import MODELS, build

LAYERS = ((80, 128, 8000), (3, 128, 2000), (3, 256, 500), (3, 512, 125))  # kernel, outputs, samples
POOLED = (2000, 500, 125, 32)


def test_lengths_parameters_and_macs_are_the_published_ones():
    inputs, parameters, macs = 1, 512 * 10 + 10, 512 * 10
    for kernel, outputs, samples in LAYERS:
        parameters += kernel * inputs * outputs + 2 * outputs
        macs += kernel * inputs * outputs * samples
        inputs = outputs
    with torch.device("meta"):
        model, x = MODELS["signal1d"].builder(MODELS["signal1d"].usual).eval(), torch.zeros(1, 1, 32_000)
        with FlopCounterMode(display=False) as counter:
            model(x)
        given, pooled = [], []
        for step in model.features:
            conv = step[0](x)
            x = step(x)
            given.append((step[0].kernel_size[0], *conv.shape[1:]))
            pooled.append(x.shape[2])
    assert tuple(given) == LAYERS
    assert tuple(pooled) == POOLED
    assert sum(p.numel() for p in model.parameters()) == parameters == 558_090  # "0.5M" in the table
    assert counter.get_total_flops() == 2 * macs


def test_every_convolution_is_followed_by_norm_relu_and_pooling():
    for step in build("signal1d").features:
        assert [type(layer) for layer in step] == [Conv1d, nn.BatchNorm1d, nn.ReLU, nn.MaxPool1d]
        assert step[0].bias is None


@pytest.mark.parametrize("samples", [80, 81, 1000, 4321])
def test_any_length_from_80_samples_and_any_channels_fit(samples):
    model = build("signal1d", num_classes=3, in_channels=2)
    x = torch.randn(2, 2, samples, generator=torch.Generator().manual_seed(0))
    assert model(x).shape == (2, 3)


def test_it_learns_to_tell_tones_from_chirps(learn):
    g = torch.Generator().manual_seed(0)
    time, y = torch.arange(800.0) / 800, torch.arange(24) % 2
    pitch, phase = (torch.rand(24, 1, generator=g) for _ in range(2))
    swept = y[:, None] * 60 * time**2
    wave = torch.sin(2 * pi * ((20 + 40 * pitch) * time + swept + phase))
    x = (wave + 0.1 * torch.randn(24, 800, generator=g))[:, None]
    model = build("signal1d", num_classes=2)
    learn(model, lambda: F.cross_entropy(model(x), y), lr=0.001, count=15)
    assert model(x).argmax(1).eq(y).float().mean() > 0.9


def test_a_signal_shorter_than_the_first_kernel_is_refused():
    with pytest.raises(ConfigError, match=r"image_size must be >= 80 samples, got 79\.\n  Fix: ask for 32000"):
        build("signal1d", image_size=79)
