import torch
import torch.nn.functional as F
from torch.testing import assert_close

from striate.layers.depthwise_separable_conv import DepthwiseSeparableConv2d


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_separable_is_depthwise_then_pointwise_and_its_product_is_one_convolution():
    block = DepthwiseSeparableConv2d(3, 5, 3, stride=2, padding=1, dtype=torch.float64)
    x = draw(2, 3, 9, 9)
    # one dense kernel that is the outer product of both: o, i, k -> point[o, i] depth[i, k]
    dense = block.pointwise.weight * block.depthwise.weight.transpose(0, 1)
    assert_close(block(x), F.conv2d(x, dense, block.pointwise.bias, 2, 1))
    assert sum(p.numel() for p in block.parameters()) == 3 * 9 + 3 * 5 + 5
