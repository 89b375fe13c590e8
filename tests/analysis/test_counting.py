"""The count of a network that runs on samples: by hand, and against torch's own counter."""

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm
from torch.utils.flop_counter import FlopCounterMode

from striate.analysis.counting import macs_of
from striate.analysis.inspect import inspect
from striate.models.catalogue import build


class Inside(nn.Module):
    """A network that forbids gradients itself."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        with torch.inference_mode():
            return self.layer(x)


class Into(nn.Module):
    """A product that is written where it is told."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4, 7))

    def forward(self, x):
        out = torch.empty(len(x), 3, 7)
        return torch.matmul(x, self.weight, out=out)


NETWORKS = {
    "lenet5": (lambda: build("lenet5"), (1, 32, 32)),
    "resnet20": (lambda: build("resnet20"), (3, 32, 32)),
    "googlenet": (lambda: build("googlenet"), (3, 64, 64)),
    "transposed": (lambda: nn.ConvTranspose2d(3, 4, 3, stride=2), (3, 5, 5)),
    "without gradients": (lambda: Inside(nn.Linear(4, 3)), (4,)),
    "into another tensor": (lambda: Into(), (3, 4)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_products_are_torchs_count(name):
    make, shape = NETWORKS[name]
    network, samples = make(), torch.zeros(3, *shape)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network.eval()(samples)
    assert macs_of(network, samples) == counter.get_total_flops() // 6


def test_attention_counts_scores_and_values():
    class Attention(nn.Module):
        def forward(self, x):
            return nn.functional.scaled_dot_product_attention(x, x, x)

    assert macs_of(Attention(), torch.ones(2, 3, 5, 8)) == 3 * 5 * 5 * (8 + 8)


def test_an_operation_of_somebody_else_is_no_product_whatever_its_name():
    with torch.library._scoped_library("striate_test", "DEF") as library:
        library.define("mm(Tensor x) -> Tensor")
        library.impl("mm", lambda x: 2 * x, "CPU")

        class Foreign(nn.Module):
            def forward(self, x):
                return torch.ops.striate_test.mm(x)

        assert macs_of(Foreign(), torch.ones(2, 3)) == 0
        assert inspect(Foreign(), (3,)).totals.macs == 0


def test_weights_that_are_computed_count_where_they_are_used():
    assert macs_of(weight_norm(nn.Conv2d(2, 4, 3)), torch.ones(2, 2, 5, 5)) == 4 * 9 * 2 * 9


@pytest.mark.parametrize("training", [True, False])
def test_the_network_comes_back_in_its_mode(training):
    network = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)).train(training)
    macs_of(network, torch.ones(2, 1, 3, 3))
    assert network.training is training
    assert network[1].num_batches_tracked == 0
