"""The plan of the native engine: figures known by hand, and those that the analysis counts another way."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from tests.native.networks import NETWORKS

import striate
from striate import calculus
from striate.base.errors import ConfigError
from striate.models.described import described
from striate.models.notation import parse
from striate.native.formulas import FUNCTIONS, files, formula
from striate.native.library import library
from striate.native.outline import USUAL_LANES, outline
from striate.native.stages import FUNCTIONS as KNOWN
from striate.native.stages import fuse

LENET = (
    "conv 6 5x5, maxpool 2, relu, conv 16 5x5, maxpool 2, relu, flatten, linear 120, relu, linear 84, relu, linear 10"
)
NORMED = "conv 4 3x3 pad 0:1x2, batch_norm, relu, conv 4 3x3, batch_norm, flatten, linear 3"


def of(text, shape):
    return outline(parse(text, shape), None)


def test_lenet_has_the_figures_that_everybody_can_count():
    plan = of(LENET, (1, 32, 32))
    assert [row.stage for row in plan.rows] == ["0", "3", "7", "9", "11"]
    assert [row.parameters for row in plan.rows] == [156, 2416, 48120, 10164, 850]
    assert [row.macs for row in plan.rows] == [117600, 240000, 48000, 10080, 840]
    samples = USUAL_LANES * 4  # bytes of a number of a chunk
    assert [row.chunk_bytes // samples for row in plan.rows] == [3 * 1176, 3 * 400, 2 * 120, 2 * 84, 2 * 10]
    assert [row.tile for row in plan.rows] == [0, 2, 0, 0, 0]  # the first has one channel: nothing to save
    assert plan.rows[1].files == ("conv.py", "winograd.py", "max_pool.py", "activations.py")
    assert plan.chunk_bytes == samples * (1024 + 3528 + 1200 + 240 + 168 + 20)
    assert "61,706  416,520" in str(plan)


def test_a_border_of_zeros_lies_around_what_the_convolution_reads():
    plan = of(NORMED, (1, 5, 6))
    assert plan.input_bytes == USUAL_LANES * 4 * (5 + 1) * (6 + 4)
    assert plan.rows[0].border == ((0, 1), (2, 2))
    (line,) = [line for line in str(plan).splitlines() if line.startswith("0      conv  ")]
    assert "  0:1x2  " in line


def test_a_normalisation_and_the_pooling_after_it_are_one_stage_and_no_error_lies_between_it_and_the_convolution():
    text = "conv 4 3x3, batch_norm, maxpool 2, relu, conv 2 3x3, flatten, batch_norm, linear 3"
    plan = of(text, (1, 10, 12))
    assert [row.stage for row in plan.rows] == ["0", "1", "4", "6", "7"]
    assert plan.rows[1].operations == ("batch_norm", "max 2x2", "relu")
    assert plan.rows[1].formula == "y = max(0, max_2x2(w (x - m) / sqrt(v + 1e-05) + b))"
    assert plan.rows[1].files == ("batch_norm.py", "max_pool.py", "activations.py")
    samples = USUAL_LANES * 4
    # 4x8x10 without errors; 4x4x5 with errors and winners; 2x2x3 with errors, for flattened it is normalised by numbers
    assert [row.chunk_bytes // samples for row in plan.rows] == [320, 3 * 80, 2 * 12, 2 * 12, 2 * 3]


@pytest.mark.parametrize("name", NETWORKS)
def test_parameters_and_macs_are_those_that_the_analysis_sees(name):
    text, shape = NETWORKS[name]
    totals = striate.inspect(described(parse(text, shape)), shape).totals
    rows = of(text, shape).rows
    assert (sum(row.parameters for row in rows), sum(row.macs for row in rows)) == (totals.parameters, totals.macs)


def test_without_batch_normalisation_a_chunk_goes_all_the_way_and_back():
    order = of(LENET, (1, 32, 32)).order
    assert [what for what, _ in order] == (
        "pack meet fill forward loss backward meet reduce meet check update".split()  # the order of engine.cpp
    )
    assert dict(order)["backward"] == "11, 9, 7, 3, 0"


def test_batch_normalisation_makes_the_threads_meet_on_the_way_and_on_the_way_back():
    order = [(what, how.rpartition(" for ")[2]) for what, how in of(NORMED, (1, 9, 9)).order]
    begin, end = order.index(("forward", "0")), [what for what, _ in order].index("reduce")
    assert order[begin : end - 1] == [
        ("forward", "0"),
        ("meet", "1"),
        ("forward", "1, 3"),
        ("meet", "4"),
        ("forward", "4, 6"),
        ("loss", "and the error of the outputs"),
        ("backward", "6"),
        ("meet", "4"),
        ("backward", "4, 3"),
        ("meet", "1"),
        ("backward", "1, 0"),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("conv 2 3x3 nobias, leaky_relu", "y = max(z, 0.01 z), z = sum over t < 18 of w[t] x[t]"),
        ("conv 2 3x3 groups 2, maxpool 2, tanh", "y = tanh(max_2x2(b + sum over t < 9 of w[t] x[t]))"),
        ("elu", "y = z if z > 0 else 1 (e^z - 1), z = x"),
        ("maxpool 3 stride 2", "y = max over t < 9 of x[t]"),
        ("meanpool 2x3, sigmoid", "y = 1 / (1 + e^-(mean over t < 6 of x[t]))"),
        ("adaptivemeanpool 2", "y = mean over t in the window of x[t]"),
        ("batch_norm, scaled_tanh", "y = 1.7159 tanh(2/3 (w (x - m) / sqrt(v + 1e-05) + b))"),
        ("dropout 0.25", "y = x / 0.75 if u >= 0.25 else 0"),
        ("flatten, linear 3, relu", "y = max(0, b + sum over t < 128 of w[t] x[t])"),
    ],
)
def test_every_stage_is_one_line_with_its_own_numbers(text, said):
    (stage,) = fuse(parse(text, (2, 8, 8)))
    assert formula(stage) == said
    folder = Path(calculus.__file__).parent
    assert files(stage)
    assert all((folder / file).is_file() for file in files(stage))


def test_every_function_of_the_engine_is_told():
    assert set(FUNCTIONS) == set(KNOWN)


def test_it_says_which_instructions_are_taken_or_why_none(monkeypatch):
    monkeypatch.setenv("STRIATE_NATIVE", "off")
    told = str(of(LENET, (1, 32, 32)))
    assert "not here: STRIATE_NATIVE=off" in told
    monkeypatch.delenv("STRIATE_NATIVE")
    found = library()
    if found is not None:
        plan = outline(parse(LENET, (1, 32, 32)), found)
        assert (plan.instructions, plan.lanes) == (found.name, found.lanes)
        assert str(plan).startswith(f"native engine: {found.name}, {found.lanes} samples")


def test_the_document_shows_what_is_told():
    page = (Path(__file__).resolve().parents[2] / "docs" / "native.md").read_text()
    (shown,) = [block for block in re.findall(r"^```text\n(.*?)^```$", page, re.M | re.S) if "a training step" in block]
    stages = LENET.replace("120, relu", "120, relu, dropout 0").replace("84, relu", "84, relu, dropout 0")
    plan = replace(
        of(stages, (1, 32, 32)), instructions="avx2", absence=""
    )  # lenet5 drops nothing where it is not asked
    assert str(plan) + "\n" == shown


def test_an_output_that_is_no_vector_cannot_be_trained():
    with pytest.raises(ConfigError, match="the output must be a vector, got 2x6x6"):
        of("conv 2 3x3", (1, 8, 8))


@pytest.mark.parametrize("text", [LENET, NORMED])
def test_lines_fit_a_terminal(text):
    assert max(map(len, str(of(text, (1, 32, 32))).splitlines())) <= 120
