"""What is shown is true: equations are read as they stand and computed, arithmetic is evaluated."""

import pytest
import torch
import torch.nn.functional as F
from tests.analysis.equation_checks import DRAW, check_arithmetic, check_weighted, drawn, only
from tests.analysis.networks import Functional, vgg
from tests.analysis.read_equations import Entries, arithmetic, compute
from torch import nn
from torch.testing import assert_close

from striate.analysis.equations import equations, written_out
from striate.analysis.inspect import inspect
from striate.layers.local_response_norm import LocalResponseNorm
from striate.layers.maxout import Maxout
from striate.layers.rbf import RBF
from striate.layers.scaled_tanh import ScaledTanh
from striate.layers.subsample import Subsample2d
from striate.layers.table_conv import TableConv2d
from striate.models.catalogue import build


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(6,), (4, 6)])
def test_linear(shape, bias):
    check_weighted(nn.Linear(6, 3, bias=bias), shape)


def test_products_of_functional_calls():
    conv, relu, pool, flatten, product, softmax = (
        equations(row)[0].formula for row in inspect(Functional(), (3, 32, 32))
    )
    assert (conv.parameters.value, conv.macs.value) == (8 * 28, 32 * 32 * 8 * 27)
    assert relu.equation == "y = max(0, x)"
    assert (pool.sizes[0].value, flatten.sizes[0].value) == (15, 1800)
    assert product.equation == "y[o] = sum over k < 1800 of w[k, o] x[k]"
    assert (product.parameters.value, product.macs.value) == (18_000, 18_000)
    assert softmax.equation == "y[k] = x[k] - log(sum over k' < 10 of exp(x[k']))"


ACTIVATIONS = [
    nn.ReLU(),
    nn.LeakyReLU(0.2),
    nn.ELU(0.7),
    nn.SELU(),
    nn.CELU(0.5),
    nn.Sigmoid(),
    nn.LogSigmoid(),
    nn.Tanh(),
    nn.GELU(),
    nn.GELU(approximate="tanh"),
    nn.SiLU(),
    nn.Mish(),
    nn.Hardswish(),
    nn.Hardsigmoid(),
    nn.Hardtanh(-0.5, 2.0),
    nn.ReLU6(),
    nn.Softplus(),
    nn.Softplus(2.0),
    nn.Threshold(0.3, -1.0),
    ScaledTanh(),
    nn.Dropout(),
]


@pytest.mark.parametrize("model", ACTIVATIONS, ids=str)
def test_activations(model):
    x = torch.tensor([[-4.0, -1.2, -0.3, 0.0, 0.2, 0.7, 1.9, 8.0]], dtype=torch.float64)
    y = model.eval()(x)[0]
    equation = only(model, (8,))[1].equation.replace("y =", "y[k] =", 1)
    for k, number in enumerate(x[0].tolist()):
        one = compute(equation, y[k : k + 1], x=_Number(number))
        assert_close(one, y[k : k + 1], rtol=1e-5, atol=1e-6)


class _Number(float):
    """A number where `compute` looks for a tensor."""

    tensor = torch.zeros(1)


def test_prelu_has_a_slope_for_each_channel():
    row, formula = only(nn.PReLU(4), (4, 3, 3))
    assert formula.equation == "y = x if x > 0 else w[c]·x"
    check_arithmetic(row, formula, ())


@pytest.mark.parametrize(
    "model", [nn.BatchNorm2d(4), nn.BatchNorm2d(4, affine=False), nn.InstanceNorm2d(4, affine=True)]
)
def test_normalisation_of_channels(model):
    row, formula = only(model, (4, 3, 5))
    model = model.double().eval()
    x = drawn(1, 4, 3, 5)
    if isinstance(model, nn.BatchNorm2d):
        model.running_mean.copy_(drawn(4)), model.running_var.copy_(drawn(4).abs())
        m, v = model.running_mean, model.running_var
    else:
        m, v = x[0].mean((1, 2)), x[0].var((1, 2), unbiased=False)
    learnt = {}
    if model.affine:
        nn.init.normal_(model.weight, generator=DRAW), nn.init.normal_(model.bias, generator=DRAW)
        learnt = {"w": Entries(model.weight.detach()), "b": Entries(model.bias.detach())}
    y = model(x)[0].detach()
    assert_close(compute(formula.equation, y, x=Entries(x[0]), m=Entries(m), v=Entries(v), **learnt), y)
    check_arithmetic(row, formula, ())


def test_group_norm():
    model = nn.GroupNorm(2, 6)
    row, formula = only(model, (6, 2, 3))
    model = model.double()
    nn.init.normal_(model.weight, generator=DRAW)
    x = drawn(1, 6, 2, 3)
    grouped = x[0].reshape(2, -1)
    scope = {"m": Entries(grouped.mean(1)), "v": Entries(grouped.var(1, unbiased=False))}
    learnt = {"w": Entries(model.weight.detach()), "b": Entries(model.bias.detach())}
    y = model(x)[0].detach()
    assert_close(compute(formula.equation, y, x=Entries(x[0]), **scope, **learnt), y)
    check_arithmetic(row, formula, ())


@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 5)])
def test_layer_norm(shape):
    inner = shape[-1:] if shape != (2, 5) else shape
    model = nn.LayerNorm(inner)
    row, formula = only(model, shape)
    model = model.double()
    nn.init.normal_(model.weight, generator=DRAW), nn.init.normal_(model.bias, generator=DRAW)
    x = drawn(1, *shape)
    flat = x[0].flatten(-len(inner))
    m, v = flat.mean(-1), flat.var(-1, unbiased=False)
    whole = {"m": Entries(m), "v": Entries(v)} if m.ndim else {"m": m.item(), "v": v.item()}
    learnt = {"w": Entries(model.weight.detach()), "b": Entries(model.bias.detach())}
    y = model(x)[0].detach()
    assert_close(compute(formula.equation, y, x=Entries(x[0]), **whole, **learnt), y)
    check_arithmetic(row, formula, ())


@pytest.mark.parametrize("model", [nn.LocalResponseNorm(5, 5e-2, 0.6, 2.0), LocalResponseNorm(5, 5e-2, k=2.0)])
@pytest.mark.parametrize("size", [5, 4])
def test_local_response_norm(model, size):
    model.size = size
    x = drawn(1, 8, 2, 3)
    y = model(x)[0]
    equation = only(model, (8, 2, 3))[1].equation
    for i in range(2):
        for j in range(3):
            assert_close(compute(equation, y[:, i, j], x=Entries(x[0, :, i, j])), y[:, i, j])


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (nn.Softmax(1), (6,)),
        (nn.Softmax2d(), (4, 2, 3)),
        (nn.LogSoftmax(2), (3, 5)),
        (nn.LPPool2d(2, 2), (2, 5, 6)),
        (nn.Upsample(scale_factor=2), (2, 3, 4)),
        (nn.Upsample(scale_factor=(1, 3)), (2, 3, 4)),
        (nn.Upsample(scale_factor=2, mode="bilinear"), (2, 3, 4)),
        (nn.Upsample(scale_factor=(1, 2.5), mode="bilinear"), (2, 3, 4)),
        (nn.Upsample(scale_factor=1.7, mode="bilinear"), (1, 4, 5)),
        (nn.Upsample(size=(5, 3), mode="bilinear"), (2, 3, 4)),
        (nn.Upsample(scale_factor=7 / 3, mode="linear"), (1, 300)),  # floor(300·2.33333) would be 699
        (nn.Upsample(scale_factor=3, mode="linear", align_corners=True), (2, 4)),
        (nn.Upsample(scale_factor=2, mode="trilinear"), (1, 2, 2, 3)),
        (nn.ZeroPad2d((1, 2, 0, 1)), (2, 3, 4)),
        (nn.ZeroPad2d((-1, 0, 0, 2)), (2, 3, 4)),
    ],
    ids=str,
)
def test_what_has_no_weights(model, shape):
    x = drawn(1, *shape)
    y = model(x)[0]
    row, formula = only(model, shape)
    assert_close(compute(formula.equation, y, x=Entries(x[0])), y)
    if formula.sizes:
        check_arithmetic(row, formula, tuple(y.shape[1:]))


@pytest.mark.parametrize(("model", "beyond"), [(nn.ReflectionPad2d(2), "mirror"), (nn.ReplicationPad2d(2), "edge")])
def test_padding_with_pixels(model, beyond):
    x = drawn(1, 2, 4, 5)
    formula = only(model, (2, 4, 5))[1]
    assert_close(compute(formula.equation, model(x)[0], x=Entries(x[0], beyond=beyond)), model(x)[0])


@pytest.mark.parametrize("keepdim", [True, False])
@pytest.mark.parametrize("name", ["mean", "sum", "amax"])
def test_sums_over_axes(name, keepdim):
    class Reduce(nn.Module):
        def forward(self, x):
            return getattr(x, name)(dim=(2, 3), keepdim=keepdim)

    x = drawn(1, 3, 4, 5)
    y = Reduce()(x)[0]
    assert_close(compute(only(Reduce(), (3, 4, 5))[1].equation, y, x=Entries(x[0])), y)


def test_root_mean_square_norm():
    model = nn.RMSNorm(6, eps=1e-3)
    row, formula = only(model, (6,))
    model = model.double()
    nn.init.normal_(model.weight, generator=DRAW)
    x = drawn(1, 6)
    y = model(x)[0].detach()
    assert_close(compute(formula.equation, y, x=Entries(x[0]), w=Entries(model.weight.detach())), y)
    check_arithmetic(row, formula, ())


def test_subsampling_has_the_counts_of_its_paper():
    """LeCun et al. 1998, S2: 12 parameters and 5,880 connections, (4 + 1) for each of the 6x14x14 outputs."""
    model = Subsample2d(6)
    row, formula = only(model, (6, 28, 28))
    check_arithmetic(row, formula, (14, 14))
    assert formula.parameters.value == 12
    assert row.connections == 5880
    nn.init.normal_(model.weight, generator=DRAW), nn.init.normal_(model.bias, generator=DRAW)
    model, x = model.double(), drawn(1, 6, 4, 4)
    y = model(x)[0].detach()
    weights = {"w": Entries(model.weight.detach()), "b": Entries(model.bias.detach())}
    assert_close(compute(formula.equation, y, x=Entries(x[0]), **weights), y)


def test_distances_to_codes():
    codes = drawn(3, 5)
    row, formula = only(RBF(codes.float()), (5,))
    x = drawn(1, 5)
    y = RBF(codes)(x)[0]
    assert_close(compute(formula.equation, y, x=Entries(x[0]), w=Entries(codes)), y)
    check_arithmetic(row, formula, ())


def test_maxout_is_a_maximum_in_another_shape():
    formula = only(Maxout(2), (8, 2, 3))[1]
    assert formula.note == "x as 4x2x2x3"
    x = drawn(1, 8, 2, 3)
    y = Maxout(2)(x)[0]
    assert_close(compute(formula.equation, y, x=Entries(x[0].reshape(4, 2, 2, 3))), y)


def test_counts_that_are_not_the_row_s_are_left_out():
    """A table connects fewer than the dense kernel that carries it."""
    row, formula = only(TableConv2d([[True, True, False], [False, True, True]], 3), (3, 9, 9))
    assert row.parameters == 2 * 2 * 9 + 2
    assert (formula.parameters, formula.macs) == (None, None)
    assert formula.note == "w: the weights after mul"


def test_attention_in_one_operation_or_many():
    class Attention(nn.Module):
        def forward(self, x):
            return F.scaled_dot_product_attention(x, x, x)

    row, formula = only(Attention(), (2, 5, 8))
    assert "q[h, i]·k[h, j] / sqrt(8)" in formula.equation
    check_arithmetic(row, formula, ())


def test_multi_head_attention_is_told_step_by_step():
    class Heads(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x):
            return self.attention(x, x, x, need_weights=False)[0]

    (row,) = inspect(Heads(), (5, 8))
    steps = equations(row)
    assert [step.operation for step in steps] == ["addmm", "bmm", "addmm"]
    parameters = [step.formula.parameters for step in steps if step.formula.parameters]
    assert [arithmetic(one.right) for one in parameters] == [24 * 8 + 24, 8 * 8 + 8]
    assert sum(arithmetic(step.formula.macs.right) for step in steps) == row.macs


def test_a_join_counts_its_pieces():
    class Join(nn.Module):
        def forward(self, x):
            return torch.cat([x, x, x[:, :1]], 1)

    *_, row = inspect(Join(), (4, 2, 2))
    (step,) = equations(row)
    assert str(step.formula.sizes[0]) == "channels 9 = 4 + 4 + 1"


def test_what_has_no_equation_says_its_name_only():
    (row,) = inspect(nn.Upsample(scale_factor=2, mode="bicubic"), (2, 3, 3))
    assert equations(row) == ()
    assert written_out(row) == ["operations: upsample_bicubic2d"]


def test_lenet5_is_written_out():
    summary = inspect(build("lenet5"), (1, 32, 32))
    assert written_out(summary["features.0"]) == [
        "y[o, i, j] = b[o] + sum over c < 1, u < 5, v < 5 of w[o, c, u, v] x[c, i + u, j + v]",
        "side 28 = floor((32 + 2·0 - 1·(5 - 1) - 1) / 1) + 1",
        "parameters 156 = 6·(1·5·5) + 6",
        "MACs 117,600 = 28·28·6·(1·5·5)",
    ]
    assert written_out(summary["classifier.0"])[1] == "features 400 = 16·5·5"
    assert all(equations(row) for row in summary)


def test_a_whole_network_is_written_out_with_repeated_blocks_once():
    text = inspect(vgg((1, 3)), (3, 32, 32)).equations()
    blocks = text.split("\n\n")
    assert blocks[0].splitlines()[0] == "0.0  Conv2d  3x32x32 -> 8x32x32"
    assert sum(block.startswith("0.5,7  (x 2)  Conv2d") for block in blocks) == 1
    assert all("\n  " in block for block in blocks)
