"""The contract of the networks: every name of `models/catalogue.py` walks all of it, at the smallest size it takes.

A network that is missing in `SMALLEST` fails by its name.
"""

import pytest
import torch
from torch.nn import functional as F

from striate.analysis.inspect import inspect
from striate.base.errors import ConfigError
from striate.base.random import StepRandomness, step_randomness
from striate.models import alexnet2014, vgg
from striate.models.card import tokens
from striate.models.catalogue import MODELS, build, options, skeleton, training_form

SMALLEST = {
    "perceptron": 1,
    "mlp": 1,
    "lenet1989": 4,
    "lenet5-1998": 16,
    "lenet5": 20,
    "alexnet": 64,
    "alexnet-2014": 63,
    "googlenet": 31,
    "googlenet-bn": 31,
    "vgg11": 32,
    "vgg13": 32,
    "vgg16": 32,
    "vgg19": 32,
    "allconv": 9,
    "resnet20": 4,
    "resnet18": 32,
    "resnet34": 32,
    "resnet50": 32,
    "resnet50-2015": 32,
    "mobilenet": 32,
    "shufflenet": 32,
    "fcn": 8,
    "autoencoder": 4,
    "textcnn": 5,
    "signal1d": 80,
    "c3d-small": 8,
}
BATCH, STEPS = 8, 4
SHARE = 0.002  # of the loss that a step of descent is to take away, if the loss were straight
# Deeper relatives of networks that are always trained.
HEAVY = {"vgg11", "vgg13", "vgg16", "vgg19", "resnet18", "resnet34", "resnet50", "resnet50-2015", "googlenet-bn"}
walks = pytest.mark.parametrize("name", MODELS)
trains = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in HEAVY else ()) for name in MODELS]
)


@pytest.fixture(autouse=True)
def narrow(request, monkeypatch):
    """Where numbers are drawn, some linear layers have few units: 120 million weights would take seconds each time."""
    if "published" not in request.node.name:
        monkeypatch.setattr(vgg, "UNITS", 32)
        monkeypatch.setattr(alexnet2014, "UNITS", 32)


def tiny(name):
    """Options that say something other than the usual, where the network lets them."""
    usual = MODELS[name].usual
    return {
        "num_classes": None if usual.num_classes is None else 3,
        "in_channels": 7 if MODELS[name].sample is tokens else 2,
        "image_size": SMALLEST[name],
        "dropout": None if usual.dropout is None else 0.0,
    }


def drawn(name, asked, batch):
    shape, g = MODELS[name].sample(asked), torch.Generator().manual_seed(0)
    if MODELS[name].sample is tokens:
        return torch.randint(asked.in_channels, (batch, *shape), generator=g)
    return torch.randn(batch, *shape, generator=g)


def test_every_network_is_walked():
    assert set(SMALLEST) == set(MODELS)


@walks
def test_the_card_says_where_it_comes_from_and_what_is_faithful(name):
    assert MODELS[name].source
    assert MODELS[name].faithful


@walks
def test_the_published_figures_hold(name):
    chosen = MODELS[name]
    with torch.device("meta"):
        model = skeleton(name, chosen.usual)
    kind = torch.int64 if chosen.sample is tokens else torch.float32
    totals = inspect(model, chosen.sample(chosen.usual), dtype=kind).totals
    known = {key: value for key, value in chosen.published.items() if key in ("parameters", "connections", "macs")}
    assert known == {key: getattr(totals, key) for key in known}


@walks
def test_the_output_has_the_shape_of_the_task(name):
    asked = options(name, **tiny(name))
    x = drawn(name, asked, 2)
    y = build(name, **tiny(name)).eval()(x)
    expected = {
        "classify": (2, 3),
        "segment": (2, 3, *x.shape[2:]),
        "reconstruct": tuple(x.shape),
    }
    assert tuple(y.shape) == expected[MODELS[name].task]


@walks
def test_a_size_below_the_smallest_is_refused_with_the_fix(name):
    with pytest.raises(ConfigError, match=r"(?s)image_size must be .*, got .*\n  Fix: \S"):
        build(name, **{**tiny(name), "image_size": SMALLEST[name] - 1})


@walks
def test_weights_are_a_function_of_the_seed_and_of_nothing_else(name):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        before = torch.random.get_rng_state()
        one = build(name, **tiny(name), seed=5)
        assert torch.equal(before, torch.random.get_rng_state())
        torch.manual_seed(2)
        two, other = build(name, **tiny(name), seed=5), build(name, **tiny(name), seed=6)
    for (part, a), b in zip(one.named_parameters(), two.parameters(), strict=True):
        assert torch.equal(a, b), part
    assert any(not torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def loss_of(name, y, x):
    """The loss of the network's task, in the form that the network is trained by; classes are drawn."""
    if MODELS[name].task == "reconstruct":
        return F.mse_loss(y, x)
    size = x.shape[2:] if MODELS[name].task == "segment" else ()
    classes = torch.randint(3, (len(x), *size), generator=torch.Generator().manual_seed(1))
    own = MODELS[name].loss
    return (own(F.cross_entropy) if own else F.cross_entropy)(y, classes)


@trains
def test_a_few_steps_of_descent_lower_the_loss_and_reach_every_parameter(name):
    x = drawn(name, options(name, **tiny(name)), BATCH)
    model = training_form(name, build(name, **tiny(name)), 0)
    names = [part for part, _ in model.named_parameters()]
    losses, reached = [], set()
    for _ in range(STEPS):
        with step_randomness(StepRandomness(seed=0, step=0)):  # what is dropped is dropped in every step
            loss = loss_of(name, model(x), x)
        slopes = dict(zip(names, torch.autograd.grad(loss, list(model.parameters())), strict=True))
        lr = SHARE * loss.item() / sum(slope.square().sum().item() for slope in slopes.values())
        with torch.no_grad():
            for part, p in model.named_parameters():
                p -= lr * slopes[part]
        losses.append(loss.item())
        reached |= {part for part in names if slopes[part].any()}
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0]
    assert reached == set(names)


@walks
def test_it_is_exported_with_the_same_output(name):
    model = build(name, **tiny(name)).eval()
    x = drawn(name, options(name, **tiny(name)), 2)
    exported = torch.export.export(model, (x,)).module()
    torch.testing.assert_close(exported(x), model(x), rtol=1e-4, atol=1e-5)
