"""Worked examples of the textbooks: fully connected layers and pooling."""

import torch
import torch.nn.functional as F
from torch.testing import assert_close

from striate.calculus.linear import linear
from striate.calculus.mean_pool import mean_pool


def test_784_256_10_has_203530_parameters():
    x, parameters = torch.ones(1, 784), 0
    for inputs, outputs in [(784, 256), (256, 10)]:
        weight, bias = torch.ones(outputs, inputs), torch.ones(outputs)
        x = linear(x, weight, bias)
        parameters += weight.numel() + bias.numel()
    assert x.shape == (1, 10)
    assert parameters == 784 * 256 + 256 + 256 * 10 + 10 == 203_530


def test_mean_pooling_is_a_convolution_with_equal_weights_and_stride():
    x = torch.randn(2, 3, 9, 11, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for size, stride in [(2, 2), (3, 3), (3, 2)]:
        equal = torch.full((3, 1, size, size), 1 / size**2, dtype=torch.float64)
        convolved = F.conv2d(x, equal, stride=stride, groups=3)
        assert_close(mean_pool(x, size, stride=stride), convolved, rtol=1e-12, atol=1e-12)
