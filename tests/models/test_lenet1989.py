"""Figures: LeCun et al. 1989, Backpropagation applied to handwritten zip code recognition, section 3.3."""

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from striate.base.errors import ConfigError
from striate.models.catalogue import MODELS, build
from striate.models.lenet1989 import H2_TABLE

# layer: units, inputs of a unit, kernel entries of the whole layer, biases
PUBLISHED = {
    "h1": {"connections": 19_968, "weights": 300, "biases": 768},
    "h2": {"connections": 38_592, "weights": 2_400, "biases": 192},
    "h3": {"connections": 5_790, "weights": 5_760, "biases": 30},
    "output": {"connections": 310, "weights": 300, "biases": 10},
}


@pytest.fixture(scope="module")
def model():
    return build("lenet1989")


def maps(model):
    """The layers and what they give for one picture."""
    layers = {"h1": model.h1, "h2": model.h2, "h3": model.h3, "output": model.output}
    x, given = torch.zeros(1, 1, 16, 16), {}
    for name, layer in layers.items():
        x = layer(x)
        given[name] = x[0]
    return layers, given


def test_each_layer_has_the_published_parameters(model):
    for name, layer in maps(model)[0].items():
        weights = [p for key, p in layer.named_parameters() if key.endswith("weight")]
        biases = [p for key, p in layer.named_parameters() if key.endswith("bias")]
        connected = 2_400 if name == "h2" else sum(w.numel() for w in weights)
        assert (connected, sum(b.numel() for b in biases)) == (PUBLISHED[name]["weights"], PUBLISHED[name]["biases"])
    assert int(model.h2[1].table.sum()) * 25 == 2_400
    assert sum(row["weights"] + row["biases"] for row in PUBLISHED.values()) == 9_760
    assert MODELS["lenet1989"].published["parameters"] == 9_760


def test_units_and_connections_are_the_published_ones(model):
    _, given = maps(model)
    assert given["h1"].shape == (12, 8, 8)
    assert given["h2"].shape == (12, 4, 4)
    units = {name: y.numel() for name, y in given.items()}
    assert units == {"h1": 768, "h2": 192, "h3": 30, "output": 10}
    assert 16 * 16 + sum(units.values()) == 1_256
    inputs = {"h1": 25, "h2": 8 * 25, "h3": 192, "output": 30}  # of a unit, its bias apart
    connections = {name: units[name] * (inputs[name] + 1) for name in units}
    assert connections == {name: row["connections"] for name, row in PUBLISHED.items()}
    assert sum(connections.values()) == 64_660


def test_a_map_of_h2_sees_eight_of_twelve_and_each_of_h1_is_seen_by_eight():
    table = torch.tensor(H2_TABLE)
    assert table.shape == (12, 12)
    assert table.sum(1).tolist() == table.sum(0).tolist() == [8] * 12


def test_a_unit_sees_every_second_pixel_as_centre_and_minus_one_beyond_the_border(model):
    x = torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    kernel = model.h1[1].weight
    with torch.no_grad():
        model.h1[2].bias.uniform_(generator=torch.Generator().manual_seed(1))
    wide = torch.full((2, 1, 20, 20), -1.0)  # a border of two on all sides; the last row and column go unused
    wide[..., 2:18, 2:18] = x
    for row, column in ((0, 0), (0, 7), (3, 5), (7, 7)):
        window = wide[..., 2 * row : 2 * row + 5, 2 * column : 2 * column + 5]
        a = (window * kernel[None, :, 0]).sum((2, 3)) + model.h1[2].bias.view(12, 8, 8)[:, row, column]
        assert_close(model.h1(x)[..., row, column], 1.7159 * torch.tanh(2 / 3 * a))


def test_first_weights_are_uniform_within_2_4_over_the_inputs_of_a_unit(model):
    fan_in = {model.h1[1]: 25, model.h2[1]: 200, model.h3[1]: 192, model.output: 30}
    for layer, inputs in fan_in.items():
        largest = layer.weight.abs().max().item() * inputs
        assert 2.4 * 0.95 < largest <= 2.4 * (1 + 1e-6)


def test_any_size_from_4_pixels_and_any_channels_and_classes_train():
    for image_size, in_channels in ((4, 1), (7, 3), (17, 2), (32, 3)):
        model = build("lenet1989", num_classes=3, in_channels=in_channels, image_size=image_size)
        loss = F.cross_entropy(model(torch.ones(2, in_channels, image_size, image_size)), torch.tensor([0, 2]))
        loss.backward()
        assert all(p.grad is not None for p in model.parameters())


def test_a_picture_below_4_pixels_is_refused():
    with pytest.raises(ConfigError, match="image_size must be >= 4 pixels, got 3"):
        build("lenet1989", image_size=3)
