import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from striate.base.errors import DataError
from striate.calculus.moments import covariance, demonstrate, marginal_moments, merge, moments, pixel_rows, streamed


def draw(shape, seed):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def close(m, x, rtol=1e-10):
    """The moments are NumPy's of all the data at once."""
    x = x.double().numpy()
    assert m.count == len(x)
    assert_close(m.mean, torch.from_numpy(x.mean(0)), rtol=rtol, atol=1e-12)
    expected = torch.from_numpy(np.atleast_2d(np.cov(x, rowvar=False)))
    expected = expected if m.scatter.ndim == 2 else expected.diagonal()
    assert_close(covariance(m), expected, rtol=rtol, atol=1e-12)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    features=st.integers(1, 5),
    each=st.sampled_from([moments, marginal_moments]),
    seed=st.integers(0, 999),
)
def test_chunks_of_any_sizes_give_numpys_covariance_of_the_whole(sizes, features, each, seed):
    x = 3 * draw([sum(sizes) + 1, features], seed) + 7
    chunks = torch.split(x, [*sizes, 1])
    close(streamed(iter(chunks), each), x)


def test_only_one_chunk_is_alive_at_a_time():
    def chunks():
        for seed in range(50):
            yield draw([100, 3], seed)

    close(streamed(chunks()), torch.cat([draw([100, 3], seed) for seed in range(50)]))


def test_a_mean_far_from_zero_does_not_drown_the_variance():
    x = draw([1000, 2], 0) + 1e8  # E x^2 - (E x)^2 would be 1e16 - 1e16
    assert_close(covariance(streamed(x.split(64))), covariance(moments(x - 1e8)), rtol=1e-6, atol=1e-7)


def test_bytes_and_single_precision_are_summed_in_double():
    pixels = torch.randint(256, (500, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    close(streamed(pixels.split(70)), pixels)
    close(streamed(pixels.float().split(70)), pixels)


def test_merging_does_not_depend_on_the_order():
    a, b = moments(draw([4, 2], 0)), moments(draw([9, 2], 1))
    assert_close(merge(a, b).scatter, merge(b, a).scatter)
    assert_close(merge(a, b).mean, merge(b, a).mean)


def test_every_pixel_of_a_picture_is_a_sample_of_its_colours():
    pictures = draw([2, 3, 4, 5], 0)
    rows = pixel_rows(pictures)
    assert rows.shape == (40, 3)
    assert_close(rows[27], pictures[1, :, 1, 2])  # 20 pixels of the first picture, a row of 5, then 2


def test_too_little_data_is_refused():
    with pytest.raises(DataError, match="a chunk must be of one sample or more"):
        moments(torch.ones(0, 2))
    with pytest.raises(DataError, match="the data must be one chunk or more"):
        streamed([])
    with pytest.raises(DataError, match="the samples must be two or more, got 1"):
        covariance(moments(torch.ones(1, 2)))


def test_the_demonstration_can_be_checked_by_hand():
    text = demonstrate()
    x = np.array([[1, 2], [3, 6], [5, 1], [7, 5], [9, 6]])
    assert x.mean(0).tolist() == [5, 4]
    assert "m = m_a + d 3/5 = 5  4" in text
    assert (4 * np.cov(x.T)).tolist() == [[40, 14], [14, 22]]
    assert "+ 6/5 d d^T =  40  14" in text
    assert "S =  40  14     covariance = S / 4 =   10  3.5\n                       14  22" in text
    assert "d = m_b - m_a = 5  0" in text


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (moments(torch.ones(2, 1)), moments(torch.ones(2, 3))),
        (marginal_moments(torch.ones(2, 1)), marginal_moments(torch.ones(2, 3))),
        (moments(torch.ones(2, 3)), marginal_moments(torch.ones(2, 3))),
    ],
)
def test_parts_of_different_features_are_not_merged(a, b):
    for pair in ((a, b), (b, a)):
        with pytest.raises(DataError, match="the same features, by the same function"):
            merge(*pair)
