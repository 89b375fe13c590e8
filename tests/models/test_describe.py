from collections import OrderedDict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

from striate.base.errors import ConfigError
from striate.base.network import KINDS, Branches
from striate.layers.branches import Add, Concatenate
from striate.layers.conv import Conv2d
from striate.layers.conv_transpose import ConvTranspose2d
from striate.layers.dropout import Dropout
from striate.layers.hard_limit import HardLimit
from striate.layers.local_response_norm import LocalResponseNorm
from striate.layers.lp_pool import LPPool2d
from striate.layers.maxout import Maxout
from striate.layers.scaled_tanh import ScaledTanh
from striate.layers.stochastic_pool import StochasticPool2d
from striate.layers.table_conv import TableConv2d
from striate.models.describe import describe
from striate.models.described import described
from striate.models.notation import parse
from striate.models.writing import write

LENET5 = nn.Sequential(
    nn.Sequential(
        OrderedDict(conv1=nn.Conv2d(1, 6, 5, padding=2), act1=nn.ReLU(), pool1=nn.MaxPool2d(2)),
    ),
    nn.Sequential(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
    *(nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Dropout(0.25), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
)


def positive():
    """Between other layers: what the stochastic pooling needs."""
    return nn.Sigmoid()


TORCHS = {
    "lenet5": ((1, 28, 28), LENET5),
    "signal": (
        (2, 20),
        nn.Sequential(
            *(nn.Conv1d(2, 4, 3, stride=2, groups=2, bias=False), nn.BatchNorm1d(4, 1e-3, 0.2), nn.LeakyReLU(0.2)),
            *(nn.AvgPool1d(3, 2, 1, True, False), nn.ConvTranspose1d(4, 2, 3, 2, 1, 1), nn.AdaptiveMaxPool1d(3)),
            *(nn.LPPool1d(2, 2), nn.Flatten(), nn.Softmax(-1)),
        ),
    ),
    "volume": (
        (2, 6, 6, 6),
        nn.Sequential(
            *(nn.Conv3d(2, 4, (3, 2, 1), padding=(1, 0, 0), padding_mode="circular"), nn.BatchNorm3d(4), nn.ELU(0.5)),
            *(nn.MaxPool3d(2, ceil_mode=True), nn.PReLU(4), nn.ChannelShuffle(2), nn.AdaptiveAvgPool3d((1, 2, 1))),
            *(nn.Softmax(1), nn.Flatten(1), nn.Linear(8, 3, bias=False)),
        ),
    ),
    "functions": (
        (4, 7, 7),
        nn.Sequential(
            *(nn.Identity(), nn.Tanh(), nn.SiLU(), nn.GELU(), nn.PReLU(), nn.LocalResponseNorm(3, 0.1, 0.5, 2.0)),
            *(nn.Conv2d(4, 4, 3, padding="same", dilation=2), positive(), nn.AvgPool2d(2, 1), nn.Softmax(-3)),
        ),
    ),
    "ours": (
        (4, 9, 9),
        nn.Sequential(
            *(Conv2d(4, 4, 3, 2, "same", flip_kernel=True), ScaledTanh(), Conv2d(4, 8, 2, padding=((1, 0), (0, 1)))),
            *(Maxout(2), LocalResponseNorm(3, k=2.0), LPPool2d(3, 2, 1), Dropout(0.3), positive(), StochasticPool2d(2)),
            *(ConvTranspose2d(4, 3, 3, padding=((0, 1), 1)), HardLimit()),
        ),
    ),
    "branches": (
        (4, 6, 6),
        nn.Sequential(
            Add(nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()), nn.Identity()),
            Concatenate(nn.Conv2d(4, 2, 1), nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.Conv2d(4, 3, 1)), nn.Identity()),
        ),
    ),
}


@pytest.mark.parametrize("name", TORCHS)
def test_module_description_text_description_module_computes_the_same(name):
    shape, module = TORCHS[name]
    network = describe(module, shape)
    again = parse(write(network))
    assert again == network
    twin = described(again)
    twin.load_state_dict(dict(zip(twin.state_dict(), module.state_dict().values(), strict=True)))
    x = torch.rand(3, *shape, generator=torch.Generator().manual_seed(0))
    assert_close(twin.eval()(x), module.eval()(x))


def test_every_kind_is_among_the_examples():
    found = {type(step.operation) for shape, module in TORCHS.values() for step in describe(module, shape).steps}
    assert found == set(KINDS.values())


def test_rows_within_rows_become_one_and_sizes_read_as_one_writes_them():
    text = write(describe(LENET5, (1, 28, 28)))
    assert text == (
        "input 1x28x28, conv 6 5x5 pad 2, relu, maxpool 2, conv 16 5x5, relu, maxpool 2, flatten, "
        "linear 120, relu, dropout 0.25, linear 84, relu, linear 10"
    )


def test_a_layer_that_comes_twice_is_there_twice():
    relu = nn.ReLU()
    row = nn.Sequential(nn.Linear(4, 4), relu, nn.Linear(4, 2), relu)
    assert write(describe(row, (4,))) == "input 4, linear 4, relu, linear 2, relu"


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.data())
def test_a_described_network_describes_itself(draw_network, data):
    network = draw_network(data)
    assert describe(described(network), network.input_shape) == network


class Own(nn.Module):
    def forward(self, x):
        return 2 * x


class OwnRow(nn.Sequential):
    def forward(self, x):
        return 2 * super().forward(x)


SHARED = nn.Linear(4, 4)
RELU6 = nn.Sequential(nn.ReLU(), nn.Sequential(nn.Tanh(), nn.ReLU6()))


@pytest.mark.parametrize(
    ("module", "shape", "said"),
    [
        (RELU6, (4,), r"module 1\.1 \(ReLU6\) on 4: a module must be one that has a description, got ReLU6"),
        (nn.Sequential(Own()), (4,), r"module 0 \(Own\)"),
        (nn.Sequential(OrderedDict(head=OwnRow())), (4,), r"module head \(OwnRow\)"),
        (nn.Sequential(Add(Own())), (4,), r"module 0\.0 \(Own"),
        (nn.Sequential(TableConv2d([[True]], 1)), (1, 4, 4), r"module 0 \(TableConv2d\)"),
        (Own(), (4,), r"the module must be an nn\.Sequential, got Own"),
        (OwnRow(), (4,), r"the module must be an nn\.Sequential, got OwnRow"),
        (nn.Sequential(nn.Linear(4, 2)), (4, 3), r"module 0 \(Linear\) on 4x3: the input must be a vector.*flatten"),
        (nn.Sequential(nn.Linear(4, 2)), (3,), r"0\.weight must be a weight of shape \(2, 3\) .* got \(2, 4\)"),
        (nn.Sequential(nn.Conv2d(3, 2, 1)), (1, 4, 4), r"0\.weight must be a weight of shape \(2, 1, 1, 1\)"),
        (nn.Sequential(SHARED, SHARED), (4,), r"1\.weight must be the parameter of one layer alone, got shared"),
        (nn.Sequential(nn.MaxPool2d(2, return_indices=True)), (1, 4, 4), "return_indices must be False, got True"),
        (nn.Sequential(nn.AvgPool2d(2, divisor_override=3)), (1, 4, 4), "divisor_override must be None, got 3"),
        (nn.Sequential(nn.LPPool2d(3, 2)), (1, 4, 4), r"norm_type must be even.*got 3\..*striate\.layers\.lp_pool"),
        (nn.Sequential(nn.LPPool2d(2, 2, ceil_mode=True)), (1, 5, 5), "ceil_mode must be False"),
        (nn.Sequential(nn.AdaptiveAvgPool2d((None, 2))), (1, 4, 4), "output_size must be a number for every axis"),
        (nn.Sequential(nn.BatchNorm2d(1, affine=False)), (1, 4, 4), "affine must be True"),
        (nn.Sequential(nn.BatchNorm2d(1, track_running_stats=False)), (1, 4, 4), "track_running_stats must be True"),
        (nn.Sequential(nn.BatchNorm2d(1, momentum=None)), (1, 4, 4), "momentum must be a number"),
        (nn.Sequential(nn.Softmax(-1)), (1, 4, 4), "dim must be that of the channels, got -1"),
        (nn.Sequential(nn.Flatten(2)), (1, 4, 4), "start_dim must be 1"),
        (nn.Sequential(nn.Flatten(1, 2)), (1, 4, 4), "end_dim must be -1"),
        (nn.Sequential(nn.GELU("tanh")), (1, 4, 4), "approximate must be none"),
        (nn.Sequential(nn.Dropout2d(0.1)), (1, 4, 4), r"module 0 \(Dropout2d\)"),
        (nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))), (4,), r"\(ParametrizedLinear\)"),
        (nn.Sequential(nn.utils.spectral_norm(nn.Linear(4, 4))), (4,), r"0\.(bias|weight_orig) must be a weight"),
        (nn.Sequential(nn.ReLU()), (0, 4), "input_shape must be sizes >= 1"),
    ],
)
def test_what_has_no_description_is_refused_by_the_name_of_the_module(module, shape, said):
    with pytest.raises(ConfigError, match=f"(?s){said}"):
        describe(module, shape)


def test_the_identity_in_a_row_stays_and_a_bare_branch_of_it_is_the_empty_row():
    module = nn.Sequential(nn.Identity(), Add(nn.Identity(), nn.Sequential(nn.Identity())))
    first, second = describe(module, (4,)).operations
    assert second == Branches(((), (first,)), "add")
