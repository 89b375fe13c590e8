from itertools import product

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from striate.base.errors import ConfigError
from striate.calculus.conv import conv
from striate.layers.conv import Conv1d, Conv2d, Conv3d

OURS = {1: Conv1d, 2: Conv2d, 3: Conv3d}
TORCHS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
F64 = torch.float64


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


def filled(layer: nn.Module) -> nn.Module:
    """The layer with numbers that do not depend on torch's global generator."""
    for i, parameter in enumerate(layer.parameters()):
        parameter.data = draw(*parameter.shape, seed=i).to(parameter.dtype)
    return layer


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": 2, "padding": 1},
        {"padding": "same", "dilation": 2},
        {"padding": "valid", "bias": False},
        {"padding": 1, "padding_mode": "circular", "groups": 2},
        {"padding": "same", "padding_mode": "reflect"},
    ],
)
def test_what_torch_can_do_is_torchs_to_the_last_bit(dims, options):
    theirs = filled(TORCHS[dims](4, 6, 3, dtype=F64, **options))
    ours = OURS[dims](4, 6, 3, dtype=F64, **options)
    ours.load_state_dict(theirs.state_dict())  # compatible
    x = draw(2, 4, *[6] * dims)
    assert torch.equal(ours(x), theirs(x))
    assert torch.equal(ours(x[0]), theirs(x[0]))  # without a batch
    assert isinstance(ours, TORCHS[dims])
    theirs.load_state_dict(ours.state_dict())


PADDINGS = {
    1: ["full", "same", ((0, 2),)],
    2: ["full", "same", ((0, 2), (1, 1))],
    3: ["full", "same", ((0, 2), (1, 1), (2, 0))],
}


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
def test_what_torch_lacks_is_the_calculus(dims, mode):
    x = draw(2, 4, *[7] * dims)
    for padding, stride, flip in product(PADDINGS[dims], [1, 2], [False, True]):
        layer = filled(OURS[dims](4, 6, 4, stride, padding, 1, 2, True, mode, dtype=F64, flip_kernel=flip))
        wanted = conv(
            x, layer.weight, layer.bias, stride=stride, padding=padding, groups=2, border=mode, flip_kernel=flip
        )
        assert_close(layer(x), wanted, rtol=1e-10, atol=1e-12)
        assert_close(layer(x[0]), wanted[0], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("options", [{"padding": "full"}, {"padding": "same", "stride": 2}, {"flip_kernel": True}])
def test_it_exports(options):
    layer, x = Conv2d(3, 4, 4, **options).eval(), torch.ones(2, 3, 9, 9)
    exported = torch.export.export(layer, (x,)).module()
    assert_close(exported(x), layer(x))


@pytest.mark.parametrize("options", [{"padding": 1}, {"padding": "same", "stride": 2}, {"padding": ((0, 1), (1, 0))}])
def test_channels_last_stays_channels_last_and_bfloat16_bfloat16(options):
    layer = filled(Conv2d(8, 8, 3, **options)).to(memory_format=torch.channels_last)
    x = draw(2, 8, 8, 8).float()
    y = layer(x.to(memory_format=torch.channels_last))
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert_close(y, layer(x), rtol=1e-5, atol=1e-5)
    low = layer.bfloat16()(x.bfloat16())
    assert low.dtype == torch.bfloat16
    assert_close(low.float(), y, rtol=0.05, atol=0.3)


def test_gradients_flow_through_a_flipped_kernel_with_full_padding():
    layer = filled(Conv2d(2, 2, 2, padding="full", dtype=F64, flip_kernel=True))
    assert torch.autograd.gradcheck(layer, (draw(1, 2, 3, 3).requires_grad_(),))


def test_repr_shows_what_torch_lacks():
    assert "padding=full, flip_kernel=True" in repr(Conv2d(1, 1, 3, padding="full", flip_kernel=True))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Conv2d(3, 4, 3, padding="sane"), "padding must be pixels or one of valid, same, full, got sane"),
        (
            lambda: Conv2d(3, 4, 3, groups=2),
            "groups must be a divisor of in_channels 3, got 2.\n  Fix: use in_channels 4",
        ),
        (lambda: Conv1d(0, 4, 3), "in_channels must be >= 1"),
        (lambda: Conv3d(1, 1, (3, 3)), "kernel_size must be 1 or 3 integers"),
        (lambda: Conv2d(1, 1, 3, padding=(1, 2, 3)), "the number of axes must be 2, got 3"),
        (lambda: Conv2d(1, 1, 3, padding_mode="mirror"), "padding_mode must be one of zeros"),
        (
            lambda: Conv2d(3, 4, 3)(torch.ones(1, 5, 8, 8)),
            "channels of the input must be 3, got 5.\n  Fix: .*in_channels=5",
        ),
        (
            lambda: Conv2d(1, 1, 5, padding="full", padding_mode="reflect")(torch.ones(1, 1, 4, 9)),
            "reflect padding of an axis of 4 pixels must be <= 3",
        ),
    ],
)
def test_what_cannot_be_names_the_fix(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
