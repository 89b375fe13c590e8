"""Figures: Simonyan and Zisserman 2015, arXiv:1409.1556, Tables 1 and 2; He et al. 2016, arXiv:1512.03385, Table 4."""

import pytest
import torch
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode

from striate.base.errors import ConfigError
from striate.models import vgg
from striate.models.catalogue import MODELS, build

TABLE_1 = {  # the columns A, B, D and E: channels of the 3x3 convolutions, M a pooling
    "vgg11": "64 M 128 M 256 256 M 512 512 M 512 512 M",
    "vgg13": "64 64 M 128 128 M 256 256 M 512 512 M 512 512 M",
    "vgg16": "64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M",
    "vgg19": "64 64 M 128 128 M 256 256 256 256 M 512 512 512 512 M 512 512 512 512 M",
}
TABLE_2 = {"vgg11": 133, "vgg13": 133, "vgg16": 138, "vgg19": 144}  # million parameters
CONVOLUTION_MACS = {"vgg16": 15.35e9, "vgg19": 19.51e9}
walks = pytest.mark.parametrize("name", TABLE_1)


def by_hand(name):
    """Parameters, and MACs of the convolutions, at 3x224x224 with 1000 classes."""
    before, side, parameters, macs = 3, 224, 0, 0
    for entry in TABLE_1[name].split():
        if entry == "M":
            side //= 2
            continue
        weights = before * int(entry) * 9
        parameters += weights + int(entry)
        macs += weights * side**2
        before = int(entry)
    for inputs, outputs in ((before * side**2, 4096), (4096, 4096), (4096, 1000)):
        parameters += inputs * outputs + outputs
    return parameters, macs


@pytest.fixture
def narrow(monkeypatch):
    """Few units in the linear layers, where numbers are drawn."""
    monkeypatch.setattr(vgg, "UNITS", 32)


@walks
def test_parameters_and_macs_are_the_published_ones(name):
    with torch.device("meta"):
        model = MODELS[name].builder(MODELS[name].usual).eval()
        with FlopCounterMode(display=False) as counter:
            model.features(torch.zeros(1, 3, 224, 224))
    parameters, macs = by_hand(name)
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert round(parameters / 1e6) == TABLE_2[name]
    assert counter.get_total_flops() == 2 * macs
    assert macs == pytest.approx(CONVOLUTION_MACS.get(name, macs), rel=5e-4)


@walks
def test_names_are_torchvisions(name):
    places, place = [], 0
    for entry in TABLE_1[name].split():
        places += [] if entry == "M" else [place]
        place += 1 if entry == "M" else 2  # a convolution and its ReLU
    expected = [f"features.{n}.{part}" for n in places for part in ("weight", "bias")]
    expected += [f"classifier.{n}.{part}" for n in (0, 3, 6) for part in ("weight", "bias")]
    with torch.device("meta"):
        model = MODELS[name].builder(MODELS[name].usual)
    assert list(model.state_dict()) == expected
    assert model.classifier[0].weight.shape == (4096, 512 * 7 * 7)


def test_224_pixels_reach_the_linear_layers_untouched(narrow):
    model = build("vgg11", num_classes=2)
    maps = torch.randn(2, 512, 7, 7, generator=torch.Generator().manual_seed(0))
    assert torch.equal(model.avgpool(maps), maps)
    with torch.device("meta"):
        assert vgg.VGG((1,) * 5).features(torch.zeros(1, 3, 224, 224)).shape == (1, 512, 7, 7)


def test_the_one_pixel_that_is_left_of_32_stands_49_times(narrow):
    model = build("vgg11", num_classes=3, image_size=32, seed=2).eval()
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    pixel = model.features(x)
    assert pixel.shape == (2, 512, 1, 1)
    first, *rest = model.classifier
    summed = pixel.flatten(1) @ first.weight.view(-1, 512, 49).sum(2).T + first.bias
    assert_close(model(x), torch.nn.Sequential(*rest)(summed))


def test_weights_of_one_size_fit_every_other(narrow):
    small, large = (build("vgg11", num_classes=2, image_size=size, seed=size) for size in (32, 96))
    large.load_state_dict(small.state_dict())
    x = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    assert torch.equal(large.eval()(x), small.eval()(x))


def test_dropout_follows_both_hidden_layers(narrow):
    model = build("vgg11", num_classes=2, image_size=32, dropout=1.0)
    for place in (0, 3, 6):
        torch.nn.init.ones_(model.classifier[place].bias)  # so that a layer of which nothing is dropped is seen
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(model(x), model.classifier[6].bias.expand(2, 2))
    model.classifier[5].p = 0.0
    assert_close(model(x), model.classifier[6](model.classifier[3].bias.relu()).expand(2, 2))
    assert [MODELS["vgg16"].usual.dropout, vgg.VGG((1,) * 5, 2).classifier[2].p] == [0.5, 0.5]


@pytest.mark.parametrize("image_size", [1, 31])
def test_a_picture_below_32_pixels_is_refused(image_size):
    with pytest.raises(ConfigError, match=f"image_size must be >= 32 pixels, got {image_size}"):
        build("vgg16", image_size=image_size)
