"""MACs where other counters go wrong, each against the sum written out by hand."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import weight_norm
from torch.utils.flop_counter import FlopCounterMode

import striate
from striate.analysis.inspect import inspect


class Own(nn.Module):
    """Functional calls on parameters of its own."""

    def __init__(self, function, *shapes):
        super().__init__()
        self.weights = nn.ParameterList(nn.Parameter(torch.zeros(shape)) for shape in shapes)
        self.function = function

    def forward(self, x):
        return self.function(x, *self.weights)


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x):
        return self.conv(F.relu(self.conv(x)))


class Attention(nn.Module):
    def forward(self, x):
        return F.scaled_dot_product_attention(x, x, x[..., :5])


class Looking(nn.Module):
    """Looks at numbers, so it cannot run without them."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x) if x.sum() >= 0 else x


CASES = {
    "conv": (nn.Conv2d(3, 8, (5, 3), 2, 1), (3, 20, 17), 8 * 9 * 9 * 3 * 5 * 3),
    "grouped": (nn.Conv2d(4, 8, 3, groups=2), (4, 9, 9), 8 * 7 * 7 * 2 * 9),
    "depthwise": (nn.Conv2d(6, 6, 3, groups=6, padding=1), (6, 8, 8), 6 * 8 * 8 * 9),
    "dilated": (nn.Conv2d(2, 3, 3, dilation=3), (2, 12, 12), 3 * 6 * 6 * 2 * 9),
    "one axis": (nn.Conv1d(2, 5, 7, 3), (2, 31), 5 * 9 * 2 * 7),
    "three axes": (nn.Conv3d(2, 4, (3, 2, 1)), (2, 6, 5, 4), 4 * 4 * 4 * 4 * 2 * 6),
    # every pixel of the input meets every entry of its kernels, whatever the stride
    "transposed": (nn.ConvTranspose2d(3, 8, 4, 2, 1), (3, 10, 10), 10 * 10 * 3 * 8 * 16),
    "transposed grouped": (nn.ConvTranspose2d(6, 8, 3, 2, groups=2), (6, 7, 7), 7 * 7 * 6 * 4 * 9),
    "transposed one axis": (nn.ConvTranspose1d(2, 3, 5, 3), (2, 6), 6 * 2 * 3 * 5),
    "functional": (Own(lambda x, w: F.conv2d(x, w, stride=2), (5, 3, 3, 3)), (3, 9, 9), 5 * 4 * 4 * 27),
    "weight norm": (weight_norm(nn.Conv2d(3, 8, 3)), (3, 8, 8), 8 * 6 * 6 * 27),
    "linear": (nn.Linear(7, 5), (7,), 35),
    "linear on four axes": (nn.Linear(8, 5), (3, 4, 8), 3 * 4 * 8 * 5),
    "twice": (Twice(), (4, 6, 6), 2 * 4 * 36 * 36),
    "matmul": (Own(lambda x, w: x @ w, (6, 10)), (4, 6), 4 * 6 * 10),
    "matmul of the input": (Own(lambda x: x @ x.transpose(-1, -2)), (3, 4, 6), 3 * 4 * 4 * 6),
    "einsum": (Own(lambda x, w: torch.einsum("bci,io->bco", x, w), (6, 2)), (4, 6), 4 * 6 * 2),
    "attention": (Attention(), (2, 10, 8), 2 * 10 * 10 * (8 + 5)),
    "heads": (nn.MultiheadAttention(8, 2, batch_first=True), (10, 8), 10 * 8 * 32 + 2 * 10 * 10 * 8),
    "bilinear": (Own(lambda x, w: torch.bmm(x.transpose(1, 2), w.expand(len(x), -1, -1)), (4, 6)), (4, 3), 3 * 4 * 6),
    "bilinear layer": (Own(lambda x, w: F.bilinear(x, x[..., :3], w), (4, 6, 3)), (5, 6), 5 * 4 * (6 * 3 + 6)),
    "scalar product": (Own(lambda x, w: torch.vdot(x[0], w), (6,)), (6,), 6),
    "matrix and vector": (Own(lambda x, b, w: torch.addmv(b, w, x[0]), (4,), (4, 6)), (6,), 24),
    "rank one": (Own(lambda x, a, w: torch.addr(a, w, x[0]), (4, 6), (4,)), (6,), 24),
    "sum of products": (Own(lambda x, a: torch.addbmm(a, x, x.mT), (3, 3)), (3, 5), 3 * 3 * 5),
    "distances": (Own(lambda x, w: torch.cdist(x, w), (4, 6)), (7, 6), 7 * 4 * 6),
    "distances by a product": (Own(lambda x, w: torch.cdist(x, w), (4, 6)), (40, 6), 40 * 4 * 6),
    "pairs": (Own(lambda x: F.pdist(x[0])), (7, 6), 21 * 6),
    "time first": (
        Own(lambda x, w: torch.conv_tbc(x.permute(2, 0, 1).contiguous(), w, w[0, 0]), (3, 6, 4)),
        (6, 9),
        7 * 4 * 3 * 6,
    ),
    "complex product": (
        Own(lambda x, w: torch.complex(x, x) @ torch.complex(w, w), (6, 10)),
        (4, 6),
        4 * 6 * 10,
    ),
    "complex convolution": (  # as torch runs it: three real ones
        Own(lambda x, w: F.conv2d(torch.complex(x, x), torch.complex(w, w)), (5, 3, 3, 3)),
        (3, 8, 8),
        3 * 5 * 6 * 6 * 27,
    ),
    "pooling and activations": (
        nn.Sequential(nn.MaxPool2d(2), nn.ReLU(), nn.BatchNorm2d(3), nn.Softmax(1)),
        (3, 8, 8),
        0,
    ),
}


class Query(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x, x, x)[0]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("numbers", [False, True], ids=["without numbers", "with numbers"])
def test_macs_of(name, numbers):
    model, shape, expected = CASES[name]
    model = Query(model) if isinstance(model, nn.MultiheadAttention) else model
    summary = inspect(Looking(model) if numbers else model, shape)
    assert bool(summary.notes and "run on zeros" in summary.notes[0]) == numbers
    assert summary.totals.macs == expected
    assert summary.totals.flops == 2 * expected


def test_a_batch_changes_no_count():
    one, many = (inspect(Twice(), (4, 6, 6), batch_size=size) for size in (1, 5))
    assert [row.as_dict() for row in one] == [row.as_dict() for row in many]


def test_a_recurrent_layer_counts_every_step():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(3, 5, batch_first=True)

        def forward(self, x):
            return self.lstm(x)[0]

    expected = 7 * 4 * 5 * (3 + 5)
    assert inspect(Recurrent(), (7, 3)).totals.macs == expected
    assert inspect(Looking(Recurrent()), (7, 3)).totals.macs == expected


def test_torchs_own_counter_agrees_where_it_is_right():
    model = striate.build("lenet5")
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 1, 32, 32))
    totals = inspect(model, (1, 32, 32)).totals
    assert (totals.flops, totals.macs) == (counter.get_total_flops(), 416_520)


@pytest.mark.parametrize(
    ("model", "shape", "expected"),
    [
        (nn.Conv2d(1, 6, 5), (1, 32, 32), 122_304),  # C1 of LeNet-5, LeCun et al. 1998
        (nn.Conv2d(1, 6, 5, bias=False), (1, 32, 32), 122_304 - 6 * 28 * 28),
        (nn.Conv2d(16, 120, 5), (16, 5, 5), 48_120),  # C5
        (nn.Linear(120, 84), (120,), 10_164),  # F6
        (Attention(), (2, 10, 8), 0),  # products of the input with itself: no weight is used
        (Own(lambda x, w: x @ w, (6, 10)), (4, 6), 240),
        (Own(lambda x, b: x + b, (6, 3, 1)), (6, 3, 5), 90),  # a bias for each unit, or for each row of them
        (Own(lambda x: x + x + 1), (4, 6), 0),
        (Own(lambda x, w, b: F.bilinear(x, x, w, b), (4, 6, 6), (4,)), (5, 6), 5 * (4 * 36 + 4)),
    ],
)
def test_connections_are_weights_and_biases_as_often_as_they_are_used(model, shape, expected):
    assert inspect(model, shape).totals.connections == expected


def test_what_multiplies_and_is_not_counted_is_said():
    summary = inspect(Own(lambda x: torch.linalg.inv(torch.fft.fft(x).real)), (4, 6, 6))
    assert summary.totals.macs == 0
    assert "MACs leave out _fft_r2c, linalg_inv_ex, which multiply by an algorithm of their own" in summary.notes
    assert not inspect(Own(lambda x: torch.linalg.vector_norm(x, dim=2)), (4, 6, 6)).notes


@pytest.mark.parametrize(("dtype", "size"), [(torch.float32, 4), (torch.float16, 2), (torch.float64, 8)])
def test_intensity_is_by_the_bytes_of_the_numbers_that_move(dtype, size):
    totals = inspect(nn.Conv2d(4, 6, 3, dtype=dtype), (4, 10, 10), dtype=dtype, batch_size=5).totals
    weights, moved = 6 * 4 * 9 + 6, 4 * 100 + 6 * 64
    assert totals.intensity == pytest.approx(2 * 5 * 6 * 64 * 36 / (size * (weights + 5 * moved)))


def test_tokens_are_as_large_as_they_are():
    model = nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 3))
    totals = inspect(model, (7,), dtype=torch.int64).totals
    embedding, linear = 8 * 7 + 4 * 28, 4 * (28 + 21)
    assert totals.intensity == pytest.approx(2 * 7 * 12 / (4 * (40 + 15) + embedding + linear))
