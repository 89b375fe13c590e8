import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

from striate.base.errors import ConfigError
from striate.base.network import KINDS, Branches, Network
from striate.base.operations import ACTIVATIONS as NAMES
from striate.base.operations import Activation, BatchNorm, Dropout, Flatten, Linear
from striate.base.random import StepRandomness, step_randomness
from striate.base.windowed import Conv, ConvTranspose
from striate.calculus.network import backward, forward, initial
from striate.layers.initialise import initialise
from striate.models.described import ACTIVATIONS, JOINS, LAYERS, described
from striate.models.notation import parse

STEP = StepRandomness(seed=7, step=3)
SMALL = parse(
    "input 2x8x8, conv 4 3x3 same, bn, prelu 4, residual(conv 4 3x3 same, bn, relu, conv 4 1x1), convtranspose 4 2 "
    "stride 2, concat(conv 2 1x1 | maxpool 3 stride 1 pad 1), dropout 0.2, globalavgpool, flatten, linear 10 nobias"
)


def test_every_kind_and_every_function_has_a_layer():
    assert set(LAYERS) == set(KINDS.values()) - {Branches}
    assert set(ACTIVATIONS) == set(NAMES)
    assert set(JOINS) == {"add", "concatenate"}


def test_parameters_have_the_names_and_the_order_of_the_description():
    module = described(SMALL)
    assert {name: tuple(p.shape) for name, p in module.named_parameters()} == SMALL.parameter_shapes()
    assert list(dict(module.named_parameters())) == list(SMALL.parameter_shapes())
    assert "3.0.1.running_mean" in module.state_dict()


ROWS = {  # every operation with every option, behind what it needs
    "conv": ["conv 4 3x2 stride 2 pad 1:0x0:2 groups 2 nobias reflect flip", "conv 3 2 full dilation 2 replicate"],
    "conv by rule": ["conv 3 2 same stride 2 circular", "conv 3 3 same", "conv 3 3 valid", "conv 2 3 pad 1x2"],
    "conv_transpose": ["convtranspose 4 3x2 stride 2 pad 1:0x1 output_pad 1x0 groups 2 nobias dilation 1x2"],
    "max_pool": ["maxpool 3 stride 2 pad 1 ceil", "maxpool 2x1 stride 1 dilation 2x1"],
    "mean_pool": ["avgpool 3 stride 2 pad 1 ceil", "avgpool 3x2 pad 1 exclude_pad", "avgpool 2"],
    "lp_pool": ["lppool 3 2 stride 1", "lppool 1.5 2x3 ceil"],
    "stochastic_pool": ["sigmoid, stochasticpool 2 stride 1, stochasticpool 4 ceil"],
    "adaptive": ["adaptiveavgpool 4x1", "globalmaxpool", "adaptivemaxpool 2x4", "globalavgpool"],
    "activation": ["leaky_relu slope 0.2, elu alpha 0.7, swish, gelu, scaled_tanh", "hard_limit", "tanh, relu"],
    "channels": ["prelu 2 init 0.1, prelu, maxout 2", "softmax", "conv 4 1, shuffle 2", "lrn 2 alpha 0.5 beta 0.6 k 2"],
    "vectors": ["flatten, linear 4, shuffle 2, bn eps 0.1 momentum 0.3, softmax, linear 2 nobias, lrn 2, prelu 2"],
    "batch_norm": ["bn eps 0.1 momentum 0.3"],
    "dropout": ["dropout 0.3, flatten, dropout, dropout 0"],
    "branches": ["concat(conv 2 1 | | maxpool 3 stride 1 pad 1), residual(conv 6 3 same, bn, add(tanh | dropout))"],
}
TEXTS = [text for texts in ROWS.values() for text in texts]


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("text", TEXTS)
def test_every_option_is_computed_as_the_formulas_do(text, training):
    same_as_the_formulas(parse(text, (2, 7, 6)), training)


def test_every_kind_is_among_the_rows():
    found = {type(step.operation) for text in TEXTS for step in parse(text, (2, 7, 6)).steps}
    assert found == set(KINDS.values())


def numbers(network, seed):
    """Parameters, buffers and a batch, all drawn."""
    g = torch.Generator().manual_seed(seed)
    parameters = {n: torch.randn(s, dtype=torch.float64, generator=g) for n, s in network.parameter_shapes().items()}
    buffers = {n: torch.rand(s, dtype=torch.float64, generator=g) + 0.5 for n, s in network.buffer_shapes().items()}
    return parameters, buffers, torch.randn(3, *network.input_shape, dtype=torch.float64, generator=g)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.data(), st.booleans())
def test_it_computes_what_the_formulas_compute_forward_and_backward(draw_network, data, training):
    same_as_the_formulas(draw_network(data), training)


def same_as_the_formulas(network, training):
    parameters, buffers, x = numbers(network, 0)
    module = described(network).double().train(training)
    missing, unexpected = module.load_state_dict(parameters | buffers, strict=False)
    assert not unexpected
    assert all(name.endswith("num_batches_tracked") for name in missing)

    trace = forward(network, parameters, x, buffers=buffers, training=STEP if training else None)
    dy = torch.randn(trace.output.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    gradients, dx = backward(trace, dy)
    with step_randomness(STEP):
        y = module(x.requires_grad_())
    assert_close(y.detach(), trace.output, rtol=1e-8, atol=1e-10)
    held = dict(module.named_parameters())
    ours = torch.autograd.grad(y, [x, *held.values()], dy, allow_unused=True)
    for name, mine, told in zip(["x", *held], ours, [dx, *gradients.values()], strict=True):
        assert_close(torch.zeros_like(told) if mine is None else mine, told, rtol=1e-6, atol=1e-7, msg=name)
    for name, moved in trace.buffers.items():
        assert_close(module.state_dict()[name], moved, rtol=1e-8, atol=1e-10)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.data())
def test_the_first_weights_are_those_of_the_explicit_network(draw_network, data):
    for network in (SMALL, draw_network(data)):
        module = described(network)
        initialise(module, 5)
        parameters, buffers = initial(network, 5)
        state = module.state_dict()
        for name, expected in (parameters | buffers).items():
            assert torch.equal(state[name], expected), name


def test_every_layer_that_draws_has_a_number_of_its_own():
    network = Network((4,), (Dropout(0.5), Branches(((Dropout(0.5),), ()), "add"), Dropout(0.5)))
    assert [layer.stream for layer in described(network).modules() if hasattr(layer, "stream")] == [0, 1, 2]


def test_it_can_be_made_without_numbers():
    with torch.device("meta"):
        module = described(parse("input 1x8x8, flatten, linear 1000000, linear 1000000"))
    assert module[2].weight.shape == (10**6, 10**6)


def test_a_parameter_that_no_machine_holds_is_refused():
    network = Network((1, 10**5, 10**4), (Flatten(), Linear(2000)))
    with pytest.raises(ConfigError, match=r"1\.weight must be of 1099511627776 numbers at most, got 2000x1000000000"):
        described(network)


def test_a_pooling_that_torch_cannot_do_is_refused_with_its_name():
    network = parse("input 1x1x1x1, avgpool 2 pad 1")
    with pytest.raises(ConfigError, match=r"mean_pool on 1x1x1x1: .* 2x2x2 kernel in torch's AvgPool3d, got 1x1x1\.\n"):
        described(network)
    assert described(parse("input 1x1x1, avgpool 2 pad 1"))(torch.ones(1, 1, 1, 1)).shape == (1, 1, 1, 1)


def test_what_torch_does_well_is_torchs():
    module = described(parse("input 1x8x8, conv 4 3, relu, maxpool 2, flatten, linear 3"))
    kinds = [type(layer) for layer in module]
    assert kinds[1:] == [nn.ReLU, nn.MaxPool2d, nn.Flatten, nn.Linear]
    assert isinstance(module[0], nn.Conv2d)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_the_rank_of_the_input_is_that_of_the_layers(axes):
    row = (Conv(2, 3), BatchNorm(), ConvTranspose(2, 2), Activation("relu"))
    network = Network((2, *[5] * axes), row)
    assert described(network)(torch.zeros(2, *network.input_shape)).shape[1:] == network.output_shape
