import numpy as np
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
