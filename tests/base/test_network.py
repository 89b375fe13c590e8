import json
import re
from dataclasses import replace
from math import prod

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.base.errors import ConfigError, ShapeError
from striate.base.network import KINDS, MOST, Branches, Network, operation_as_dict, operation_from_dict
from striate.base.operations import (
    Activation,
    BatchNorm,
    ChannelShuffle,
    Dropout,
    Flatten,
    Linear,
    LocalResponseNorm,
    Maxout,
    PReLU,
    Softmax,
)
from striate.base.windowed import (
    AdaptiveMaxPool,
    AdaptiveMeanPool,
    Conv,
    ConvTranspose,
    LpPool,
    MaxPool,
    MeanPool,
    StochasticPool,
)

RELU = Activation("relu")
LENET5 = Network(
    (1, 32, 32),
    (
        *(Conv(6, 5), RELU, MaxPool(2), Conv(16, 5), RELU, MaxPool(2), Flatten()),
        *(Linear(120), RELU, Linear(84), RELU, Linear(10)),
    ),
)
EVERY_KIND = [
    Conv(4, (3, 2), 2, ((1, 0), (0, 2)), 1, 2, False, "reflect", True),
    ConvTranspose(4, 3, 2, (1, 0), 1),
    MaxPool(3, 2, 1, 1, True),
    MeanPool(2, count_include_pad=False),
    LpPool(2, (2, 2)),
    StochasticPool(2, ceil_mode=True),
    AdaptiveMeanPool(1),
    AdaptiveMaxPool((2, 3)),
    Activation("leaky_relu", 0.2),
    PReLU(4),
    Maxout(2),
    Softmax(),
    Linear(3, False),
    Flatten(),
    Dropout(0.1),
    BatchNorm(),
    LocalResponseNorm(5, k=2.0),
    ChannelShuffle(2),
    Branches(((), (Conv(2, 1), Branches(((RELU,),), "add"))), "concatenate"),
]


def test_lenet5_has_the_shapes_and_parameters_of_the_paper():
    assert LENET5.shapes()[:7] == (
        *[(6, 28, 28), (6, 28, 28), (6, 14, 14)],
        *[(16, 10, 10), (16, 10, 10), (16, 5, 5), (400,)],
    )
    assert LENET5.output_shape == (10,)
    shapes = LENET5.parameter_shapes()
    assert list(shapes)[:4] == ["0.weight", "0.bias", "3.weight", "3.bias"]
    assert shapes["7.weight"] == (120, 400)
    assert sum(prod(shape) for shape in shapes.values()) == 61_706


@pytest.mark.parametrize(
    ("shape", "row", "output", "parameters"),
    [
        ((3, 32, 32), (Conv(2, 5),), (2, 28, 28), 152),
        ((3, 6, 6), (Conv(2, 3),), (2, 4, 4), 56),
        ((1, 14, 14), (Conv(16, 3, padding="same"),), (16, 14, 14), 160),
        ((784,), (Linear(256), RELU, Linear(10)), (10,), 203_530),
        ((1, 5, 5), (Conv(1, 3, dilation=2, bias=False),), (1, 1, 1), 9),
        ((1, 9, 9), (Conv(3, 5, bias=False),), (3, 5, 5), 75),
    ],
)
def test_the_textbooks_examples(shape, row, output, parameters):
    net = Network(shape, row)
    assert net.output_shape == output
    assert sum(prod(own) for own in net.parameter_shapes().values()) == parameters


def test_branches_concatenate_and_add_and_are_named_by_place():
    inception = Branches(((Conv(2, 1),), (Conv(1, 1), Conv(3, 3, padding="same")), (MaxPool(3, 1, 1),)))
    residual = Branches(((), (Conv(9, 3, padding=1), BatchNorm())), "add")
    net = Network((4, 6, 6), (inception, residual))
    assert net.shapes() == ((9, 6, 6), (9, 6, 6))
    assert net.parameter_shapes()["0.1.1.weight"] == (3, 1, 3, 3)
    assert net.buffer_shapes() == {"1.1.1.running_mean": (9,), "1.1.1.running_var": (9,)}
    assert [step.place for step in net.steps] == ["0.0.0", "0.1.0", "0.1.1", "0.2.0", "0", "1.1.0", "1.1.1", "1"]


def test_the_rank_of_the_input_decides_the_rank_of_the_kernel():
    for axes in range(1, 4):
        net = Network((2, *[9] * axes), (Conv(3, 3), MaxPool(2)))
        assert net.output_shape == (3, *[3] * axes)
        assert net.parameter_shapes()["0.weight"] == (3, 2, *[3] * axes)


def test_every_kind_is_among_the_examples():
    assert {type(operation) for operation in EVERY_KIND} == set(KINDS.values())


@pytest.mark.parametrize("operation", EVERY_KIND, ids=lambda operation: operation.kind)
def test_json_and_back_is_the_same_operation(operation):
    text = json.dumps(operation_as_dict(operation))
    assert operation_from_dict(json.loads(text), "here") == operation


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from([Conv(4, 3, padding=1), RELU, BatchNorm(), Dropout(), ChannelShuffle(2)]), max_size=5))
def test_json_and_back_is_the_same_network(row):
    net = Network((4, 5, 5), (*row, Flatten(), Linear(2)))
    assert Network.from_dict(json.loads(json.dumps(net.as_dict()))) == net


@pytest.mark.parametrize(
    ("shape", "row", "text"),
    [
        (
            (16, 3, 3),
            (RELU, Conv(6, 5)),
            r"1 \(conv\) on .*5x5 kernel, got 16x3x3\.\n.*pad 1, a 3x3 kernel, or give",
        ),
        ((1, 4, 4), (Conv(6, 3, dilation=2),), r"3x3 kernel, which spreads over 5x5, got 1x4x4\.\n  Fix: use pad 1"),
        ((1, 2, 2), (Conv(6, 5, padding=1),), r"got 1x2x2 \(4x4 with its padding\)\.\n  Fix: use pad 2"),
        ((16, 4, 4), (Linear(5),), r"a vector, got 16x4x4\.\n  Fix: put flatten before it, .* vector of 256"),
        ((16, 4, 4), (MaxPool(5, 5, 1), MaxPool(2)), r"operation 1 \(max_pool\) on 16x1x1"),
        (
            (16, 4, 4),
            (MaxPool(9),),
            r"9x9 kernel, got 16x4x4\.\n  Fix: use pad 3, a 4x4 kernel, or give it a larger map",
        ),
        ((16,), (Conv(3, 3),), r"channels and 1 to 3 axes, got 16\.\n.*put it before flatten"),
        ((4, 8, 8), (Conv(6, 3, groups=3),), r"multiple of groups 3, got 4\.\n  Fix: use groups 1 or 2, or 6 channels"),
        ((4, 8, 8), (Conv(6, 3, padding=9, padding_mode="reflect"),), r"pad 7 or less along H"),
        (
            (4, 8, 8),
            (Maxout(3),),
            r"3 channels.*\n  Fix: give 6 channels before it, or use pieces 1, 2 or 4",
        ),
        ((4, 8, 8), (ChannelShuffle(3),), r"use groups 1, 2 or 4"),
        ((4, 8, 8), (PReLU(3),), r"use num_parameters 1 or 4$"),
        ((1, 8, 8), (PReLU(3),), r"use num_parameters 1$"),
        ((4, 8), (Conv(6, (5, 5)),), r"kernel_size must be 1 integer, got \(5, 5\)\.\n  Fix: give one integer$"),
        ((4, 8, 8), (Conv(6, (5,)),), r"kernel_size must be 1 or 2 integers, .*\n  Fix: give one integer, or 2 in the"),
        ((4, 1), (ConvTranspose(1, 2, padding=1),), r"take away 1 pixels or less"),
        ((4, 1), (ConvTranspose(1, 2, output_padding=1),), r"use 0, or a larger stride"),
        ((4, 8, 8), (Branches(((), (Conv(4, 3),)), "add"),), r"4x8x8 and 4x6x6\.\n.*keep the size within them"),
        (
            (4, 8, 8),
            (Branches(((), (Conv(5, 1),)), "add"),),
            r"4x8x8 and 5x8x8\.\n.*row with conv 4 1x1, or put conv 5 1x1",
        ),
        ((4, 8), (Branches(((), (Conv(5, 1),)), "add"),), r"row with conv 4 1, or put conv 5 1 into"),
        ((4,), (Branches(((), (Linear(5),)), "add"),), r"row with linear 4, or put linear 5 into .*\| linear 5\)$"),
        ((4, 8, 8), (Branches(((Conv(6, 1),), (Conv(5, 1),)), "add"),), r"Fix: end every branch with conv 6 1x1$"),
        ((4, 8, 8), (Branches(((), (Conv(4, 3),))),), r"alike but for channels, got 4x8x8 and 4x6x6"),
        (
            (4, 8, 8),
            (
                Branches(
                    ((), (RELU, Conv(4, 9))),
                ),
            ),
            r"operation 0\.1\.1 \(conv\)",
        ),
        ((4, 0), (RELU,), r"input_shape must be sizes >= 1"),
        ((4, 2**31 + 1), (RELU,), r"input_shape must be sizes >= 1 and <= 2147483648"),
        ((4, 1, 1, 1, 1), (RELU,), r"input_shape must be .*, 4 at most"),
        ((2**31 - 1, 2), (ChannelShuffle(3),), r"use groups 1$"),
        ((2**31, 2**31), (Flatten(),), r"operation 0 \(flatten\) on .*: the output must be of sizes <= 2147483648"),
        ((1, 4, 4), (StochasticPool(7),), r"Fix: use a 4x4 kernel, or give it"),
        ((1, 4, 4), (LpPool(2, 7),), r"Fix: use a 4x4 kernel, or give it"),
        ((4, 1, 4), (MaxPool(4, padding=(2, 0), dilation=3),), r"Fix: give it a larger map"),
        (
            (5, 1),
            (Conv(5, 4, padding=2, dilation=2, padding_mode="circular"),),
            r"Fix: give it a larger map: a larger input, or less pooling",
        ),
        ((2, 1, 5, 6), (MeanPool(3, padding=(0, 0, 2)),), r"Fix: use pad 1, or give it a larger map"),
        ((1, 1), (MaxPool(14, 2, ceil_mode=True),), r"Fix: use pad 6, a 1 kernel, or give it a larger map"),
    ],
)
def test_what_does_not_fit_is_named_with_its_place_and_the_value_that_would(shape, row, text):
    with pytest.raises(ConfigError, match=text):
        Network(shape, row)


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: Activation("rleu"), r"got 'rleu'\.\n  Fix: did you mean 'relu'"),
        (lambda: Conv(0, 3), "out_channels must be >= 1"),
        (lambda: Conv(5, 3, groups=2), "use groups 1 or 5, or 6 channels"),
        (lambda: Conv(1, 3, padding_mode="mirror"), "one of zeros, reflect, replicate, circular"),
        (lambda: LpPool(0.5, 2), ">= 1 and finite"),
        (lambda: LpPool(float("nan"), 2), ">= 1 and finite"),
        (lambda: Dropout(1.5), "a probability"),
        (lambda: Dropout(float("nan")), "a probability"),
        (lambda: BatchNorm(eps=float("nan")), "eps must be > 0 and finite"),
        (lambda: BatchNorm(eps=0), "eps must be > 0 and finite"),
        (lambda: BatchNorm(momentum=-5), r"momentum must be in \[0, 1\], got -5"),
        (lambda: LocalResponseNorm(5, alpha=float("nan")), "alpha must be finite and >= 0"),
        (lambda: LocalResponseNorm(5, beta=float("inf")), "beta must be finite and >= 0"),
        (lambda: LocalResponseNorm(5, k=-1), "k must be finite and >= 0, got -1"),
        (lambda: Activation("leaky_relu", float("nan")), "negative_slope must be finite"),
        (lambda: Activation("elu", alpha=float("inf")), "alpha must be finite"),
        (lambda: Activation("relu", 0.2), r"negative_slope must be left out for relu, got 0\.2\.\n.*leaky_relu alone"),
        (lambda: PReLU(0), "num_parameters must be >= 1"),
        (lambda: PReLU(init=float("nan")), "init must be finite"),
        (lambda: Linear(2**31 + 1), "out_features must be <= 2147483648"),
        (lambda: Branches((), "add"), "branches must be >= 1"),
        (lambda: Branches(((),)), "a single branch must be of at least one operation"),
        (lambda: Branches(((),), "sum"), "one of concatenate, add"),
    ],
)
def test_a_field_that_cannot_be_is_refused(build, text):
    with pytest.raises(ConfigError, match=text):
        build()


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"kind": "conb"}, r"operation 0: kind .* got 'conb'\.\n  Fix: did you mean 'conv'"),
        ({"kind": "linear", "out_featurs": 3}, r"operation 0 \(linear\).*\n  Fix: did you mean 'out_features'"),
        ({"kind": "conv", "out_channels": 3}, "kernel_size must be given"),
        ({"kind": "linear", "out_features": 3.0}, r"out_features must be of type int, got 3\.0"),
        ({"kind": "linear", "out_features": True}, "out_features must be of type int, got True"),
        ({"kind": "conv", "out_channels": 3, "kernel_size": [3, "3"]}, "kernel_size must be of type int |"),
        ({"kind": "branches", "branches": [[], 3]}, "a list of lists"),
        ({"kind": "branches", "branches": [[], [{"kind": "x"}]]}, r"branch 1, operation 0: kind"),
        ({"kind": "branches", "branches": [[]], "join": 3}, "join must be of type str"),
        ({"kind": "linear", "out_features": -1}, r"^operation 0 \(linear\): out_features must be >= 1"),
        ({"kind": "branches", "branches": []}, r"^operation 0 \(branches\): branches must be >= 1"),
        ({"kind": "branches", "branches": [[]], "join": "sum"}, r"^operation 0 \(branches\): join must be one of"),
        ({"kind": "flatten", "dim": 5}, r'every key must be "kind", for it takes no other, got \'dim\''),
        ({"kind": 3}, "kind must be of type str"),
        ({"kind": "conv", "out_channels": 7 * 10**11, "kernel_size": 1, "groups": 7}, "out_channels must be <= 2147"),
        ({"kind": "max_pool", "kernel_size": 2**31 + 1}, "kernel_size must be <= 2147483648 on every axis"),
        ({"kind": "conv", "out_channels": 1, "kernel_size": 1, "padding": 2**31 + 1}, "must be <= 2147483648 pixels"),
        ([], "a table with"),
        ({}, "a table with"),
    ],
)
def test_json_that_is_no_network_names_what_is_wrong(row, text):
    with pytest.raises(ConfigError, match=text):
        Network.from_dict({"input_shape": [4, 8, 8], "operations": [row]})


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (None, "the description must be a table, got None"),
        (5, "the description must be a table, got 5"),
        ({"operations": []}, "input_shape must be given"),
        (
            {"input_shape": [10**12 + 1, 4, 4], "operations": [{"kind": "channel_shuffle", "groups": 2}]},
            "<= 2147483648",
        ),
        ({"input_shape": [4, 8.0], "operations": []}, "input_shape must be of type"),
        ({"input_shape": [4], "operations": {}}, "operations must be a list"),
        ({"input_shape": [4], "operations": [], "name": "x"}, "every key must be one of input_shape, operations"),
    ],
)
def test_the_outer_table_is_as_strict(data, text):
    with pytest.raises(ConfigError, match=text):
        Network.from_dict(data)


def test_an_operation_that_does_not_fit_says_where_it_stands_as_data():
    rows = ((), (RELU, Conv(4, 9)))
    with pytest.raises(ShapeError) as caught:
        Network((4, 8, 8), (RELU, Branches(rows)))
    assert (caught.value.place, caught.value.shape) == ("1.1.1", (4, 8, 8))


def test_more_operations_than_anybody_means_are_refused():
    assert len(Network((4,), (RELU,) * MOST).steps) == MOST
    with pytest.raises(ConfigError, match="operations and branches must be 10000 at most, got more"):
        Network((4,), (RELU,) * (MOST + 1))
    with pytest.raises(ConfigError, match="operations and branches must be 10000 at most, got more"):
        Network((4,), (Branches(((),) * 10, "add"),) * (MOST // 10))
    relus = [{"kind": "activation", "name": "relu"}] * MOST
    hostile = [
        [*relus, *relus],
        [{"kind": "branches", "branches": [relus, relus]}],
        [{"kind": "branches", "branches": [[]] * (MOST + 1)}],
    ]
    endless = []
    endless.append(endless)
    for rows in (*hostile, endless):
        with pytest.raises(ConfigError, match="operations and branches must be 10000 at most, got more"):
            Network.from_dict({"input_shape": [4], "operations": rows})


def nested(depth, row):
    return row if depth == 0 else {"kind": "branches", "branches": [[nested(depth - 1, row)]]}


def test_branches_nest_32_deep_and_no_deeper():
    def described(depth):
        return {"input_shape": [4], "operations": [nested(depth, {"kind": "flatten"})]}

    network = Network.from_dict(described(32))
    assert network.output_shape == (4,)
    for depth in (33, 250):
        with pytest.raises(ConfigError, match="branches must be nested 32 deep at most"):
            Network.from_dict(described(depth))
    with pytest.raises(ConfigError, match="branches must be nested 32 deep at most"):
        Network((4,), (Branches((network.operations,)),))


def test_lists_within_lists_without_end_are_refused():
    deep = []
    for _ in range(900):
        deep = [deep]
    row = {"kind": "conv", "out_channels": 1, "kernel_size": deep}
    for data in (
        {"input_shape": deep, "operations": []},
        {"input_shape": [4, 4], "operations": [row]},
        {"input_shape": [4, 4], "operations": [{"kind": deep}]},
        {"input_shape": [4, 4], "operations": [{"kind": "branches", "branches": deep}]},
        {"input_shape": [4, 4], "operations": deep},
        deep,
    ):
        with pytest.raises(ConfigError):
            Network.from_dict(data)


@st.composite
def windowed(draw):
    """A small picture and a window that often does not fit it."""
    x = (4, *draw(st.lists(st.integers(1, 6), min_size=1, max_size=3)))
    ranges = (st.integers(1, 7), st.integers(0, 3), st.integers(1, 3))
    kernel, padding, dilation = (draw(numbers | st.tuples(*[numbers] * (len(x) - 1))) for numbers in ranges)
    stride, ceil_mode = draw(st.integers(1, 3)), draw(st.booleans())
    border = draw(st.sampled_from(["zeros", "reflect", "replicate", "circular"]))
    pool = {"kernel_size": kernel, "stride": stride, "ceil_mode": ceil_mode}
    conv = {"out_channels": 2, "kernel_size": kernel, "stride": stride, "padding": padding, "dilation": dilation}
    kind, options = draw(
        st.sampled_from(
            [
                (Conv, conv | {"padding_mode": border}),
                (MaxPool, pool | {"padding": padding, "dilation": dilation}),
                (MeanPool, pool | {"padding": padding}),
                (StochasticPool, pool),
                (LpPool, pool | {"norm_type": 2}),
            ]
        )
    )
    return x, kind, options


@settings(max_examples=400, deadline=None, derandomize=True)
@given(windowed())
def test_whatever_an_error_says_would_fit_does_fit(drawn):
    x, kind, options = drawn
    operation = kind(**options)
    try:
        Network(x, (operation,))
    except ConfigError as error:
        fix = error.fix
    else:
        return
    for pad in re.findall(r"use pad (\d+)", fix):
        Network(x, (replace(operation, padding=int(pad)),))
    for kernel in re.findall(r"a ([0-9x]+) kernel", fix):
        Network(x, (replace(operation, kernel_size=tuple(map(int, kernel.split("x")))),))
    assert "pixels more" not in fix
