import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from striate.base.errors import ConfigError
from striate.models.autoencoder import Autoencoder
from striate.models.catalogue import build


def draw(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_parameters_and_macs_are_those_of_arithmetic():
    kernels = ((16, 16), (16 * 16, 32), (32, 8), (8, 32), (16 * 32, 16), (16 * 16, 1))  # entries times inputs; outputs
    places = (14**2, 7**2, 7**2, 7**2, 7**2, 14**2)  # of the output, and of the input where it is transposed
    with torch.device("meta"):
        model = Autoencoder().eval()
        with FlopCounterMode(display=False) as counter:
            model(torch.zeros(1, 1, 28, 28))
    assert sum(p.numel() for p in model.parameters()) == sum(n * m + m for n, m in kernels) == 17_513
    assert counter.get_total_flops() == 2 * sum(n * m * k for (n, m), k in zip(kernels, places, strict=True))


@pytest.mark.parametrize("size", [(28, 28), (32, 32), (4, 4), (64, 36)])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_output_has_the_very_shape_of_the_input(size, channels):
    model = build("autoencoder", in_channels=channels)
    x = draw(2, channels, *size)
    features = model.encode(x)
    assert features.shape == (2, 8, size[0] // 4, size[1] // 4)
    assert torch.equal(model.decode(features), model(x))
    assert model(x).shape == x.shape


def test_relu_stands_between_the_layers_and_both_ends_are_linear():
    model = build("autoencoder", seed=1)
    for part in (model.encoder, model.decoder):
        assert [isinstance(layer, nn.ReLU) for layer in part] == [False, True, False, True, False]
    x = draw(4, 1, 16, 16)
    for y in (model.encode(x), model(x)):
        assert y.min() < 0 < y.max()


def test_sides_that_are_no_multiple_of_4_are_refused():
    with pytest.raises(ConfigError, match=r"image_size must be a multiple of 4 pixels, got 30\.\n  Fix: use 28 or 32"):
        build("autoencoder", image_size=30)
    with pytest.raises(ConfigError, match="the width must be a multiple of 4 pixels, got 29"):
        build("autoencoder").encode(draw(1, 1, 28, 29))
    with pytest.raises(ConfigError, match=r"got 3\.\n  Fix: use 4 or 8"):
        build("autoencoder", image_size=3)


def test_it_has_no_classes_to_be_given():
    with pytest.raises(ConfigError, match=r"num_classes must be left out, got 10\.\n  Fix: it has no classes"):
        build("autoencoder", num_classes=10)


def test_it_learns_to_give_back_what_the_mean_does_not(learn):
    """Smooth pictures, waves of random direction and phase: training takes their variance down to a fraction."""
    g = torch.Generator().manual_seed(1)
    a, b, phase = (torch.rand(64, 1, 1, 1, generator=g) for _ in range(3))
    row, column = torch.arange(16.0).view(16, 1), torch.arange(16.0)
    x = torch.sin(a * row / 2 + b * column / 2 + 6.28 * phase)
    model = build("autoencoder", image_size=16)
    learn(model, lambda: F.mse_loss(model(x), x), lr=0.01, count=60)
    assert F.mse_loss(model(x), x) < 0.1 * x.var()
