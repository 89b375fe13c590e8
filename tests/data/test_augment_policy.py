import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch.testing import assert_close

from striate.base.random import Purpose, key, philox
from striate.data.augment import Augment, apply, draw
from striate.data.augment.policy import OPERATIONS, operations, policy_matrices

PICTURE = torch.from_numpy(np.random.default_rng(4).integers(0, 256, (16, 16, 3), dtype=np.uint8)).permute(2, 0, 1)
RANDAUGMENT = Augment(policy="randaugment", policy_magnitude=12.0, policy_operations=3)
TWO = Augment(policy="randaugment", policy_magnitude=12.0)
TRIVIALAUGMENT = Augment(policy="trivialaugment")
GEOMETRIC = OPERATIONS[1:6]
MANY = np.arange(30_000, dtype=np.int64)


def pillow(kind: str, image: Image.Image, m: float, sign: float, factor: float, bits: int) -> Image.Image:
    """One operation on one picture, as the papers' code has it."""
    enhancers = {
        "brightness": ImageEnhance.Brightness,
        "colour": ImageEnhance.Color,
        "contrast": ImageEnhance.Contrast,
        "sharpness": ImageEnhance.Sharpness,
    }
    if kind in enhancers:
        return enhancers[kind](image).enhance(1 + sign * factor * m)
    if kind == "posterize":
        return ImageOps.posterize(image, 8 - round(bits * m))
    if kind == "solarize":
        return ImageOps.solarize(image, round(255 * (1 - m), 6))
    return {"autocontrast": ImageOps.autocontrast, "equalize": ImageOps.equalize, "identity": lambda x: x}[kind](image)


@pytest.mark.parametrize(
    ("augment", "factor", "bits"),
    [(TWO, 0.9, 4), (TRIVIALAUGMENT, 0.99, 6)],
    ids=["rand", "trivial"],
)
def test_each_picture_gets_its_operations_in_order(augment, factor, bits):
    draws = draw(augment, 0, 0, np.arange(1500, dtype=np.int64))
    y, drawn = apply(PICTURE.expand(1500, -1, -1, -1), draws), operations(draws)
    seen = set()
    for b in range(1500):
        image, kinds = Image.fromarray(PICTURE.permute(1, 2, 0).contiguous().numpy()), drawn.kind[b].tolist()
        names = [OPERATIONS[kind] for kind in kinds]
        steps = sum(name != "identity" for name in names)
        if set(names) & set(GEOMETRIC) or ("equalize" in names and steps > 1):  # equalize magnifies Pillow's rounding
            continue
        if steps > 1 and set(names) & {"posterize", "solarize"}:
            continue
        for k, name in enumerate(names):
            image = pillow(name, image, float(drawn.magnitude[b, k]), float(drawn.sign[b, k]), factor, bits)
        seen |= set(names)
        expected = torch.from_numpy(np.array(image)).permute(2, 0, 1).float()
        assert_close(y[b], expected, atol=2.01 * steps + 0.01, rtol=0)
    assert seen == set(OPERATIONS) - set(GEOMETRIC)


@pytest.mark.parametrize(
    ("augment", "reach"),
    [
        (RANDAUGMENT, {"shear": 0.3, "translate": 16 * 150 / 331, "rotate": 30.0}),
        (TRIVIALAUGMENT, {"shear": 0.99, "translate": 32.0, "rotate": 135.0}),
    ],
    ids=["rand", "trivial"],
)
def test_geometric_operations_are_composed_in_order(augment, reach):
    drawn = operations(draw(augment, 1, 0, np.arange(300, dtype=np.int64)))
    found = policy_matrices(drawn, (16, 16))
    for b in range(300):
        total = np.eye(3)
        for kind, m, sign in zip(drawn.kind[b], drawn.magnitude[b], drawn.sign[b], strict=True):
            step, name = np.eye(3), OPERATIONS[kind]
            value = float(m * sign) * reach.get(name.split("_")[0], 0.0)
            if name.startswith("shear"):
                step[0, 1], step[1, 0] = (value, 0) if name == "shear_x" else (0, value)
            if name.startswith("translate"):
                step[:2, 2] = (-value, 0) if name == "translate_x" else (0, -value)
            if name == "rotate":
                c, s = np.cos(np.radians(value)), np.sin(np.radians(value))
                step[:2, :2] = [[c, -s], [s, c]]
            total = total @ step
        assert_close(found[b], torch.from_numpy(total))


def test_operations_signs_and_strengths_are_equally_likely():
    drawn = operations(draw(TRIVIALAUGMENT, 0, 0, MANY))
    for values, kinds in ((drawn.kind, 14), ((drawn.magnitude * 30).round().long(), 31), ((drawn.sign > 0).long(), 2)):
        counts = torch.bincount(values.flatten(), minlength=kinds)
        assert len(counts) == kinds
        share = len(MANY) / kinds
        assert ((counts - share).abs() < 5 * share**0.5).all()


def test_randaugment_draws_each_operation_apart_at_one_strength():
    drawn = operations(draw(RANDAUGMENT, 0, 0, MANY))
    assert drawn.kind.shape == (len(MANY), 3)
    assert (drawn.magnitude == 0.4).all()
    for k in range(2):
        same = (drawn.kind[:, k] == drawn.kind[:, k + 1]).double().mean()
        assert abs(same - 1 / 14) < 5 * (1 / 14 / len(MANY)) ** 0.5


def test_the_policys_words_are_pinned():
    words = philox(tuple(np.array([v]) for v in (12, 3, 6, 1)), key(7, Purpose.AUGMENT))
    drawn = operations(draw(RANDAUGMENT, 7, 3, np.array([12], dtype=np.int64)))
    assert int(drawn.kind[0, 1]) == int(words[0][0]) * 14 // 2**32
    assert float(drawn.sign[0, 1]) == (-1 if words[2][0] < 2**31 else 1)


def test_a_grey_picture_takes_a_policy_too():
    grey = PICTURE[:1].expand(200, 1, 16, 16)
    y = apply(grey, draw(TRIVIALAUGMENT, 0, 0, np.arange(200, dtype=np.int64)))
    assert y.shape == grey.shape
    assert y.isfinite().all()
    assert (y != grey).flatten(1).any(1).double().mean() > 0.7
