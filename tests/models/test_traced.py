import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

import striate
from striate.base.errors import ConfigError
from striate.base.network import Branches
from striate.layers.branches import Add, Concatenate
from striate.models.describe import describe
from striate.models.described import described
from striate.models.notation import parse
from striate.models.traced import traced


class Residual(nn.Module):
    """A block of modules and functions, with a sum and a concatenation in it."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
        self.last = nn.Linear(6 * 16, 2)

    def forward(self, x):
        y = F.relu(self.first(x))
        y = torch.cat([self.second(y) + y, torch.sigmoid(x)], dim=1)
        return self.last(F.dropout(y, training=self.training).view(x.size(0), -1))


def same(module, shape):
    """The module of the description with the module's own numbers gives what the module gives."""
    seen = traced(module, shape)
    again = described(seen.network).eval()
    again.load_state_dict(dict(seen.tensors), strict=False)
    assert {name for name, t in again.state_dict().items() if t.ndim} == set(seen.tensors)
    x = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert_close(again(x), module.eval()(x))
    return seen


@pytest.mark.parametrize(
    ("name", "size"),
    [("lenet5", 32), ("vgg11", 32), ("allconv", 32), ("mobilenet", 32), ("shufflenet", 32), ("googlenet", 32)],
)
def test_the_networks_with_cards_are_seen_as_they_are(name, size):
    torch.manual_seed(0)
    same(striate.build(name, num_classes=4, in_channels=3, image_size=size), (3, size, size))


def test_residual_networks_become_branches_that_are_added():
    seen = same(striate.build("resnet18", num_classes=4, in_channels=3, image_size=32), (3, 32, 32))
    forks = [operation for operation in seen.network.operations if isinstance(operation, Branches)]
    assert [fork.join for fork in forks] == ["add"] * 8
    assert sum(() in fork.branches for fork in forks) == 5  # the others widen, and have a convolution there


def test_functions_between_the_layers_are_seen_too():
    seen = same(Residual(), (3, 4, 4))
    assert [operation.kind for operation in seen.network.operations] == ["branches", "dropout", "flatten", "linear"]
    assert seen.names["3"] == "last"


def test_a_row_is_described_as_describe_does():
    network = parse("input 2x8x8, conv 4 3 same, bn, concat(conv 2 1 | | relu), residual(tanh), flatten, linear 3")
    module = described(network)
    seen = traced(module, network.input_shape)
    assert seen.network == describe(module, network.input_shape) == network
    assert set(seen.tensors) == set(network.parameter_shapes()) | set(network.buffer_shapes())


def test_a_network_is_left_as_it_was():
    module = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.Dropout(), nn.Flatten(), nn.Linear(8, 2))
    module[1].eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    traced(module, (1, 2, 2))
    assert [part.training for part in module] == [True, False, True, True, True]
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())


class Squares(nn.Module):
    def forward(self, x):
        return x**2


class Scaled(nn.Module):
    def forward(self, x):
        return x + 1


class Crossing(nn.Module):
    """b is used by two sums that do not lie one in the other."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1)

    def forward(self, x):
        a = self.a(x)
        b = self.b(a)
        return torch.cat([a + b, self.c(b) + a], 1)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Sequential(nn.Conv2d(1, 1, 1), Squares()), r"module 1 \(Squares\): .* got torch's (__pow__|pow)"),
        (nn.Sequential(Scaled()), r"module 0 \(Scaled\): .* got torch's add"),
        (Crossing(), "a row with branches within it, got branches that cross"),
        (nn.Sequential(nn.AvgPool2d(2, divisor_override=3)), r"module 0 \(AvgPool2d\): divisor_override must be None"),
        (nn.LSTM(4, 4), "what the network returns must be one tensor, got tuple"),
    ],
)
def test_what_has_no_description_is_refused_by_name(module, message):
    with pytest.raises(ConfigError, match=message):
        traced(module, (1, 4, 4) if not isinstance(module, nn.LSTM) else (4, 4))


def test_a_layer_that_runs_twice_is_two_operations_with_the_same_weights():
    layer = nn.Conv2d(2, 2, 1)
    seen = same(nn.Sequential(layer, nn.ReLU(), layer), (2, 3, 3))
    assert torch.equal(seen.tensors["0.weight"], seen.tensors["2.weight"])


def test_the_same_branch_on_both_sides_is_added_to_itself():
    same(nn.Sequential(Add(nn.Identity(), nn.ReLU()), Concatenate(nn.ReLU(inplace=False), nn.Identity())), (1, 2, 2))
