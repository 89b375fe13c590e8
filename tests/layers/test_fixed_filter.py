import pytest
import torch
from scipy import ndimage
from torch.testing import assert_close

from striate.base.errors import ConfigError
from striate.calculus.kernels import edge_bank, sobel
from striate.layers.fixed_filter import FixedFilter2d

X = torch.rand(2, 3, 8, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_every_channel_is_filtered_as_scipy_does():
    y = FixedFilter2d(sobel("x"), padding_mode="replicate")(X)
    for b in range(2):
        for c in range(3):
            assert_close(y[b, c].numpy(), ndimage.sobel(X[b, c].numpy(), axis=1, mode="nearest"))


def test_a_bank_gives_its_answers_channel_by_channel():
    bank = edge_bank(4)
    y = FixedFilter2d(bank, stride=2)(X)
    assert y.shape == (2, 12, 4, 5)
    for c in range(3):
        for o in range(4):
            assert_close(y[:, 4 * c + o], FixedFilter2d(bank[o], stride=2)(X)[:, c])


def test_the_kernel_is_a_buffer():
    layer = FixedFilter2d(sobel("y"))
    assert list(layer.parameters()) == []
    assert list(layer.state_dict()) == ["kernel"]


def test_a_kernel_of_another_rank_names_the_fix():
    with pytest.raises(ConfigError, match="of 2 or 3 axes, got 4"):
        FixedFilter2d(torch.ones(1, 1, 3, 3))


def test_what_is_printed_says_how_many_kernels_of_what_size():
    assert repr(FixedFilter2d(edge_bank(4))) == "FixedFilter2d(4 of 5x5, stride=(1, 1), padding='same')"
    other = FixedFilter2d(sobel("x"), 2, 1, "reflect")
    assert repr(other) == "FixedFilter2d(1 of 3x3, stride=(2, 2), padding=1, padding_mode=reflect)"
