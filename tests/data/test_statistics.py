import math

import numpy as np
import pytest
import torch

from striate.data.idx import read_idx
from striate.data.statistics import mean_std


def test_mean_and_std_of_mnist_are_the_published_ones(real_data):
    images = torch.from_numpy(read_idx(real_data / "mnist" / "train-images-idx3-ubyte.gz", 3).copy())[:, None]
    (mean,), (std,) = mean_std(images)
    assert (round(mean, 4), round(std, 4)) == (0.1307, 0.3081)


def test_it_is_numpys_answer_per_channel_in_any_memory_order():
    images = np.random.default_rng(0).integers(0, 256, (5000, 3, 4, 5), dtype=np.uint8)
    images[:, 1] //= 7
    mean, std = mean_std(torch.from_numpy(images))
    np.testing.assert_allclose(mean, (images / 255).mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(std, (images / 255).std((0, 2, 3)), rtol=1e-10)
    last = torch.from_numpy(images).contiguous(memory_format=torch.channels_last)
    assert mean_std(last) == (mean, std)


def test_the_order_of_pictures_changes_no_bit():
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (999, 1, 4, 4), dtype=np.uint8))
    assert mean_std(images) == mean_std(images.flip(0))


def test_a_constant_channel_has_std_1():
    images = torch.full((10, 2, 3, 3), 51, dtype=torch.uint8)
    images[:, 1, 0, 0] = 0
    mean, std = mean_std(images)
    assert mean[0] == 0.2
    assert std[0] == 1.0
    assert 0 < std[1] < 0.1


def test_16_bits_are_exact_and_in_the_same_units():
    images = np.random.default_rng(0).integers(0, 65_536, (300, 2, 9, 7), dtype=np.uint16)
    images[:, 1] = 65_535
    mean, std = mean_std(torch.from_numpy(images))
    whole = images[:, 0].astype(object)  # Python's numbers
    n, total, squares = whole.size, int(whole.sum()), int((whole * whole).sum())
    assert mean == (total / (65_535 * n), 1.0)
    assert std == (math.sqrt(n * squares - total * total) / (65_535 * n), 1.0)


def test_16_bit_copies_of_bytes_have_their_mean_and_std():
    images = np.random.default_rng(0).integers(0, 256, (50, 3, 8, 8), dtype=np.uint8)
    deep = torch.from_numpy(images.astype(np.uint16) * np.uint16(257))
    np.testing.assert_allclose(mean_std(deep), mean_std(torch.from_numpy(images)), rtol=1e-15)


def test_floats_far_from_zero_lose_nothing():
    images = (1e4 + np.random.default_rng(0).normal(size=(500, 2, 6, 6))).astype(np.float32)
    mean, std = mean_std(torch.from_numpy(images))
    np.testing.assert_allclose(mean, images.astype(np.float64).mean((0, 2, 3)), rtol=1e-13)
    np.testing.assert_allclose(std, images.astype(np.float64).std((0, 2, 3)), rtol=1e-10)
    assert mean_std(torch.full((3, 1, 2, 2), 7.5)) == ((7.5,), (1.0,))


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32"])
def test_batches_give_what_the_whole_gives(kind):
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (103, 3, 5, 4)).astype(kind))
    found = mean_std(images[i : i + 10] for i in range(0, 103, 10))
    if kind == "float32":
        np.testing.assert_allclose(found, mean_std(images), rtol=1e-12)
    else:
        assert found == mean_std(images)
