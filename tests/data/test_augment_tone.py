import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch.testing import assert_close

from striate.data.augment.tone import autocontrast, equalize, posterize, sharpness, solarize

RNG = np.random.default_rng(3)
NOISE = RNG.integers(0, 256, (4, 50, 60, 3), dtype=np.uint8)
NOISE[1] = NOISE[1] // 4 + 60  # not the whole range
NOISE[2, ..., 1] = 77  # one level only
NOISE[3] = NOISE[3] // 128 * 200  # two levels
X = torch.from_numpy(NOISE).permute(0, 3, 1, 2).float()


def through(change) -> torch.Tensor:
    results = [np.array(change(Image.fromarray(picture))) for picture in NOISE]
    return torch.from_numpy(np.stack(results)).permute(0, 3, 1, 2).float()


def all_four(value: float) -> torch.Tensor:
    return torch.full((4, 1, 1, 1), float(value))


def test_autocontrast_is_pillows():
    assert_close(autocontrast(X, 255.0), through(ImageOps.autocontrast), atol=1.01, rtol=0)


def test_equalize_is_pillows():
    assert torch.equal(equalize(X, 255.0), through(ImageOps.equalize))


def test_equalize_between_levels_lies_between_them():
    low, high = equalize(X, 255.0), equalize((X + 1).clamp(max=255), 255.0)
    table = {int(v): float(e) for v, e in zip(X[0, 0].flatten(), low[0, 0].flatten(), strict=True)}
    assert [table[v] for v in sorted(table)] == sorted(table.values())
    assert low.shape == high.shape


@pytest.mark.parametrize("bits", [1, 2, 4, 7, 8])
def test_posterize_is_pillows(bits):
    assert torch.equal(posterize(X, all_four(bits), 255.0), through(lambda image: ImageOps.posterize(image, bits)))


@pytest.mark.parametrize("threshold", [0, 1, 100, 255])
def test_solarize_is_pillows(threshold):
    expected = through(lambda image: ImageOps.solarize(image, threshold))
    assert torch.equal(solarize(X, all_four(threshold), 255.0), expected)


@pytest.mark.parametrize("factor", [0.0, 0.5, 1.0, 1.9])
def test_sharpness_is_pillows(factor):
    expected = through(lambda image: ImageEnhance.Sharpness(image).enhance(factor))
    assert_close(sharpness(X, all_four(factor), 255.0), expected, atol=2.01, rtol=0)


def test_a_picture_without_inside_has_no_sharpness():
    thin = X[:, :, :2]
    assert torch.equal(sharpness(thin, all_four(0.0), 255.0), thin)
