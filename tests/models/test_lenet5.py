import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from striate.base.errors import ConfigError
from striate.models.catalogue import build


def test_lenet5_has_61706_parameters_and_416520_macs():
    model = build("lenet5")
    assert sum(p.numel() for p in model.parameters()) == 61_706
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 1, 32, 32))
    assert counter.get_total_flops() == 2 * 416_520


def test_relu_behind_the_pooling_gives_the_bits_of_relu_before_it():
    model = build("lenet5", seed=3)
    conv1, pool, relu, conv2, *_ = model.features
    taught = torch.nn.Sequential(conv1, relu, pool, conv2, relu, pool, model.classifier)
    x = torch.randn(16, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    y = torch.arange(16) % 10

    def gradients(network):
        loss = torch.nn.functional.cross_entropy(network(x), y)
        return [loss, *torch.autograd.grad(loss, list(model.parameters()))]

    for ours, theirs in zip(gradients(model), gradients(taught), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("image_size", [20, 21, 32, 33, 64])
@pytest.mark.parametrize("in_channels", [1, 3, 5])
def test_any_size_from_20_pixels_and_any_channels_fit(image_size, in_channels):
    model = build("lenet5", num_classes=3, in_channels=in_channels, image_size=image_size)
    assert model(torch.zeros(2, in_channels, image_size, image_size)).shape == (2, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 19}, "image_size must be >= 20 pixels, got 19"),
        ({"num_classes": 0}, "num_classes must be >= 1, got 0"),
        ({"in_channels": 0}, "in_channels must be >= 1, got 0"),
        ({"dropout": 1.5}, r"p must be a probability in \[0, 1\], got 1.5"),
    ],
)
def test_what_cannot_be_built_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        build("lenet5", **options)


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(ConfigError, match="got lenet6\\.\n  Fix: try lenet5"):
        build("lenet6")


def test_weights_have_hes_variance_and_biases_are_zero():
    linear = build("lenet5").classifier[1]
    assert linear.weight.var().item() == pytest.approx(2 / linear.in_features, rel=0.03)
    assert not linear.bias.any()
