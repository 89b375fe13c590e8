import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.testing import assert_close

from striate.base.errors import ConfigError
from striate.calculus.conv import conv
from striate.calculus.kernels import demonstrate, edge_bank, gaussian, laplacian, oriented_edge, sobel

PICTURE = torch.rand(9, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
ROW, COLUMN = torch.meshgrid(torch.arange(9.0), torch.arange(9.0), indexing="ij")


def filtered(picture, kernel, border="zeros"):
    return conv(picture[None, None], kernel.to(picture)[None, None], padding="same", border=border)[0, 0]


def test_gaussian_is_scipys():
    wanted = ndimage.gaussian_filter(PICTURE.numpy(), 1.2, radius=3, mode="nearest")
    assert_close(filtered(PICTURE, gaussian(7, 1.2), "replicate").numpy(), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("axis", "number"), [("x", 1), ("y", 0)])
def test_sobel_is_scipys(axis, number):
    wanted = ndimage.sobel(PICTURE.numpy(), number, mode="nearest")
    assert_close(filtered(PICTURE, sobel(axis), "replicate").numpy(), wanted)


def test_laplacian_is_scipys():
    wanted = ndimage.laplace(PICTURE.numpy(), mode="nearest")
    assert_close(filtered(PICTURE, laplacian(), "replicate").numpy(), wanted)


@pytest.mark.parametrize("diagonals", [False, True])
def test_laplacian_is_blind_to_ramps_and_sees_a_spot(diagonals):
    spot = torch.zeros(9, 9)
    spot[4, 4] = 1
    assert filtered(2 * ROW + 3 * COLUMN + 1, laplacian(diagonals=diagonals))[1:-1, 1:-1].abs().max() == 0
    assert filtered(spot, laplacian(diagonals=diagonals))[4, 4] == (-8 if diagonals else -4)


@pytest.mark.parametrize("degrees", [0, 30, 45, 90, 200])
def test_an_oriented_edge_measures_the_slope_in_its_direction(degrees):
    ramp = 2 * COLUMN + 3 * ROW
    wanted = 2 * np.cos(np.radians(degrees)) + 3 * np.sin(np.radians(degrees))
    assert filtered(ramp, oriented_edge(degrees))[4, 4].item() == pytest.approx(wanted, rel=1e-5)


def test_an_edge_answers_most_to_its_own_direction():
    bank = edge_bank(4)
    assert bank.shape == (4, 5, 5)
    for i, degrees in enumerate((0, 45, 90, 135)):
        angle = np.radians(degrees)
        step = ((COLUMN - 4) * np.cos(angle) + (ROW - 4) * np.sin(angle) > 0).float()
        answers = torch.stack([filtered(step, kernel)[4, 4] for kernel in bank])
        assert answers.argmax() == i


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gaussian(4, 1.0), "size must be odd and positive, got 4.\n  Fix: use 5"),
        (lambda: gaussian(3, 0.0), "sigma must be > 0"),
        (lambda: gaussian(3, float("nan")), "sigma must be > 0"),
        (lambda: edge_bank(0), "directions must be >= 1"),
        (lambda: sobel("z"), "axis must be x or y"),
        (lambda: oriented_edge(0, size=1), "size must be >= 3"),
    ],
)
def test_a_kernel_that_cannot_be_names_the_fix(call, message):
    with pytest.raises(ConfigError, match=message):
        call()


def test_the_demonstration_can_be_checked_by_hand():
    text = demonstrate()
    x = np.array([[0.0, 0.0, 9.0, 9.0]] * 3)
    slope, bend = ndimage.sobel(x, axis=1)[1, 1:3], ndimage.laplace(x)[1, 1:3]
    assert slope.tolist() == [36, 36]
    assert "=  36  36\n" in text
    assert bend.tolist() == [9, -9]
    assert "=  9  -9\n" in text
    assert "*  1  -4  1  =  -4" in text
    share = np.exp(-0.5) / (1 + 2 * np.exp(-0.5))  # of the right column
    assert f"= {9 * share:.4g}  {9 * (1 - share):.4g}" in text
    assert text.endswith("towards 0 degrees 4.5  4.5, towards 90 degrees 0  0")  # 9 over two pixels
