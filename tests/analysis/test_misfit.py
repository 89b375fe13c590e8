"""Shapes that do not fit: where, both shapes, what would fit, and the rows up to there."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import striate
from striate.analysis.inspect import inspect
from striate.analysis.misfit import MisfitError
from striate.base.errors import ConfigError
from striate.layers.conv import Conv2d


class Net(nn.Module):
    def __init__(self, function, *layers):
        super().__init__()
        self.layers, self.function = nn.ModuleList(layers), function

    def forward(self, x):
        return self.function(x, *self.layers)


CASES = {
    "linear": (
        striate.build("lenet5"),
        (1, 28, 28),
        r"classifier\.1 \(linear\): the last axis of the input must be 400 features, got 256\.\n  Fix: .*=256",
    ),
    "forgotten flatten": (
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.Linear(72, 3)),
        (1, 8, 8),
        r"1 \(linear\): .* 72 features, got 2x6x6\.\n  Fix: flatten before it, which makes 2x6x6 a vector of 72",
    ),
    "channels": (
        nn.Sequential(nn.Conv2d(3, 8, 3)),
        (1, 8, 8),
        r"0 \(conv2d\): the channels of the input must be 3, got 1x8x8\.\n  Fix: build it with in_channels=1",
    ),
    "small map": (
        nn.Sequential(nn.MaxPool2d(4), nn.Conv2d(3, 8, 5)),
        (3, 12, 12),
        r"1 \(conv2d\): the map must be at least as large as the 5x5 kernel, got 3x3x3\.\n  Fix: use pad 1, a 3x3",
    ),
    "small map for a pooling": (
        nn.Sequential(nn.MaxPool2d(4)),
        (3, 3, 9),
        r"0 \(max_pool2d\): the map must be at least as large as the 4x4 kernel, got 3x3x9",
    ),
    "functional pooling": (
        Net(lambda x: F.avg_pool2d(x, 7)),
        (3, 5, 5),
        r"avg_pool2d: the map must be .* 7x7 kernel, got 3x5x5",
    ),
    "transposed": (
        nn.ConvTranspose2d(4, 2, 3),
        (3, 5, 5),
        r"conv_transpose2d: the channels of the input must be 4, got 3x5x5",
    ),
    "batch norm": (
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(8)),
        (1, 8, 8),
        r"1 \(batch_norm\): the channels of the input must be 8, got 4x6x6\.\n  Fix: build it with num_features=4",
    ),
    "residual channels": (
        Net(lambda x, a: x + a(x), nn.Conv2d(2, 4, 3, padding=1)),
        (2, 6, 6),
        r"add: the two inputs must be of one shape, got 1x2x6x6 and 1x4x6x6\.\n  Fix: a 1x1 convolution to 2 channels",
    ),
    "residual size": (
        Net(lambda x, a: x + a(x), nn.Conv2d(2, 2, 3)),
        (2, 6, 6),
        r"add: .* got 1x2x6x6 and 1x2x4x4\.\n  Fix: padding \"same\"",
    ),
    "concatenation": (
        Net(lambda x, a: torch.cat([x, a(x)], 1), nn.Conv2d(2, 2, 3)),
        (2, 6, 6),
        r"cat: the inputs must be alike .* got 1x2x6x6 and 1x2x4x4",
    ),
    "matmul": (Net(lambda x: x @ x), (3, 4), r"matmul: the two factors must be .* got 1x3x4 and 1x3x4"),
    "view": (
        Net(lambda x: x.view(-1, 7)),
        (3, 4),
        r"view: what goes in must be .* got 1x3x4\.\n  Fix: shape '\[-1, 7\]' is invalid",
    ),
    "our own layer": (
        nn.Sequential(Conv2d(3, 2, 3, padding="full")),
        (1, 5, 5),
        r"the channels of the input must be 3, got 1",
    ),
    "nothing of torch's": (
        Net(lambda x: x.undefined),
        (3,),
        r"Net: the network must be one that runs .* got AttributeError: 'Tensor' object has no attribute 'undefined'",
    ),
    "more than one input": (
        Net(lambda x, _: x),
        (3,),
        r"Net: the network must be .* missing 1 required positional argument",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_it_is_named_with_what_would_fit(name):
    model, shape, message = CASES[name]
    with pytest.raises(MisfitError, match=message):
        inspect(model, shape)


def test_the_rows_up_to_there_are_shown():
    with pytest.raises(ConfigError) as caught:
        inspect(striate.build("lenet5"), (1, 28, 28))
    shown = str(caught.value).split("\n\n")[1]
    assert "features.0" in shown
    assert "6x24x24" in shown
    assert "classifier.0" in shown
    assert "classifier.1" not in shown


@pytest.mark.parametrize("shape", [(), (0, 3), (3, -1, 3)])
def test_an_impossible_input_is_refused(shape):
    with pytest.raises(ConfigError, match=r"inspect: input_shape must be whole numbers >= 1"):
        inspect(nn.ReLU(), shape)


def test_no_batch_is_refused():
    with pytest.raises(ConfigError, match=r"inspect: batch_size must be a whole number >= 1, got 0"):
        inspect(nn.ReLU(), (3,), batch_size=0)


def test_what_cannot_be_trained_is_noted():
    """Batch normalisation of one number a channel: torch refuses a batch of one."""
    summary = inspect(nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)), (3,))
    assert summary.totals.peak_training_bytes is None
    assert "memory of training unknown" in summary.notes[0]
    assert inspect(nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)), (3,), batch_size=2).totals.peak_training_bytes


class Two(nn.Module):
    def forward(self, x, y):
        return x + y


class Broken(nn.Module):
    def forward(self, _):
        raise KeyError("first line\nsecond line")


@pytest.mark.parametrize(
    ("model", "shape", "options", "said"),
    [
        (Two(), (3,), {}, "wrap it in a module of one input"),
        (Broken(), (3,), {}, r"got KeyError: 'first line\\nsecond line' \(test_misfit.py, line \d+\)"),
        (
            nn.Conv2d(3, 4, 3).double(),
            (3, 8, 8),
            {"dtype": torch.float32},
            "own type, such as dtype=torch.float64",
        ),
        (nn.LazyLinear(3), (3,), {}, "call it once on a batch"),
        (nn.Linear, (3,), {}, "model must be an nn.Module"),
        (nn.Linear(3, 3), 3, {}, "input_shape must be whole numbers >= 1, got 3"),
        (nn.Linear(3, 3), (3.0,), {}, "input_shape must be whole numbers"),
        (nn.Linear(3, 3), (3,), {"batch_size": True}, "batch_size must be a whole number"),
        (
            nn.Linear(3, 3),
            (3,),
            {"batch_size": 10**18},
            "at most 1,099,511,627,776 numbers",
        ),
        (nn.Linear(3, 3), (3,), {"dtype": "float32"}, "dtype must be a torch.dtype"),
    ],
)
@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_what_cannot_be_inspected_says_why(model, shape, options, said):
    with pytest.raises(ConfigError, match=said):
        inspect(model, shape, **options)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
def test_a_scripted_module_cannot_be_observed():
    with pytest.raises(ConfigError, match="inspect the module that it was made from"):
        inspect(torch.jit.script(nn.Linear(3, 3)), (3,))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.complex64])
def test_the_input_has_the_type_of_the_weights(dtype):
    summary = inspect(nn.Linear(3, 2, dtype=dtype), (np.int64(3),))
    assert (summary.input_bytes, summary.totals.macs) == (3 * dtype.itemsize, 6)


def test_a_network_that_gives_nothing_says_so():
    class Nothing(nn.Module):
        def forward(self, x):
            x + 1

    assert inspect(Nothing(), (3,)).notes[0].startswith("it gives no tensor")
