import re

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from striate.analysis.inspect import inspect
from striate.layers.dropout import Dropout
from striate.models.card import tokens
from striate.models.catalogue import MODELS, options, skeleton


def advice(model, shape):
    return list(inspect(model, shape).advice)


@pytest.mark.parametrize("name", [name for name in MODELS if name != "resnet50-2015"])
def test_published_networks_have_no_fault(name):
    with torch.device("meta"):
        model = skeleton(name, options(name))
    kind = torch.int64 if MODELS[name].sample is tokens else torch.float32
    assert inspect(model, MODELS[name].sample(options(name)), dtype=kind).advice == ()


def pooled(*layers, channels=8):
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


def test_pooling_all_places_of_a_narrow_view():
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1)]
    (said,) = advice(pooled(*layers), (3, 32, 32))
    assert said.startswith("2: sees 5 of 32 pixels of the input before 3 pools all places;")
    assert advice(pooled(*layers), (3, 7, 7)) == []


def test_a_view_is_as_narrow_as_its_narrowest_axis():
    (said,) = advice(pooled(nn.Conv2d(3, 8, (31, 3), padding=(15, 1))), (3, 32, 16))
    assert "sees 3 of 16 pixels" in said


def test_decisions_for_each_pixel_from_a_narrow_view():
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 2, 1)]
    (said,) = advice(nn.Sequential(*layers), (3, 16, 16))
    assert said.startswith("2: decides each place from 5 of 16 pixels of the input")
    assert advice(nn.Sequential(*layers), (3, 9, 9)) == []


def test_a_part_of_a_network_decides_nothing():
    assert advice(nn.Conv2d(3, 8, 3, padding=1), (3, 64, 64)) == []


@pytest.mark.parametrize(
    ("kernel", "size", "words"),
    [
        (3, 1, "the 3x3 kernel meets a map of one place, all else is padding"),
        (3, 2, "56% of what 3x3 windows cover on the 2x2 map is padding"),
        (3, 3, None),
        (5, 5, None),
        (5, 4, "51% of what 5x5 windows cover on the 4x4 map is padding"),
        (7, 4, "67% of what 7x7 windows cover on the 4x4 map is padding"),
    ],
)
def test_windows_on_padding(kernel, size, words):
    """Counted by hand: of the 3 entries of 2 windows on 2 pixels 4 lie on the map, 4 / 9 of a square window."""
    conv = nn.Conv2d(2, 2, kernel, padding=kernel // 2)
    said = advice(nn.Sequential(nn.Upsample(size=(size, size)), conv), (2, 8, 8))
    assert [text.partition(";")[0] for text in said] == ([f"1: {words}"] if words else [])


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 3), st.integers(0, 8), st.integers(1, 3))
def test_windows_on_padding_are_counted_as_convolution_counts_them(size, kernel, stride, padding, dilation):
    """A convolution of ones over ones is the number of entries on the map."""
    if size + 2 * padding < dilation * (kernel - 1) + 1 or not padding:
        return
    conv = nn.Conv1d(1, 1, kernel, stride, padding, dilation)
    ones = F.conv1d(torch.ones(1, 1, size), torch.ones(1, 1, kernel), None, stride, padding, dilation)
    share = 1 - ones.mean().item() / kernel
    said = [text for text in advice(conv, (1, size)) if "padding" in text]
    if size == 1:
        assert said[0].startswith(f"Conv1d: the {kernel} kernel meets a map of one place")
    elif share > 0.5001:
        told = re.match(r"Conv1d: (\d+)% of what", said[0])
        assert told
        assert abs(int(told[1]) - 100 * share) < 0.5001
    elif share < 0.4999 and ones.min() == 0:
        assert said == [f"Conv1d: windows at the border see padding alone; pad by less than the {kernel} kernel"]
    elif share < 0.4999:
        assert said == []


def test_strides_that_skip_pixels():
    (said,) = advice(nn.Sequential(nn.Conv2d(3, 8, 3, stride=4)), (3, 16, 16))
    assert said.startswith("0: the stride is wider than the window")
    assert advice(nn.Sequential(nn.Conv2d(3, 8, 4, stride=4)), (3, 16, 16)) == []
    assert advice(nn.Sequential(nn.Conv2d(3, 8, 3, stride=4, dilation=2)), (3, 16, 16)) == []


class Shortcut(nn.Module):
    """A 1x1 convolution that skips pixels beside one that does or does not."""

    def __init__(self, kernel):
        super().__init__()
        self.main = nn.Conv2d(4, 4, kernel, stride=2, padding=kernel // 2)
        self.short = nn.Conv2d(4, 4, 1, stride=2)

    def forward(self, x):
        return self.main(x) + self.short(x)


def test_what_a_shortcut_skips_others_may_see():
    assert advice(Shortcut(3), (4, 8, 8)) == []
    (said,) = advice(Shortcut(1), (4, 8, 8))
    assert said.startswith("main and short: the stride")


def test_resnet50_as_published_first_never_sees_three_pixels_of_four():
    """He et al. 2016 put the stride into the 1x1 convolutions of both ways."""
    with torch.device("meta"):
        model = skeleton("resnet50-2015", options("resnet50-2015"))
    (said,) = advice(model, (3, 224, 224))
    assert said.startswith("layer2.0.conv1, layer2.0.downsample.0, layer3.0.conv1 and 3 more: the stride")


def test_a_waist_narrower_than_the_classes():
    model = nn.Sequential(nn.Linear(20, 4), nn.ReLU(), nn.Linear(4, 10))
    assert advice(model, (20,)) == ["0: leaves 4 numbers for 10 outputs; give it at least as many"]
    assert advice(nn.Sequential(nn.Linear(20, 10), nn.Linear(10, 10)), (20,)) == []


def test_a_code_may_be_narrow():
    assert advice(nn.Sequential(nn.Linear(20, 4), nn.ReLU(), nn.Linear(4, 20)), (20,)) == []


def test_a_narrow_side_way_is_no_waist():
    class Squeeze(nn.Module):
        def __init__(self):
            super().__init__()
            self.down, self.up, self.head = nn.Linear(32, 2), nn.Linear(2, 32), nn.Linear(32, 10)

        def forward(self, x):
            return self.head(x * self.up(self.down(x)).sigmoid())

    assert advice(Squeeze(), (32,)) == []


def test_a_bias_before_batch_norm():
    layers = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, bias=False), nn.BatchNorm2d(8)]
    model = nn.Sequential(*layers)
    assert advice(model, (3, 8, 8)) == ["0: the normalisation behind takes the bias away again; bias=False saves it"]


def test_a_bias_that_goes_elsewhere_too_is_of_use():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.bn = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

        def forward(self, x):
            y = self.conv(x)
            return self.bn(y) + y

    assert advice(Both(), (3, 4, 4)) == []


def test_activations_that_repeat():
    assert advice(nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Tanh()), (4,)) == [
        "2: repeats the activation before, 1; one is enough"
    ]


RELU = "no negative number comes here, so ReLU changes nothing; leave it out"


def test_relu_on_what_is_never_negative():
    pools = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2), nn.ReLU())
    assert advice(pools, (1, 8, 8)) == [f"3: {RELU}"]
    passed = nn.Sequential(nn.Linear(4, 4), nn.Sigmoid(), nn.Dropout(), nn.Unflatten(1, (2, 2)), nn.ReLU())
    assert advice(passed, (4,)) == [f"4: {RELU}"]


class Sum(nn.Module):
    """ReLU of what was rectified and something else together."""

    def __init__(self, how):
        super().__init__()
        self.a, self.b, self.how = nn.Linear(4, 4), nn.Linear(4, 4), how
        self.scale = nn.Parameter(-torch.ones(4))

    def forward(self, x):
        y, other = F.relu(self.a(x)), self.b(x)
        together = {
            "sum": lambda: y + F.relu(other),
            "join": lambda: torch.cat([y, F.relu(other)], 1),
            "signed sum": lambda: y + other,
            "difference": lambda: y - 1,
            "negative number": lambda: y + -1,
            "parameter": lambda: y + self.scale,
            "product": lambda: y * self.scale,
            "negated": lambda: -y,
        }
        return F.relu(together[self.how]())


@pytest.mark.parametrize("how", ["sum", "join"])
def test_relu_of_rectified_numbers_changes_nothing(how):
    assert any(RELU in text for text in advice(Sum(how), (4,)))


@pytest.mark.parametrize("how", ["signed sum", "difference", "negative number", "parameter", "product", "negated"])
def test_relu_is_of_use_where_something_can_be_negative(how):
    assert not any(RELU in text for text in advice(Sum(how), (4,)))


def test_dropout_that_drops_nothing_beside_some_that_does():
    def network(first, second):
        return nn.Sequential(nn.Linear(4, 4), Dropout(first), nn.Linear(4, 4), nn.Dropout(second), nn.Linear(4, 2))

    assert advice(network(0.0, 0.5), (4,)) == ["1: drops nothing (p = 0); set p or leave it out"]
    assert advice(network(0.0, 0.0), (4,)) == []  # switched off as a whole
    assert advice(network(0.2, 0.5), (4,)) == []


def test_groups_that_never_mix():
    layers = [nn.Conv2d(4, 8, 3, groups=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=4)]
    said = [text for text in advice(nn.Sequential(*layers), (4, 8, 8)) if "mix" in text]
    assert said == ["0 and 3: the 2 groups never mix, so these are 2 networks side by side; a 1x1 convolution mixes"]
    for mixer in (nn.Conv2d(8, 8, 1), nn.ChannelShuffle(2), nn.Softmax(1), nn.LocalResponseNorm(3), nn.Flatten()):
        more = [mixer, *([nn.Linear(128, 2)] if isinstance(mixer, nn.Flatten) else [])]
        assert not [text for text in advice(nn.Sequential(*layers, *more), (4, 8, 8)) if "mix" in text], mixer


def test_parameters_that_are_not_used():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    model.head = nn.Linear(4, 7)
    model.forward = lambda x: model[1](model[0](x))
    assert advice(model, (4,)) == [
        "35 parameters are not used in this pass, head.weight among them; leave them out if no other pass needs them"
    ]


def test_rows_of_which_the_same_is_said_share_a_sentence():
    layers = [layer for _ in range(5) for layer in (nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2))]
    (said,) = advice(nn.Sequential(*layers), (2, 1, 1))
    assert said.startswith("0, 2, 4 and 2 more: the normalisation behind")


def test_nothing_is_said_of_nothing():
    assert advice(nn.Identity(), (3, 4, 4)) == []
