import pytest
import torch
from torch import nn

from striate.training.optimisers import OPTIMISERS, Settings, optimizer_tensors, parameter_groups, restore_optimizer


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 3))


def test_decay_pulls_on_kernels_and_matrices_alone():
    decayed, free = parameter_groups(network(), Settings(lr=0.1, weight_decay=0.1))
    assert [p.ndim for p in decayed["params"]] == [4, 2]
    assert [p.ndim for p in free["params"]] == [1, 1, 1, 1]
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.1, 0.0)


def steps(model, optimizer, first, last):
    for step in range(first, last):
        x = torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()


@pytest.mark.parametrize("name", OPTIMISERS)
def test_a_restored_optimizer_goes_on_bit_for_bit(name):
    def make():
        model = network().to(memory_format=torch.channels_last)
        return model, OPTIMISERS[name](model, Settings(lr=0.05, momentum=0.9, weight_decay=0.01))

    whole, optimizer = make()
    steps(whole, optimizer, 0, 6)

    first, optimizer = make()
    steps(first, optimizer, 0, 3)
    weights = {key: value.clone().contiguous() for key, value in first.state_dict().items()}
    memory = {key: value.clone().contiguous() for key, value in optimizer_tensors(optimizer).items()}
    second, optimizer = make()
    second.load_state_dict(weights)
    restore_optimizer(optimizer, memory)
    steps(second, optimizer, 3, 6)
    for expected, found in zip(whole.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(expected, found)
