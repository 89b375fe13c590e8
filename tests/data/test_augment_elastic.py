import numpy as np
import pytest
import torch
from torch.testing import assert_close

from striate.data.augment import Augment, apply, draw
from striate.data.augment.draws import Block
from striate.data.augment.elastic import displacements


def roots(count: int) -> torch.Tensor:
    return draw(Augment(elastic=1.0), 0, 0, np.arange(count, dtype=np.int64)).of(Block.ELASTIC)[:, 0]


@pytest.mark.parametrize(("alpha", "sigma"), [(1.4, 4.0), (3.0, 1.0), (0.5, 2.3)])
def test_alpha_is_the_deviation_of_a_displacement_at_every_place(alpha, sigma):
    d = displacements(roots(1500), (9, 7), alpha, sigma)
    assert d.shape == (1500, 2, 9, 7)
    deviation = d.std(0)
    assert (deviation / alpha - 1).abs().max() < 0.1  # border and corners too
    assert (d.mean(0) / alpha).abs().max() < 0.13
    across = (d[:, 0] * d[:, 1]).mean() / alpha**2
    assert abs(across) < 0.03


def test_neighbours_are_displaced_alike_as_far_as_sigma_says():
    d = displacements(roots(800), (1, 25), 1.0, 4.0)[:, 0, 0]
    for gap in (1, 4, 8, 12):
        found = (d[:, gap:] * d[:, :-gap]).mean()
        assert abs(found - np.exp(-(gap**2) / (4 * 4.0**2))) < 0.06  # a Gaussian against itself


def test_the_field_is_the_docstrings_sum():
    """Noise smoothed pixel by pixel, in float64."""
    words, sigma, (h, w) = roots(1), 1.0, (3, 4)
    from striate.data.augment.elastic import _noise

    noise = _noise(words, 2 * 9 * 10).view(2, 9, 10).double()
    bell = torch.tensor([[np.exp(-0.5 * (i * i + j * j) / sigma**2) for j in range(-3, 4)] for i in range(-3, 4)])
    bell = bell.double() / bell.double().square().sum().sqrt()
    expected = torch.zeros(2, h, w, dtype=torch.float64)
    for i in range(h):
        for j in range(w):
            expected[:, i, j] = (noise[:, i : i + 7, j : j + 7] * bell).sum((1, 2))
    expected *= 1.4 / (65_535 / 12) ** 0.5
    assert_close(displacements(words, (h, w), 1.4, sigma)[0].double(), expected, atol=1e-4, rtol=0)


def test_the_noise_is_uniform_bytes():
    from striate.data.augment.elastic import _noise

    counts = torch.bincount((_noise(roots(50), 5120) + 127.5).long().flatten(), minlength=256)
    assert len(counts) == 256
    assert ((counts - 1000).abs() < 5 * 1000**0.5).all()


def test_a_displaced_picture_is_read_at_the_displaced_places():
    ramp = torch.arange(24.0).expand(5, 1, 20, 24).contiguous()  # its value is its column
    draws = draw(Augment(elastic=1.0), 2, 0, np.arange(5, dtype=np.int64))
    d = displacements(draws.of(Block.ELASTIC)[:, 0], (20, 24), 1.0, 4.0)
    inside = (slice(None), 0, slice(6, -6), slice(6, -6))
    assert_close(apply(ramp, draws)[inside], (ramp + d[:, :1])[inside], atol=1e-3, rtol=0)


def test_without_alpha_nothing_is_displaced_and_with_it_all_is_the_same_again():
    x = torch.rand(4, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    samples = np.arange(4, dtype=np.int64)
    assert apply(x, draw(Augment(elastic=0.0), 0, 0, samples)) is x
    first, second = (apply(x, draw(Augment(elastic=1.0), 0, 0, samples)) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, x)
