import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode

from striate.base.errors import ConfigError
from striate.models.catalogue import MODELS, build
from striate.models.fcn import bilinear


def draw(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_parameters_and_macs_are_those_of_arithmetic():
    layers = [  # inputs, outputs, kernel, side of the output
        (3, 16, 3, 128),
        (16, 16, 3, 128),
        (16, 32, 3, 64),
        (32, 32, 3, 64),
        (32, 64, 3, 32),
        (64, 64, 3, 32),
        (64, 128, 3, 16),
        (128, 128, 1, 16),
        (128, 21, 1, 16),
        (32, 21, 1, 32),
        (16, 21, 1, 64),
    ]
    ups = [(21, 21, 4, side) for side in (16, 32, 64)]  # side of the input, no bias
    parameters = sum(n * m * k**2 for n, m, k, _ in layers + ups) + sum(m for _, m, _, _ in layers)
    with torch.device("meta"):
        model = MODELS["fcn"].builder(MODELS["fcn"].usual).eval()
        with FlopCounterMode(display=False) as counter:
            model(torch.zeros(1, 3, 128, 128))
    assert sum(p.numel() for p in model.parameters()) == parameters == 187_375
    assert counter.get_total_flops() == 2 * sum(n * m * k**2 * side**2 for n, m, k, side in layers + ups)


@pytest.mark.parametrize("size", [(8, 8), (9, 8), (13, 31), (33, 50), (15, 64)])
def test_the_output_has_the_very_size_of_the_input(size):
    model = build("fcn", num_classes=4, in_channels=2)
    assert model(draw(2, 2, *size)).shape == (2, 4, *size)


def test_the_way_up_starts_as_bilinear_interpolation_of_each_class_alone():
    model = build("fcn", num_classes=3)
    x = draw(2, 3, 6, 7)
    for up in (model.up1, model.up2, model.up3):
        expected = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        assert_close(up(x)[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1])  # beyond the border torch repeats, here is 0
    assert bilinear(2)[0, 1].eq(0).all()


def test_scores_start_at_zero_and_the_body_with_hes_weights():
    model = build("fcn", seed=3)
    assert model(draw(1, 3, 16, 16)).eq(0).all()
    weight = model.stage3[2].weight
    assert weight.var().item() == pytest.approx(2 / (64 * 9), rel=0.05)


def test_what_the_scores_say_of_a_place_stays_in_that_place():
    """Kernels without a direction: a square in a picture of odd sides moves the logits evenly around its own centre."""
    model = build("fcn", num_classes=2, in_channels=1).eval()
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d):
                layer.weight.fill_(1 / layer.weight[0].numel())
    x = torch.zeros(1, 1, 117, 125)
    x[..., 48:56, 64:72] = 1
    moved = model(x)[0, 0]
    rows, columns = torch.meshgrid(torch.arange(117.0), torch.arange(125.0), indexing="ij")
    centre = [((moved * place).sum() / moved.sum()).item() for place in (rows, columns)]
    assert centre == pytest.approx([51.5, 67.5], abs=0.01)


@pytest.mark.parametrize("score", ["score", "score1", "score2"])
def test_every_stage_has_its_say(score):
    model = build("fcn", num_classes=2, seed=1).eval()
    x = draw(1, 3, 16, 16)
    torch.nn.init.ones_(model.get_submodule(score).weight)
    assert model(x).abs().gt(0).all()


def test_it_learns_to_mark_discs_in_noise_that_no_threshold_can(learn):
    g = torch.Generator().manual_seed(2)
    rows, columns = torch.meshgrid(torch.arange(24.0), torch.arange(24.0), indexing="ij")
    centre = 6 + 12 * torch.rand(16, 2, 1, 1, generator=g)
    y = (rows - centre[:, 0]) ** 2 + (columns - centre[:, 1]) ** 2 < 25
    x = y[:, None] + 0.7 * torch.randn(16, 1, 24, 24, generator=g)
    model = build("fcn", num_classes=2, in_channels=1, dropout=0.0)
    learn(model, lambda: F.cross_entropy(model(x), y.long()), lr=0.005, count=60)

    def overlap(marked):
        return ((marked & y).sum() / (marked | y).sum()).item()

    assert overlap(model(x).argmax(1) == 1) > 0.8
    assert max(overlap(x[:, 0] > level) for level in (0, 0.5, 1, 1.5)) < 0.5


def test_a_picture_below_8_pixels_is_refused():
    with pytest.raises(ConfigError, match="image_size must be >= 8 pixels, got 7"):
        build("fcn", image_size=7)
