"""The C code of every operation against the torch module of the same description, in float64."""

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tests.models.conftest import drawn, fitted
from tests.native.compiled import SANITISED, arrays, needs_compiler, run_c, settled
from torch.testing import assert_close

from striate.base.errors import ConfigError
from striate.base.network import Branches, Network
from striate.base.operations import Activation
from striate.models.described import described
from striate.models.notation import parse
from striate.native.c_plan import Value, place
from striate.native.c_program import WRITERS, program
from striate.native.c_quantise import as_int8, as_kept
from striate.native.fold import fold

pytestmark = needs_compiler
CLOSE = {"rtol": 1e-4, "atol": 2e-5}
ROWS = [  # behind "input 4x7x8"
    "conv 4 3x2 stride 2 pad 1:0x0:2 groups 2 nobias reflect flip, conv 3 2 full dilation 2 replicate",
    "conv 3 2 same stride 2 circular",
    "conv 13 3 same, conv 20 3 valid",
    "conv 2 3 pad 1x2, conv 100 1x1",
    "conv 4 1x1 stride 2, conv 9 1x1",
    "conv 40 1, conv 40 3 pad 1 groups 40 dilation 1x2, conv 80 3 groups 40, conv 20 1 groups 20",
    "conv 6 3x3 groups 2 dilation 2 pad 2",
    "maxpool 3 stride 2 pad 1 ceil",
    "maxpool 2x1 stride 1 dilation 2x1",
    "maxpool 3 pad 1 dilation 2 stride 2 ceil",
    "avgpool 3 stride 2 pad 1 ceil",
    "avgpool 3x2 pad 1 exclude_pad, avgpool 2",
    "adaptiveavgpool 4x1",
    "adaptivemaxpool 2x5, globalavgpool",
    "globalmaxpool",
    "leaky_relu slope 0.2, elu alpha 0.7, swish, gelu, scaled_tanh",
    "hard_limit",
    "tanh, relu, sigmoid",
    "prelu, prelu 4, maxout 2",
    "softmax",
    "conv 6 1, shuffle 3, lrn 3 alpha 0.5 beta 0.6 k 2, lrn 2",
    "bn, relu, conv 5 3, dropout, bn, flatten, bn, linear 6 nobias, bn",
    "flatten, relu, dropout, prelu, linear 4, shuffle 2, softmax, linear 2 nobias, lrn 2, prelu 2",
    "flatten, prelu 224, maxout 2",
    "flatten, linear 120, linear 84, linear 104, linear 3",
    "concat(conv 2 1 | | maxpool 3 stride 1 pad 1), residual(conv 10 3 same, bn, add(tanh | dropout))",
    "add(relu | sigmoid | ), concat(flatten, linear 3 | flatten), linear 2",
    "residual(residual(relu, conv 4 3 same), concat(conv 1 1 | conv 3 1)), relu, globalavgpool, flatten, linear 3",
]
OTHER_RANKS = [
    "input 3x17, conv 5 4 same stride 2, bn, relu, maxpool 2, conv 6 3 pad 1 reflect, avgpool 2, flatten, linear 3",
    "input 4x9, conv 4 3 pad 1 groups 4, globalavgpool, flatten, linear 2",
    "input 2x5x6x7, conv 5 3x2x3 same, bn, relu, maxpool 2, conv 4 1, flatten, linear 3",
    "input 2x4x5x4, conv 3 3 pad 1 circular, adaptiveavgpool 2x3x1, flatten, linear 2",
    "input 9, linear 17, tanh, bn, linear 3, softmax",
]


def check(network, folder, *, count=2, **options):
    generator = torch.Generator().manual_seed(1)
    torch.manual_seed(0)
    module = settled(described(network), generator)
    x = torch.randn(count, *network.input_shape, generator=generator, dtype=torch.float64)
    folded = fold(network, arrays(module))
    assert_close(run_c(*folded, x, folder, **options), module(x).detach(), **CLOSE)


@pytest.mark.parametrize("text", ROWS)
def test_every_option_of_pictures_computes_what_the_module_does(text, tmp_path):
    check(parse(f"input 4x7x8, {text}"), tmp_path)


@pytest.mark.parametrize("text", OTHER_RANKS)
def test_signals_volumes_and_vectors_too(text, tmp_path):
    check(parse(text), tmp_path)


@pytest.mark.parametrize("text", [", ".join(ROWS[4:8]), ROWS[9], ROWS[26], ROWS[27], *OTHER_RANKS[:3]])
def test_nothing_is_read_or_written_where_it_must_not(text, tmp_path):
    head = "" if text.startswith("input") else "input 4x17x18, "
    check(parse(head + text), tmp_path, flags=SANITISED)


@pytest.mark.parametrize("flags", [["-O3", "-march=native", "-ffp-contract=fast"], ["-O0"]])
def test_the_fast_flags_change_nothing(flags, tmp_path):
    text = "input 3x20x21, conv 8 5, relu, maxpool 2, conv 24 3 pad 1, bn, relu, globalavgpool, flatten, linear 10"
    check(parse(text), tmp_path, flags=flags)


def known(row):
    """What a drawn row has that can be written in C."""
    kept = []
    for kind, *arguments in row:
        if kind is Branches:
            rows, join = arguments
            kept.append((kind, [known(inner) for inner in rows], join))
        elif kind in WRITERS:
            kept.append((kind, *arguments))
    return kept


@given(st.integers(0, 3).flatmap(drawn))
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_drawn_networks_compute_what_the_module_does(tmp_path, plan):
    x, row, times = plan
    network = Network(x, tuple(fitted(known(row) * times, x)[0]))
    assume(not any(isinstance(s.operation, Activation) and s.operation.name == "hard_limit" for s in network.steps))
    check(network, tmp_path)


def test_a_normalisation_is_folded_behind_dropout_and_stays_elsewhere():
    network = parse("input 2x4x4, bn, conv 3 3, dropout, bn, relu, bn, flatten, linear 4 nobias, bn")
    module = settled(described(network), torch.Generator().manual_seed(0))
    folded, tensors = fold(network, arrays(module))
    kinds = [operation.kind for operation in folded.operations]
    assert kinds.count("batch_norm") == 2
    assert folded.operations[7].bias
    x = torch.randn(2, 2, 4, 4, dtype=torch.float64)
    again = described(folded).double().eval()
    again.load_state_dict({name: torch.from_numpy(value) for name, value in tensors.items()}, strict=False)
    assert_close(again(x), module(x))


def test_8_bits_are_what_the_rounded_weights_give(tmp_path):
    network = parse(
        "input 3x8x8, conv 8 3 pad 1, relu, conv 8 3 groups 8, conv 12 1, flatten, linear 20, relu, linear 3"
    )
    module = settled(described(network), torch.Generator().manual_seed(0))
    folded, tensors = fold(network, arrays(module))
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    before = module(x).detach()
    found = run_c(folded, tensors, x, tmp_path, precision="int8")
    kept = as_kept(folded, tensors, "int8")
    module.load_state_dict({name: torch.from_numpy(value) for name, value in kept.items()})
    assert_close(found, module(x).detach(), **CLOSE)
    assert not torch.allclose(found, before, **CLOSE)  # else the weights were not rounded


def test_8_bits_round_to_half_a_step_of_each_channels_own_scale():
    weights = torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(0)).numpy().astype(float)
    weights[1] *= 1e-3
    weights[2] = 0
    stored = as_int8(weights)
    for own, scale, read in zip(weights, stored.scale, stored.weights(), strict=True):
        assert abs(own - read).max() <= scale * 0.5001
    assert abs(stored.values[0]).max() == abs(stored.values[1]).max() == 127
    assert not stored.values[2].any()


def test_values_that_live_together_never_share_a_number():
    network = parse("input 4x8x8, " + ROWS[27])
    module = described(network)
    made = program(network, arrays(module), {})
    alive = {}
    for at, call in enumerate(made.calls):
        for value in (*call.inputs, call.output):
            size = 256 if value == 0 else next(c.function.size for c in made.calls if c.output == value)
            first, _, _ = alive.get(value, (at if value else -1, at, size))
            alive[value] = first, at, size
    spans = [(*alive[v], made.begins[v]) for v in alive]
    for i, (first, last, size, begin) in enumerate(spans):
        for other_first, other_last, other_size, other in spans[:i]:
            if first <= other_last and other_first <= last:
                assert begin + size <= other or other + other_size <= begin
    assert made.size < sum(size for _, _, size, _ in spans)  # and the place is used again


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=12))
def test_the_planner_lays_nothing_over_what_is_alive(drawn_values):
    values = [Value(size, min(a, b), max(a, b)) for size, a, b in drawn_values]
    begins, size = place(values)
    for i, (one, at) in enumerate(zip(values, begins, strict=True)):
        assert at + one.size <= size
        for other, there in zip(values[:i], begins[:i], strict=True):
            if one.first <= other.last and other.first <= one.last:
                assert at + one.size <= there or there + other.size <= at


def test_an_operation_without_c_is_named_with_what_there_is():
    network = parse("input 1x4x4, lppool 2 2, flatten, linear 2")
    with pytest.raises(ConfigError, match=r"layer pooling .* got lp_pool\.\n  Fix: train .* conv, .*relu|linear"):
        program(network, arrays(described(network)), {"0": "pooling"})
