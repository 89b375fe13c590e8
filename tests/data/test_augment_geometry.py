import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.testing import assert_close

from striate.base.random import Purpose, key, philox
from striate.data.augment import Augment, apply, draw
from striate.data.augment.boxes import box
from striate.data.augment.draws import Block
from striate.data.augment.geometry import rotation, sample, shear, translation
from striate.data.augment.moves import crops

SAMPLES = np.arange(20_000, dtype=np.int64)
EVERYTHING = Augment(2, True, vertical_flip=True, crop_scale=0.3, rotate=40.0, shear=15.0, translate=0.2, zoom=0.3)


def pictures(count: int, channels: int = 3, size: tuple[int, int] = (11, 14)) -> torch.Tensor:
    rng = np.random.default_rng(1)
    return torch.from_numpy(rng.integers(0, 256, (count, *size, channels), dtype=np.uint8)).permute(0, 3, 1, 2)


def first(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.int64)


def words(seed: int, epoch: int, number: int, block: int, row: int) -> list[float]:
    """Four uniform numbers, straight from Philox."""
    counter = tuple(np.array([v]) for v in (number, epoch, block, row))
    return [float(word[0]) / 2**32 for word in philox(counter, key(seed, Purpose.AUGMENT))]


def source(a: Augment, number: int, p: tuple[float, float], stored, size) -> tuple[float, float]:
    """Where pixel p of a result lies in the stored picture, step by step: the formulas of the docstring, scalar."""
    (h, w), (H, W) = size, stored
    moves, crop, turn, move = (words(5, 2, number, block, row) for block, row in ((0, 0), (1, 0), (2, 0), (2, 1)))
    x, y = p[1] - (w - 1) / 2, p[0] - (h - 1) / 2
    z = 1 + a.zoom * (2 * turn[1] - 1)
    x, y = x / z, y / z
    b, c = (math.tan(math.radians(a.shear * (2 * u - 1))) for u in turn[2:])
    x, y = x + b * y, y + c * x
    angle = math.radians(a.rotate * (2 * turn[0] - 1))
    x, y = x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle)
    x, y = x - a.translate * w * (2 * move[1] - 1), y - a.translate * h * (2 * move[0] - 1)
    x, y = (-x if moves[2] < 0.5 and a.flip else x), (-y if moves[3] < 0.5 and a.vertical_flip else y)
    dy, dx = (math.floor(u * (2 * a.shift + 1)) - a.shift for u in moves[:2])
    y, x = y + dy, x + dx
    if a.crop_scale < 1:
        share = a.crop_scale + (1 - a.crop_scale) * crop[0]
        low, high = max(3 / 4, share * W / H), min(4 / 3, W / (share * H))
        ratio = math.exp(math.log(low) + (math.log(high) - math.log(low)) * crop[1])
        wide, tall = math.sqrt(share * W * H * ratio), math.sqrt(share * W * H / ratio)
        wide, tall = round(wide), round(tall)
        left, top = math.floor(crop[3] * (W - wide + 1)), math.floor(crop[2] * (H - tall + 1))
        return top + (y + h / 2) * tall / h - 0.5, left + (x + w / 2) * wide / w - 0.5
    return y + (h - 1) / 2 + (H - h) // 2, x + (w - 1) / 2 + (W - w) // 2


def bilinear(picture: np.ndarray, y: float, x: float, fill: float) -> np.ndarray:
    """The picture's value there, float64, `fill` everywhere beyond."""
    _, H, W = picture.shape
    i, j = math.floor(y), math.floor(x)
    total = np.zeros(len(picture))
    for u, down in ((i, 1 - (y - i)), (i + 1, y - i)):
        for v, right in ((j, 1 - (x - j)), (j + 1, x - j)):
            total += down * right * (picture[:, u, v] if 0 <= u < H and 0 <= v < W else fill)
    return total


@pytest.mark.parametrize(
    ("augment", "size"),
    [
        (EVERYTHING, (11, 14)),
        (EVERYTHING, (9, 7)),
        (EVERYTHING, (20, 16)),
        (Augment(1, crop_scale=0.1), (8, 8)),
        (Augment(rotate=180.0), (11, 14)),
        (Augment(rotate=30.0), (8, 11)),
        (Augment(shear=30.0), (11, 14)),
        (Augment(1, translate=0.5), (11, 14)),
        (Augment(zoom=0.9), (11, 14)),
    ],
    ids=range(9),
)
def test_a_result_is_the_formulas_pixel_by_pixel(augment, size):
    x = pictures(3)
    y = apply(x, draw(augment, 5, 2, first(3)), 100, size=size)
    assert y.dtype == torch.float32
    for b in range(3):
        for i in range(size[0]):
            for j in range(size[1]):
                at = source(augment, b, (i, j), (11, 14), size)
                expected = torch.from_numpy(bilinear(x[b].numpy().astype(float), *at, 100.0))
                assert_close(y[b, :, i, j].double(), expected, atol=0.02, rtol=0)


def test_sampling_agrees_with_pillow_inside_the_picture():
    x, size = pictures(1, 1, (30, 40)).float(), (30, 40)
    turned = rotation(torch.tensor([0.3], dtype=torch.float64)) @ shear(*torch.tensor([[0.2], [0.1]]).double())
    matrix = turned @ translation(*torch.tensor([[3.3], [-2.1]]).double())
    (a, b, c), (d, e, f) = matrix[0, :2].tolist()
    # Pillow counts from the picture's corner: q = A (p - middle) + middle.
    c, f = c - a * 20 - b * 15 + 20, f - d * 20 - e * 15 + 15
    flat = Image.fromarray(x[0, 0].numpy())
    affine, how = Image.Transform.AFFINE, Image.Resampling.BILINEAR
    expected = torch.from_numpy(np.array(flat.transform((40, 30), affine, (a, b, c, d, e, f), how, fillcolor=0)))
    inside = sample(torch.ones_like(x), matrix, size, 0)[0, 0] > 0.999
    assert inside.sum() > 600
    assert_close(sample(x, matrix, size, 0)[0, 0][inside], expected[inside], atol=0.01, rtol=0)


def test_a_quarter_turn_is_counter_clockwise():
    x = pictures(1, 3, (6, 6)).float()
    quarter = rotation(torch.tensor([math.pi / 2], dtype=torch.float64))
    assert_close(sample(x, quarter, (6, 6), 0), x.rot90(1, (2, 3)), atol=1e-3, rtol=0)


def test_a_larger_stored_picture_gives_the_window_in_the_middle_shifted():
    x = pictures(50, 3, (12, 13))
    draws = draw(Augment(3), 0, 0, first(50))
    y = apply(x, draws, 9, size=(8, 8))
    assert y.dtype == torch.uint8
    for b, (dy, dx) in enumerate(zip(draws.dy.tolist(), draws.dx.tolist(), strict=True)):
        padded = torch.nn.functional.pad(x[b], (5, 5, 5, 5), value=9)
        assert torch.equal(y[b], padded[:, 5 + 2 + dy : 15 + dy, 5 + 2 + dx : 15 + dx])
    assert {-3, 3} <= set(draws.dy.tolist())


def test_the_middle_window_without_chance_is_a_centre_crop():
    x = pictures(4, 3, (12, 14))
    assert torch.equal(apply(x, draw(Augment(), 0, 0, first(4)), size=(8, 10)), x[:, :, 2:10, 2:12])


def test_whole_pixel_moves_among_others_are_copied_bit_for_bit():
    x, augment = pictures(200), Augment(2, True, policy="randaugment", policy_magnitude=0.0)
    draws = draw(augment, 0, 0, first(200))
    geometric = ((draws.of(Block.POLICY)[..., 0] * 14 >> 32) > 6).any(1)
    moved = apply(x, draw(Augment(2, True), 0, 0, first(200)))
    assert torch.equal(apply(x, draws)[~geometric], moved[~geometric].float())


def test_a_vertical_flip_mirrors_half_top_to_bottom():
    x = pictures(400)
    y = apply(x, draw(Augment(vertical_flip=True), 0, 0, first(400)))
    same = (y == x).flatten(1).all(1)
    assert torch.equal(y[~same], x[~same].flip(2))
    assert abs(int(same.sum()) - 200) < 50


def test_crops_have_uniform_areas_log_uniform_ratios_and_lie_within():
    found = crops(draw(Augment(crop_scale=0.2), 3, 0, SAMPLES), (200, 240)).double()
    top, left, high, wide = found.T
    share, ratio = high * wide / 48_000, wide / high
    even = torch.linspace(0, 1, len(SAMPLES), dtype=torch.float64)
    assert (share.sort().values - (0.2 + 0.8 * even)).abs().max() < 0.02
    small = share < 0.6  # every ratio fits
    log = (ratio[small].log() / math.log(4 / 3)).sort().values
    assert (log - torch.linspace(-1, 1, len(log), dtype=torch.float64)).abs().max() < 0.05
    for start, side, whole in ((top, high, 200), (left, wide, 240)):
        assert (start >= 0).all()
        assert (start + side <= whole).all()
        place = (start / (whole - side).clamp(min=1))[side < 0.8 * whole].sort().values
        assert (place - torch.linspace(0, 1, len(place), dtype=torch.float64)).abs().max() < 0.04


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32], ids=["bytes", "floats"])
def test_a_crop_is_stretched_as_pillow_does(channels, dtype):
    x = pictures(12, channels, (40, 50)).to(dtype)
    draws = draw(Augment(0, True, crop_scale=0.1), 0, 0, first(12))
    y = apply(x, draws, size=(16, 20))
    assert y.dtype == dtype
    for b, (top, left, high, wide) in enumerate(crops(draws, (40, 50)).tolist()):
        for c in range(channels):
            part = Image.fromarray(x[b, c, top : top + high, left : left + wide].contiguous().numpy())
            part = part.resize((20, 16), Image.Resampling.BILINEAR)
            expected = torch.from_numpy(np.array(part)).float()
            expected = expected.flip(1) if draws.flip[b] else expected
            assert_close(y[b, c].float(), expected, atol=1.01 if dtype == torch.uint8 else 1e-3, rtol=0)


def test_where_a_policy_bends_a_crop_the_rest_are_cropped_as_without_it():
    x, alone = pictures(200, 3, (20, 20)), Augment(0, True, crop_scale=0.5)
    draws = draw(Augment(0, True, crop_scale=0.5, policy="randaugment", policy_magnitude=0.0), 0, 0, first(200))
    same = ((draws.of(Block.POLICY)[..., 0] * 14 >> 32) < 6).all(1)
    expected = apply(x, draw(alone, 0, 0, first(200)), size=(12, 12))[same].float()
    assert torch.equal(apply(x, draws, size=(12, 12))[same], expected)


@given(st.floats(1e-3, 1), st.floats(0, 1, exclude_max=True), st.integers(1, 500), st.integers(1, 500), st.floats(1, 4))
@settings(max_examples=200, deadline=None)
def test_a_box_fits_and_keeps_its_ratio_and_where_it_can_its_share(share, place, H, W, ratio):
    pair = (torch.tensor([v], dtype=torch.float64) for v in (share, place))
    high, wide = (float(side) for side in box(*pair, (H, W), ratio))
    assert high <= H
    assert wide <= W
    assert 1 / ratio - 1e-9 <= wide / high <= ratio + 1e-9
    longest = min(1.0, ratio * H / W, ratio * W / H)
    assert high * wide / (H * W) == pytest.approx(min(share, longest))
