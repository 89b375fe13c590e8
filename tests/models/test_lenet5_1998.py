"""Figures: LeCun, Bottou, Bengio and Haffner 1998, Gradient-based learning, section II.B, table I and equation 9."""

import json
import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from striate.base.errors import ConfigError
from striate.experiment.recipe import parse_recipe
from striate.experiment.train import start
from striate.layers.table_conv import LENET5_C3, TableConv2d
from striate.models.catalogue import MODELS, build, options, skeleton
from striate.models.lenet5_1998 import RUBBISH, SHARE, digit_codes, equation_9, random_codes

# layer: maps, their side, trainable parameters, connections, as printed
PUBLISHED = {
    "c1": (6, 28, 156, 122_304),
    "s2": (6, 14, 12, 5_880),
    "c3": (16, 10, 1_516, 151_600),
    "s4": (16, 5, 32, 2_000),
    "c5": (120, 1, 48_120, 48_120),
    "f6": (84, 1, 10_164, 10_164),
    "output": (10, 1, 0, 840),  # the total closes only with the fixed weights of the output counted as connections
}


@pytest.fixture(scope="module")
def model():
    return build("lenet5-1998")


def parameters(layer):
    if isinstance(layer, TableConv2d):
        return layer.parameter_count
    return sum(p.numel() for p in layer.parameters())


def connections(name, layer, units):
    """Inputs of all units; a bias is an input that is always on."""
    if name.startswith("s"):
        return units * (4 + 1)
    if name == "output":
        return layer.codes.numel()
    return parameters(layer) * units // layer.weight.shape[0]  # every map's parameters, at each place of the map


def test_maps_parameters_and_connections_of_every_layer_are_the_published_ones(model):
    x, found = torch.zeros(1, 1, 32, 32), {}
    for name, layer in [*model.features.named_children(), ("output", model.output)]:
        x = layer(x)
        if name in PUBLISHED:
            side = x.shape[2] if x.ndim == 4 else 1
            found[name] = (x.shape[1], side, parameters(layer), connections(name, layer, x[0].numel()))
    assert found == PUBLISHED
    published = MODELS["lenet5-1998"].published
    assert sum(row[2] for row in found.values()) == published["parameters"] == 60_000
    assert sum(row[3] for row in found.values()) == published["connections"] == 340_908


def test_c3_is_table_i(model):
    columns = ["012", "123", "234", "345", "045", "015", "0123", "1234", "2345"]
    columns += ["0345", "0145", "0125", "0134", "1245", "0235", "012345"]
    wanted = [[str(source) in column for source in range(6)] for column in columns]
    assert model.features.c3.table[..., 0, 0].tolist() == wanted == [list(row) for row in LENET5_C3]


def test_the_squashing_follows_every_layer_up_to_f6(model):
    names = [name for name, _ in model.features.named_children() if name != "flatten"]
    assert names == [name for layer in ("c1", "s2", "c3", "s4", "c5", "f6") for name in (layer, f"{layer}_squash")]
    x = model.features(10 * torch.randn(4, 1, 32, 32, generator=torch.Generator().manual_seed(0)))
    assert x.abs().max() <= 1.7159


def test_logits_are_squared_distances_with_a_minus(model):
    x = torch.randn(3, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    distance = torch.cdist(model.features(x), digit_codes())  # Euclidean
    assert_close(model(x), -distance.square())


def test_the_codes_are_ten_different_pictures_of_7x12_pixels():
    codes = digit_codes()
    assert codes.shape == (10, 7 * 12)
    assert set(codes.unique().tolist()) == {-1.0, 1.0}
    zero = codes[0].view(12, 7)
    assert torch.equal(zero, zero.flip(0))  # a zero is the same upside down, and in a mirror
    assert torch.equal(zero, zero.flip(1))
    assert torch.equal(codes[8].view(12, 7), codes[8].view(12, 7).flip(1))
    assert nearest(codes) >= 10


def differences(codes):
    """Places in which two different codes differ."""
    places = (codes[:, None] != codes).sum(2)
    return places[~torch.eye(len(codes), dtype=torch.bool)]


def nearest(codes):
    return int(differences(codes).min())


@pytest.mark.parametrize(("classes", "least"), [(2, 30), (26, 24), (100, 20), (1000, 18)])
def test_codes_of_other_classes_are_far_apart_and_always_the_same(classes, least):
    codes = random_codes(classes)
    assert codes.shape == (classes, 84)
    assert set(codes.unique().tolist()) == {-1.0, 1.0}
    assert nearest(codes) >= least
    assert differences(codes).float().mean().item() == pytest.approx(42, abs=4)
    assert torch.equal(codes, random_codes(classes + 1)[:-1])


def test_the_criterion_is_an_eighth_of_equation_9():
    distances = 40 * torch.rand(5, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([3, 0, 9, 3, 1])
    total = 0.0
    for y, right in zip(distances.tolist(), labels.tolist(), strict=True):
        total += y[right] + math.log(math.exp(-RUBBISH) + sum(math.exp(-other) for other in y))
    found = equation_9(F.cross_entropy)(-distances, labels)
    assert_close(found.item() / SHARE, total / 5)
    assert SHARE == 1 / 8


def test_a_class_beyond_j_is_not_pushed_further():
    y = torch.tensor([[4.0, RUBBISH + 30]], dtype=torch.float64, requires_grad=True)
    near = torch.tensor([[4.0, 5.0]], dtype=torch.float64, requires_grad=True)
    gradients = [torch.autograd.grad(equation_9(F.cross_entropy)(-d, torch.tensor([0])), d)[0][0, 1] for d in (y, near)]
    assert abs(gradients[0]) < 1e-10 < 1e-3 < -gradients[1]


def test_an_input_is_drawn_to_its_code_until_it_is_within_j():
    def pull(distance):  # dE/dy of the right class, all others out of reach
        y = torch.tensor([[distance, 500.0]], dtype=torch.float64, requires_grad=True)
        return torch.autograd.grad(equation_9(F.cross_entropy)(-y, torch.tensor([0])) / SHARE, y)[0][0, 0].item()

    assert [pull(RUBBISH + d) for d in (-7.0, 0.0, 7.0)] == pytest.approx([0, 0.5, 1], abs=1e-3)
    assert nearest(digit_codes()) == RUBBISH  # so the balls around the nearest codes, 4 * 10 apart, just touch


def test_first_weights_are_uniform_within_2_4_over_the_inputs_of_a_unit(model):
    f = model.features
    for layer, fan_in in ((f.c1, 25), (f.c5, 400), (f.f6, 120)):
        largest = layer.weight.abs().max().item() * fan_in
        assert 2.4 * 0.95 < largest <= 2.4 * (1 + 1e-6)
    assert 2.4 * 0.9 < f.c3.weight[0].abs().max().item() * 75 <= 2.4 * (1 + 1e-6)  # three maps
    assert 2.4 * 0.9 < f.c3.weight[15].abs().max().item() * 150 <= 2.4 * (1 + 1e-6)  # all six


@pytest.mark.parametrize(("image_size", "in_channels", "classes"), [(16, 1, 10), (28, 3, 4), (33, 2, 2), (64, 3, 26)])
def test_any_size_from_16_pixels_and_any_channels_and_classes_train(image_size, in_channels, classes):
    model = build("lenet5-1998", num_classes=classes, in_channels=in_channels, image_size=image_size)
    x = torch.randn(2, in_channels, image_size, image_size, generator=torch.Generator().manual_seed(0))
    logits = model(x)
    assert logits.shape == (2, classes)
    equation_9(F.cross_entropy)(logits, torch.tensor([0, classes - 1])).backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())


def test_a_picture_below_16_pixels_is_refused():
    with pytest.raises(ConfigError, match="image_size must be >= 16 pixels, got 15"):
        build("lenet5-1998", image_size=15)


def test_made_without_numbers_it_takes_a_state_whole(model):
    with torch.device("meta"):
        empty = skeleton("lenet5-1998", options("lenet5-1998"))
        assert empty(torch.zeros(1, 1, 32, 32)).shape == (1, 10)
    empty.load_state_dict(model.state_dict(), strict=True, assign=True)
    x = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(empty(x), model(x))


def test_a_run_counts_its_parameters_by_connections(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "noise.npz", x=rng.integers(0, 256, (60, 32, 32)).astype(np.uint8), y=np.arange(60) % 10)
    recipe = parse_recipe({"data": str(tmp_path / "noise.npz"), "model": "lenet5-1998", "epochs": 1})
    for _ in start(recipe, run=tmp_path / "run"):
        pass
    assert json.loads((tmp_path / "run" / "result.json").read_text())["parameters"] == 60_000
