import colorsys

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance
from torch.testing import assert_close

from striate.calculus.moments import moments
from striate.calculus.whitening import Axes, colour_noise, principal_axes
from striate.data.augment import Augment, apply, colour_axes, draw
from striate.data.augment.colour import brightness, contrast, hue, normal, saturation
from striate.data.augment.draws import Block

RNG = np.random.default_rng(2)
BYTES = torch.from_numpy(RNG.integers(0, 256, (6, 10, 12, 3), dtype=np.uint8)).permute(0, 3, 1, 2)


def first(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.int64)


def photo(picture: torch.Tensor) -> Image.Image:
    return Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy())


def plain(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float()


@pytest.mark.parametrize(
    ("ours", "pillows"),
    [(brightness, ImageEnhance.Brightness), (contrast, ImageEnhance.Contrast), (saturation, ImageEnhance.Color)],
)
def test_a_factor_changes_a_picture_as_pillow_does(ours, pillows):
    values = [0.0, 0.3, 0.9, 1.0, 1.4, 2.0]
    y = ours(BYTES.float(), torch.tensor(values)[:, None, None, None], 255.0)
    for b, value in enumerate(values):
        assert_close(y[b], plain(pillows(photo(BYTES[b])).enhance(value)), atol=2.01, rtol=0)  # it rounds twice


def test_the_hue_turns_as_in_colorsys():
    x = BYTES.float()
    x[0, :, :2] = x[0, :1, :2]  # greys have no hue
    x[1, :, 0] = torch.tensor([255.0, 255.0, 0.0])[:, None]  # two channels are the largest
    turns = [0.0, 0.1, -0.2, 0.5, -0.5, 0.33]
    y = hue(x, torch.tensor(turns)[:, None, None, None])
    for b, turn in enumerate(turns):
        for i in range(10):
            for j in range(12):
                h, s, v = colorsys.rgb_to_hsv(*(x[b, :, i, j] / 255).tolist())
                expected = torch.tensor(colorsys.hsv_to_rgb((h + turn) % 1, s, v)) * 255
                assert_close(y[b, :, i, j], expected, atol=1e-3, rtol=0)


def test_jitter_is_its_steps_in_order_with_the_drawn_factors():
    a = Augment(brightness=0.4, contrast=0.3, saturation=0.2, hue=0.1)
    draws = draw(a, 1, 0, first(6))
    drawn = draws.signed(Block.JITTER)[:, 0].float()[..., None, None, None]  # B 4 1 1 1
    x = brightness(BYTES.float(), 1 + 0.4 * drawn[:, 0], 255.0)
    x = saturation(contrast(x, 1 + 0.3 * drawn[:, 1], 255.0), 1 + 0.2 * drawn[:, 2], 255.0)
    assert_close(apply(BYTES, draws), hue(x, 0.1 * drawn[:, 3]), atol=1e-3, rtol=0)


@pytest.mark.parametrize("strength", [0.4, 1.0])
def test_factors_are_uniform_about_1(strength):
    x = torch.full((4000, 1, 1, 1), 2.0)
    y = apply(x, draw(Augment(brightness=strength), 0, 0, first(4000))).flatten().sort().values
    assert (y / 2 - torch.linspace(1 - strength, 1 + strength, 4000)).abs().max() < 0.06 * strength


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_colour_noise_is_that_of_the_calculus(channels):
    x = torch.rand(6, channels, 8, 9, generator=torch.Generator().manual_seed(0))
    axes = colour_axes([x], top=None)
    draws = draw(Augment(colour_noise=0.1), 1, 0, first(6))
    y = apply(x, draws, axes=axes)
    shift = (y - x)[:, :, 0, 0].double()
    assert_close(y, x + shift.float()[:, :, None, None], atol=1e-5, rtol=0)  # one colour a picture
    drawn = shift @ axes.directions.T / (0.1 * axes.variances)
    assert_close(colour_noise(x, drawn, axes), y, atol=1e-5, rtol=0)


def test_colour_noise_draws_normal_numbers_a_picture_and_axis():
    axes = Axes(torch.ones(3).double(), torch.eye(3).double())
    noise = apply(torch.zeros(20_000, 3, 1, 1), draw(Augment(colour_noise=0.5), 0, 0, first(20_000)), axes=axes)
    noise = noise.flatten(1).double() / 0.5
    assert noise.mean(0).abs().max() < 0.03
    assert (noise.T.cov() - torch.eye(3)).abs().max() < 0.04
    assert noise.pow(4).mean(0).sub(3).abs().max() < 0.2


def test_normal_numbers_are_finite_for_every_word():
    least, most = 0, 2**32 - 1
    words = torch.tensor([[least, least, most, most, least, most, most, least]])
    assert normal(words).isfinite().all()


def test_axes_of_bytes_are_in_units_of_white():
    axes, expected = colour_axes([BYTES]), principal_axes(moments((BYTES.double() / 255).movedim(1, -1).reshape(-1, 3)))
    assert_close(axes.variances, expected.variances)
    assert_close(axes.directions, expected.directions)


@pytest.mark.parametrize("policy", ["none", "randaugment", "trivialaugment"])
def test_16_bits_are_8_bits_times_257(policy):
    options = {"colour_noise": 0.1, "brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1, "erase": 0.5}
    draws = draw(Augment(rotate=10.0, policy=policy, **options), 0, 0, first(6))
    axes = colour_axes([BYTES])
    eight = apply(BYTES.float(), draws, top=255.0, axes=axes)
    sixteen = apply(BYTES.float() * 257, draws, top=65_535.0, axes=axes)
    assert_close(sixteen / 257, eight, atol=0.02, rtol=0)
    assert eight.min() >= 0
    assert eight.max() <= 255


def test_numbers_without_a_range_are_not_clipped():
    x = torch.tensor([-1000.0, 3.0]).expand(50, 1, 1, 2)
    y = apply(x, draw(Augment(brightness=1.0), 0, 0, first(50)))
    assert_close(y[..., 0] / y[..., 1], torch.full((50, 1, 1), -1000 / 3))
