import pytest
import torch
from torch.testing import assert_close

from striate.base.errors import ConfigError
from striate.calculus.mean_pool import mean_pool
from striate.layers.subsample import Subsample2d


def test_the_four_inputs_are_added_then_scaled_then_shifted():
    layer = Subsample2d(2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([10.0, -1.0]))
        layer.bias.copy_(torch.tensor([0.5, 0.0]))
    x = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[1.0, 1.0], [1.0, 1.0]]]])
    assert layer(x).flatten().tolist() == [100.5, -4.0]


def test_s2_of_lenet5_has_12_parameters_and_s4_has_32():
    assert sum(p.numel() for p in Subsample2d(6).parameters()) == 12
    assert sum(p.numel() for p in Subsample2d(16).parameters()) == 32


def test_it_starts_as_the_mean_for_any_window():
    x = torch.randn(2, 3, 8, 9)
    assert_close(Subsample2d(3, (2, 3), 2)(x), mean_pool(x, (2, 3), stride=2))


def test_gradients_agree_with_central_differences():
    layer = Subsample2d(3).double()
    leaves = (torch.randn(2, 3, 4, 4), torch.randn(3), torch.randn(3))

    def run(x, weight, bias):
        return torch.func.functional_call(layer, {"weight": weight, "bias": bias}, x)

    assert torch.autograd.gradcheck(run, tuple(t.double().requires_grad_() for t in leaves))


def test_no_channels_names_the_fix():
    with pytest.raises(ConfigError, match=r"channels must be >= 1, got 0\.\n  Fix: give the channels"):
        Subsample2d(0)


def test_another_count_of_channels_is_refused_instead_of_broadcast():
    with pytest.raises(ConfigError, match="channels must be 3, got 1"):
        Subsample2d(3)(torch.zeros(1, 1, 4, 4))
