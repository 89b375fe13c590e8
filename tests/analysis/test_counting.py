"""The count of a network that runs on samples: by hand, and against torch's own counter."""

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm
from torch.utils.flop_counter import FlopCounterMode

from striate.analysis.counting import macs_of
from striate.models.catalogue import build

NETWORKS = {
    "lenet5": (lambda: build("lenet5"), (1, 32, 32)),
    "resnet20": (lambda: build("resnet20"), (3, 32, 32)),
    "googlenet": (lambda: build("googlenet"), (3, 64, 64)),
    "transposed": (lambda: nn.ConvTranspose2d(3, 4, 3, stride=2), (3, 5, 5)),
    "attention": (lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (5, 8)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_products_are_torchs_count(name):
    make, shape = NETWORKS[name]
    network, samples = make(), torch.zeros(3, *shape)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network.eval()(samples)
    assert macs_of(network, samples) == counter.get_total_flops() // 6


def test_weights_that_are_computed_count_where_they_are_used():
    assert macs_of(weight_norm(nn.Conv2d(2, 4, 3)), torch.ones(2, 2, 5, 5)) == 4 * 9 * 2 * 9


@pytest.mark.parametrize("training", [True, False])
def test_the_network_comes_back_in_its_mode(training):
    network = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)).train(training)
    macs_of(network, torch.ones(2, 1, 3, 3))
    assert network.training is training
    assert network[1].num_batches_tracked == 0
