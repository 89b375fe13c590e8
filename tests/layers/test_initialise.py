import pytest
import torch
from torch import nn

from striate.layers.initialise import initialise, initialise_lecun_1998, initialise_normal
from striate.layers.table_conv import LENET5_C3, TableConv2d

CASES = {
    "linear": (nn.Linear(400, 120), (256, 400)),
    "conv": (nn.Conv2d(32, 64, 3, padding=1), (8, 32, 16, 16)),
    "groups": (nn.Conv2d(32, 64, 3, padding=1, groups=4), (8, 32, 16, 16)),
    "depthwise": (nn.Conv2d(64, 64, 5, padding=2, groups=64), (8, 64, 16, 16)),
    "transposed, strided": (nn.ConvTranspose2d(64, 64, 4, stride=2, padding=1), (8, 64, 16, 16)),
    "transposed, two strides": (nn.ConvTranspose2d(64, 64, (4, 3), stride=(2, 1), padding=1), (8, 64, 16, 16)),
}


@pytest.mark.parametrize("name", CASES)
def test_a_relu_before_the_layer_leaves_its_output_the_size_of_the_input(name):
    layer, shape = CASES[name]
    initialise(nn.Sequential(layer), 0)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1)).relu()
    y = layer(x).detach()
    inner = y if y.ndim == 2 else y[..., 4:-4, 4:-4]  # borders see fewer inputs
    assert inner.square().mean().item() == pytest.approx(1, rel=0.12)
    assert not layer.bias.any()


def test_a_connection_table_stays_and_each_map_draws_for_its_own_inputs():
    layer = TableConv2d(LENET5_C3, 5)
    initialise(nn.Sequential(layer), 0)
    connected = layer.table.expand_as(layer.weight)
    assert not layer.weight[~connected].any()
    x = torch.randn(64, 6, 30, 30, generator=torch.Generator().manual_seed(1))
    sizes = layer(x).square().mean((0, 2, 3))
    groups = [sizes[:6].mean(), sizes[6:15].mean(), sizes[15]]  # three, four and six inputs
    assert [size.item() for size in groups] == pytest.approx([2, 2, 2], rel=0.25)  # variance 2 / fan-in, no ReLU here


def test_the_draw_is_a_function_of_the_seed_and_the_place():
    def drawn(seed, *layers):
        model = nn.Sequential(*layers)
        initialise(model, seed)
        return model[0].weight

    one, other = drawn(3, nn.Linear(4, 4)), drawn(3, nn.Linear(4, 4), nn.Linear(4, 9))
    assert torch.equal(one, other)
    assert not torch.equal(one, drawn(4, nn.Linear(4, 4)))


def test_lecuns_draw_is_uniform_within_2_4_over_the_fan_in():
    layer = nn.Conv2d(8, 200, 5, groups=2)
    initialise_lecun_1998(nn.Sequential(layer), 0)
    scaled = layer.weight.detach().flatten() * 100 / 2.4  # 4 channels of 25 entries
    assert scaled.abs().max() <= 1
    counts = torch.histc(scaled, bins=8, min=-1, max=1) / scaled.numel()
    assert counts.tolist() == pytest.approx([1 / 8] * 8, rel=0.05)
    assert not layer.bias.any()


def test_in_lecuns_draw_a_table_map_has_the_fan_in_of_its_own_connections():
    layer = TableConv2d(LENET5_C3, 5)
    initialise_lecun_1998(nn.Sequential(layer), 0)
    connected = layer.table.expand_as(layer.weight)
    assert not layer.weight[~connected].any()
    for row, inputs in zip(layer.weight.detach(), layer.table.sum((1, 2, 3)).tolist(), strict=True):
        largest = row.abs().max().item() * 25 * inputs
        assert 2.4 * 0.93 < largest <= 2.4 * (1 + 1e-6)


def test_the_normal_draw_has_the_given_deviation_in_every_layer():
    layers = nn.Sequential(nn.Conv2d(3, 96, 11), nn.Linear(100, 400))
    initialise_normal(layers, 0, std=0.01)
    for layer in layers:
        assert layer.weight.std().item() == pytest.approx(0.01, rel=0.02)
        assert layer.weight.mean().item() == pytest.approx(0, abs=2e-4)
        assert not layer.bias.any()
