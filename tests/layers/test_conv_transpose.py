import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

from striate.base.errors import ConfigError
from striate.calculus.conv_transpose import conv_transpose
from striate.layers.conv_transpose import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d

G = torch.Generator().manual_seed(0)
RANKS = [(ConvTranspose1d, nn.ConvTranspose1d), (ConvTranspose2d, nn.ConvTranspose2d)]
RANKS += [(ConvTranspose3d, nn.ConvTranspose3d)]


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_without_sides_it_is_torchs_to_the_bit_and_takes_its_state(axes):
    ours, torchs = RANKS[axes - 1]
    arguments = (2, 4, 3, 2, 1, 1, 2)
    one, other = ours(*arguments), torchs(*arguments)
    one.load_state_dict(other.state_dict())
    x = torch.randn(2, 2, *[4] * axes, generator=G)
    assert torch.equal(one(x), other(x))


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_sides_are_cut_off_the_whole(axes):
    layer = RANKS[axes - 1][0](2, 4, 3, 2, ((1, 0), (0, 3), 2)[:axes], groups=2, output_padding=1)
    whole = RANKS[axes - 1][1](2, 4, 3, 2, groups=2, output_padding=1)
    whole.load_state_dict(layer.state_dict())
    x = torch.randn(2, 2, *[4] * axes, generator=G)
    y = F.pad(whole(x), [n for pair in reversed(((1, 0), (0, 3), (2, 2))[:axes]) for n in (-pair[0], -pair[1])])
    assert_close(layer(x), y)
    assert_close(layer(x[0]), y[0])  # without a batch, too


def test_the_calculus_agrees_on_groups_and_sides():
    layer = ConvTranspose2d(4, 6, (3, 2), 2, ((0, 1), 1), (1, 0), 2, True, (1, 2)).double()
    x = torch.randn(2, 4, 5, 4, dtype=torch.float64, generator=G)
    options = {"stride": 2, "padding": ((0, 1), 1), "output_padding": (1, 0), "groups": 2, "dilation": (1, 2)}
    assert_close(layer(x), conv_transpose(x, layer.weight, layer.bias, **options))


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: ConvTranspose2d(0, 1, 3), "in_channels must be >= 1"),
        (lambda: ConvTranspose2d(3, 4, 3, groups=2), "use in_channels 4, or groups 1"),
        (lambda: ConvTranspose2d(2, 4, (3, 3, 3)), "kernel_size must be 1 or 2 integers"),
        (lambda: ConvTranspose1d(2, 4, 3, padding=(1, 1)), "the number of axes must be 1, got 2"),
        (lambda: ConvTranspose1d(2, 4, 3, 2, output_padding=2), r"less than stride or dilation, got 2\.\n  Fix: use 1"),
    ],
)
def test_options_that_do_not_fit_are_refused_with_what_would(build, text):
    with pytest.raises(ConfigError, match=text):
        build()


def test_it_prints_what_torch_prints_and_the_sides():
    assert "padding=(0, 1), cut=((1, 0), (0, 0))" in repr(ConvTranspose2d(1, 1, 3, padding=((1, 0), 1)))
    assert "cut" not in repr(ConvTranspose2d(1, 1, 3, padding=1))
