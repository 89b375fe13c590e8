"""The native engine's update of the weights against torch's optimisers."""

import math

import pytest
import torch
from tests.native.networks import NETWORKS, NOW, engine, made, samples
from torch.nn import functional as F
from torch.testing import assert_close

from striate.base.random import StepRandomness, step_randomness
from striate.native.engine import Goal, Memory
from striate.native.library import absence, library
from striate.native.program import Rule

pytestmark = pytest.mark.skipif(library() is None, reason=absence())


@pytest.mark.parametrize(
    ("make", "rule", "options"),
    [
        ("SGD", {"lr": 0.1}, {"lr": 0.1}),
        ("SGD", {"lr": 0.1, "momentum": 0.9}, {"lr": 0.1, "momentum": 0.9}),
        ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": 1}, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
        ("Adam", {"lr": 0.01}, {"lr": 0.01}),
        ("AdamW", {"lr": 0.01}, {"lr": 0.01}),
    ],
)
def test_updates_are_those_of_torchs_optimisers(make, rule, options):
    text, shape = NETWORKS["vectors"]
    network, module, tensors = made(text, shape)
    _, twin, _ = made(text, shape)
    optimizer = getattr(torch.optim, make)(twin.parameters(), weight_decay=0.05, **options)
    zeros = {name: (torch.zeros_like(p), torch.zeros_like(p)) for name, p in module.named_parameters()}
    plain = make == "SGD" and "momentum" not in rule
    memory = {
        name: Memory(first=None if plain else first, second=second, decay=0.05)
        for name, (first, second) in zeros.items()
    }
    own = engine(network, tensors, largest=32, memory=memory)
    asked = Rule(optimizer=("SGD", "Adam", "AdamW").index(make), beta1=0.9, beta2=0.999, eps=1e-8, **rule)
    for step in range(1, 6):
        x, y = samples(network, 32, seed=step)
        asked.correction1, asked.correction2 = 1 - 0.9**step, 1 - 0.999**step
        assert own.step(x, y, Goal(), asked, StepRandomness(0, step)).updated
        optimizer.zero_grad()
        with step_randomness(StepRandomness(0, step)):
            F.cross_entropy(twin.train()(x), y).backward()
        optimizer.step()
    for ours, theirs in zip(module.parameters(), twin.parameters(), strict=True):
        assert_close(ours, theirs, rtol=1e-4, atol=2e-5)


def test_a_gradient_is_clipped_by_norm_and_by_value():
    network, module, tensors = made(*NETWORKS["odd"])
    x, y = samples(network, 9)
    before = [p.detach().clone() for p in module.parameters()]
    own = engine(network, tensors, largest=9, memory={name: Memory() for name, _ in module.named_parameters()})
    result = own.step(x, y, Goal(), Rule(lr=1.0, clip_norm=0.01), NOW)
    moved = torch.cat([(a - b).flatten() for a, b in zip(before, module.parameters(), strict=True)])
    assert result.norm > 0.01
    assert moved.norm().item() == pytest.approx(0.01, rel=1e-3)
    own.step(x, y, Goal(), Rule(lr=1.0, clip_value=1e-4), NOW)
    after = [p.detach() for p in module.parameters()]
    assert max((a - b).abs().max().item() for a, b in zip(before, after, strict=True)) < 0.01 + 2e-4


@pytest.mark.parametrize("spoilt", ["x", "weight"])
def test_what_is_not_finite_leaves_weights_and_memory_as_they_are(spoilt):
    network, module, tensors = made(*NETWORKS["odd"])
    x, y = samples(network, 9)
    memory = {name: Memory(first=torch.zeros_like(p)) for name, p in module.named_parameters()}
    own = engine(network, tensors, largest=9, memory=memory)
    with torch.no_grad():
        (x if spoilt == "x" else next(module.parameters())).view(-1)[0] = float("nan")
    before = [p.detach().clone() for p in module.parameters()]
    assert not own.step(x, y, Goal(), Rule(lr=1.0, momentum=0.9), NOW).updated
    assert all(torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in zip(before, module.parameters(), strict=True))
    assert not any(entry.first.any() for entry in memory.values())


@pytest.mark.parametrize("spoilt", [float("nan"), float("inf")])
def test_a_number_to_be_told_that_is_none_is_noticed(spoilt):
    network, _, tensors = made(*NETWORKS["vectors"])
    x, _ = samples(network, 9)
    y = torch.zeros(9, 10)
    y[8, 9] = spoilt
    result = engine(network, tensors, largest=9).step(x, y, Goal(loss="mse"), None, NOW)
    assert not math.isfinite(result.loss)
    assert not math.isfinite(result.norm)
