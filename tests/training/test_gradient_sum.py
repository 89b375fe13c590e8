import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from striate.training.gradient_sum import filled, gradient_sum
from striate.training.processes import ALONE, Processes

X = torch.randn(10, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
Y = torch.arange(10) % 3


def network():
    generator = torch.Generator().manual_seed(1)
    model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4), nn.Linear(4, 3)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    model[2].weight.requires_grad_(False)  # frozen
    return model


def gradients(model):
    return [p.grad for p in model.parameters()]


def backward(model, rows):
    (F.cross_entropy(model(X[rows]), Y[rows], reduction="sum") / len(X)).backward()


@pytest.mark.parametrize("limit", [1, 200, 10**6])  # one parameter a bucket, some, all
@pytest.mark.parametrize("world", [2, 3])
def test_sums_are_the_gradients_of_the_whole_batch(together, world, limit):
    backward(model := network(), slice(None))
    expected = gradients(model)

    def work(processes):
        model = network()
        rows = processes.rows(len(X))
        with gradient_sum(processes, model.parameters(), limit) as total:
            backward(model, slice(rows.start, rows.start + 1))  # a piece: only the last one is sent
            with total.over():
                backward(model, slice(rows.start + 1, rows.stop))
        return gradients(model)

    answers = together(world, work)
    for answer in answers:
        assert_close(answer, expected)
        assert all(one is None or torch.equal(one, other) for one, other in zip(answer, answers[0], strict=True))


def test_what_no_process_needs_keeps_no_gradient_and_what_one_needs_gets_it(together):
    def work(processes):
        model = nn.ModuleList([nn.Linear(1, 1, bias=False) for _ in range(3)])
        with gradient_sum(processes, model.parameters()) as total, total.over():
            (model[0].weight.sum() * 2).backward()
            if processes.rank == 1:
                model[1].weight.sum().backward()
        return gradients(model)

    for first, second, third in together(2, work):
        assert first.tolist() == [[4]]
        assert second.tolist() == [[1]]
        assert third is None


def test_a_bucket_is_sent_while_backward_still_runs(together):
    def work(processes):
        model = network()
        with gradient_sum(processes, model.parameters(), 1) as total, total.over():
            model[0].weight.register_hook(lambda _: seen.append(total.sent))
            backward(model, processes.rows(len(X)))
        return seen

    seen = []
    assert all(answer[0] >= 2 for answer in together(2, work))


def test_after_an_error_in_backward_nothing_is_sent_and_hooks_go():
    model = network()
    with pytest.raises(ZeroDivisionError), gradient_sum(Processes(0, 2), model.parameters(), 10**6) as total:
        broken(total)  # sending would fail otherwise, where no processes are joined
    assert total.sent == len(total.buckets) == 1
    assert not any(p._post_accumulate_grad_hooks for p in model.parameters())


def broken(total):
    with total.over():
        total.arrived(total.buckets[0])
        raise ZeroDivisionError


def test_channels_last_gradients_keep_their_places(together):
    x = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(0))

    def gradient(rows, processes):
        torch.manual_seed(0)
        layer = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
        with gradient_sum(processes, layer.parameters()) as total, total.over():
            layer(x[rows]).square().sum().backward()
        assert layer.weight.grad.is_contiguous(memory_format=torch.channels_last)
        return layer.weight.grad

    for answer in together(2, lambda processes: gradient(processes.rows(4), processes)):
        assert_close(answer, gradient(slice(None), ALONE))


def test_types_are_not_mixed_in_a_bucket():
    one, other = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2, dtype=torch.float64))
    assert [len(bucket.parameters) for bucket in filled([one, one, other, one], 100)] == [2, 1, 1]
