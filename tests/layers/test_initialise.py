import pytest
import torch
from torch import nn

from striate.layers.initialise import initialise
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
