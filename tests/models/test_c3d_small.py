import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from striate.base.errors import ConfigError
from striate.models.catalogue import MODELS, build, options

LAYERS = (  # inputs, outputs, size of the output
    (3, 16, (16, 32, 32)),
    (16, 32, (16, 16, 16)),
    (32, 64, (8, 8, 8)),
    (64, 64, (8, 8, 8)),
)


def test_sizes_parameters_and_macs_are_those_of_arithmetic():
    parameters = sum(n * m * 27 + m for n, m, _ in LAYERS) + 64 * 10 + 10
    macs = sum(n * m * 27 * torch.Size(size).numel() for n, m, size in LAYERS) + 64 * 10
    given = []
    with torch.device("meta"):
        model = MODELS["c3d-small"].builder(MODELS["c3d-small"].usual).eval()
        for layer in model.modules():
            if isinstance(layer, nn.Conv3d):
                layer.register_forward_hook(
                    lambda _, x, y: given.append((x[0].shape[1], y.shape[1], tuple(y.shape[2:])))
                )
        with FlopCounterMode(display=False) as counter:
            model(torch.zeros(1, 3, 16, 32, 32))
    assert tuple(given) == LAYERS
    assert {layer.kernel_size for layer in model.modules() if isinstance(layer, nn.Conv3d)} == {(3, 3, 3)}
    assert sum(p.numel() for p in model.parameters()) == parameters == 181_834
    assert counter.get_total_flops() == 2 * macs


def test_a_sample_is_a_clip_of_16_frames():
    assert MODELS["c3d-small"].sample(options("c3d-small", in_channels=1, image_size=24)) == (1, 16, 24, 24)


@pytest.mark.parametrize("size", [(16, 16, 16), (4, 8, 8), (5, 9, 21), (32, 16, 8)])
def test_any_clip_or_volume_from_4_by_8_by_8_fits(size):
    model = build("c3d-small", num_classes=3, in_channels=1)
    assert model(torch.randn(2, 1, *size, generator=torch.Generator().manual_seed(0))).shape == (2, 3)


def test_it_learns_which_way_a_bar_moves(learn):
    """No single frame tells: every place of the bar comes in both classes."""
    y, first = torch.arange(32) % 2, torch.arange(32) // 2
    x = torch.zeros(32, 1, 4, 16, 16)
    for row, (way, place) in enumerate(zip((2 * y - 1).tolist(), first.tolist(), strict=True)):
        for frame in range(4):
            x[row, 0, frame, :, (place + 2 * way * frame) % 16] = 1
    model = build("c3d-small", num_classes=2, in_channels=1, image_size=16, dropout=0.0)
    learn(model, lambda: F.cross_entropy(model(x), y), lr=0.003, count=40)
    assert model(x).argmax(1).eq(y).float().mean() > 0.9
    assert model(x.flip(2)).argmax(1).eq(1 - y).float().mean() > 0.7  # backwards it moves the other way


def test_what_is_too_small_is_refused_by_its_axis():
    with pytest.raises(ConfigError, match=r"image_size must be >= 8, got 7\.\n  Fix: give clips of 4 x 8 x 8"):
        build("c3d-small", image_size=7)
    with pytest.raises(ConfigError, match="the input along D must be >= 4, got 3"):
        build("c3d-small")(torch.zeros(1, 3, 3, 16, 16))
    with pytest.raises(ConfigError, match="the input along W must be >= 8, got 7"):
        build("c3d-small")(torch.zeros(1, 3, 4, 8, 7))
