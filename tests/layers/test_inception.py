import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

from striate.layers.inception import Inception


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_inception_is_its_four_branches_side_by_side():
    block = Inception(4, 2, 3, 5, 2, 3, 1).double()
    x = draw(1, 4, 6, 6)

    def step(x, sequence, padding=0):
        return F.relu(F.conv2d(x, sequence[0].weight, sequence[0].bias, padding=padding))

    wanted = [
        step(x, block.branch1),
        step(step(x, block.branch2[0]), block.branch2[1], 1),
        step(step(x, block.branch3[0]), block.branch3[1], 2),
        step(F.max_pool2d(x, 3, 1, 1), block.branch4[1]),
    ]
    assert_close(block(x), torch.cat(wanted, 1))
    assert block.out_channels == block(x).shape[1] == 11
    assert block.branch3[1][0].kernel_size == (5, 5)


def test_inception_with_a_norm_has_it_before_each_relu_and_no_bias():
    block = Inception(4, 2, 3, 5, 2, 3, 1, norm=nn.BatchNorm2d)
    assert sum(isinstance(m, nn.BatchNorm2d) for m in block.modules()) == 6
    assert all(m.bias is None for m in block.modules() if isinstance(m, nn.Conv2d))
