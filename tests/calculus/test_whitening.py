import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from torch.testing import assert_close

from striate.base.errors import ConfigError, DataError
from striate.calculus.moments import marginal_moments, moments, pixel_rows, streamed
from striate.calculus.whitening import (
    Axes,
    colour_noise,
    decorrelation,
    demonstrate,
    pca_whitening,
    principal_axes,
    unwhiten,
    whiten,
    whiten_pullback,
    zca_whitening,
)

F64 = torch.float64
FITS = {"decorrelation": decorrelation, "pca_whitening": pca_whitening, "zca_whitening": zca_whitening}


def draw(shape, seed):
    return torch.randn(shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


def correlated(samples, features, seed):
    return draw([samples, features], seed) @ draw([features, features], seed + 1) + 5 * draw([features], seed + 2)


def apply(fitted, x):
    return whiten(x, fitted.mean, fitted.matrix)


def numpy_covariance(y):
    return torch.from_numpy(np.atleast_2d(np.cov(y.numpy(), rowvar=False)))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(features=st.integers(1, 6), seed=st.integers(0, 999))
def test_the_covariance_afterwards_is_diagonal_or_the_identity(features, seed):
    x = correlated(50, features, seed)
    m = streamed(x.split(7))
    eye = torch.eye(features, dtype=F64)
    for name, fit in FITS.items():
        spread = numpy_covariance(apply(fit(m), x))
        expected = torch.diag(spread.diagonal()) if name == "decorrelation" else eye
        assert_close(spread, expected, rtol=1e-8, atol=1e-8 * float(spread.diagonal().max()))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(features=st.integers(2, 6), components=st.integers(1, 6), seed=st.integers(0, 999))
def test_pca_whitening_is_scikit_learns_up_to_the_sign_of_an_axis(features, components, seed):
    components = min(components, features)
    x = correlated(40, features, seed)
    reference = PCA(components, whiten=True, svd_solver="full").fit(x.numpy())
    m = streamed(x.split(11))
    ours, theirs = apply(pca_whitening(m, components=components), x), torch.from_numpy(reference.transform(x.numpy()))
    signs = (ours * theirs).sum(0).sign()
    assert_close(ours, theirs * signs, rtol=1e-6, atol=1e-6)
    assert_close(principal_axes(m).variances[:components], torch.from_numpy(reference.explained_variance_))
    turned = apply(decorrelation(m, components=components), x)
    assert_close(turned, theirs * signs * torch.from_numpy(reference.explained_variance_).sqrt(), rtol=1e-6, atol=1e-6)
    back = unwhiten(ours, pca_whitening(m, components=components))
    assert_close(back, torch.from_numpy(reference.inverse_transform(theirs.numpy())), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("epsilon", [0.0, 0.5])
@pytest.mark.parametrize("name", sorted(FITS))
def test_the_way_back_leads_to_the_data(name, epsilon):
    x = correlated(30, 4, 0)
    fitted = FITS[name](moments(x)) if name == "decorrelation" else FITS[name](moments(x), epsilon=epsilon)
    assert_close(unwhiten(apply(fitted, x), fitted), x, rtol=1e-9, atol=1e-9)


def test_epsilon_is_added_to_every_variance():
    x = correlated(60, 3, 0)
    m = moments(x)
    v = principal_axes(m).variances
    for fit in (pca_whitening, zca_whitening):
        spread = torch.linalg.eigvalsh(numpy_covariance(apply(fit(m, epsilon=0.5), x))).flip(0)
        assert_close(spread, v / (v + 0.5))


def test_zca_is_the_inverse_root_of_the_covariance_and_nearest_to_the_data():
    x = correlated(60, 3, 0)
    m = moments(x)
    zca = zca_whitening(m)
    assert_close(zca.matrix, zca.matrix.T)
    assert_close(torch.linalg.inv(zca.matrix @ zca.matrix), torch.from_numpy(np.cov(x.numpy(), rowvar=False)))
    centred = x - m.mean
    far = [(apply(fit(m), x) - centred).square().sum() for fit in (zca_whitening, pca_whitening)]
    assert far[0] < far[1]


@settings(max_examples=25, deadline=None, derandomize=True)
@given(features=st.integers(1, 5), components=st.integers(1, 5), seed=st.integers(0, 999))
def test_the_pullback_agrees_with_autograd_and_central_differences(features, components, seed):
    x, mean, matrix = draw([3, features], seed), draw([features], seed + 1), draw([components, features], seed + 2)
    dy = draw([3, components], seed + 3)
    x.requires_grad_()
    dx = whiten_pullback(dy, matrix)
    assert_close(dx, torch.autograd.grad(whiten(x, mean, matrix), x, dy)[0], rtol=1e-10, atol=1e-12)
    x, h = x.detach(), 1e-4
    steps = h * torch.eye(features, dtype=F64)
    slopes = [((whiten(x + e, mean, matrix) - whiten(x - e, mean, matrix)) * dy).sum(1) / (2 * h) for e in steps]
    assert_close(dx, torch.stack(slopes, 1), rtol=1e-6, atol=1e-8)


def test_the_sign_of_an_axis_does_not_depend_on_the_sign_of_the_data():
    x = correlated(40, 4, 0)
    directions = principal_axes(moments(x)).directions
    assert_close(principal_axes(moments(-x)).directions, directions)
    assert (directions.gather(1, directions.abs().argmax(1, keepdim=True)) > 0).all()


def test_flat_axes_need_an_epsilon_or_fewer_components():
    x = draw([30, 2], 0) @ draw([2, 4], 1)  # a plane in four dimensions
    with pytest.raises(DataError, match=r"got none along 2 axes with epsilon 0\.0\.\n  Fix: pass epsilon"):
        pca_whitening(moments(x))
    assert_close(numpy_covariance(apply(pca_whitening(moments(x), components=2), x)), torch.eye(2, dtype=F64))
    assert apply(zca_whitening(moments(x), epsilon=1e-3), x).isfinite().all()


def test_options_out_of_range_are_refused():
    m = moments(draw([9, 3], 0))
    for components in (0, 4):
        with pytest.raises(ConfigError, match=r"components must be in \[1, 3\]"):
            decorrelation(m, components=components)
    with pytest.raises(ConfigError, match=r"epsilon must be >= 0, got -1\.0"):
        pca_whitening(m, epsilon=-1.0)
    with pytest.raises(ConfigError, match="the moments must be full, got marginal ones"):
        principal_axes(marginal_moments(draw([9, 3], 0)))


def test_colour_noise_is_the_papers_formula_for_every_pixel():
    pictures, draws = draw([2, 3, 4, 5], 0).sigmoid(), draw([2, 3], 1)
    axes = principal_axes(streamed(pixel_rows(batch) for batch in pictures.split(1)))
    noisy = colour_noise(pictures, draws, axes)
    values, vectors = np.linalg.eigh(np.cov(pictures.movedim(1, -1).reshape(-1, 3).numpy(), rowvar=False))
    for picture in range(2):
        shift = np.zeros(3)
        for i in range(3):
            vector = vectors[:, 2 - i]  # numpy has the smallest first
            vector = vector * np.sign(vector[np.abs(vector).argmax()])
            shift += vector * 0.1 * float(draws[picture, i]) * values[2 - i]
        expected = pictures[picture] + torch.from_numpy(shift)[:, None, None]
        assert_close(noisy[picture], expected)


def test_colour_noise_keeps_the_pictures_type_and_without_draws_the_picture():
    axes = Axes(torch.ones(3, dtype=F64), torch.eye(3, dtype=F64))
    pictures = torch.rand(1, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    same = colour_noise(pictures, torch.zeros(1, 3), axes)
    assert same.dtype == torch.float32
    assert_close(same, pictures, rtol=0, atol=0)


def test_the_demonstration_can_be_checked_by_hand():
    text = demonstrate()
    assert "[3.3333 2.0000; 2.0000 3.3333]" in text  # (4 + 4 + 1 + 1) / 3 and (4 + 4 - 1 - 1) / 3
    assert "3.3333 + 2.0000 = 5.3333" in text
    assert "3.3333 - 2.0000 = 1.3333" in text
    assert "( 0.8660,  0.8660)" in text  # (2, 2) / sqrt(16 / 3)
