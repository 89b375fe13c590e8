"""Networks whose layers follow one another, of whatever class, and those that are no such row."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from striate.base.errors import ConfigError
from striate.models.catalogue import build
from striate.models.chain import as_row
from striate.models.describe import describe

SHAPES = {"lenet5": (1, 32, 32), "perceptron": (1, 28, 28), "allconv": (3, 32, 32), "signal1d": (1, 8000)}


class Written(nn.Module):
    """A network of a user's, with something between its layers."""

    def __init__(self, between):
        super().__init__()
        self.a, self.b, self.between = nn.Linear(4, 4), nn.Linear(4, 3), between

    def forward(self, x):
        return self.b(self.between(self.a(x), self))


@pytest.mark.parametrize("name", SHAPES)
def test_networks_by_name_are_rows_with_the_same_parameters_in_the_same_order(name):
    network = build(name)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    told = describe(as_row(network, SHAPES[name]), SHAPES[name])
    assert [*told.parameter_shapes().values()] == [tuple(p.shape) for p in network.parameters()]
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize(
    "between",
    [
        lambda x, _: F.relu(x),
        lambda x, _: x * 2,
        lambda x, network: x + network.a(x),
        lambda x, network: F.dropout(x, 0.5, network.training),
    ],
    ids=["a function", "a factor", "a layer that comes again", "a dropout that draws by itself"],
)
def test_what_happens_between_the_layers_is_no_row(between):
    network, state = Written(between), torch.get_rng_state()
    with pytest.raises(ConfigError, match="a network of layers in a row"):
        as_row(network, (4,))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("name", "shape"), [("resnet20", (3, 32, 32)), ("lenet5-1998", (1, 32, 32))])
def test_branches_and_layers_of_one_network_alone_are_no_row(name, shape):
    with pytest.raises(ConfigError, match="alone, got branches or functions between"):
        as_row(build(name), shape)


def test_words_are_no_numbers():
    with pytest.raises(ConfigError, match="the places of words"):
        as_row(nn.Sequential(nn.Embedding(5, 3)), (4,))
