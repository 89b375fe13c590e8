import pytest
import torch
from torch import nn
from torch.testing import assert_close

from striate.base.errors import ConfigError
from striate.layers.lp_pool import LPPool1d, LPPool2d, LPPool3d

G = torch.Generator().manual_seed(0)


@pytest.mark.parametrize(("ours", "torchs", "axes"), [(LPPool1d, nn.LPPool1d, 1), (LPPool2d, nn.LPPool2d, 2)])
@pytest.mark.parametrize("p", [2, 4.0])
def test_even_powers_are_torchs(ours, torchs, axes, p):
    x = torch.randn(2, 3, *[7] * axes, dtype=torch.float64, generator=G)
    assert_close(ours(p, 3, 2)(x), torchs(p, 3, 2)(x))


def test_odd_powers_of_numbers_of_either_sign_are_norms():
    x = torch.tensor([[[[-3.0, 4.0], [-5.0, 0.0]]]])
    assert_close(LPPool2d(3, 2)(x).item(), (27 + 64 + 125) ** (1 / 3))
    assert_close(LPPool2d(1, 2)(x).item(), 12.0)


def test_a_silent_window_has_a_gradient_of_zero():
    x = torch.zeros(1, 1, 2, 2, 2, requires_grad=True)
    LPPool3d(2, 2)(x).sum().backward()
    assert not x.grad.any()  # torch's own gives NaN


def test_another_rank_names_the_class_that_takes_it():
    with pytest.raises(ConfigError, match=r"axes of the input must be 4, got 5\.\n  Fix: use LPPool3d"):
        LPPool2d(2, 2)(torch.zeros(1, 1, 2, 2, 2))
    with pytest.raises(ConfigError, match=r"give \(B, C, \.\.\.\)"):
        LPPool2d(2, 2)(torch.zeros(1, 1, 2, 2, 2, 2))
