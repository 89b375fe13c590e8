import copy

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from striate.training.processes import ALONE, Processes
from striate.training.sync_batch_norm import SyncBatchNorm2d, each_by_itself, synchronise

SHAPES = {nn.BatchNorm1d: (9, 3), nn.BatchNorm2d: (9, 3, 4, 5), nn.BatchNorm3d: (9, 3, 2, 3, 2)}


def numbers(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed)) * 2 + 5


def layer_of(kind, **options):
    layer = kind(3, dtype=torch.float64, **options)
    if layer.affine:
        with torch.no_grad():
            layer.weight.copy_(torch.tensor([0.5, 1.0, -2.0]))
            layer.bias.copy_(torch.tensor([0.1, 0.0, 3.0]))
    return layer


def passes(layer, x, dy, steps=2):
    """Outputs, gradients of input and parameters, and state after some passes in training."""
    x = x.clone().requires_grad_()
    for _ in range(steps):
        y = layer(x)
        (y * dy).sum().backward()
    return y.detach(), x.grad, [p.grad for p in layer.parameters()], dict(layer.state_dict())


@pytest.mark.parametrize(
    ("world", "kind", "options"),
    [
        (2, nn.BatchNorm1d, {}),
        (3, nn.BatchNorm2d, {}),
        (2, nn.BatchNorm3d, {}),
        (2, nn.BatchNorm2d, {"affine": False}),
        (3, nn.BatchNorm1d, {"momentum": None, "eps": 0.1}),
        (2, nn.BatchNorm2d, {"track_running_stats": False}),
    ],
    ids=str,
)
def test_several_processes_do_what_one_does_with_the_whole_batch(together, world, kind, options):
    x, dy = numbers(*SHAPES[kind]), numbers(*SHAPES[kind], seed=1)
    y, dx, gradients, state = passes(layer_of(kind, **options), x, dy)

    def work(processes):
        layer = synchronise(layer_of(kind, **options), processes)
        rows = processes.rows(len(x))
        mine = passes(layer, x[rows], dy[rows])
        return *mine[:2], [processes.sum(g) for g in mine[2]], mine[3]

    answers = together(world, work)
    assert_close(torch.cat([answer[0] for answer in answers]), y)
    assert_close(torch.cat([answer[1] for answer in answers]), dx)
    for answer in answers:
        assert_close(answer[2], gradients)
        assert list(answer[3]) == list(state)
        assert_close(answer[3], state)
        assert all(torch.equal(answer[3][name], answers[0][3][name]) for name in state)  # to the last bit


def test_a_batch_that_all_have_whole_counts_once(together):
    x, dy = numbers(3, 3, 4, 5), numbers(3, 3, 4, 5, seed=1)
    expected = passes(layer_of(nn.BatchNorm2d), x, dy)

    def work(processes):
        with each_by_itself():
            return passes(synchronise(layer_of(nn.BatchNorm2d), processes), x, dy)

    for answer in together(2, work):
        assert_close(answer, expected)


def test_a_large_mean_does_not_drown_the_variance(together):
    x = numbers(8, 3, 4, 4, dtype=torch.float32) + 1e4
    expected = nn.BatchNorm2d(3).double()(x.double())

    def work(processes):
        layer = synchronise(nn.BatchNorm2d(3), processes)
        return layer(x[processes.rows(8)]).detach()

    assert_close(torch.cat(together(2, work)).double(), expected.detach(), atol=2e-3, rtol=0)


def test_bfloat16_and_channels_last_stay_what_they_are(together):
    x = numbers(8, 3, 4, 4).to(torch.bfloat16, memory_format=torch.channels_last)
    expected = nn.BatchNorm2d(3)(x.float())

    def work(processes):
        layer = synchronise(nn.BatchNorm2d(3), processes)
        mine = x[processes.rows(8)].requires_grad_()
        y = layer(mine)
        y.square().sum().backward()
        assert y.is_contiguous(memory_format=torch.channels_last)
        return y.detach(), mine.grad

    answers = together(2, work)
    assert all(gradient.dtype == torch.bfloat16 for _, gradient in answers)
    assert_close(torch.cat([y for y, _ in answers]).float(), expected.detach(), atol=0.02, rtol=0.02)


def test_a_network_keeps_its_layers_names_and_what_evaluation_does():
    class Own(nn.BatchNorm2d):
        pass

    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Sequential(nn.BatchNorm2d(3)), Own(3))
    former, layers = copy.deepcopy(network), list(network.modules())
    assert synchronise(network, Processes(0, 2)) is network
    assert all(one is other for one, other in zip(network.modules(), layers, strict=True))
    assert [type(layer) for layer in (network[1], network[2][0], network[3])] == [SyncBatchNorm2d, SyncBatchNorm2d, Own]
    assert isinstance(network[1], nn.BatchNorm2d)
    assert list(network.state_dict()) == list(former.state_dict())
    x = numbers(2, 1, 6, 6, dtype=torch.float32)
    assert torch.equal(network.eval()(x), former.eval()(x))


def test_one_process_keeps_torchs_layers():
    assert type(synchronise(nn.BatchNorm1d(3), ALONE)) is nn.BatchNorm1d


def test_a_shape_that_torch_refuses_is_refused():
    layer = synchronise(nn.BatchNorm2d(3), Processes(0, 2))
    with pytest.raises(ValueError, match="expected 4D input"):
        layer(torch.zeros(2, 3))
