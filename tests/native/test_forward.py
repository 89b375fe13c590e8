"""Evaluation by itself: against torch in float64, and bit for bit the same however pictures come."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tests.native.compiled import settled
from torch.testing import assert_close

from striate.base.errors import ConfigError
from striate.base.network import Network
from striate.base.windowed import Conv
from striate.data.picture import Picture
from striate.data.preprocess import Preprocess
from striate.models.described import described
from striate.models.notation import parse
from striate.native.forward import Forward
from striate.native.library import library
from striate.native.pixels import Pixels

pytestmark = pytest.mark.skipif(library() is None, reason="no compiler at install")
NETWORKS = {
    "lenet": (
        "conv 6 5x5 pad 2, relu, maxpool 2, conv 16 5x5, maxpool 2, relu, flatten, linear 20, relu, linear 10",
        (1, 28, 28),
    ),
    "wide": ("conv 37 3x3 pad 1, maxpool 2, relu, conv 70 1x1, elu, globalavgpool, flatten, linear 130", (3, 18, 15)),
    "groups": ("conv 12 3x3 groups 3, relu, maxpool 2, conv 20 2x2 groups 4 stride 2, flatten, linear 3", (6, 19, 17)),
    "depthwise": (
        "conv 11 3x3 pad 1, batch_norm, relu, conv 11 3x3 same groups 11, maxpool 2, tanh, "
        "conv 11 3x3 groups 11 dilation 2 stride 2 pad 1, conv 9 1x1, flatten, linear 5",
        (2, 14, 15),
    ),
    "multiplier": ("conv 9 3x3 groups 3, sigmoid, conv 18 3x2 groups 9, flatten, linear 2", (3, 9, 9)),
    "a long picture": ("conv 17 3x2 pad 1, tanh, maxpool 2, conv 4 2x2, flatten, linear 3", (1, 9, 49)),
    "a narrow picture": ("conv 4 3x3 stride 2x1 dilation 1x2, maxpool 2, flatten, linear 3", (3, 24, 15)),
    "pools": (
        "maxpool 3 stride 2 pad 1, conv 5 3x3, avgpool 3 stride 2 pad 1 ceil, leaky_relu, adaptiveavgpool 2x3",
        (3, 21, 20),
    ),
    "flattened maps": ("conv 5 3x3, flatten, relu, batch_norm, dropout 0.5, elu, linear 7, batch_norm", (2, 6, 7)),
    "flattened at once": ("flatten, batch_norm, linear 30, sigmoid, dropout 0.5, linear 10", (2, 8, 9)),
    "a signal": ("conv 9 7 stride 3, relu, maxpool 4, conv 5 3, scaled_tanh, flatten, linear 4", (2, 100)),
    "a vector": ("linear 17, tanh, batch_norm, linear 3", (9,)),
    "one function": ("scaled_tanh", (3, 5, 4)),
}


def made(network):
    """The module in float64, and the network's tensors in float32."""
    torch.manual_seed(0)
    module = settled(described(network), torch.Generator().manual_seed(0))
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    return module, {name: t.detach().float().clone() for name, t in tensors.items() if t.ndim}


def forward(network, tensors, *, pixels=None, threads=1):
    return Forward(library(), network, tensors, pixels=pixels, threads=threads)


def samples(network, count, seed=0):
    return torch.randn(count, *network.input_shape, generator=torch.Generator().manual_seed(seed))


def check(network, count):
    module, tensors = made(network)
    own, x = forward(network, tensors), samples(network, count)
    found = own.logits(x)
    with torch.no_grad():
        assert_close(found.double(), module(x.double()), rtol=1e-4, atol=1e-5)
    for place in range(count):
        assert torch.equal(own.logits(x[place : place + 1]), found[place : place + 1])
    assert torch.equal(forward(network, tensors, threads=3).logits(x), found)


@pytest.mark.parametrize("count", [1, 4, 16, 21])
@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_are_those_of_float64_whatever_the_batch(instructions, name, count):
    check(parse(*NETWORKS[name]), count)


FUNCTIONS = ["", ", relu", ", tanh", ", elu", ", sigmoid", ", leaky_relu", ", dropout 0.5"]
AFTER = st.sampled_from(["", ", maxpool 2", ", batch_norm", ", avgpool 2", ", maxpool 3 stride 2 pad 1"])
TAIL = st.sampled_from(["", ", flatten, linear 5", ", flatten, batch_norm, linear 19, relu, linear 3"])
OPTIONS = st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 2), st.integers(0, 2), st.integers(1, 2))


@st.composite
def texts(draw):
    """Convolutions of any options, groups that divide the channels among them."""
    channels, rows = draw(st.integers(1, 6)), []
    first = channels
    for _ in range(draw(st.integers(1, 3))):
        groups = draw(st.sampled_from([n for n in range(1, channels + 1) if channels % n == 0]))
        channels = groups * draw(st.integers(1, 20 // groups + 1))
        high, wide, stride, pad, dilation = draw(OPTIONS)
        bias = draw(st.sampled_from(["", " nobias"]))
        options = f"stride {stride} pad {pad} dilation {dilation} groups {groups}{bias}"
        after = draw(st.permutations([draw(st.sampled_from(FUNCTIONS)), draw(AFTER)]))
        rows.append(f"conv {channels} {high}x{wide} {options}{''.join(after)}")
    return ", ".join(rows) + draw(TAIL), (first, draw(st.integers(5, 15)), draw(st.integers(5, 15)))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=texts(), count=st.integers(1, 20))
def test_any_network_that_fits_gives_what_float64_gives_whatever_the_batch(instructions, drawn, count):
    try:
        network = parse(*drawn)
    except ConfigError:
        assume(False)
    check(network, count)


KINDS = {"uint8": (torch.uint8, 256), "uint16": (torch.uint16, 65536), "float32": (torch.float32, 0)}


def pictures(kind, *shape):
    dtype, top = KINDS[kind]
    draw = torch.Generator().manual_seed(0)
    if not top:
        return torch.randn(*shape, generator=draw)
    return torch.randint(top, shape, generator=draw, dtype=torch.int32).to(dtype)


@pytest.mark.parametrize("count", [1, 19])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("channels", "mean", "std"), [(1, (0.13,), (0.31,)), (3, (0.4, 0.5, 0.6), (0.2, 0.3, 0.1))])
def test_what_the_network_reads_is_the_preprocessing_to_the_bit(instructions, channels, mean, std, kind, count):
    given = Preprocess(Picture(channels, 9, 7, pad=2, kind=kind), mean, std)
    shift, scale = (tuple(values.tolist()) for values in given.steps())
    read = Network((channels, 13, 11), (Conv(channels, 1, bias=False),))
    own = forward(
        read,
        {"0.weight": torch.eye(channels)[:, :, None, None].clone()},
        pixels=Pixels(pad=2, shift=shift, scale=scale),
    )
    images = pictures(kind, count, channels, 9, 7)
    assert torch.equal(own.logits(images), given.to_input(images))


@pytest.mark.parametrize("count", [1, 19])
@pytest.mark.parametrize("name", ["lenet", "flattened at once", "groups"])
def test_pictures_give_what_their_input_gives(instructions, name, count):
    network = parse(*NETWORKS[name])
    (channels, high, wide), (_, tensors) = network.input_shape, made(network)
    given = Preprocess(Picture(channels, high - 2, wide - 2, pad=1), (0.3,) * channels, (0.2,) * channels)
    shift, scale = (tuple(values.tolist()) for values in given.steps())
    images = pictures("uint8", count, channels, high - 2, wide - 2)
    found = forward(network, tensors, pixels=Pixels(pad=1, shift=shift, scale=scale)).logits(images)
    assert torch.equal(found, forward(network, tensors).logits(given.to_input(images)))


@pytest.mark.parametrize("count", [1, 20])
def test_pictures_may_lie_in_memory_in_any_way(instructions, count):
    network = parse(*NETWORKS["wide"])
    own, x = forward(network, made(network)[1]), samples(network, count)
    found = own.logits(x)
    for odd in (
        x.contiguous(memory_format=torch.channels_last),
        x.repeat_interleave(2, 0)[::2],
        x.transpose(2, 3).contiguous().transpose(2, 3),
        x[:1].expand_as(x),
    ):
        assert torch.equal(own.logits(odd), found if torch.equal(odd, x) else own.logits(odd.contiguous()))


@pytest.mark.parametrize("count", [1, 5, 40])
def test_probabilities_are_the_softmax_in_float64(count):
    network = parse(*NETWORKS["lenet"])
    own, x = forward(network, made(network)[1]), samples(network, count)
    assert_close(own.probabilities(x), own.logits(x).double().softmax(1), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("count", [1, 16])
def test_new_numbers_count_from_the_refreshing_on(count):
    network = parse(*NETWORKS["depthwise"])
    _, tensors = made(network)
    own, x = forward(network, tensors), samples(network, count)
    before = own.logits(x)
    for tensor in tensors.values():
        tensor.mul_(0.9)
    assert torch.equal(own.logits(x), before)
    own.refresh()
    assert torch.equal(own.logits(x), forward(network, tensors).logits(x))
    assert not torch.equal(own.logits(x), before)


def test_no_bit_depends_on_the_threads_that_share_a_batch(instructions):
    network = parse(*NETWORKS["lenet"])  # 200 pictures are enough work for several
    tensors, x = made(network)[1], samples(network, 200)
    one, *more = (forward(network, tensors, threads=threads).logits(x) for threads in (1, 2, 3, 8))
    assert all(torch.equal(found, one) for found in more)
    assert torch.equal(forward(network, tensors).logits(x[193:194]), one[193:194])


@pytest.mark.parametrize(("threads", "most"), [(1, 40), (2, 40), (2, 200)])
def test_several_threads_may_call_at_once(threads, most):
    network = parse(*NETWORKS["wide"])
    own, x = forward(network, made(network)[1], threads=threads), samples(network, 24 + most)
    expected = own.logits(x)
    with ThreadPoolExecutor(6) as pool:
        asked = [slice(n % 7, n % 7 + 1 + n * 7 % most) for n in range(200)]
        for rows, found in zip(asked, pool.map(lambda rows: own.logits(x[rows]), asked), strict=True):
            assert torch.equal(found, expected[rows])


@pytest.mark.parametrize("count", [1, 8, 16])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_not_finite_stay_with_their_picture(bad, count):
    network = parse(*NETWORKS["lenet"])
    _, tensors = made(network)
    x = samples(network, count)
    x[0, 0, 14, 14] = bad
    sound, found = forward(network, tensors).logits(samples(network, count)), forward(network, tensors).logits(x)
    assert not found[0].isfinite().all()
    assert torch.equal(found[1:], sound[1:])
    for tensor in tensors.values():
        tensor.view(-1)[0] = bad
    assert not forward(network, tensors).probabilities(x).isfinite().all()


def test_no_pictures_give_no_numbers():
    network = parse(*NETWORKS["lenet"])
    assert forward(network, made(network)[1]).logits(torch.empty(0, 1, 28, 28)).shape == (0, 10)


def test_what_the_engine_does_not_have_is_refused():
    with pytest.raises(ConfigError, match="native engine: operation 1"):
        forward(parse("conv 3 3x3, swish", (1, 8, 8)), {})
