import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_, clip_grad_value_, get_total_norm
from torch.testing import assert_close

from striate.base.errors import ConfigError
from striate.calculus.penalties import penalty_pullback
from striate.training.optimisers import Settings, sgd
from striate.training.update import Rules, Update, project, total_norm, units

ONE = torch.ones((), dtype=torch.float64)


def network():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 3)).double()
    return model.to(memory_format=torch.channels_last)


def updated(rules, *, weight_decay=0.0):
    """A network after one update of lr 1 from random gradients, and as it was before it, with these."""
    model = network()
    update = Update(model, sgd(model, Settings(lr=1.0, weight_decay=weight_decay)), rules, None)
    update.begin(1.0)
    for number, p in enumerate(model.parameters()):
        p.grad = 3 * torch.randn_like(p, generator=torch.Generator().manual_seed(number))  # laid out as autograd does
    before = copy.deepcopy(model)
    for p, old in zip(model.parameters(), before.parameters(), strict=True):
        old.grad = p.grad.clone()
    assert update.make(0.0, step=0, lr=1.0)
    return model, before


def assert_moved(model, before):
    for p, old in zip(model.parameters(), before.parameters(), strict=True):
        assert_close(p.detach(), (old - old.grad).detach())


@pytest.mark.parametrize("limit", [0.5, 1e6])
def test_clipping_by_norm_is_torchs(limit):
    model, before = updated(Rules(clip_norm=limit))
    clip_grad_norm_(before.parameters(), limit)
    for p, old in zip(model.parameters(), before.parameters(), strict=True):
        assert_close(p.detach(), (old - old.grad).detach(), rtol=1e-5, atol=1e-6)  # torch adds 1e-6 to the norm


def test_clipping_by_value_is_torchs_and_comes_after_the_norm():
    model, before = updated(Rules(clip_value=0.7))
    clip_grad_value_(before.parameters(), 0.7)
    assert_moved(model, before)
    model, before = updated(Rules(clip_norm=10.0, clip_value=0.7))
    clip_grad_norm_(before.parameters(), 10.0)
    clip_grad_value_(before.parameters(), 0.7)
    for p, old in zip(model.parameters(), before.parameters(), strict=True):
        assert_close(p.detach(), (old - old.grad).detach(), rtol=1e-5, atol=1e-6)


def test_l1_pushes_as_the_penalty_of_the_calculus_and_with_weight_decay_as_the_elastic_one():
    for decay in (0.0, 0.2):
        model, before = updated(Rules(l1=0.3), weight_decay=decay)
        push = penalty_pullback(ONE, dict(before.named_parameters()), l1_strength=0.3, l2_strength=decay)
        for name, p in before.named_parameters():
            p.grad += push[name].detach()
        assert_moved(model, before)


def test_l1_is_not_weakened_by_clipping():
    model, before = updated(Rules(clip_norm=1e-9, l1=0.3))
    assert_close((before[3].weight - model[3].weight).detach(), 0.3 * before[3].weight.detach().sign())
    assert_close(model[3].bias, before[3].bias, rtol=0, atol=1e-8)


def test_max_norm_shortens_the_weights_into_each_unit_and_no_bias():
    model, before = updated(Rules(max_norm=2.0))
    for layer in (0, 3):
        moved = (before[layer].weight - before[layer].weight.grad).detach()
        assert (moved.flatten(1).norm(dim=1) > 2).any()
        assert_close(model[layer].weight.detach(), torch.renorm(moved, 2, 0, 2.0))
    for layer in (0, 1, 3):
        assert_close(model[layer].bias.detach(), (before[layer].bias - before[layer].bias.grad).detach())


def test_the_units_of_a_transposed_convolution_are_its_output_maps():
    layer = nn.ConvTranspose2d(4, 6, 3, groups=2, bias=False).double()
    (found,) = units(layer)
    limit = 0.3
    before = layer.weight.detach().clone()
    project([found], limit)
    for output in range(6):  # map o of group g sees the two inputs of its group
        group, place = divmod(output, 3)
        old = before[2 * group : 2 * group + 2, place]
        new = layer.weight.detach()[2 * group : 2 * group + 2, place]
        assert_close(new, old * min(1, limit / old.norm()))


def test_a_weight_in_two_places_is_projected_once_and_a_frozen_one_never():
    first, second = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
    second.weight = first.weight
    frozen = nn.Linear(3, 3).requires_grad_(False)
    assert len(units(nn.Sequential(first, second, frozen))) == 1


def test_a_unit_whose_weights_are_all_zero_stays():
    w = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    project([(w, (1,))], 1.0)
    assert_close(w, torch.tensor([[0.0, 0.0], [0.6, 0.8]]))


def test_the_norm_is_torchs_also_of_mixed_kinds():
    gradients = [torch.randn(3, 4), torch.randn(5, dtype=torch.float64), torch.randn(())]
    assert total_norm(gradients) == pytest.approx(get_total_norm([g.double() for g in gradients]).item(), rel=1e-6)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"accumulate": 0}, "accumulate must be >= 1, got 0"),
        ({"clip_norm": 0.0}, r"clip_norm must be > 0, got 0\.0"),
        ({"clip_value": float("nan")}, "clip_value must be > 0, got nan"),
        ({"max_norm": -1.0}, r"max_norm must be > 0, got -1\.0"),
        ({"l1": float("inf")}, "l1 must be >= 0, got inf"),
    ],
)
def test_a_number_out_of_its_range_is_named(wrong, said):
    with pytest.raises(ConfigError, match=said):
        Rules(**wrong)
