import pytest
import torch
from torch import nn
from torch.nn import functional as F

from striate.base.errors import NumericError
from striate.layers.dropout import Dropout
from striate.training.engine import Objective, TrainState, fit
from striate.training.optimisers import Settings, sgd

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
