from math import isnan

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from striate.base.errors import NumericError
from striate.layers.dropout import Dropout
from striate.training.average import Average
from striate.training.engine import Objective, TrainState, fit
from striate.training.optimisers import Settings, adam, optimizer_tensors, restore_optimizer, sgd
from striate.training.update import Rules

CROSS_ENTROPY = Objective(F.cross_entropy)


def state(model):
    return TrainState(model=model, optimizer=sgd(model, Settings(lr=0.1, momentum=0.9)), seed=3)


def batches(count, *, fill=None):
    generator = torch.Generator().manual_seed(0)
    for _ in range(count):
        x = torch.randn(5, 4, generator=generator)
        yield (x if fill is None else torch.full_like(x, fill)), torch.randint(0, 3, (5,), generator=generator)


def linear():
    torch.manual_seed(1)
    return nn.Linear(4, 3)


def test_an_update_is_the_textbooks_four_phases():
    ours, model = state(linear()), linear()
    (loss,) = fit(ours, batches(1), objective=CROSS_ENTROPY, lr_at=lambda _: 0.2)
    ((x, y),) = batches(1)
    expected = F.cross_entropy(model(x), y)
    weight, bias = torch.autograd.grad(expected, [model.weight, model.bias])
    assert loss == pytest.approx(expected.item())
    torch.testing.assert_close(ours.model.weight, model.weight - 0.2 * weight)
    torch.testing.assert_close(ours.model.bias, model.bias - 0.2 * bias)
    assert ours.step == 1


def test_the_rate_follows_the_step_and_not_the_call():
    seen = []
    one = state(linear())
    list(fit(one, batches(2), objective=CROSS_ENTROPY, lr_at=lambda step: seen.append(step) or 0.1))
    list(fit(one, batches(1), objective=CROSS_ENTROPY, lr_at=lambda step: seen.append(step) or 0.1))
    assert seen == [0, 1, 2]


def test_training_mode_comes_back_after_an_evaluation_in_between():
    one = state(nn.Sequential(linear(), Dropout(0.5)))
    for _ in fit(one, batches(3), objective=CROSS_ENTROPY, lr_at=lambda _: 0.1):
        assert one.model.training
        one.model.eval()


@pytest.mark.parametrize("fill", [float("nan"), float("inf")])
def test_what_is_not_finite_stops_before_the_update(fill):
    one = state(linear())
    before = [p.clone() for p in one.model.parameters()]
    with pytest.raises(NumericError, match=r"loss at step 0 \(lr 0\.1\) must be finite, got nan"):
        list(fit(one, batches(1, fill=fill), objective=CROSS_ENTROPY, lr_at=lambda _: 0.1))
    assert all(torch.equal(old, new) for old, new in zip(before, one.model.parameters(), strict=True))


def test_a_gradient_that_is_not_finite_stops_too():
    one = state(linear())
    before = one.model.weight.clone()

    def loss_fn(logits, _):
        return (logits - logits.detach()).abs().sqrt().sum()  # 0, with slope infinity times 0

    with pytest.raises(NumericError, match="gradient norm"):
        list(fit(one, batches(1), objective=Objective(loss_fn), lr_at=lambda _: 0.1))
    assert torch.equal(one.model.weight, before)


def test_dropout_is_the_steps_and_leaves_torchs_generator_alone():
    def run(skip):
        one = state(nn.Sequential(linear(), Dropout(0.5)))
        one.step = skip
        torch.manual_seed(skip)
        before = torch.random.get_rng_state()
        losses = list(fit(one, list(batches(4))[skip:], objective=CROSS_ENTROPY, lr_at=lambda _: 0.0))
        assert torch.equal(before, torch.random.get_rng_state())
        return losses

    assert run(2) == run(0)[2:]


def test_every_step_drops_something_else():
    one = state(nn.Sequential(linear(), Dropout(0.5)))
    same = list(batches(1)) * 5
    assert len(set(fit(one, same, objective=CROSS_ENTROPY, lr_at=lambda _: 0.0))) > 2


CLASS_WEIGHTS = torch.tensor([0.5, 3.0, 1.0], dtype=torch.float64)
WEIGHTED = Objective(
    lambda outputs, targets: F.cross_entropy(outputs, targets, weight=CLASS_WEIGHTS), lambda y: CLASS_WEIGHTS[y].sum()
)
LABELLED = Objective(
    lambda outputs, targets: F.cross_entropy(outputs, targets, ignore_index=2), lambda y: (y != 2).sum()
)


@pytest.mark.parametrize("objective", [CROSS_ENTROPY, WEIGHTED, LABELLED])
@settings(deadline=None, max_examples=15)
@given(count=st.integers(1, 9), accumulate=st.integers(2, 12))
def test_a_batch_in_pieces_makes_the_update_of_the_undivided_one_dropout_and_all(objective, count, accumulate):
    def run(rules):
        one = state(nn.Sequential(linear(), Dropout(0.5), nn.Linear(3, 3)).double())
        x = torch.randn(count, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        y = torch.tensor([0, 1, 2, 2, 1, 0, 0, 2, 1])[:count]
        losses = list(fit(one, [(x, y)], objective=objective, lr_at=lambda _: 0.5, rules=rules))
        return losses, *one.model.parameters()

    torch.testing.assert_close(run(Rules(accumulate=accumulate)), run(Rules()), rtol=1e-12, atol=1e-14)


def test_a_batch_in_which_nothing_counts_is_refused_in_pieces_as_undivided():
    nothing = torch.randn(4, 4), torch.full((4,), 2)
    for rules in (Rules(), Rules(accumulate=2)):
        with pytest.raises(NumericError, match="loss at step 0"):
            list(fit(state(linear()), [nothing], objective=LABELLED, lr_at=lambda _: 0.1, rules=rules))


def test_forward_pass_and_loss_are_computed_as_autocast_says_and_the_weights_stay():
    seen = []
    loss = Objective(lambda outputs, y: seen.append(outputs.dtype) or F.cross_entropy(outputs, y))
    one = state(linear())
    list(fit(one, batches(2), objective=loss, lr_at=lambda _: 0.1, autocast=lambda: torch.autocast("cpu")))
    assert seen == [torch.bfloat16] * 2
    assert one.model.weight.dtype == torch.float32


def test_a_groups_rate_is_the_rate_times_its_factor():
    def weights(factors):
        model = nn.Sequential(linear(), nn.Linear(3, 3, bias=False))
        nn.init.eye_(model[1].weight)
        one = TrainState(model=model, optimizer=sgd(model, Settings(lr=0.1, lr_factors=factors)), seed=0)
        list(fit(one, batches(1), objective=CROSS_ENTROPY, lr_at=lambda _: 0.2))
        return [p.detach() for p in model.parameters()]

    start = [*linear().parameters(), torch.eye(3)]
    moved = [after - before for after, before in zip(weights({}), start, strict=True)]
    less = [after - before for after, before in zip(weights({"0": 0.25}), start, strict=True)]
    torch.testing.assert_close(less, [moved[0] / 4, moved[1] / 4, moved[2]])


def scaled(scale):
    one = state(linear())
    one.average = Average(one.model, 0.9)
    one.scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=1000)
    return one


def test_a_scaled_loss_makes_the_same_update():
    ours, plain = scaled(2.0**12), state(linear())
    for one in (ours, plain):
        losses = list(fit(one, batches(5), objective=CROSS_ENTROPY, lr_at=lambda _: 0.1, rules=Rules(clip_norm=0.1)))
    assert losses[0] == pytest.approx(F.cross_entropy(linear()(next(batches(1))[0]), next(batches(1))[1]).item())
    torch.testing.assert_close(dict(ours.model.state_dict()), dict(plain.model.state_dict()))


def test_a_gradient_that_the_scale_makes_infinite_is_skipped_and_the_scale_halved():
    one = scaled(2.0**127)
    before = {name: tensor.clone() for name, tensor in one.model.state_dict().items()}
    steep = Objective(lambda outputs, y: 100 * F.cross_entropy(outputs, y))
    (loss,) = fit(one, batches(1), objective=steep, lr_at=lambda _: 0.1)
    assert not isnan(loss)
    assert (one.step, one.scaler.get_scale()) == (1, 2.0**126)
    torch.testing.assert_close(dict(one.model.state_dict()), before, rtol=0, atol=0)
    torch.testing.assert_close(one.average.tensors(), before, rtol=0, atol=0)
    list(fit(one, batches(40), objective=steep, lr_at=lambda _: 0.1))
    assert not torch.equal(one.model.weight, before["weight"])


@pytest.mark.parametrize(("scale", "objective"), [(0.5, "infinite slope"), (2.0**10, "infinite loss")])
def test_what_no_smaller_scale_would_help_is_an_error(scale, objective):
    def infinite_slope(outputs, _):
        return (outputs - outputs.detach()).abs().sqrt().sum()

    def infinite_loss(outputs, _):
        return outputs.sum() * float("inf")

    chosen = {"infinite slope": infinite_slope, "infinite loss": infinite_loss}[objective]
    named = {"infinite slope": "gradient norm", "infinite loss": "loss"}[objective]
    with pytest.raises(NumericError, match=rf"{named} at step 0 \(lr 0\.1\)"):
        list(fit(scaled(scale), batches(1), objective=Objective(chosen), lr_at=lambda _: 0.1))


def test_a_run_put_back_in_the_middle_ends_in_the_bits_of_the_unbroken_one():
    def make():
        model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), Dropout(0.3), nn.Flatten(), nn.Linear(144, 3))
        model.to(memory_format=torch.channels_last)
        generator = torch.Generator().manual_seed(5)
        with torch.no_grad():
            for p in model.parameters():
                p.copy_(torch.randn(p.shape, generator=generator) / 5)
        return TrainState(
            model=model,
            optimizer=adam(model, Settings(lr=0.1, weight_decay=0.01)),
            seed=1,
            average=Average(model, 0.9),
            scaler=torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=2),
        )

    def go(one, first, last):
        rules = Rules(accumulate=3, clip_norm=1.0, l1=1e-3, max_norm=2.0)
        made = [torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(n)) for n in range(first, last)]
        data = [(x, torch.arange(8) % 3) for x in made]
        return list(fit(one, data, objective=CROSS_ENTROPY, lr_at=lambda step: 0.1 / (step + 1), rules=rules))

    whole, first, second = make(), make(), make()
    losses = go(whole, 0, 7)
    assert go(first, 0, 4) == losses[:4]
    second.model.load_state_dict({name: t.clone().contiguous() for name, t in first.model.state_dict().items()})
    restore_optimizer(second.optimizer, {n: t.clone() for n, t in optimizer_tensors(first.optimizer).items()})
    second.average.restore({name: t.clone().contiguous() for name, t in first.average.tensors().items()})
    second.scaler.load_state_dict(first.scaler.state_dict())
    second.step = first.step
    assert go(second, 4, 7) == losses[4:]
    assert second.scaler.state_dict() == whole.scaler.state_dict()
    for found, expected in ((second.model, whole.model), (second.average.network, whole.average.network)):
        pairs = zip(found.state_dict().values(), expected.state_dict().values(), strict=True)
        assert all(torch.equal(*pair) for pair in pairs)
