import numpy as np
import pytest
import torch
from torch.testing import assert_close

from striate.base.errors import ConfigError, DataError
from striate.data.picture import Picture
from striate.data.preprocess import Preprocess
from striate.data.whiten import LARGEST

RNG = np.random.default_rng(0)
MIX = RNG.normal(size=(48, 48)) / 7
BASE = (RNG.normal(size=(2000, 48)) @ MIX).reshape(2000, 3, 4, 4)


def images(kind, count=2000):
    white = {"uint8": 255, "uint16": 65_535}.get(kind)
    values = BASE[:count] if white is None else ((0.5 + BASE[:count] / 8).clip(0, 1) * white).round()
    return torch.from_numpy(values.astype(kind))


def preprocess(kind, pad=0):
    return Preprocess(Picture(3, 4, 4, pad=pad, kind=kind), (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("method", ["pca", "zca"])
def test_the_training_split_becomes_white(kind, method):
    """Against NumPy: eigenvectors of the covariance of the normalised pictures."""
    plain, x = preprocess(kind), images(kind)
    epsilon = 1e-3
    rows = plain.to_input(x).reshape(2000, -1).double().numpy()
    centred = rows - rows.mean(0)
    variances, axes = np.linalg.eigh(centred.T @ centred / 1999)
    expected = centred @ axes / np.sqrt(variances + epsilon)
    found = plain.whitened(x, method, epsilon).to_input(x).reshape(2000, -1).double().numpy()
    if method == "zca":
        np.testing.assert_allclose(found, expected @ axes.T, atol=1e-4)
    else:  # the sign of an axis is free
        np.testing.assert_allclose(abs(found), abs(expected[:, ::-1]), atol=1e-4)
    covariance = np.cov(found.T)
    shrunk, axes = np.diag((variances / (variances + epsilon))[::-1]), axes[:, ::-1]
    np.testing.assert_allclose(covariance, shrunk if method == "pca" else axes @ shrunk @ axes.T, atol=1e-4)


@pytest.mark.parametrize("kind", ["uint8", "uint16"])
def test_whole_numbers_come_out_with_the_same_bits_whatever_the_batch(kind):
    white, x = preprocess(kind, pad=1).whitened(images(kind), "zca"), images(kind, 67)
    together = white.to_input(x)
    alone = torch.cat([white.to_input(x[i : i + 1]) for i in range(len(x))])
    assert torch.equal(together, alone)
    assert torch.equal(white.to_input(x.float()), together)  # what an augmentation hands over
    assert not together[:, :, 0].any()  # the border
    assert together.is_contiguous(memory_format=torch.channels_last)


def test_the_matrix_lies_on_a_grid_that_makes_every_sum_exact():
    matrix = preprocess("uint16").whitened(images("uint16"), "zca").whiten.matrix
    step = 2.0 ** (np.frexp(float(matrix.abs().max()))[1] - 24)
    whole = matrix / step
    assert torch.equal(whole, whole.round())
    assert whole.abs().max() <= 2**24
    assert 65_535 * 2**24 * LARGEST < 2**53
    assert torch.equal(matrix, matrix.float().double())  # a file holds it in float32


def test_batches_are_enough():
    x = images("uint8")
    whole = preprocess("uint8").whitened(x, "pca")
    parts = preprocess("uint8").whitened((x[i : i + 300] for i in range(0, 2000, 300)), "pca")
    assert_close(parts.to_input(x), whole.to_input(x), rtol=1e-4, atol=1e-4)


def test_what_never_changes_becomes_zero():
    x = images("uint8")
    x[:, :, 0] = 200
    assert abs(preprocess("uint8").whitened(x, "zca").to_input(x)[:, :, 0]).max() < 1e-4


@pytest.mark.parametrize("method", ["pca", "zca"])
def test_it_comes_back_from_a_dictionary_and_tensors(method):
    white = preprocess("uint8").whitened(images("uint8"), method, 0.02)
    again = Preprocess.from_dict(white.as_dict(), white.tensors())
    assert (again.whiten.method, again.whiten.epsilon) == (method, 0.02)
    assert torch.equal(again.to_input(images("uint8", 5)), white.to_input(images("uint8", 5)))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda t: t.pop("offset"), "the tensors must be"),
        (lambda t: t.update(matrix=t["matrix"][:5]), "the tensors must be"),
        (lambda t: t.update(matrix=t["matrix"].double()), "the tensors must be"),
        (lambda t: t.update(extra=t["offset"]), "the tensors must be"),
        (lambda t: t.update(offset=t["offset"] * float("nan")), "every number must be finite"),
        (lambda t: t.clear(), "the tensors must be"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(change, text):
    white = preprocess("uint8").whitened(images("uint8"), "zca")
    tensors = white.tensors()
    change(tensors)
    with pytest.raises(ConfigError, match=text):
        Preprocess.from_dict(white.as_dict(), tensors)


@pytest.mark.parametrize(
    ("entries", "text"),
    [
        ({"method": "ica", "epsilon": 0.1}, "method must be one of pca, zca, got 'ica'"),
        ({"method": ["pca"], "epsilon": 0.1}, "method must be one of pca, zca"),
        ({"method": "pca", "epsilon": 0}, r"epsilon must be in \[1e-12, 1e6\], got 0"),
        ({"method": "pca", "epsilon": float("nan")}, "epsilon must be in"),
        ({"method": "pca", "epsilon": "0.1"}, "epsilon must be in"),
        ({"method": "pca", "epsilon": True}, "epsilon must be in"),
        ({"method": "pca"}, "preprocess.whiten must be a table with method, epsilon"),
        (None, "preprocess.whiten must be a table"),
    ],
)
def test_entries_that_do_not_fit_are_refused(entries, text):
    with pytest.raises(ConfigError, match=text):
        Preprocess.without_tensors(preprocess("uint8").as_dict() | {"whiten": entries})


def test_a_large_picture_is_refused_before_anything_is_computed():
    large = Preprocess.plain(Picture(3, 224, 224))
    with pytest.raises(ConfigError, match=r"at most 4096, got 150528 \(3 x 224 x 224\)\.\n  Fix: choose a smaller"):
        large.whitened(iter([]), "zca")
    with pytest.raises(ConfigError, match="at most 4096"):
        Preprocess.without_tensors(large.as_dict() | {"whiten": {"method": "zca", "epsilon": 0.1}})


def test_one_picture_is_not_enough():
    with pytest.raises(DataError, match="two or more"):
        preprocess("uint8").whitened(images("uint8", 1), "zca")
