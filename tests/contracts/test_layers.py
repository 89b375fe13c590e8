"""The contract of the layers: every class of `src/striate/layers/` walks all of it.  A fault names the file.

`EXAMPLES` says how to make each layer, which input it takes, what a bad argument is and, where the network description
knows the layer, what it is called there.  A layer that is missing in it fails by the name of its file.
"""

import importlib
import pkgutil
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.testing import assert_close

import striate.layers
from striate.analysis.inspect import inspect
from striate.base.errors import ConfigError
from striate.base.network import Branches, Network, Operations
from striate.base.operations import Activation, BatchNorm, ChannelShuffle, Dropout, LocalResponseNorm, Maxout
from striate.base.random import StepRandomness, step_randomness
from striate.base.windowed import Conv, ConvTranspose, LpPool, MaxPool, StochasticPool
from striate.calculus.network import forward
from striate.layers.branches import Add, Concatenate
from striate.layers.channel_shuffle import ChannelShuffle as ChannelShuffleLayer
from striate.layers.conv import Conv1d, Conv2d, Conv3d
from striate.layers.conv_transpose import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from striate.layers.depthwise_separable_conv import DepthwiseSeparableConv2d
from striate.layers.dropout import Dropout as DropoutLayer
from striate.layers.dropout import StepRandomLayer
from striate.layers.fixed_filter import FixedFilter2d
from striate.layers.grouped_conv_block import GroupedConvBlock
from striate.layers.hard_limit import HardLimit
from striate.layers.inception import Inception
from striate.layers.local_response_norm import LocalResponseNorm as LocalResponseNormLayer
from striate.layers.lp_pool import LPPool1d, LPPool2d, LPPool3d
from striate.layers.maxout import Maxout as MaxoutLayer
from striate.layers.mixed_pool import MixedPool2d
from striate.layers.normalise import Normalise
from striate.layers.rbf import RBF
from striate.layers.scaled_tanh import ScaledTanh
from striate.layers.stochastic_pool import StochasticPool1d, StochasticPool2d, StochasticPool3d
from striate.layers.subsample import Subsample2d
from striate.layers.table_conv import TableConv2d
from striate.layers.whiten import Whiten

RELU = Activation("relu")


@dataclass(frozen=True)
class Example:
    """A small layer.

    Args:
        make: builds it.
        shape: of a small input, with its batch.
        bad: uses it wrongly; None where it takes no argument and any input.
        described: the same as operations, where the network description has it.
    """

    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    bad: Callable[[], object] | None
    described: Operations | None = None


def inception():
    """Figure 2b, as operations."""
    rows = (
        (Conv(2, 1), RELU),
        (Conv(1, 1), RELU, Conv(2, 3, padding=1), RELU),
        (Conv(1, 1), RELU, Conv(1, 5, padding=2), RELU),
        (MaxPool(3, 1, 1), Conv(1, 1), RELU),
    )
    return (Branches(rows),)


EXAMPLES = {
    Add: Example(
        lambda: Add(nn.Identity(), nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.ReLU())),
        (2, 2, 4, 4),
        lambda: Add(),
        (Branches(((), (Conv(2, 3, padding=1), RELU)), "add"),),
    ),
    ChannelShuffleLayer: Example(
        lambda: ChannelShuffleLayer(2), (2, 4, 3), lambda: ChannelShuffleLayer(0), (ChannelShuffle(2),)
    ),
    Concatenate: Example(
        lambda: Concatenate(nn.Sequential(nn.Conv2d(2, 1, 1)), nn.Identity()),
        (2, 2, 4, 4),
        lambda: Concatenate(nn.Identity(), nn.MaxPool2d(2))(torch.ones(1, 1, 4, 4)),
        (Branches(((Conv(1, 1),), ())),),
    ),
    Conv1d: Example(
        lambda: Conv1d(2, 4, 3, 2, "same", groups=2),
        (2, 2, 5),
        lambda: Conv1d(3, 4, 3, groups=2),
        (Conv(4, 3, 2, "same", groups=2),),
    ),
    Conv2d: Example(
        lambda: Conv2d(2, 3, (3, 2), padding=((1, 0), (0, 2)), dilation=(1, 2), flip_kernel=True),
        (2, 2, 4, 4),
        lambda: Conv2d(2, 3, 3, padding="sane"),
        (Conv(3, (3, 2), padding=((1, 0), (0, 2)), dilation=(1, 2), flip_kernel=True),),
    ),
    Conv3d: Example(
        lambda: Conv3d(1, 2, 2, padding="full", padding_mode="replicate"),
        (1, 1, 2, 3, 2),
        lambda: Conv3d(1, 0, 2),
        (Conv(2, 2, padding="full", padding_mode="replicate"),),
    ),
    ConvTranspose1d: Example(
        lambda: ConvTranspose1d(2, 4, 3, 2, ((0, 2),), 1),  # ONNX's reference evaluator knows no groups here
        (2, 2, 5),
        lambda: ConvTranspose1d(2, 4, 3, output_padding=1),
        (ConvTranspose(4, 3, 2, ((0, 2),), 1),),
    ),
    ConvTranspose2d: Example(
        lambda: ConvTranspose2d(2, 3, (3, 2), padding=((1, 0), (0, 1)), dilation=(1, 2), bias=False),
        (2, 2, 4, 4),
        lambda: ConvTranspose2d(3, 4, 3, groups=2),
        (ConvTranspose(3, (3, 2), padding=((1, 0), (0, 1)), dilation=(1, 2), bias=False),),
    ),
    ConvTranspose3d: Example(
        lambda: ConvTranspose3d(1, 2, 2, padding=(0, (0, 1), 1)),
        (1, 1, 2, 3, 2),
        lambda: ConvTranspose3d(1, 0, 2),
        (ConvTranspose(2, 2, padding=(0, (0, 1), 1)),),
    ),
    DepthwiseSeparableConv2d: Example(
        lambda: DepthwiseSeparableConv2d(2, 3, 3, padding=1),
        (2, 2, 4, 4),
        lambda: DepthwiseSeparableConv2d(0, 3, 3),
        (Conv(2, 3, padding=1, groups=2, bias=False), Conv(3, 1)),
    ),
    DropoutLayer: Example(lambda: DropoutLayer(0.4), (2, 3, 4, 4), lambda: DropoutLayer(1.5), (Dropout(0.4),)),
    FixedFilter2d: Example(
        lambda: FixedFilter2d(torch.arange(18.0).view(2, 3, 3), padding_mode="reflect"),
        (2, 2, 4, 4),
        lambda: FixedFilter2d(torch.ones(1, 1, 3, 3)),
    ),
    GroupedConvBlock: Example(
        lambda: GroupedConvBlock(4, 4, groups=2),
        (2, 4, 4, 4),
        lambda: GroupedConvBlock(3, 4, groups=2),
        (Conv(4, 1, groups=2, bias=False), BatchNorm(), RELU, ChannelShuffle(2), Conv(4, 3, padding="same", groups=2)),
    ),
    HardLimit: Example(HardLimit, (2, 3, 4, 4), None, (Activation("hard_limit"),)),
    Inception: Example(
        lambda: Inception(2, 2, 1, 2, 1, 1, 1), (2, 2, 5, 5), lambda: Inception(2, 0, 1, 2, 1, 1, 1), inception()
    ),
    LocalResponseNormLayer: Example(
        lambda: LocalResponseNormLayer(3, 0.5, k=2.0),
        (2, 5, 3, 3),
        lambda: LocalResponseNormLayer(0),
        (LocalResponseNorm(3, 0.5, k=2.0),),
    ),
    MaxoutLayer: Example(lambda: MaxoutLayer(2), (2, 4, 3, 3), lambda: MaxoutLayer(0), (Maxout(2),)),
    MixedPool2d: Example(lambda: MixedPool2d(2, mix=0.3), (2, 2, 4, 4), lambda: MixedPool2d(2, mix=1.0)),
    Normalise: Example(lambda: Normalise([0.1, 0.2], [0.5, 2.0]), (2, 2, 3, 3), lambda: Normalise([0.0], [0.0])),
    RBF: Example(lambda: RBF(torch.tensor([[1.0, -1.0, 1.0]] * 2), learnable=True), (2, 3), lambda: RBF(torch.ones(3))),
    ScaledTanh: Example(ScaledTanh, (2, 3, 4, 4), None, (Activation("scaled_tanh"),)),
    LPPool1d: Example(lambda: LPPool1d(3, 2), (2, 2, 5), lambda: LPPool1d(0.5, 2), (LpPool(3, 2),)),
    LPPool2d: Example(
        lambda: LPPool2d(2.5, (2, 3), 2, ceil_mode=True),
        (2, 2, 4, 4),
        lambda: LPPool2d(2, 2)(torch.ones(1, 4, 4)),
        (LpPool(2.5, (2, 3), 2, True),),
    ),
    LPPool3d: Example(
        lambda: LPPool3d(2, 2), (1, 2, 2, 3, 2), lambda: LPPool3d(2, 2)(torch.ones(1, 1, 4, 4)), (LpPool(2, 2),)
    ),
    StochasticPool1d: Example(
        lambda: StochasticPool1d(3, 2, ceil_mode=True),
        (2, 2, 6),
        lambda: StochasticPool1d(2)(torch.ones(1, 1, 4, 4)),
        (StochasticPool(3, 2, True),),
    ),
    StochasticPool3d: Example(
        lambda: StochasticPool3d(2),
        (1, 2, 2, 4, 3),
        lambda: StochasticPool3d(2)(-torch.ones(1, 1, 2, 2, 2)),
        (StochasticPool(2),),
    ),
    StochasticPool2d: Example(
        lambda: StochasticPool2d(2),
        (2, 2, 4, 4),
        lambda: StochasticPool2d(3)(torch.ones(1, 1, 2, 2)),
        (StochasticPool(2),),
    ),
    Subsample2d: Example(lambda: Subsample2d(2), (2, 2, 4, 4), lambda: Subsample2d(0)),
    TableConv2d: Example(
        lambda: TableConv2d([[True, False], [True, True]], 3), (2, 2, 4, 4), lambda: TableConv2d([[True], [False]], 3)
    ),
    Whiten: Example(
        lambda: Whiten(torch.ones(3), torch.arange(6.0).view(2, 3)),
        (2, 3),
        lambda: Whiten(torch.ones(2), torch.ones(1)),
    ),
}
ABSTRACT = {StepRandomLayer}  # bases without a forward
NO_ARGUMENT = {HardLimit, ScaledTanh}  # take no argument and any shape, so nothing can be bad
MOVES = ("running_mean", "running_var", "num_batches_tracked")  # what training may change: batch normalisation's
walks = pytest.mark.parametrize("layer", EXAMPLES, ids=lambda layer: layer.__name__)


def classes(package=striate.layers):
    """Every public module class of a package, with the file that defines it."""
    for found in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{found.name}")
        for name, value in vars(module).items():
            own = isinstance(value, type) and value.__module__ == module.__name__ and not name.startswith("_")
            if own and issubclass(value, nn.Module):
                yield value, f"{found.name}.py"


def missing(examples):
    """The files of layers that the contract does not walk."""
    return [f"{file}: {layer.__name__}" for layer, file in classes() if layer not in {*examples, *ABSTRACT}]


def built(layer, dtype=torch.float32, *, seed=0):
    """The example with weights of its own, and an input > 0."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # torch's layers draw their first weights so
        module = EXAMPLES[layer].make().to(dtype)
    g = torch.Generator().manual_seed(1)
    return module, torch.rand(EXAMPLES[layer].shape, dtype=torch.float64, generator=g).to(dtype) + 0.1


def test_every_layer_is_walked():
    assert missing(EXAMPLES) == []


def test_a_layer_without_an_example_is_named_with_its_file():
    fewer = {layer: example for layer, example in EXAMPLES.items() if layer is not MaxoutLayer}
    assert missing(fewer) == ["maxout.py: Maxout"]


@walks
def test_the_gradient_is_that_of_central_differences(layer):
    module, x = built(layer, torch.float64)
    names, values = zip(*module.named_parameters(), strict=True) if list(module.parameters()) else ((), ())
    module.eval()

    def run(x, *parameters):
        return functional_call(module, dict(zip(names, parameters, strict=True)), (x,))

    leaves = [x.requires_grad_(), *(value.detach().requires_grad_() for value in values)]
    assert torch.autograd.gradcheck(run, leaves, rtol=1e-6, atol=1e-7)


@walks
def test_the_state_goes_out_and_in(layer):
    (one, x), (other, _) = built(layer), built(layer, seed=7)
    other.load_state_dict(one.state_dict())
    assert torch.equal(one.eval()(x), other.eval()(x))


@walks
def test_it_is_exported_with_the_same_output(layer):
    module, x = built(layer)
    module.eval()
    exported = torch.export.export(module, (x,)).module()
    assert_close(exported(x), module(x), rtol=1e-5, atol=1e-6)


@walks
def test_channels_last_gives_the_same_values(layer):
    module, x = built(layer)
    if x.ndim != 4:
        pytest.skip("torch has channels last for pictures alone")
    module.eval()
    assert_close(module(x.to(memory_format=torch.channels_last)), module(x), rtol=1e-5, atol=1e-6)


@walks
def test_it_runs_in_bfloat16(layer):
    module, x = built(layer)
    expected = module.eval()(x)
    y = module.to(torch.bfloat16)(x.to(torch.bfloat16))
    assert y.dtype == torch.bfloat16
    scale = expected.abs().max().item()
    assert_close(y.float(), expected, rtol=0.05, atol=0.05 * scale)


@walks
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_forward_leaves_the_layer_as_it_was(layer, training):
    module, x = built(layer)
    module.train(training)
    state, own, before = deepcopy(module.state_dict()), [deepcopy(_own(part)) for part in module.modules()], x.clone()
    module(x)
    assert torch.equal(x, before)
    assert [_own(part) for part in module.modules()] == own
    for name, value in module.state_dict().items():
        if not (training and name.endswith(MOVES)):
            assert torch.equal(value, state[name]), name


def _own(module):
    """The attributes of a module, its parameters, buffers and parts aside."""
    return {name: value for name, value in vars(module).items() if not isinstance(value, dict | torch.Tensor)}


@walks
def test_the_described_shape_and_parameters_are_the_real_ones(layer):
    described = EXAMPLES[layer].described
    if described is None:
        pytest.skip("the network description does not have it")
    module, x = built(layer)
    network = Network(tuple(x.shape[1:]), described)
    assert network.output_shape == tuple(module(x).shape[1:])
    shapes = [tuple(parameter.shape) for parameter in module.parameters()]
    assert list(network.parameter_shapes().values()) == shapes


@walks
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_the_explicit_network_computes_the_same(layer, training):
    described = EXAMPLES[layer].described
    if described is None:
        pytest.skip("the network description does not have it")
    module, x = built(layer, torch.float64)
    network = Network(tuple(x.shape[1:]), described)
    parameters = dict(zip(network.parameter_shapes(), (p.detach() for p in module.parameters()), strict=True))
    moving = [value for name, value in module.named_buffers() if name.endswith(("running_mean", "running_var"))]
    buffers = dict(zip(network.buffer_shapes(), (value.clone() for value in moving), strict=True))
    now = StepRandomness(seed=5, step=2)
    with step_randomness(now):
        expected = module.train(training)(x)
    trace = forward(network, parameters, x, buffers=buffers, training=now if training else None)
    assert_close(trace.output, expected, rtol=1e-10, atol=1e-12)
    assert_close(list(trace.buffers.values()), moving, rtol=1e-10, atol=1e-12)


@walks
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_the_analysis_says_its_real_shape_and_parameters(layer, device):
    module, x = built(layer)
    with torch.device(device):
        summary = inspect(EXAMPLES[layer].make(), tuple(x.shape[1:]))
    assert summary.rows[-1].output_shape == tuple(module.eval()(x).shape[1:])
    known = getattr(module, "parameter_count", sum(p.numel() for p in module.parameters()))
    assert summary.totals.parameters == sum(row.parameters for row in summary) == known


@walks
def test_the_docstring_says_its_shape(layer):
    assert "Shape: " in layer.__doc__, f"{layer.__module__}: {layer.__name__}'s docstring has no Shape:"
    assert ">>> " in layer.__doc__, f"{layer.__module__}: {layer.__name__}'s docstring has no example"


@walks
def test_a_bad_argument_is_refused_with_the_fix(layer):
    bad = EXAMPLES[layer].bad
    assert (bad is None) == (layer in NO_ARGUMENT)
    if bad is not None:
        with pytest.raises(ConfigError, match=r"(?s) must be .*, got .*\n  Fix: \S"):
            bad()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.` is deprecated:FutureWarning")  # torch's own export
@walks
def test_it_is_exported_to_onnx_with_the_same_output(layer, tmp_path):
    onnx = pytest.importorskip("onnx", reason="ONNX export needs onnx")
    pytest.importorskip("onnxscript", reason="ONNX export needs onnxscript")
    reference = importlib.import_module("onnx.reference")  # ONNX's own definition of its operators, in NumPy
    module, x = built(layer)
    path = tmp_path / "layer.onnx"
    torch.onnx.export(module.eval(), (x,), str(path), dynamo=True, verbose=False)
    onnx.checker.check_model(str(path))
    model = reference.ReferenceEvaluator(str(path))
    (y,) = model.run(None, {model.input_names[0]: x.numpy()})
    assert_close(torch.from_numpy(y), module(x).detach(), rtol=1e-5, atol=1e-6)
