"""Memory as the run holds it, against what torch's allocator says of a real run."""

import pytest
import torch
from torch import nn
from torch.autograd.profiler import profile

from striate.analysis.field import image
from striate.analysis.inspect import inspect
from striate.analysis.ledger import Known, Ledger


def allocated(model, run):
    """The most bytes that a real run holds at once, from the allocator's own events."""
    run()  # whatever is allocated once, is
    model.zero_grad()  # gradients that are freed within the run would count as room
    with profile(profile_memory=True) as events:
        run()
    changes = [event for event in events.kineto_results.events() if event.name() == "[memory]"]
    live = top = 0
    for change in sorted(changes, key=lambda event: event.start_ns()):
        live += change.nbytes()
        top = max(top, live)
    return top


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.last = nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 4)

    def forward(self, x):
        for _ in range(3):
            x = x + self.second(torch.relu(self.first(x)))
        return self.last(x)


PLAIN = {  # layers whose kernels take no scratch memory of their own
    "mlp": (nn.Sequential(nn.Linear(50, 400), nn.Sigmoid(), nn.Linear(400, 300), nn.ReLU(), nn.Linear(300, 10)), (50,)),
    "inplace": (nn.Sequential(nn.Linear(50, 400), nn.ReLU(inplace=True), nn.Linear(400, 10)), (50,)),
    "pools": (nn.Sequential(nn.ReLU(), nn.MaxPool2d(2), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(48, 5)), (3, 16, 16)),
    "residual": (Residual(), (64,)),
}


def runs(model, shape, batch_size):
    """A step without autograd and one with it."""
    x = torch.rand(batch_size, *shape)

    def inference():
        with torch.no_grad():
            model.eval()(x)

    def training():
        y = model.train()(x)
        y.backward(torch.ones_like(y))

    return inference, training


def claimed(model, shape, batch_size):
    """What the analysis says that the run holds beside weights and input; for training with gradients."""
    totals = inspect(model, shape, batch_size=batch_size).totals
    given = totals.weight_bytes + 4 * batch_size * torch.Size(shape).numel()
    learnt = sum(p.nbytes for p in model.parameters())
    return totals.peak_inference_bytes - given, totals.peak_training_bytes - given - learnt


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("batch_size", [2, 33])
def test_peaks_are_those_of_the_allocator(name, batch_size):
    model, shape = PLAIN[name]
    for run, bytes_ in zip(runs(model, shape, batch_size), claimed(model, shape, batch_size), strict=True):
        assert bytes_ == pytest.approx(allocated(model, run), rel=0.02)


def test_convolutions_need_what_is_said_and_their_kernels_scratch_on_top():
    model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.ReLU())
    for run, bytes_ in zip(runs(model, (3, 40, 40), 8), claimed(model, (3, 40, 40), 8), strict=True):
        assert bytes_ <= allocated(model, run) <= 2.2 * bytes_


def test_what_the_backward_pass_keeps_is_what_autograd_saves():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 2))
    saved = [row.saved_bytes for row in inspect(model, (1, 8, 8))]
    relu, winners = 4 * 4 * 36, 8 * 4 * 9  # float32 of ReLU's output, int64 of the pooling's winners
    assert saved == [0, relu, winners, 4 * 4 * 9 - 4 * 4 * 9, 36 * 4]


def test_memory_that_is_freed_is_given_back():
    ledger = Ledger()
    x = torch.empty(10, device="meta")
    ledger.put(x, Known())
    assert (ledger.live, ledger.peak) == (40, 40)
    y = x.view(2, 5)
    ledger.put(y, Known())
    del x
    assert ledger.live == 40  # y still holds it
    del y
    assert (ledger.live, ledger.peak) == (0, 40)


def test_what_was_there_before_costs_nothing():
    ledger = Ledger()
    x = torch.empty(10, device="meta")
    ledger.give(x)
    assert ledger.live == 0
    assert ledger.claim(x) == 0


def test_memory_is_claimed_once():
    ledger = Ledger()
    x = torch.empty(10, device="meta")
    ledger.put(x, Known())
    assert (ledger.claim(x), ledger.claim(x.view(5, 2)), ledger.keep(x), ledger.keep(x)) == (40, 0, 40, 0)


def test_a_view_that_nobody_announced_may_hold_anything_of_its_memory():
    ledger = Ledger()
    x = torch.empty(1, 1, 6, device="meta")
    ledger.put(x, Known(image((1, 1, 6)), frozenset((3,))))
    known = ledger[x[:, :, 2:4]]
    assert known.makers == {3}
    assert known.field.intervals[0] == (0, 5, False)


def test_writing_over_a_part_is_seen_through_every_view():
    ledger = Ledger()
    x, part = torch.empty(1, 1, 6, device="meta"), None
    ledger.put(x, Known())
    part = x[:, :, :2]
    ledger.overwrite(part, Known(image((1, 1, 2)), frozenset((1,))))
    assert ledger[x].makers == {1}
    assert ledger[x].field.at((0, 0, 1)) == ((1, 1),)
    assert not ledger[x].field.intervals[0].exact
    assert ledger[part].field.intervals[0] == (0, 0, True)


@pytest.mark.parametrize(
    ("part", "moved"),
    [
        (lambda x: x[:, :, 2:], 2),
        (lambda x: x[:, 1:, 1:5:2], 1),
        (lambda x: x[:, :, 3:].movedim(1, 2), None),  # another order of dimensions
        (lambda x: x[:, 0], None),
    ],
)
def test_what_is_written_into_a_slice_is_known_where_it_stands(part, moved):
    ledger = Ledger()
    x = torch.empty(1, 2, 6, device="meta")
    ledger.put(x, Known())
    piece = part(x)
    ledger.overwrite(piece, Known(image(tuple(piece.shape), 1)))
    field = ledger[x].field
    step = 2 if moved == 1 else 1
    assert not field.intervals[0].exact
    if moved is None:  # any entry may be any pixel
        assert field.at((0, 1, 0)) == field.at((0, 1, 5)) == ((0, piece.shape[-1] - 1),)
    else:
        for place in range(piece.shape[2]):
            assert field.at((0, 1, moved + place * step)) == ((place, place),)
