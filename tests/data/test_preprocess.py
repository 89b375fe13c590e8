import json

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from striate.base.errors import ConfigError
from striate.data.picture import Picture
from striate.data.preprocess import Preprocess

GREY = Preprocess(Picture(1, 28, 28, pad=2), (0.1307,), (0.3081,))
COLOUR = Preprocess(Picture(3, 9, 7, pad=1), (0.4, 0.5, 0.6), (0.2, 0.25, 0.3))


def images(preprocess: Preprocess, count: int = 6) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, *preprocess.picture.shape), np.uint8))


@pytest.mark.parametrize("preprocess", [GREY, COLOUR], ids=["grey", "colour"])
def test_the_input_is_the_formula(preprocess):
    x = images(preprocess)
    p = preprocess.picture.pad
    wide = np.pad(x.numpy().astype(np.float64), ((0, 0), (0, 0), (p, p), (p, p)))
    mean, std = (np.reshape(values, (1, -1, 1, 1)) for values in (preprocess.mean, preprocess.std))
    expected = torch.from_numpy(((wide / 255 - mean) / std).astype(np.float32))
    assert_close(preprocess.to_input(x), expected, rtol=3e-7, atol=1e-7)


@pytest.mark.parametrize("preprocess", [GREY, COLOUR], ids=["grey", "colour"])
def test_memory_is_channels_last_whatever_came(preprocess):
    x = images(preprocess)
    outputs = [preprocess.to_input(x), preprocess.to_input(x.contiguous(memory_format=torch.channels_last))]
    for y in outputs:
        assert y.dtype == torch.float32
        assert y.stride() == torch.empty_like(y).to(memory_format=torch.channels_last).stride()
    assert torch.equal(*outputs)


@pytest.mark.parametrize("preprocess", [GREY, COLOUR], ids=["grey", "colour"])
def test_a_picture_alone_gives_the_same_bits_as_in_a_batch(preprocess):
    x = images(preprocess, 67)
    together = preprocess.to_input(x)
    alone = torch.cat([preprocess.to_input(x[i : i + 1]) for i in range(len(x))])
    assert torch.equal(together, alone)


def test_every_byte_is_within_an_ulp_or_two_of_the_exact_value():
    x = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    found = Preprocess(Picture(1, 16, 16), (0.1307,), (0.3081,)).to_input(x).flatten().double()
    exact = (torch.arange(256, dtype=torch.float64) / 255 - 0.1307) / 0.3081
    assert ((found - exact).abs() <= 2.0**-22 * exact.abs().clamp(min=0.1)).all()


def test_the_given_bytes_are_left_alone():
    x = images(GREY)
    before = x.clone()
    GREY.to_input(x)
    assert torch.equal(x, before)


def test_no_pictures_give_no_input():
    assert COLOUR.to_input(images(COLOUR, 0)).shape == (0, 3, 11, 9)


@pytest.mark.parametrize("preprocess", [GREY, COLOUR], ids=["grey", "colour"])
def test_a_bundle_brings_it_back(preprocess):
    assert Preprocess.from_dict(json.loads(json.dumps(preprocess.as_dict()))) == preprocess


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda d: d.pop("mean"), r"preprocess must be a table with picture, mean, std, got \['picture', 'std'\]"),
        (lambda d: d.update(extra=1), r"got \['extra', 'mean', 'picture', 'std'\]"),
        (lambda d: d.update(mean="0.5"), r"preprocess\.mean must be a list of numbers, got 0\.5"),
        (lambda d: d.update(mean=[True]), r"preprocess\.mean must be a list of numbers"),
        (lambda d: d.update(mean=[0.5, 0.5]), r"mean must be 1 finite numbers"),
        (lambda d: d.update(mean=[float("nan")]), r"mean must be 1 finite numbers"),
        (lambda d: d.update(std=[0.0]), r"std must be >= 1e-06, got \(0\.0,\)\.\n  Fix: 1\.0 leaves"),
        (lambda d: d.update(picture=[1, 28, 28]), r"preprocess\.picture must be a table with .*, got list"),
        (lambda d: d["picture"].update(height=28.0), r"preprocess\.picture\.height must be a whole number, got 28\.0"),
        (lambda d: d["picture"].update(pad=-1), r"pad must be 0 to 16384"),
    ],
)
def test_a_table_that_is_not_ours_is_refused_and_says_what(change, text):
    entries = json.loads(json.dumps(GREY.as_dict()))
    change(entries)
    with pytest.raises(ConfigError, match=text):
        Preprocess.from_dict(entries)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("preprocess", [GREY, COLOUR], ids=["grey", "colour"])
def test_a_gpu_gives_the_same_bits(preprocess):
    x = images(preprocess)
    assert torch.equal(preprocess.to_input(x.cuda()).cpu(), preprocess.to_input(x))


def test_a_bundle_from_before_there_were_kinds_still_loads():
    old = {"picture": {"channels": 1, "height": 28, "width": 28, "pad": 2}, "mean": [0.1307], "std": [0.3081]}
    assert Preprocess.from_dict(old) == GREY


@pytest.mark.parametrize("change", [{"kind": "int8"}, {"kind": 8}, {"kind": None}, {"resize": ["crop"]}, {"fill": 3}])
def test_a_picture_that_is_not_ours_is_refused(change):
    entries = GREY.as_dict()
    entries["picture"] |= change
    with pytest.raises(ConfigError):
        Preprocess.from_dict(entries)


@pytest.mark.parametrize("kind", ["uint16", "float32"])
def test_other_kinds_are_the_formula_in_units_of_their_white(kind):
    rng = np.random.default_rng(0)
    values = rng.integers(0, 65_536, (4, 3, 9, 7), np.uint16) if kind == "uint16" else rng.normal(size=(4, 3, 9, 7))
    values = values.astype(kind)
    mean, std, white = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3), {"uint16": 65_535, "float32": 1}[kind]
    found = Preprocess(Picture(3, 9, 7, kind=kind), mean, std).to_input(torch.from_numpy(values))
    expected = (values.astype(float) / white - np.reshape(mean, (3, 1, 1))) / np.reshape(std, (3, 1, 1))
    assert_close(found, torch.from_numpy(expected.astype(np.float32)), rtol=3e-7, atol=5e-7)


def test_floats_in_the_units_of_the_kind_give_the_bits_of_the_whole_numbers():
    for kind in ("uint8", "uint16"):
        values = np.random.default_rng(0).integers(0, np.iinfo(kind).max + 1, (4, 3, 9, 7), kind)
        preprocess = Preprocess(Picture(3, 9, 7, pad=1, kind=kind), (0.4, 0.5, 0.6), (0.2, 0.25, 0.3))
        whole = torch.from_numpy(values)
        assert torch.equal(preprocess.to_input(whole), preprocess.to_input(whole.float()))
