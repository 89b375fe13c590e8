"""Receptive fields against what autograd measures."""

from itertools import product

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.analysis.measure import linearised, support
from torch import nn

from striate.analysis.field import Atom, Field, Interval, image, merged
from striate.analysis.inspect import inspect
from striate.analysis.trace import Trace, run


def fields(model, shape):
    """The field of the output, by a run without numbers."""
    trace = Trace(model)
    y = run(trace, model, [torch.zeros((1, *shape), device="meta")], axes=len(shape) - 1, training=False)
    return trace.ledger[y].field


def compare(model, shape):
    """At several places: nothing outside of the field is seen; an exact one is filled where no border is near."""
    field = fields(model, shape)
    x = torch.rand((1, *shape), dtype=torch.float64).requires_grad_()
    y = linearised(model)(x)
    assert field.shape == tuple(y.shape)
    some = [sorted({0, n // 3, n // 2, n - 1}) for n in y.shape[2:]]
    for place in product(*some):
        claimed, measured = field.at((0, 0, *place)), support(y, x, place)
        inside = all(low >= 0 and high < n for (low, high), n in zip(claimed, shape[1:], strict=True))
        for (low, high), ends, interval in zip(claimed, measured, field.intervals, strict=True):
            assert ends is None or low <= ends[0] <= ends[1] <= high, place
            if inside and interval.exact:
                assert ends == (low, high), place
    return field


def rounds(draw, dims, size):
    """A layer that fits a map of this size."""
    kernel = draw(st.integers(1, min(4, size)))
    kind = draw(st.sampled_from(["conv", "grouped", "pool", "ceil", "dilated", "transposed", "up", "pad"]))
    conv = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[dims]
    pool = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}[dims]
    back = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}[dims]
    padding = draw(st.integers(0, kernel // 2))
    stride = draw(st.integers(1, 3))
    match kind:
        case "conv":
            return conv(2, 2, kernel, stride, padding)
        case "grouped":
            return conv(2, 2, kernel, stride, padding, groups=2)
        case "dilated" if kernel > 1 and 2 * (kernel - 1) + 1 <= size:
            return conv(2, 2, kernel, 1, padding, dilation=2)
        case "pool":
            return pool(kernel, stride, padding)
        case "ceil":
            return pool(kernel, stride, ceil_mode=True)
        case "transposed":
            return back(2, 2, kernel, min(stride, kernel))
        case "up":
            return nn.Upsample(scale_factor=2, mode="nearest")
        case _:
            constant = {1: nn.ConstantPad1d, 2: nn.ConstantPad2d, 3: nn.ConstantPad3d}[dims]
            return constant((1, 2) * dims, 0.0)


@st.composite
def networks(draw, dims):
    sizes = tuple(draw(st.integers(7, 14)) for _ in range(dims))
    layers, x = [], torch.zeros(1, 2, *sizes, device="meta")
    for _ in range(draw(st.integers(1, 4))):
        layer = rounds(draw, dims, min(x.shape[2:]))
        layers.append(layer)
        x = layer.to("meta")(x)
        if min(x.shape[2:]) < 2 or max(x.shape[2:]) > 30:
            break
    return nn.Sequential(*layers).to_empty(device="cpu"), (2, *sizes)


@given(networks(dims=1))
@settings(max_examples=120, deadline=None)
def test_one_axis(drawn):
    model, shape = drawn
    compare(model, shape)


@given(networks(dims=2))
@settings(max_examples=60, deadline=None)
def test_two_axes(drawn):
    model, shape = drawn
    compare(model, shape)


@given(networks(dims=3))
@settings(max_examples=15, deadline=None)
def test_three_axes(drawn):
    model, shape = drawn
    compare(model, shape)


class Functional(nn.Module):
    """A network that is a function."""

    def __init__(self, function, *layers):
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.function = function

    def forward(self, x):
        return self.function(x, *self.layers)


CONV = lambda *options, **more: nn.Conv2d(2, 2, *options, **more)  # noqa: E731 - a word for what all of them share
EXACT = {
    "branches": Functional(lambda x, a, b: torch.cat([a(x), b(x)], 1), CONV(1), CONV(5, padding=2)),
    "residual": Functional(lambda x, a, b: x + b(a(x)), CONV(3, padding=1), CONV(3, padding=1)),
    "strided residual": Functional(lambda x, a, b: a(x) + b(x), CONV(1, stride=2), CONV(3, 2, 1)),
    "functional pooling": Functional(lambda x, a: F.avg_pool2d(a(x), 3, 2), CONV(3)),
    "dilated and same": Functional(lambda x, a: a(x), CONV((3, 5), dilation=(2, 1), padding="same")),
    "shuffled channels": Functional(lambda x, a: a(x.unflatten(1, (2, 1)).transpose(1, 2).flatten(1, 2)), CONV(3)),
    "pixels as a batch": Functional(
        lambda x, a: a(x.permute(0, 2, 3, 1).reshape(-1, 2)).view(1, 12, 13, 2).permute(0, 3, 1, 2), nn.Linear(2, 2)
    ),
    "linear on four axes": Functional(lambda x, a: a(x.movedim(1, -1)).movedim(-1, 1), nn.Linear(2, 2)),
    "cut": Functional(lambda x, a: a(x)[:, :, 2:, ::2], CONV(3)),
    "turned round": Functional(lambda x, a, b: b(a(x).flip(2)), CONV(3, stride=2), CONV(2)),
    "put together again": Functional(
        lambda x, a: torch.cat([a(x)[:, :, :4], a(x)[:, :, 4:]], 2), CONV(3, stride=2, padding=1)
    ),
    "space to depth": Functional(lambda x, a: a(F.pixel_unshuffle(x[..., :12], 2)), nn.Conv2d(8, 2, 2)),
    "windows as channels": Functional(
        lambda x, a: a(F.unfold(x, 3, padding=1, stride=2).unflatten(2, (6, 7))), nn.Conv2d(18, 2, 2)
    ),
    "same windows by views": Functional(
        lambda x, a: a(x.unfold(2, 3, 2).unfold(3, 3, 2).permute(0, 1, 4, 5, 2, 3).flatten(1, 3)), nn.Conv2d(18, 2, 2)
    ),
    "gated by the whole": Functional(lambda x, a: a(x) * a(x).mean((2, 3), keepdim=True), CONV(3)),
    "rows mixed": Functional(lambda x, a: a(x) @ torch.ones(11, 5, dtype=x.dtype, device=x.device), CONV(3)),
    "normalised over space": Functional(lambda x, a, b: b(a(x)), CONV(3), nn.GroupNorm(1, 2)),
    "instance norm": Functional(lambda x, a, b: b(a(x)), CONV(3), nn.InstanceNorm2d(2)),
    "running sums": Functional(lambda x, a, b: b(a(x).cumsum(3)), CONV(3), CONV(2)),
    "gated by its other half": Functional(lambda x, a: F.glu(a(x), 2), CONV((3, 1))),
    "every second row beside the others": Functional(
        lambda x, a: torch.stack([a(x)[:, :, ::2], a(x)[:, :, 1::2]], 3).flatten(2, 3), CONV(3, padding=1)
    ),
    "channels written over": Functional(lambda x, a: _channel_over(x, a), CONV(3, padding=1)),
    "interleaved": Functional(lambda x, a: F.pixel_shuffle(a(x), 2), nn.Conv2d(2, 8, 3)),
    "repeated": Functional(lambda x, a: a(x).repeat_interleave(2, 2), CONV(3)),
    "global pooling": Functional(lambda x, a: F.adaptive_avg_pool2d(a(x), 1), CONV(3)),
}
BOUNDS = {
    "strides that disagree": Functional(
        lambda x, a, b: a(x)[:, :, :5, :5] + b(x)[:, :, :5, :5], CONV(5, 2, 2), CONV(5)
    ),
    "transposed": Functional(lambda x, a, b: b(a(x)), CONV(3, 2, 1), nn.ConvTranspose2d(2, 2, 4, 2, 1)),
    "bilinear": Functional(lambda x, a: F.interpolate(a(x), scale_factor=1.7, mode="bilinear"), CONV(3, 2)),
    "corners aligned": Functional(
        lambda x, a: F.interpolate(a(x), size=(17, 9), mode="bicubic", align_corners=True), CONV(3)
    ),
    "nearest": Functional(lambda x, a: F.interpolate(a(x), scale_factor=3, mode="nearest-exact"), CONV(3, 2)),
    "uneven windows": Functional(lambda x, a: F.adaptive_avg_pool2d(a(x), (3, 4)), CONV(3)),
    "rolled": Functional(lambda x, a: a(x).roll(2, 3), CONV(3)),
    "written over": Functional(lambda x, a: _written_over(x, a), CONV(3, padding=1)),
    "every second row written": Functional(lambda x, a: _rows(x, a), CONV(3, padding=1)),
    "turned round and added": Functional(lambda x, a: a(x) + a(x).flip(3), CONV(3, padding=1)),
    "branches above each other": Functional(
        lambda x, a, b: torch.cat([a(x), b(x)], 2), CONV((1, 3), padding=(0, 1)), CONV(1)
    ),
    "circular": Functional(lambda x, a: a(x), CONV(3, padding=1, padding_mode="circular")),
    "windows put back": Functional(lambda x: F.fold(F.unfold(x, 3, padding=1), (12, 13), 3, padding=1)),
    "unknown to every table": Functional(lambda x, a: torch.fft.fft2(a(x)).real, CONV(3)),
}


def _written_over(x, a):
    y = a(x).clone()
    y[:, :, 3:5] = x[:, :, 6:8]
    return y


def _rows(x, a):
    y = torch.zeros_like(x)
    y[:, :, ::2] = a(x)[:, :, ::2]
    return y


def _channel_over(x, a):
    y = x.clone()
    y[:, :1] = a(x)[:, :1]
    return y


@pytest.mark.parametrize("name", EXACT)
def test_exact_through(name):
    field = compare(EXACT[name], (2, 12, 13))
    assert all(interval.exact for interval in field.intervals)


@pytest.mark.parametrize("name", BOUNDS)
def test_a_bound_through(name):
    field = compare(BOUNDS[name], (2, 12, 13))
    assert not all(interval.exact for interval in field.intervals)


SIGHTS = {  # along the last axis of 24 pixels, by hand
    "pixel shuffle": (Functional(lambda x: F.pixel_shuffle(x, 2)), (1, 0.5, 0, 0, "bound")),
    "and an activation": (Functional(lambda x: F.pixel_shuffle(x, 2).relu()), (1, 0.5, 0, 0, "bound")),
    "repeated": (Functional(lambda x: x.repeat_interleave(2, 3).relu()), (1, 0.5, 0, 0, "bound")),
    "repeated as a view": (
        Functional(lambda x: x[..., None].expand(*x.shape, 3).reshape(1, 4, 24, 72)),
        (1, 1 / 3, 0, 0, "bound"),
    ),
    "two halves in turn": (
        Functional(lambda x: torch.stack([x[..., ::2], x[..., 1::2]], 4).flatten(3)),
        (1, 1, 0, 0, "exact"),
    ),
    "two branches in turn": (  # output 2 k is of the branch that sees k - 1 to k + 1, output 2 k + 1 of k alone
        Functional(lambda x, a: torch.stack([a(x), x], 4).flatten(3), nn.Conv2d(4, 4, 3, padding=1)),
        (3, 0.5, -1, 1, "bound"),
    ),
    "turned round": (Functional(lambda x, a: a(x).flip(3), nn.Conv2d(4, 4, 3, 2)), (3, 2, 20, -21, "exact")),
    "turned round and added": (Functional(lambda x: x + x.flip(3)), (24, 0, 0, 0, "bound")),
    "running sum": (Functional(lambda x: x.cumsum(3)), (24, 1, -23, 0, "exact")),
    "mirrored border": (Functional(lambda x: F.pad(x, (3, 3, 3, 3), mode="reflect")), (1, 1, -3, 3, "exact")),
    "rolled": (Functional(lambda x: x.roll(2, 3)), (24, 0, 0, 0, "bound")),
    "circular": (nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"), (24, 0, 0, 0, "bound")),
    "windows put back": (
        Functional(lambda x: F.fold(F.unfold(x, 3, padding=1), (24, 24), 3, padding=1)),
        (24, 0, 0, 0, "bound"),
    ),
    "masked attention": (
        Functional(lambda x: F.scaled_dot_product_attention(*[x.transpose(2, 3)] * 3, is_causal=True)),
        (24, 0, 0, 0, "bound"),
    ),
    "mean of all": (Functional(lambda x, a: a(x).mean((2, 3)), nn.Conv2d(4, 4, 3)), (24, 0, 0, 0, "whole input")),
    "in one row": (Functional(lambda x, a: a(x).flatten(1), nn.Conv2d(4, 4, 3, 2)), (3, 2, 0, -1, "exact")),
}


@pytest.mark.parametrize("name", SIGHTS)
def test_what_is_said_of(name):
    model, expected = SIGHTS[name]
    one = inspect(model, (4, 24, 24)).rows[-1].sights[-1]
    assert (one.receptive_field, one.jump, one.start, one.after, one.status) == expected


def test_one_signal_in_one_row_keeps_its_jump():
    (one,) = inspect(nn.Sequential(nn.Conv1d(2, 3, 3, 2), nn.Flatten()), (2, 9)).rows[-1].sights
    assert (one.receptive_field, one.jump, one.status) == (3, 2, "exact")


def test_attention_sees_every_place():
    layer = nn.MultiheadAttention(4, 2, batch_first=True)

    def attend(x, layer):
        tokens = x.flatten(2).transpose(1, 2)
        return layer(tokens, tokens, tokens)[0].transpose(1, 2).view_as(x)

    summary = inspect(Functional(attend, layer), (4, 3, 5))
    assert [one.status for one in summary.rows[-1].sights] == ["whole input"] * 2


def test_tokens_have_one_axis():
    model = nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 3))
    (sight,) = inspect(model, (7,), dtype=torch.int64).rows[-1].sights
    assert (sight.receptive_field, sight.jump, sight.start) == (1, 1, 0)


def test_the_closed_form_of_the_distill_article():
    """Araujo, Norris and Sim 2019: its worked examples."""
    two = image((1, 1, 20)).window(2, 3, stride=3, before=1, out=6).window(2, 2, out=5)
    assert two.at((0, 0, 0)) == ((-1, 4),)
    paths = [
        image((1, 1, 20)).window(2, 1, stride=4, out=5),
        image((1, 1, 20)).window(2, 3, stride=2, before=1, out=10).window(2, 1, stride=2, out=5),
    ]
    aligned = merged(paths, (1, 1, 5))
    assert aligned.intervals == (Interval(-1, 1, exact=True),)
    assert aligned.jumps() == (4,)


def test_two_paths_that_do_not_align_are_a_bound():
    """The article's example: its second output uses 6 inputs, its third 5."""
    paths = [
        image((1, 1, 7)).window(2, 5, stride=2, before=2, out=3),
        image((1, 1, 7)).window(2, 3, out=5).window(2, 3, out=3),
    ]
    field = merged(paths, (1, 1, 3))
    assert not field.intervals[0].exact
    for place, (low, high) in enumerate([(-2, 4), (0, 5), (2, 6)]):
        found = field.at((0, 0, place))[0]
        assert found[0] <= low <= high <= found[1]


def test_a_reshape_that_takes_pixels_apart_keeps_their_places():
    field = image((1, 2, 6)).reshaped((1, 2, 3, 2))
    assert field.dims[2:] == ((Atom(3, (2,)),), (Atom(2, (1,)),))
    assert field.reshaped((1, 2, 6)) == image((1, 2, 6))
    assert field.reshaped((2, 6)).at((1, 5)) == ((5, 5),)


def test_sizes_that_do_not_divide_may_be_anywhere():
    field = image((1, 4, 9)).reshaped((1, 6, 6))
    assert field.intervals == (Interval(0, 8, exact=False),)
    assert isinstance(field, Field)
