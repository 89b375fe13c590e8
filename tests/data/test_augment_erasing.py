import math

import numpy as np
import pytest
import torch

from striate.data.augment import Augment, apply, draw
from striate.data.augment.erasing import rectangles

MANY = np.arange(20_000, dtype=np.int64)


def test_rectangles_have_the_papers_areas_and_ratios_and_lie_within():
    found = rectangles(draw(Augment(erase=0.5), 0, 0, MANY), (200, 240)).double()
    assert abs(len(found) - 10_000) < 5 * 5000**0.5
    high, wide, y, x = found[:, 1:5].T
    even = torch.linspace(0.02, 0.4, len(found), dtype=torch.float64)
    assert ((high * wide / 48_000).sort().values - even).abs().max() < 0.01
    small = high * wide / 48_000 < 0.2  # every ratio fits
    log = ((wide / high)[small].log() / math.log(1 / 0.3)).sort().values
    assert (log - torch.linspace(-1, 1, len(log), dtype=torch.float64)).abs().max() < 0.05
    for start, side, whole in ((y, high, 200), (x, wide, 240)):
        assert (start >= 0).all()
        assert (start + side <= whole).all()
        place = (start / (whole - side).clamp(min=1))[side < whole - 20].sort().values
        assert (place - torch.linspace(0, 1, len(place), dtype=torch.float64)).abs().max() < 0.05


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_what_is_erased_is_the_rectangle_and_nothing_else(dtype):
    x = torch.full((300, 3, 20, 18), 128).to(dtype)
    draws = draw(Augment(erase=0.7), 1, 0, np.arange(300, dtype=np.int64))
    before = x.clone()
    y = apply(x, draws, top=None if dtype == torch.uint8 else 255.0)
    assert torch.equal(x, before)
    assert y.dtype == dtype
    outside = torch.ones(300, 20, 18, dtype=torch.bool)
    for row, high, wide, i, j, _, _ in rectangles(draws, (20, 18)).tolist():
        outside[row, i : i + high, j : j + wide] = False
    assert (y == 128).all(1)[outside].all()
    noise = y.permute(0, 2, 3, 1)[~outside].float()
    assert abs(noise.mean() - 127.5) < 8  # one tile of 1080 numbers
    assert abs(noise.std() - 255 / 12**0.5) < 8
    assert noise.min() <= 2
    assert 253 <= noise.max() <= 255


def test_without_a_range_the_noise_lies_within_the_pictures_own():
    x = torch.randn(40, 2, 16, 16, generator=torch.Generator().manual_seed(0)) * 5 - 100
    y = apply(x, draw(Augment(erase=1.0), 0, 0, np.arange(40, dtype=np.int64)))
    assert ((y != x).flatten(1).any(1)).all()
    for values, own in zip(y, x, strict=True):
        assert own.min() <= values.min() <= values.max() <= own.max()


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (30, 1), (2, 3)])
def test_a_tiny_or_long_picture_can_be_erased(size):
    y = apply(torch.zeros(20, 1, *size), draw(Augment(erase=1.0), 0, 0, np.arange(20, dtype=np.int64)), top=1.0)
    assert (y > 0).flatten(1).any(1).all()
