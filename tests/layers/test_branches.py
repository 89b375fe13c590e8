import pytest
import torch
from torch import nn
from torch.testing import assert_close

from striate.base.errors import ConfigError
from striate.layers.branches import Add, Concatenate

X = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))


def test_a_residual_block_is_its_branch_plus_its_input():
    branch = nn.Conv2d(3, 3, 3, padding=1)
    assert torch.equal(Add(branch, nn.Identity())(X), branch(X) + X)


def test_outputs_stand_side_by_side_in_order():
    one, other = nn.Conv2d(3, 1, 1), nn.Conv2d(3, 2, 1)
    assert_close(Concatenate(one, other)(X), torch.cat([one(X), other(X)], 1))


def test_parameters_are_named_by_the_branchs_number():
    module = Add(nn.Sequential(nn.ReLU(), nn.Conv2d(3, 3, 1)), nn.Identity())
    assert list(module.state_dict()) == ["0.1.weight", "0.1.bias"]


def test_nothing_is_broadcast():
    with pytest.raises(ConfigError):
        Add(nn.Identity(), nn.AdaptiveAvgPool2d(1))(X)


@pytest.mark.parametrize("kind", [Add, Concatenate])
def test_no_branch_is_no_layer(kind):
    with pytest.raises(ConfigError, match=r"branches must be at least one.*\n  Fix: .*nn\.Identity"):
        kind()
