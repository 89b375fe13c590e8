from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

from striate.base.errors import ConfigError
from striate.base.network import KINDS, Branches, Network
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
from striate.base.random import StepRandomness, step_randomness
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
from striate.calculus import activations
from striate.calculus.network import backward, demonstrate, forward, initial, loss, start, update
from striate.calculus.steps import STEPS
from striate.layers.dropout import Dropout as DropoutLayer
from striate.layers.dropout import number_layers
from striate.layers.initialise import initialise
from striate.layers.stochastic_pool import StochasticPool2d

RELU = Activation("relu")
LENET5 = Network(
    (1, 32, 32),
    (
        *(Conv(6, 5), RELU, MaxPool(2), Conv(16, 5), RELU, MaxPool(2), Flatten()),
        *(Linear(120), RELU, Linear(84), RELU, Linear(10)),
    ),
)
STEP = StepRandomness(seed=7, step=3)
X = torch.ones(2, 1, 8, 8)


def digits(dtype):
    """scikit-learn's digits, every pixel enlarged to 4x4, shuffled; (x in [0, 1], labels)."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    order = torch.randperm(len(bunch.images), generator=torch.Generator().manual_seed(0))
    x = torch.tensor(bunch.images, dtype=dtype)[order, None] / 16
    x = x.repeat_interleave(4, 2).repeat_interleave(4, 3)
    return x, torch.tensor(bunch.target)[order]


def train(network, x, labels, *, steps, size, lr, seed=0):
    """Momentum over batches that walk through the samples in their order."""
    parameters, buffers = initial(network, seed, dtype=x.dtype)
    state = start(parameters, "momentum")
    for step in range(steps):
        rows = torch.arange(step * size, (step + 1) * size) % len(x)
        trace = forward(network, parameters, x[rows], buffers=buffers, training=StepRandomness(seed, step))
        value, dlogits = loss(trace, labels[rows])
        gradients, _ = backward(trace, dlogits)
        parameters, state = update(parameters, gradients, state, rule="momentum", lr=lr)
        buffers = trace.buffers
    return parameters, buffers, value


def accuracy(network, parameters, buffers, x, labels):
    trace = forward(network, parameters, x, buffers=buffers, training=None)
    return (trace.output.argmax(1) == labels).double().mean().item()


def test_lenet5_learns_the_digits_by_the_formulas_alone():
    x, labels = digits(torch.float32)
    x = (x - 0.3) / 0.38  # the digits' mean and deviation
    parameters, buffers, _ = train(LENET5, x[:1437], labels[:1437], steps=135, size=32, lr=0.01)
    assert accuracy(LENET5, parameters, buffers, x[1437:], labels[1437:]) >= 0.95


def torchs_lenet5():
    return nn.Sequential(
        *(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
    )


class Residual(nn.Module):
    def __init__(self, row, join):
        super().__init__()
        for index, branch in enumerate(row):
            self.add_module(str(index), branch)
        self.join = join

    def forward(self, x):
        return self.join([branch(x) for branch in self.children()])


SMALL = Network(
    (1, 8, 8),
    (
        *(Conv(4, 3, padding=1, bias=False), BatchNorm(), RELU),
        Branches(((), (Conv(4, 3, padding="same"), BatchNorm(), RELU, Conv(4, 1))), "add"),
        Branches(
            (
                (Conv(2, 1), RELU),
                (Conv(2, 1), Branches(((Conv(3, 3, padding=1),), (MeanPool(3, 1, 1),)))),
                (MaxPool(3, 1, 1), Conv(3, 1)),
            )
        ),
        *(AdaptiveMeanPool(2), Flatten(), Linear(10)),
    ),
)


def torchs_small():
    add, join = (lambda ends: sum(ends[1:], ends[0])), partial(torch.cat, dim=1)
    residual = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 1))
    fork = Residual([nn.Sequential(nn.Conv2d(2, 3, 3, padding=1)), nn.Sequential(nn.AvgPool2d(3, 1, 1))], join)
    rows = [
        nn.Sequential(nn.Conv2d(4, 2, 1), nn.ReLU()),
        nn.Sequential(nn.Conv2d(4, 2, 1), fork),
        nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.Conv2d(4, 3, 1)),
    ]
    return nn.Sequential(
        *(nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU()),
        *(Residual([nn.Identity(), residual], add), Residual(rows, join)),
        *(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(40, 10)),
    )


@pytest.mark.parametrize(
    ("network", "build", "size"), [(LENET5, torchs_lenet5, 4), (SMALL, torchs_small, 8)], ids=["lenet5", "branches"]
)
def test_after_50_steps_the_weights_are_autograds(network, build, size):
    x, labels = digits(torch.float64)
    if network is SMALL:
        x = x[:, :, ::4, ::4]
    ours, buffers, value = train(network, x, labels, steps=50, size=size, lr=0.02)
    model = build().double()
    first, kept = initial(network, 0, dtype=torch.float64)
    missing, unexpected = model.load_state_dict(first | kept, strict=False)
    assert not unexpected
    assert all(name.endswith("num_batches_tracked") for name in missing)
    sgd = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    for step in range(50):
        rows = slice(step * size, (step + 1) * size)
        sgd.zero_grad()
        torchs = F.cross_entropy(model(x[rows]), labels[rows])
        torchs.backward()
        sgd.step()
    after = model.state_dict()
    assert_close(value, torchs.detach(), rtol=0, atol=1e-9)
    for name, mine in {**ours, **buffers}.items():
        assert_close(mine, after[name], rtol=0, atol=1e-9, msg=lambda text, name=name: f"{name}: {text}")
    moved = max((ours[name] - first[name]).abs().max().item() for name in ours)
    assert moved > 1e-3  # it did train


def rows_of_every_kind():
    """Small networks on (2, 6, 6) pictures that between them hold every operation, with inputs > 0 for the pools."""
    positive = Activation("sigmoid")
    return {
        "conv": (Conv(4, (3, 2), 2, ((1, 0), (0, 2)), 1, 2, False, "reflect", True),),
        "conv_transpose": (ConvTranspose(4, 3, 2, 1, 1, 2),),
        "max_pool": (MaxPool(3, 2, 1, 1, True),),
        "mean_pool": (MeanPool(3, 2, 1, True, False),),
        "lp_pool": (LpPool(3, 2),),
        "stochastic_pool": (positive, StochasticPool(3, 2, True), StochasticPool(2)),
        "adaptive_mean_pool": (AdaptiveMeanPool((4, 1)),),
        "adaptive_max_pool": (AdaptiveMaxPool(4),),
        "activation": (
            *(Activation(name) for name in ACTIVATIONS if name != "hard_limit"),
            *(Activation("leaky_relu", 0.2), Activation("elu", alpha=0.7)),
        ),
        "prelu": (PReLU(2), PReLU()),
        "maxout": (Maxout(2),),
        "softmax": (Softmax(),),
        "linear": (Flatten(), Linear(3), Linear(2, False)),
        "flatten": (Flatten(),),
        "dropout": (Dropout(0.3), Dropout(0)),
        "batch_norm": (BatchNorm(0.1, 0.3), Flatten(), BatchNorm()),
        "local_response_norm": (LocalResponseNorm(2, 0.5),),
        "channel_shuffle": (Conv(4, 1), ChannelShuffle(2)),
        "branches": (Branches(((), (Conv(2, 1), RELU))), Branches(((), (Conv(4, 1),)), "add")),
    }


def test_every_kind_has_a_step():
    assert set(rows_of_every_kind()) == set(KINDS)
    assert set(STEPS) == set(KINDS.values()) - {Branches}
    assert set(ACTIVATIONS) == set(activations.ACTIVATIONS)


@pytest.mark.parametrize("training", [STEP, None], ids=["training", "evaluation"])
@pytest.mark.parametrize("kind", list(KINDS))
def test_the_gradients_of_every_kind_are_central_differences(kind, training):
    network = Network((2, 6, 6), rows_of_every_kind()[kind])
    parameters, buffers = initial(network, 1, dtype=torch.float64)
    g = torch.Generator().manual_seed(0)
    x = torch.randn(3, 2, 6, 6, dtype=torch.float64, generator=g)

    def value(parameters, x):
        trace = forward(network, parameters, x, buffers=buffers, training=training)
        return (trace.output * dy).sum()

    trace = forward(network, parameters, x, buffers=buffers, training=training)
    assert tuple(trace.output.shape[1:]) == network.output_shape
    dy = torch.randn(trace.output.shape, dtype=torch.float64, generator=g)
    gradients, dx = backward(trace, dy)
    assert list(gradients) == list(parameters)
    everything = {**parameters, "x": x}
    for name, slope in {**gradients, "x": dx}.items():
        v, h = torch.randn(slope.shape, dtype=torch.float64, generator=g), 1e-6
        ends = [{**everything, name: everything[name] + t * v} for t in (h, -h)]
        up, down = (value({n: w for n, w in end.items() if n != "x"}, end["x"]) for end in ends)
        assert_close((up - down) / (2 * h), (slope * v).sum(), rtol=1e-6, atol=1e-7)


TORCHS = [
    (ConvTranspose(4, 3, 2, 1, 1, 2), lambda x, w, b: F.conv_transpose2d(x, w, b, 2, 1, 1, 2)),
    (MaxPool(2, 1, 1, 2), lambda x: F.max_pool2d(x, 2, 1, 1, 2)),
    (MaxPool(3, 2, 1, 1, True), lambda x: F.max_pool2d(x, 3, 2, 1, 1, True)),
    (MeanPool(3, 2, 1, True), lambda x: F.avg_pool2d(x, 3, 2, 1, True)),
    (MeanPool(3, 2, 1, False, False), lambda x: F.avg_pool2d(x, 3, 2, 1, False, False)),
    (LpPool(4, 3, 2), lambda x: F.lp_pool2d(x, 4.0, 3, 2)),
    (AdaptiveMeanPool((4, 1)), lambda x: F.adaptive_avg_pool2d(x, (4, 1))),
    (AdaptiveMaxPool((1, 4)), lambda x: F.adaptive_max_pool2d(x, (1, 4))),
    (Activation("leaky_relu", 0.2), lambda x: F.leaky_relu(x, 0.2)),
    (Activation("elu", alpha=0.7), lambda x: F.elu(x, 0.7)),
    (PReLU(2), lambda x, w: F.prelu(x, w)),
    (Softmax(), lambda x: F.softmax(x, 1)),
    (LocalResponseNorm(2, 0.5, 0.6, 1.5), lambda x: F.local_response_norm(x, 2, 0.5, 0.6, 1.5)),
]


@pytest.mark.parametrize(("operation", "torchs"), TORCHS, ids=lambda value: getattr(value, "kind", ""))
def test_every_option_reaches_its_formula(operation, torchs):
    network = Network((2, 6, 6), (operation,))
    g = torch.Generator().manual_seed(0)
    x = torch.randn(3, 2, 6, 6, dtype=torch.float64, generator=g)
    own = {n: torch.randn(s, dtype=x.dtype, generator=g) for n, s in network.parameter_shapes().items()}
    assert_close(forward(network, own, x, training=None).output, torchs(x, *own.values()), rtol=1e-10, atol=1e-12)


def test_what_is_drawn_is_what_the_layers_draw():
    network = Network((2, 6, 6), (RELU, StochasticPool(2), Dropout(0.4), StochasticPool(2, 1), Dropout(0.2)))
    model = nn.Sequential(nn.ReLU(), StochasticPool2d(2), DropoutLayer(0.4), StochasticPool2d(2, 1), DropoutLayer(0.2))
    number_layers(model)
    x = torch.rand(4, 2, 6, 6, generator=torch.Generator().manual_seed(0))
    with step_randomness(STEP):
        expected = model(x)
    assert torch.equal(forward(network, {}, x, training=STEP).output, expected)
    later = forward(network, {}, x, training=StepRandomness(seed=7, step=4)).output
    assert not torch.equal(later, expected)
    half = forward(network, {}, x[2:], training=StepRandomness(seed=7, step=3, first_row=2)).output
    assert torch.equal(half, expected[2:])


def test_evaluation_draws_nothing_and_moves_no_statistics():
    network = Network((2, 6, 6), (BatchNorm(), Dropout(0.4)))
    parameters, buffers = initial(network, 0)
    x = torch.randn(3, 2, 6, 6, generator=torch.Generator().manual_seed(0))
    trace = forward(network, parameters, x, buffers=buffers, training=None)
    assert trace.buffers == buffers
    assert_close(trace.output, x / (1 + 1e-5) ** 0.5)
    moved = forward(network, parameters, x, buffers=buffers, training=STEP).buffers
    assert not torch.equal(moved["0.running_mean"], buffers["0.running_mean"])


def test_the_trace_holds_every_operation_and_nothing_is_changed_in_place():
    x = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    parameters, buffers = initial(SMALL, 0)
    before = {name: w.clone() for name, w in {**parameters, **buffers}.items()}
    trace = forward(SMALL, parameters, x, buffers=buffers, training=STEP)
    gradients, _ = backward(trace, loss(trace, torch.tensor([1, 2]))[1])
    update(parameters, gradients, start(parameters, "adam"), rule="adam", lr=0.1)
    assert [record.place for record in trace.every()] == [step.place for step in SMALL.steps]
    assert all(torch.equal(w, before[name]) for name, w in {**parameters, **buffers}.items())


def test_the_start_is_that_of_the_layers():
    model = torchs_lenet5()
    initialise(model, 3)
    for name, weight in initial(LENET5, 3)[0].items():
        assert_close(weight, model.state_dict()[name])


def test_the_start_is_a_function_of_the_seed_alone():
    one, again, other = (initial(LENET5, seed)[0] for seed in (0, 0, 1))
    longer = initial(Network((1, 32, 32), (*LENET5.operations, Linear(2))), 0)[0]
    assert torch.equal(one["0.weight"], again["0.weight"])
    assert torch.equal(one["0.weight"], longer["0.weight"])
    assert not torch.equal(one["0.weight"], other["0.weight"])


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda p, b: forward(SMALL, p, X[:, :, 1:], buffers=b, training=None), "samples of 1x8x8, got 2x1x7x8"),
        (lambda _, b: forward(SMALL, {}, X, buffers=b, training=None), r"0\.weight: missing"),
        (lambda p, _: forward(SMALL, p, X, training=None), r"1\.running_mean: missing"),
        (lambda p, _: start(p, "adem"), "rule must be one of .*adam, adamw, got 'adem'"),
    ],
)
def test_what_does_not_belong_together_is_refused(call, text):
    with pytest.raises(ConfigError, match=text):
        call(*initial(SMALL, 0))


def test_the_demonstration_shows_its_numbers():
    text = demonstrate()
    assert "L = -log p[0] = " in text
    assert "less than" in text


def test_a_rule_that_is_not_there_is_named_at_the_start_and_at_every_update():
    w = {"0.weight": torch.ones(2)}
    for call in (lambda: start(w, "adm"), lambda: update(w, w, {"0.weight": ()}, rule="adm", lr=0.1)):
        with pytest.raises(ConfigError, match=r"rule must be one of .*momentum.*, got 'adm'"):
            call()
