import math
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from striate.base.errors import ConfigError
from striate.base.network import KINDS, Branches
from striate.base.operations import (
    ACTIVATIONS,
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
from striate.base.random import StepRandomness
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
from striate.calculus.arithmetic import ARITHMETIC, arithmetic, demonstrate, input_gradient, parameter_gradient
from striate.calculus.branches import add, add_pullback, concatenate, concatenate_pullback
from striate.calculus.steps import STEPS, Given

small, sizes = st.integers(1, 2), st.lists(st.integers(4, 6), min_size=1, max_size=2)


@st.composite
def convolutions(draw):
    groups, axes = draw(small), draw(sizes)
    kernel = tuple(draw(st.integers(1, 3)) for _ in axes)
    each = tuple((draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in axes)
    padding = draw(st.sampled_from(["valid", "same", "full", 1, each]))
    dilation = draw(small) if min(axes) > 4 or max(kernel) < 3 else 1
    mode = draw(st.sampled_from(["zeros", "replicate", "reflect", "circular"])) if padding != "full" else "zeros"
    options = {"stride": draw(small), "padding": padding, "dilation": dilation, "groups": groups, "padding_mode": mode}
    turned, bias = draw(st.booleans()), draw(st.booleans())
    return partial(Conv, 2 * groups, kernel, **options, flip_kernel=turned, bias=bias), (2 * groups, *axes)


@st.composite
def transposed(draw):
    groups, stride = draw(small), draw(small)
    options = {"stride": stride, "padding": draw(st.integers(0, 1)), "groups": groups, "dilation": draw(small)}
    extra = draw(st.integers(0, stride - 1))
    operation = partial(ConvTranspose, 2 * groups, 3, output_padding=extra, bias=draw(st.booleans()), **options)
    return operation, (2 * groups, *(n - 2 for n in draw(sizes)))


@st.composite
def pools(draw, number):
    kernel, stride, ceil = draw(st.integers(2, 3)), draw(small), draw(st.booleans())
    padding, dilation = draw(st.integers(0, 1)), draw(small)
    made = [
        partial(MaxPool, kernel, stride, padding, dilation if kernel == 2 else 1, ceil),
        partial(MeanPool, kernel, stride, padding, ceil, draw(st.booleans())),
        partial(LpPool, draw(st.sampled_from([1, 2, 3.5])), kernel, stride, ceil),
        partial(StochasticPool, kernel, stride, ceil),
        partial(AdaptiveMeanPool, kernel),
        partial(AdaptiveMaxPool, kernel),
    ]
    return made[number], (2, *draw(sizes))


@st.composite
def others(draw, number):
    activation = draw(st.sampled_from(ACTIVATIONS))
    own = {"leaky_relu": {"negative_slope": 0.2}, "elu": {"alpha": 0.7}}.get(activation, {})
    made = [
        partial(Activation, activation, **own),
        partial(PReLU, draw(st.sampled_from([1, 4]))),
        partial(Maxout, 2),
        Softmax,
        Flatten,
        partial(Dropout, 0.4),
        partial(BatchNorm, 0.01),
        partial(LocalResponseNorm, draw(st.integers(1, 4)), 0.5, 0.75, 1.5),
        partial(ChannelShuffle, 2),
    ]
    return made[number], (4, *draw(sizes))


linears = st.tuples(st.builds(partial, st.just(Linear), st.integers(1, 4), st.booleans()), st.tuples(st.integers(1, 5)))


def prepare(operation, shape, training, seed):
    """Input with a few ties, parameters, buffers, output, error and gradients."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(2, *shape, dtype=torch.float64, generator=g)
    x = x.abs() if isinstance(operation, StochasticPool) else (2 * x).round() / 2
    own = {name: torch.randn(s, dtype=x.dtype, generator=g) for name, s in operation.parameters(shape).items()}
    kept = {name: torch.rand(s, dtype=x.dtype, generator=g) for name, s in operation.buffers(shape).items()}
    everything = Given(own, kept, StepRandomness(3, 1) if training else None, 1)
    pair = STEPS[type(operation)]
    made = pair.forward(operation, x, everything)
    dy = torch.randn(made.y.shape, dtype=x.dtype, generator=g)
    return x, everything, made.y, dy, pair.backward(operation, dy, x, everything, made.kept)


def consistent(explained):
    """Sums, biases and factors are what they say, and it can be printed."""
    assert str(explained).endswith(f"= {float(f'{explained.result + 0.0:.4g}'):.4g}")
    for term in explained.terms:
        if term.factor is not None and math.isfinite(term.value):
            assert term.product == term.value * term.factor
    assert dict(explained.partial_sums).keys() == {term.channel for term in explained.terms}
    if not explained.then:
        total = math.fsum([*(term.product for term in explained.terms), explained.bias or 0.0])
        assert math.isclose(total, explained.result, rel_tol=1e-12, abs_tol=1e-12)
    return explained


def agrees(explained, tensor, at):
    assert_close(consistent(explained).result, tensor[at].item(), rtol=1e-9, atol=1e-11)


def places(tensor, data):
    """Two indices of a tensor."""
    return [tuple(data.draw(st.integers(0, n - 1)) for n in tensor.shape) for _ in range(2)]


FAMILIES = {
    "conv": convolutions(),
    "conv_transpose": transposed(),
    "linear": linears,
    **{f"pool {number}": pools(number) for number in range(6)},
    **{f"other {number}": others(number) for number in range(9)},
}


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=15, deadline=None, derandomize=True)
@given(data=st.data())
def test_one_number_taken_apart_is_the_number_that_the_operation_makes(family, data):
    case = data.draw(FAMILIES[family])
    (make, shape), training = case, data.draw(st.booleans())
    operation = make()  # not in the strategies: the type checks of the tests draw random numbers
    x, everything, y, dy, error = prepare(operation, shape, training, data.draw(st.integers(0, 5)))
    for at in places(y, data):
        explained = arithmetic(operation, x, at, everything)
        agrees(explained, y, at)
        for term in explained.terms:
            assert term.at is None or term.value == x[term.at].item()
            assert term.factor_at is None or term.factor == everything.parameters["weight"][term.factor_at].item()
    for at in places(x, data):
        explained = input_gradient(operation, dy, x, at, everything)
        agrees(explained, error.dx, at)
        assert all(term.at is None or term.value == dy[term.at].item() for term in explained.terms)
    for name, gradient in error.parameters.items():
        for at in places(gradient, data):
            agrees(parameter_gradient(operation, dy, x, name, at, everything), gradient, at)


@pytest.mark.parametrize("join", ["add", "concatenate"])
def test_where_branches_meet_every_number_is_followed_back(join):
    g = torch.Generator().manual_seed(0)
    ends = tuple(torch.randn(2, c, 3, dtype=torch.float64, generator=g) for c in ((2, 2) if join == "add" else (1, 3)))
    operation = Branches(((), ()), join)
    y = add(ends) if join == "add" else concatenate(ends)
    dy = torch.randn(y.shape, dtype=y.dtype, generator=g)
    back = add_pullback(dy, 2) if join == "add" else concatenate_pullback(dy, [1, 3])
    for at in torch.cartesian_prod(*(torch.arange(n) for n in y.shape)).tolist():
        agrees(arithmetic(operation, ends, tuple(at)), y, tuple(at))
    for branch, dx in enumerate(back):
        for at in torch.cartesian_prod(*(torch.arange(n) for n in dx.shape)).tolist():
            agrees(input_gradient(operation, dy, ends, (branch, *at)), dx, tuple(at))


def test_every_kind_is_taken_apart_and_those_that_learn_with_their_parameters():
    assert set(ARITHMETIC) == set(KINDS.values())
    learn = {kind for kind, explained in ARITHMETIC.items() if explained.parameter_gradient}
    assert learn == {Conv, ConvTranspose, Linear, PReLU, BatchNorm}


def test_the_textbooks_binary_picture_answers_4_at_its_first_window():
    picture = [[1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1], [0, 0, 1, 1, 0], [0, 1, 1, 0, 0]]
    weight = torch.tensor([[[[1, 0, 1], [0, 1, 0], [1, 0, 1.0]]]])
    explained = arithmetic(
        Conv(1, 3, bias=False), torch.tensor([[picture]]).float(), (0, 0, 0, 0), Given({"weight": weight})
    )
    assert [term.product for term in explained.terms] == [1, 0, 1, 0, 1, 0, 0, 0, 1]
    assert explained.result == 4


def test_padding_is_marked_and_a_copy_names_its_source():
    x, one = torch.tensor([[[1.0, 2.0, 3.0]]]), Given({"weight": torch.ones(1, 1, 3)})
    zeros = arithmetic(Conv(1, 3, padding=1, bias=False), x, (0, 0, 0), one)
    assert [(t.outside, t.at) for t in zeros.terms] == [(True, None), (False, (0, 0, 0)), (False, (0, 0, 1))]
    assert "  padding 0  × weight[0, 0, 0] 1 = 0" in str(zeros)
    copied = arithmetic(Conv(1, 3, padding=1, bias=False, padding_mode="reflect"), x, (0, 0, 0), one)
    assert "padding, a copy of x[0, 0, 1] 2  × weight[0, 0, 0] 1 = 2" in str(copied)


def test_channels_are_summed_one_by_one_and_then_with_the_bias():
    text = demonstrate()
    assert "  channel 0: 0\n" in text
    assert "  sum: 0 + 1 + bias 0.5 = 1.5\n= 1.5" in text


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda x: arithmetic(MaxPool(2), x, (0, 0, 2, 0)),
            r"within 1x1x2x2, got \(0, 0, 2, 0\).\n  Fix: count from 0",
        ),
        (lambda x: arithmetic(MaxPool(2), x, (0, 0)), "within 1x1x2x2"),
        (lambda x: input_gradient(MaxPool(2), x, x, (0, 0, 4, 0)), "within 1x1x4x4"),
        (lambda x: input_gradient(Branches(((), ())), x, (x, x), (2, 0, 0, 0, 0)), "within 2x1x1x4x4"),
        (lambda x: parameter_gradient(MaxPool(2), x, x, "weight", (0,)), "nothing to learn"),
        (lambda x: parameter_gradient(PReLU(), x, x, "bias", (0,)), "ask for weight"),
        (lambda x: parameter_gradient(PReLU(), x, x, "weight", (1,)), "within 1, got"),
    ],
)
def test_a_number_that_is_not_there_is_refused(call, text):
    with pytest.raises(ConfigError, match=text):
        call(torch.zeros(1, 1, 4, 4))


@pytest.mark.parametrize("size", [1e200, 1e-200])
def test_lp_pooling_of_numbers_whose_powers_are_no_floats_is_that_of_the_operation(size):
    operation = LpPool(2, 2)
    x = size * torch.tensor([[[3.0, 4.0, 0.0, -1.0]]], dtype=torch.float64)
    dy = torch.tensor([[[10.0, 1.0]]], dtype=torch.float64)
    made = arithmetic(operation, x, (0, 0, 0))
    assert made.result == pytest.approx(5 * size, rel=1e-12)
    assert "times the largest |x|" in str(made)
    back = input_gradient(operation, dy, x, (0, 0, 1))
    assert back.result == pytest.approx(8, rel=1e-12)
