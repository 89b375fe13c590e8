import torch
from torch import nn
from torch.testing import assert_close

from striate.layers.hard_limit import HardLimit


def test_it_fires_from_zero_on():
    x = torch.tensor([-1e4, -1e-9, -0.0, 0.0, 1e-9, 1e4], dtype=torch.float64)
    assert HardLimit()(x).tolist() == [0, 0, 1, 1, 1, 1]


def test_nothing_learns_through_it_but_training_does_not_stop():
    net = nn.Sequential(nn.Linear(3, 2), HardLimit())
    net(torch.ones(4, 3)).sum().backward()
    assert_close(net[0].weight.grad, torch.zeros(2, 3))
