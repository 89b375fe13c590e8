import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from PIL import Image

from striate.base.errors import ConfigError, DataError
from striate.data.picture import Picture, fit
from striate.data.resize import placement

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (20, 30), dtype=np.uint8)
RGB = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
FIVE = RNG.integers(0, 256, (20, 30, 5), dtype=np.uint8)


def test_bytes_of_the_right_size_are_unchanged():
    assert_array_equal(fit(Image.fromarray(GREY), Picture(1, 20, 30)), GREY[None])
    assert_array_equal(fit(GREY[..., None], Picture(1, 20, 30, pad=2)), GREY[None])
    assert_array_equal(fit(RGB, Picture(3, 20, 30)), RGB.transpose(2, 0, 1))
    assert_array_equal(fit(FIVE, Picture(5, 20, 30)), FIVE.transpose(2, 0, 1))


def test_grey_is_repeated_for_a_colour_network():
    found = fit(GREY, Picture(3, 10, 10))
    assert_array_equal(found, np.stack([fit(GREY, Picture(1, 10, 10))[0]] * 3))


def test_colour_becomes_grey_by_the_stated_weights():
    r, g, b = RGB.transpose(2, 0, 1).astype(int)
    luma = (19_595 * r + 38_470 * g + 7_471 * b + 32_768) >> 16
    assert_array_equal(fit(RGB, Picture(1, 20, 30)), luma[None])


@pytest.mark.parametrize(("values", "channels"), [(GREY, 1), (RGB, 3)])
@pytest.mark.parametrize("size", [(7, 9), (41, 33)])
def test_the_size_changes_by_pillows_bilinear_filter(values, channels, size):
    reference = np.asarray(Image.fromarray(values).resize(size[::-1], Image.Resampling.BILINEAR))
    expected = reference[None] if channels == 1 else reference.transpose(2, 0, 1)
    assert_array_equal(fit(values, Picture(channels, *size)), expected)


def test_other_channel_counts_are_resized_one_by_one():
    found = fit(FIVE, Picture(5, 8, 9))
    assert_array_equal(found[3], fit(np.ascontiguousarray(FIVE[..., 3]), Picture(1, 8, 9))[0])


def test_shrinking_does_not_alias():
    stripes = np.zeros((64, 64), dtype=np.uint8)
    stripes[:, ::2] = 255
    found = fit(stripes, Picture(1, 16, 16))[0, :, 2:-2]
    assert abs(found.astype(int) - 127).max() <= 1  # picking pixels would give 0 or 255


def test_an_array_and_its_pillow_image_give_the_same_bytes():
    assert_array_equal(fit(RGB, Picture(1, 9, 9)), fit(Image.fromarray(RGB), Picture(1, 9, 9)))


def test_the_result_is_its_own_bytes_with_channels_last():
    found = fit(Image.fromarray(RGB), Picture(3, 20, 30))
    assert found.transpose(1, 2, 0).flags["C_CONTIGUOUS"]
    assert found.flags.writeable
    assert found.shape == (3, 20, 30)
    assert found.dtype == np.uint8


def test_channels_that_cannot_be_converted_name_the_fix():
    with pytest.raises(DataError, match=r"of 3 channels, got 5\.\n  Fix: build the network with in_channels=5"):
        fit(FIVE, Picture(3, 8, 8))


def test_an_undecoded_mode_names_the_fix():
    with pytest.raises(DataError, match=r"mode L or RGB, got RGBA\.\n  Fix: decode it"):
        fit(Image.new("RGBA", (4, 4)), Picture(3, 4, 4))


@pytest.mark.parametrize(("values", "what"), [((0, 1, 1), "channels"), ((1, 0, 1), "height"), ((1, 1, 0), "width")])
def test_a_picture_without_pixels_is_refused(values, what):
    with pytest.raises(ConfigError, match=rf"{what} must be 1 to 16384, got 0\.\n  Fix: a 28x28"):
        Picture(*values)


def test_a_negative_border_is_refused():
    with pytest.raises(ConfigError, match=r"pad must be 0 to 16384, got -1"):
        Picture(1, 28, 28, pad=-1)


@pytest.mark.parametrize("resize", ["crop", "letterbox"])
@pytest.mark.parametrize("size", [(1, 32_000), (32_000, 1), (1, 1), (3, 2)], ids=str)
@pytest.mark.timeout(5)
def test_threads_and_single_pixels_fit_without_a_detour_through_a_huge_picture(resize, size):
    found = fit(np.full(size, 200, np.uint8), Picture(1, 24, 24, resize=resize))
    assert found.shape == (1, 24, 24)
    assert set(np.unique(found)) <= ({200} if resize == "crop" or size[0] == size[1] else {0, 200})


@given(*(st.integers(1, 90) for _ in range(4)))
def test_every_placement_keeps_to_the_image_and_the_picture(H, W, h, w):
    crop, boxed = (placement((H, W), (h, w), resize) for resize in ("crop", "letterbox"))
    left, top, right, bottom = crop.window
    assert 0 <= left < right <= W
    assert 0 <= top < bottom <= H
    assert left in (W - right, W - right - 1)  # the centre
    assert top in (H - bottom, H - bottom - 1)
    assert right - left == W or bottom - top == H  # the largest part
    assert abs((right - left) * h - (bottom - top) * w) <= max(h, w)  # in the picture's proportions, but for rounding
    rows, columns = boxed.size
    assert rows == h or columns == w
    assert boxed.corner == ((h - rows) // 2, (w - columns) // 2)
    assert abs(rows * W - columns * H) <= max(H, W)


@pytest.mark.parametrize("kind", ["uint16", "float32"])
def test_16_bits_and_floats_are_resized_without_loss_of_depth(kind):
    ramp = np.arange(400, dtype=kind).reshape(20, 20)  # two in a 256th of the range of 16 bits
    found = fit(ramp, Picture(1, 10, 10, kind=kind))[0].astype(float)
    assert abs(found - (ramp[::2, ::2] + 10.5))[2:-2, 2:-2].max() <= 0.5


def test_floats_are_refused_where_bytes_are_wanted_and_say_what_to_do():
    with pytest.raises(DataError, match=r"floating-point pixels must be uint8, .*\n  Fix: save it with 8 or 16"):
        fit(GREY / 255, Picture(1, 20, 30))
    with pytest.raises(DataError, match="every pixel must be a finite number, got 1 that are not"):
        fit(np.array([[1.0, np.inf]]), Picture(1, 1, 2, kind="float32"))
