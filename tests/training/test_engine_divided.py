"""One network trained by one process and by several: the same losses and the same weights, up to rounding."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from striate.layers.dropout import Dropout, number_layers
from striate.training.engine import UNDIVIDED, Division, Objective, TrainState, fit
from striate.training.optimisers import OPTIMISERS, Settings
from striate.training.sync_batch_norm import synchronise
from striate.training.update import Rules

COUNTS = (12, 7, 1, 12)  # rows of four batches; the third is too small to share
WEIGHTS = torch.tensor([0.5, 0.0, 2.0], dtype=torch.float64)  # the second class counts nothing


def class_weighted():
    return Objective(lambda logits, y: F.cross_entropy(logits, y, WEIGHTS), lambda y: WEIGHTS[y].sum())


def plain():
    return Objective(F.cross_entropy)


def network():
    generator = torch.Generator().manual_seed(1)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), Dropout(0.3), nn.Linear(4 * 9, 3)
    ).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.5)
    number_layers(model)
    return model


def batches(rows):
    """Of each batch these rows; the third has one class only, and it counts."""
    generator = torch.Generator().manual_seed(0)
    for count in COUNTS:
        x = torch.randn(count, 1, 5, 5, generator=generator, dtype=torch.float64)
        y = torch.arange(count) % 3
        yield x[rows(count)], y[rows(count)]


def trained(model, objective, rows, division, accumulate):
    state = TrainState(
        model=model, optimizer=OPTIMISERS["sgd"](model, Settings(lr=1.0, momentum=0.9, weight_decay=1e-3)), seed=5
    )
    losses = list(
        fit(
            state,
            batches(rows),
            objective=objective(),
            lr_at=lambda _: 0.1,
            rules=Rules(accumulate=accumulate, clip_norm=1.0),
            division=division,
        )
    )
    return losses, dict(model.state_dict())


@pytest.mark.parametrize(
    ("world", "objective", "accumulate"), [(2, plain, 1), (3, class_weighted, 1), (2, class_weighted, 1)]
)
def test_several_processes_train_as_one_does(together, world, objective, accumulate):
    losses, weights = trained(network(), objective, lambda count: slice(count), UNDIVIDED, accumulate)

    def work(processes):
        division = Division(processes, lambda step: COUNTS[step])
        return trained(synchronise(network(), processes), objective, processes.rows, division, accumulate)

    answers = together(world, work)
    for told, found in answers:
        assert told == pytest.approx(losses, rel=1e-9)
        assert_close(found, weights, rtol=1e-9, atol=1e-9)
        assert told == answers[0][0]
        assert all(torch.equal(found[name], answers[0][1][name]) for name in weights)  # they never drift apart


def without_batch_norm():
    model = network()
    model[1] = nn.Identity()
    return model


@pytest.mark.parametrize("accumulate", [3, 5])
def test_pieces_of_several_processes_add_up_as_well(together, accumulate):
    losses, weights = trained(without_batch_norm(), class_weighted, lambda count: slice(count), UNDIVIDED, 1)

    def work(processes):
        division = Division(processes, lambda step: COUNTS[step])
        return trained(without_batch_norm(), class_weighted, processes.rows, division, accumulate)

    for told, found in together(3, work):
        assert told == pytest.approx(losses, rel=1e-9)
        assert_close(found, weights, rtol=1e-9, atol=1e-9)


def test_pieces_that_count_nothing_do_not_stop_the_others(together):
    """Three processes with batch normalisation must exchange as often, also where one has nothing to learn from."""

    def work(processes):
        division = Division(processes, lambda step: COUNTS[step])
        model = synchronise(network(), processes)
        return trained(model, class_weighted, processes.rows, division, accumulate=4)

    answers = together(3, work)
    assert all(torch.isfinite(torch.tensor(told)).all() for told, _ in answers)
    assert all(told == answers[0][0] for told, _ in answers)


def test_all_processes_refuse_what_is_not_finite_for_one(together):
    def work(processes):
        division = Division(processes, lambda step: COUNTS[step])
        model = without_batch_norm()
        if processes.rank == 1:
            model[0].register_forward_hook(lambda *_: torch.full((6, 4, 3, 3), float("nan"), dtype=torch.float64))
        with pytest.raises(Exception, match="loss at step 0") as told:
            trained(model, plain, processes.rows, division, 1)
        return type(told.value).__name__

    assert together(2, work) == ["NumericError", "NumericError"]
