import pytest
import torch
from torch import nn
from torch.testing import assert_close

from striate.base.errors import ConfigError
from striate.training.average import Average


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.matrix, self.norm = nn.Linear(3, 4), nn.BatchNorm1d(4)
        self.register_buffer("mask", torch.tensor([0.0, float("-inf")]))


def disturb(network, seed):
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in [*network.parameters(), network.norm.running_mean, network.norm.running_var]:
            tensor.copy_(torch.randn(tensor.shape, generator=draw))
        network.norm.num_batches_tracked += 1


def test_it_is_the_weighted_mean_of_all_weights_since_the_first_update():
    network = Network()
    average = Average(network, 0.6)
    expected = {}
    for step in range(30):
        disturb(network, step)
        average.update(step)
        decay = min(0.6, step / (9 + step))
        for name, value in network.state_dict().items():
            before = expected.get(name, torch.full(value.shape, 1e9, dtype=torch.float64))  # leaves no trace
            expected[name] = (decay * before if decay else 0) + (1 - decay) * value.double()
    for name in ("matrix.weight", "matrix.bias", "norm.weight", "norm.running_mean", "norm.running_var"):
        assert_close(average.tensors()[name].double(), expected[name], rtol=1e-5, atol=1e-6)


def test_counters_and_masks_are_the_trained_networks():
    network = Network()
    average = Average(network, 0.9)
    for step in range(3):
        disturb(network, step)
        average.update(step)
    assert average.network.norm.num_batches_tracked == 3
    assert torch.equal(average.network.mask, network.mask)


def test_it_is_a_network_of_its_own_to_evaluate():
    network = Network().train()
    average = Average(network, 0.9)
    assert not average.network.training
    assert not any(p.requires_grad for p in average.network.parameters())
    before = {name: value.clone() for name, value in network.state_dict().items()}
    disturb(average.network, 1)
    average.update(5)
    assert network.training
    assert all(p.requires_grad for p in network.parameters())
    assert_close(dict(network.state_dict()), before, rtol=0, atol=0)


def test_what_it_holds_comes_back_and_goes_on_bit_for_bit():
    network = Network()
    average, other = Average(network, 0.9), Average(network, 0.9)
    for step in range(4):
        disturb(network, step)
        average.update(step)
    other.restore({name: value.clone() for name, value in average.tensors().items()})
    disturb(network, 9)
    for one in (average, other):
        one.update(4)
    assert_close(other.tensors(), average.tensors(), rtol=0, atol=0)


@pytest.mark.parametrize("decay", [0.0, 1.0, float("nan")])
def test_a_decay_out_of_its_range_is_refused(decay):
    with pytest.raises(ConfigError, match=r"ema_decay must be in \(0, 1\)"):
        Average(Network(), decay)
