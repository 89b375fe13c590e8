import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.base.errors import ConfigError
from striate.base.network import DEPTH, MOST, Branches, Network
from striate.base.operations import Activation, BatchNorm, Dropout, Flatten, Linear, LocalResponseNorm
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
from striate.models.notation import parse, read
from striate.models.syntax import NotationError
from striate.models.writing import write

RELU, SAME = Activation("relu"), "same"
SHAPE = (1, 32, 32)


def only(text, shape=(4, 32, 32)):
    """The one operation of a text."""
    (operation,) = parse(text, shape).operations
    return operation


def test_a_network_of_the_field_is_read():
    text = "conv 32 3x3 same, relu, maxpool 2, 2x(conv 64 3x3, bn, relu), maxpool 2, flatten, dropout 0.5, linear 10"
    twice = (Conv(64, (3, 3)), BatchNorm(), RELU)
    row = (Conv(32, (3, 3), padding=SAME), RELU, MaxPool(2), *twice, *twice, MaxPool(2))
    assert parse(text, SHAPE) == Network(SHAPE, (*row, Flatten(), Dropout(0.5), Linear(10)))


def test_lenet5_has_the_parameters_of_the_paper():
    text = """
        input 1x28x28                               # 28x28 digits, as they come
        conv 6 5x5 pad 2, relu, maxpool 2,          # C1, S2
        conv 16 5x5, relu, maxpool 2, flatten,      # C3, S4
        linear 120, relu, linear 84, relu, linear 10
    """.replace("x28   ", "x28,  ")
    shapes = parse(text).parameter_shapes().values()
    total = 0
    for shape in shapes:
        count = 1
        for n in shape:
            count *= n
        total += count
    assert total == 61_706  # LeCun et al. 1998 with full connections


@pytest.mark.parametrize(
    ("text", "operation"),
    [
        ("conv 6 5", Conv(6, 5)),
        ("conv 6 5x3 stride 2x1 pad 1x2 dilation 2", Conv(6, (5, 3), (2, 1), (1, 2), 2)),
        ("conv 8 3 pad 0:1x2:0 groups 4 nobias reflect", Conv(8, 3, 1, ((0, 1), (2, 0)), 1, 4, False, "reflect")),
        ("conv 8 3 full replicate flip", Conv(8, 3, padding="full", padding_mode="replicate", flip_kernel=True)),
        ("conv 8 3 valid circular", Conv(8, 3, padding="valid", padding_mode="circular")),
        ("conv 8 same 3", Conv(8, 3, padding="same")),
        ("convtranspose 8 3 stride 2 pad 1:0x1 output_pad 1", ConvTranspose(8, 3, 2, ((1, 0), 1), 1)),
        ("maxpool 3 stride 2 pad 1 dilation 2 ceil", MaxPool(3, 2, 1, 2, True)),
        ("avgpool 3 pad 1 exclude_pad", MeanPool(3, None, 1, count_include_pad=False)),
        ("lppool 2.5 3x3", LpPool(2.5, (3, 3))),
        ("stochasticpool 2 ceil", StochasticPool(2, ceil_mode=True)),
        ("globalavgpool", AdaptiveMeanPool(1)),
        ("adaptiveavgpool 3x2", AdaptiveMeanPool((3, 2))),
        ("globalmaxpool", AdaptiveMaxPool(1)),
        ("leaky_relu slope 0.2", Activation("leaky_relu", 0.2)),
        ("elu alpha .5", Activation("elu", alpha=0.5)),
        ("identity", Activation("linear")),
        ("bn eps 1e-3 momentum 0.01", BatchNorm(1e-3, 0.01)),
        ("lrn 5 alpha 5e-4 beta 0.75 k 2", LocalResponseNorm(5, 5e-4, 0.75, 2)),
        ("dropout", Dropout(0.5)),
        ("residual(bn)", Branches(((BatchNorm(),), ()), "add")),
        ("add(bn | )", Branches(((BatchNorm(),), ()), "add")),
        ("concat(bn, 2x(relu) | concat( | relu))", Branches(((BatchNorm(), RELU, RELU), (Branches(((), (RELU,))),)))),
    ],
)
def test_options_reach_their_fields(text, operation):
    assert parse(text, (4, 32, 32)) == Network((4, 32, 32), (operation,))


@pytest.mark.parametrize(
    ("torchs", "ours"),
    [
        ("Conv2d 6 5 padding 1", "conv 6 5 pad 1"),
        ("ConvTranspose2d 6 5 output_padding 0", "deconv 6 5 output_pad 0"),
        ("conv_transpose 6 5", "convtranspose 6 5"),
        ("MaxPool2d 2 ceil_mode", "maxpool 2 ceil"),
        ("AvgPool2d 2", "meanpool 2"),
        ("AdaptiveAvgPool2d 1", "globalavgpool"),
        ("LPPool2d 2 2", "lp_pool 2 2"),
        ("LeakyReLU negative_slope 0.2", "leaky_relu slope 0.2"),
        ("SiLU", "swish"),
        ("BatchNorm2d", "batch_norm"),
        ("LocalResponseNorm 5", "lrn 5"),
        ("ChannelShuffle 2", "shuffle 2"),
        ("Concatenate( | ReLU)", "cat( | relu)"),
        ("CONV 6 3X3 SAME", "conv 6 3x3 same"),
        ("1×(conv 6 3×3 pad 1×1)", "conv 6 3x3 pad 1x1"),
    ],
)
def test_torchs_spelling_and_the_usual_ones_are_accepted(torchs, ours):
    assert only(torchs) == only(ours)


@pytest.mark.parametrize(
    ("one", "other", "shape"),
    [
        ("conv 6 3x3 stride 2x2 pad 1:1x1 dilation 1x1", "conv 6 3 stride 2 pad 1", (4, 9, 9)),
        ("conv 6 3x pad 1x", "conv 6 3 pad 1:1", (4, 9)),
        ("deconv 6 3x3x3 output_pad 0x0x0", "deconv 6 3", (4, 5, 5, 5)),
        ("maxpool 2x2 stride 2", "maxpool 2", (4, 9, 9)),
        ("add(avgpool 3 stride 3x3 | maxpool 3x3)", "add(avgpool 3x3 | maxpool 3 stride 3)", (4, 9, 9)),
        ("adaptiveavgpool 1x1", "globalavgpool", (4, 9, 9)),
    ],
)
def test_two_ways_to_write_a_network_are_equal(one, other, shape):
    assert parse(one, shape) == parse(other, shape)
    assert write(parse(one, shape)) == write(parse(other, shape))
    assert parse(one, shape).steps == parse(other, shape).steps


@pytest.mark.parametrize("text", ["conv 6 3x4", "conv 6 3 pad 0:1x1", "maxpool 2 stride 2x3", "conv 6 3 pad 1:0x1:0"])
def test_what_differs_by_axis_or_side_stays(text):
    assert write(parse(text, (4, 9, 9))) == f"input 4x9x9, {text.replace('6 3 ', '6 3x3 ')}"


def test_spaces_lines_and_comments_mean_nothing():
    spread = "conv  6\n\t5x5 # (a | bracket, in a comment\n ,2 x ( relu )\r\n,flatten"
    assert parse(spread, SHAPE) == parse("conv 6 5x5, relu, relu, flatten", SHAPE)


def test_the_input_may_be_declared_or_given_and_must_agree():
    assert parse("input 1x32x32, flatten") == parse("flatten", SHAPE) == parse("input 1x32x32, flatten", SHAPE)
    assert parse("INPUT 784, linear 10").input_shape == (784,)
    with pytest.raises(ConfigError, match=r"the input must be known.*\n  Fix: begin with .* input 1x28x28, flatten"):
        parse("flatten")
    with pytest.raises(NotationError, match=r"(?s)the input must be 1x32x32 here, got 1x28x28.*Fix: write input 1x32"):
        parse("input 1x28x28, flatten", SHAPE)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.data())
def test_a_network_survives_its_text(draw_network, data):
    network = draw_network(data)
    assert parse(write(network)) == network


@pytest.mark.parametrize(
    "operation",
    [
        *(Conv(2, (3,)), Conv(2, 3, (1,), (0,)), Conv(2, 3, padding=((1, 0),)), Conv(2, 3, padding="valid")),
        *(MaxPool(2, 2), MaxPool((2,)), LpPool(10**300, 2), BatchNorm(1e-300), Activation("leaky_relu", -1e22)),
        *(Activation("leaky_relu", 1), Branches(((), ()), "add"), Branches(((), (RELU,)), "add")),
    ],
)
def test_odd_spellings_survive_too(operation):
    network = Network((2, 9), (operation,))
    assert repr(parse(write(network))) == repr(network)  # 1 and 1.0 are equal, but not the same


def test_what_is_repeated_is_written_once():
    text = "input 4x8x8, 3x(residual(2x(conv 4 3x3 same, bn, relu))), conv 4 1x1, 2x(relu), flatten"
    assert write(parse(text)) == text
    assert write(parse("input 4, tanh, relu, tanh, relu, tanh")) == "input 4, 2x(tanh, relu), tanh"


def test_branches_as_deep_as_can_be_and_as_many_operations_survive():
    row = (RELU, RELU)
    for depth in range(DEPTH):
        row = (Branches((row, ()), "add"),) * (2 if depth % 8 == 0 else 1)  # brackets within brackets
    network = Network((4,), row)
    assert parse(write(network)) == network
    long = Network((4,), tuple(Activation(("relu", "tanh")[n * n % 7 % 2]) for n in range(MOST)))
    assert parse(write(long)) == long


FAULTS = [
    # text, what is marked, what is said
    ("cnov 6 5x5", "cnov", r"one that is known, got 'cnov'.*did you mean conv\?"),
    ("quux", "quux", "the operations are conv, convtranspose, maxpool"),
    ("conv 6 5 strid 2", "strid", r"one of stride, pad, .*did you mean stride\?"),
    ("conv 6 5 stride=2", "stride=2", r"did you mean stride 2\?"),
    ("conv 6 5 padd 2", "padd", r"did you mean pad\?"),
    ("conv 6 5 nobais", "nobais", r"did you mean nobias\?"),
    ("conv 6", "6", "conv must be followed by out_channels and kernel_size, got conv 6.*as in: conv 32 3x3"),
    ("linear", "linear", "followed by out_features, got linear.*as in: linear 10"),
    ("conv 6 5 stride", "stride", "stride must be followed by a size such as 3.*got nothing"),
    ("conv six 5", "six", "out_channels must be a whole number such as 32, got 'six'"),
    ("conv 6.5 5", "6.5", "out_channels must be a whole number such as 32, got '6.5'"),
    ("conv -6 5", "-6", "out_channels must be a whole number such as 32, got '-6'"),
    ("conv 6 5y5", "5y5", "kernel_size must be a size such as 3, or 3x5"),
    ("conv 6 5 pad 1:2:3", "1:2:3", "padding must be pixels such as 1, 1x2"),
    ("dropout 5x5", "5x5", "p must be a number such as 0.5"),
    ("dropout nan", "nan", "p must be a number such as 0.5, got 'nan'"),
    ("dropout 0.5 fast", "fast", "dropout: an option must be left out"),
    ("dropout 1.5", "1.5", "p must be a probability"),
    ("conv 6 5 3", "3", "number of its values must be 2 .*got '3' besides"),
    ("conv 6 5 same full", "full", "padding must be said once, got same and full"),
    ("conv 6 5 relu", "relu", "got 'relu', an operation.*put a comma before relu"),
    ("conv 6 5 groups 4", "6 5 groups", "out_channels must be a multiple of groups 4, got 6"),
    ("maxpool 0", "maxpool", ">= 1 on every axis, got 0"),
    ("relu,, tanh", ", tanh", "what stands beside a comma must be an operation"),
    ("relu,", "", "what stands beside a comma must be an operation, got the end"),
    ("relu,# x", "", "what stands beside a comma must be an operation, got the end"),
    (", relu", ", relu", "what stands beside a comma must be an operation"),
    ("add(relu) tanh", "tanh", "a comma must be between two operations, got 'tanh'.*put a comma before 'tanh'"),
    ("relu | tanh", "| tanh", r"a bar must be within brackets.*concat\( \| \)"),
    ("(relu)", "(relu)", r"a bracket must be named.*2x\( \), residual\( \)"),
    ("add(relu, (tanh))", "(tanh)", "a bracket must be named"),
    ("2x(conv 6 5, relu", "(conv", r"this bracket must be closed.*put \)"),
    ("relu)", ")", "a closing bracket must be one of an open one"),
    ("2x()", "2x", "what is repeated must be one row, at least once"),
    ("0x(relu)", "0x", "what is repeated must be one row, at least once"),
    ("2(relu)", "2", r"write how often and x, as in: 2x\("),
    ("2x(relu | tanh)", "2x", "what is repeated must be one row"),
    ("residual(relu | tanh)", "residual", r"residual must be of one row, got 2.*write add\("),
    ("residual()", "residual", r"residual must be of at least one operation, got an empty bracket"),
    ("relu, add( )", "add", r"add must be of at least one operation.*as in: add\("),
    ("concat()", "concat", r"concat must be of at least one operation"),
    ("5×5 3", "5×5 3", "one that is known, got '5x5'"),
    ("residual", "residual", r"residual must be followed by its bracket.*write residual\("),
    ("add 2(relu)", "add", "add must be followed by its bracket"),
    ("cocnat(relu)", "cocnat", r"did you mean concat\?"),
    ("conv(6, 5)", "conv", "write conv 32 3x3 same, without brackets"),
    ("relu, input 1x2", "input", "input's shape must be the first of all"),
    ("input, relu", "input", "a shape of 1 to 4 sizes, got input"),
    ("input 1x2x3x4x5, relu", "1x2x3", "the input must be sizes >= 1"),
    ("input 0x4, relu", "0x4", "the input must be sizes >= 1"),
    ("", "", "a text must be at least one operation, got none"),
    ("  # nothing", "", "a text must be at least one operation, got none"),
    # shapes
    ("conv 16 5, linear 120", "linear", "linear 120 on 16x28x28: the input must be a vector.*put flatten before it"),
    ("4x(maxpool 2), conv 8 5x5", "conv", "conv 8 5x5 on 1x2x2: the map .*5x5 kernel, got 1x2x2.*use pad 2, a 2x2"),
    ("relu, add(relu, maxpool 33 | )", "maxpool", "maxpool 33 on 1x32x32: the map must be at least as large"),
    ("add(conv 8 1 | )", "add", r"add\(...\) on 1x32x32: the branches to add .* got 8x32x32 and 1x32x32"),
    ("residual(3x(relu, residual(conv 2 1)))", "residual(conv", "on 1x32x32: the branches to add must be"),
    ("conv3d 6 3", "conv3d", "the axes beside the channels must be 3, got 2.*write conv, which takes 1, 2 and 3"),
    ("flatten, BatchNorm2d", "BatchNorm2d", "the axes beside the channels must be 2, got 0"),
]


@pytest.mark.parametrize(("text", "marked", "said"), FAULTS, ids=[text for text, _, _ in FAULTS])
def test_a_fault_is_shown_in_its_place_with_what_would_fit(text, marked, said):
    for before in ("", "# a first line\n  "):
        with pytest.raises(NotationError, match=f"(?s){said}") as caught:
            parse(before + text, SHAPE)
        lines = str(caught.value).split("\n")
        at = caught.value.column - 1
        assert lines[-1].startswith("  Fix: ")
        assert lines[-2] == " " * (4 + at) + "^"
        line = (before + text).split("\n")[caught.value.line - 1]
        assert lines[-3].rstrip() == ("    " + line).rstrip()
        if text.strip() and marked:
            assert line[at:].startswith(marked)


def test_flatten_lets_torchs_batch_norm_of_vectors_through():
    assert parse("flatten, BatchNorm1d", SHAPE).output_shape == (1024,)


def test_a_long_line_is_cut_around_the_place_and_strange_characters_do_not_reach_the_terminal():
    with pytest.raises(NotationError) as caught:
        parse("relu, " * 100 + "rleu\x1b[2J, " + "relu, " * 100 + "relu", SHAPE)
    sentence, line, mark, fix = str(caught.value).split("\n")
    assert len(line) < 120
    assert line[mark.index("^") :].startswith("rleu [2J")
    assert "did you mean" in fix
    assert "\x1b" not in sentence + line


HOSTILE = {
    "brackets": "(" * 10**6,
    "closing": ")" * 10**6,
    "nested": "add(" * 10**5 + "relu" + ")" * 10**5,
    "nested repeats": "2x(" * 100 + "relu" + ")" * 100,
    "deep branches": "residual(" * 100 + "relu" + ")" * 100,
    "repeats": "9999999999x(relu)",
    "repeats of repeats": "100x(100x(100x(relu)))",
    "digits": "9" * 10**5 + "x(relu)",
    "huge": f"conv {'9' * 10**5} 3",
    "huge size": "conv 1 " + "9x" * 10**5,
    "large": f"conv {10**30} 3",
    "exponent": "dropout 1e999999999",
    "words": "relu " * 10**5,
    "many words": ", ".join(["conv" + " 1" * 22] * 9000),
    "operations": "relu," * 10**5 + "relu",
    "bars": "add(" + "|" * 10**5 + ")",
    "commas": "," * 10**6,
    "megabytes": "relu, " * 10**6,
    "a word": "x" * 10**6,
    "a comment": "#" * 10**6,
    "a long comment": "relu #" + "x" * 10**6,
    "lines": "\n" * 10**6,
    "many branches": "1000x(add( | | | | | | | | | | | | ))",
    "a large map": "input 2147483648x2147483648, flatten",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_text_is_refused_at_once(name):
    begin = time.perf_counter()
    with pytest.raises(ConfigError) as caught:
        parse(HOSTILE[name], None if "input" in HOSTILE[name] else SHAPE)
    assert time.perf_counter() - begin < 10  # seconds, on a busy machine; most take hundredths
    assert len(str(caught.value)) < 2000


def test_a_text_is_understood_without_its_input():
    notation = read("conv 12 3 groups 4, relu")
    assert notation.declared is None
    assert notation.network((4, 9)).output_shape == (12, 7)
    assert notation.network((4, 9, 9)).output_shape == (12, 7, 7)


def test_the_parser_is_imported_when_a_text_is_parsed():
    code = """
import sys
import striate
striate.build("lenet5")
assert "lark" not in sys.modules
striate.build("flatten, linear 2")
assert "lark" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
