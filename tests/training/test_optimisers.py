import pytest
import torch
from torch import nn
from torch.testing import assert_close

from striate.base.errors import ConfigError
from striate.calculus.updates import UPDATES
from striate.training.optimisers import (
    OPTIMISERS,
    Settings,
    optimizer_tensors,
    parameter_groups,
    restore_optimizer,
    sgd,
)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 3))


def test_decay_pulls_on_kernels_and_matrices_alone():
    decayed, free = parameter_groups(network(), Settings(lr=0.1, weight_decay=0.1))
    assert [p.ndim for p in decayed["params"]] == [4, 2]
    assert [p.ndim for p in free["params"]] == [1, 1, 1, 1]
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.1, 0.0)


def steps(model, optimizer, first, last):
    for step in range(first, last):
        x = torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()


@pytest.mark.parametrize("name", OPTIMISERS)
def test_a_restored_optimizer_goes_on_bit_for_bit(name):
    def make():
        model = network().to(memory_format=torch.channels_last)
        return model, OPTIMISERS[name](model, Settings(lr=0.05, momentum=0.9, weight_decay=0.01))

    whole, optimizer = make()
    steps(whole, optimizer, 0, 6)

    first, optimizer = make()
    steps(first, optimizer, 0, 3)
    weights = {key: value.clone().contiguous() for key, value in first.state_dict().items()}
    memory = {key: value.clone().contiguous() for key, value in optimizer_tensors(optimizer).items()}
    second, optimizer = make()
    second.load_state_dict(weights)
    restore_optimizer(optimizer, memory)
    steps(second, optimizer, 3, 6)
    for expected, found in zip(whole.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(expected, found)


FORMULAS = {
    "sgd": ("momentum", Settings(lr=0.05, momentum=0.8, weight_decay=0.1), {"momentum": 0.8}),
    "sgd, no momentum": ("gradient_descent", Settings(lr=0.05, weight_decay=0.1), {}),
    "sgd, nesterov": ("nesterov", Settings(lr=0.05, momentum=0.8, nesterov=True, weight_decay=0.1), {"momentum": 0.8}),
    "adagrad": ("adagrad", Settings(lr=0.05, weight_decay=0.1), {}),
    "rmsprop": ("rmsprop", Settings(lr=0.05, alpha=0.7, weight_decay=0.1), {"alpha": 0.7}),
    "adam": ("adam", Settings(lr=0.05, beta1=0.8, beta2=0.95, weight_decay=0.1), {"betas": (0.8, 0.95)}),
    "adamw": ("adamw", Settings(lr=0.05, beta1=0.8, beta2=0.95, weight_decay=0.1), {"betas": (0.8, 0.95)}),
}


@pytest.mark.parametrize("case", FORMULAS)
def test_an_optimiser_is_its_formula_in_the_calculus(case):
    formula, given, options = FORMULAS[case]
    update, start = UPDATES[formula]
    model = network().double()
    optimizer = OPTIMISERS[case.split(",")[0]](model, given)
    expected = [p.detach().clone() for p in model.parameters()]
    states = [start(w) for w in expected]
    for step in range(5):
        gradients = [torch.randn_like(w, generator=torch.Generator().manual_seed(step)) for w in expected]
        for p, gradient in zip(model.parameters(), gradients, strict=True):
            p.grad = gradient.clone()
        optimizer.step()
        for number, (w, gradient) in enumerate(zip(expected, gradients, strict=True)):
            decay = 0.1 if w.ndim > 1 else 0.0
            expected[number], states[number] = update(
                w, gradient, states[number], lr=0.05, weight_decay=decay, **options
            )
    assert_close([p.detach() for p in model.parameters()], expected)


def test_rmsprop_takes_momentum():
    model = network()
    optimizer = OPTIMISERS["rmsprop"](model, Settings(lr=0.05, momentum=0.7))
    assert all(group["momentum"] == 0.7 for group in optimizer.param_groups)


@pytest.mark.parametrize("name", ["sgd", "adagrad", "adam", "adamw"])
def test_torchs_fused_form_is_taken_where_there_is_one(name):
    assert OPTIMISERS[name](network(), Settings(lr=0.1)).defaults["fused"]


def test_the_longest_beginning_of_a_name_gives_the_rate_and_ends_at_a_dot():
    model = nn.Sequential(*(nn.Linear(2, 2) for _ in range(11)))
    factors = {"1": 0.5, "1.bias": 2.0, "10.": 0.1}
    groups = parameter_groups(model, Settings(lr=0.1, weight_decay=0.3, lr_factors=factors))
    found = {id(p): (group["lr_factor"], group["weight_decay"]) for group in groups for p in group["params"]}
    expected = {"1.weight": (0.5, 0.3), "1.bias": (2.0, 0.0), "10.weight": (0.1, 0.3), "10.bias": (0.1, 0.0)}
    for name, p in model.named_parameters():
        assert found[id(p)] == expected.get(name, (1.0, 0.3 if p.ndim > 1 else 0.0))


def test_frozen_parameters_are_left_out():
    model = network()
    model[0].requires_grad_(False)
    groups = parameter_groups(model, Settings(lr=0.1))
    members = {id(p) for group in groups for p in group["params"]}
    assert members == {id(p) for layer in (model[1], model[3]) for p in layer.parameters()}
    with pytest.raises(ConfigError, match="trained parameters must be at least one, got none"):
        parameter_groups(model.requires_grad_(False), Settings(lr=0.1))


@pytest.mark.parametrize(
    ("factors", "said"),
    [
        ({"heod": 0.1}, r"heod must be .* got no parameter's\.\n  Fix: there are head"),
        ({"zzz": 0.1}, r"Fix: there are body, head"),
        ({"body": 0.1}, "got a frozen one's"),
        ({"head": 0.0}, r"head must be > 0, got 0\.0"),
        ({"hea": 0.5}, "got no parameter's"),
    ],
)
def test_a_factor_that_would_mean_nothing_is_refused(factors, said):
    model = nn.ModuleDict({"body": nn.Linear(2, 2).requires_grad_(False), "head": nn.Linear(2, 2)})
    with pytest.raises(ConfigError, match=said):
        parameter_groups(model, Settings(lr=0.1, lr_factors=factors))


def test_nesterov_without_momentum_is_refused():
    with pytest.raises(ConfigError, match=r"momentum must be > 0 with nesterov, got 0\.0"):
        sgd(network(), Settings(lr=0.1, nesterov=True))


@pytest.mark.parametrize("name", OPTIMISERS)
def test_the_memory_format_changes_no_update_beyond_rounding(name):
    """torch's fused kernels walk through memory: a gradient laid out otherwise than its weight would go astray."""
    found = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(64, 3)).double()
        model.to(memory_format=memory_format)
        optimizer = OPTIMISERS[name](model, Settings(lr=0.05, momentum=0.9))
        for step in range(3):
            x = torch.randn(8, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(step))
            optimizer.zero_grad()
            model(x).square().mean().backward()
            optimizer.step()
        found.append([p.detach().contiguous() for p in model.parameters()])
    assert_close(*found)
