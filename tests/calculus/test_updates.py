import pytest
import torch
from torch.testing import assert_close

from striate.calculus.updates import UPDATES, AdamState, NoState, Squares, Velocity, demonstrate

CASES = [
    ("gradient_descent", torch.optim.SGD, {}, {}),
    ("gradient_descent", torch.optim.SGD, {"weight_decay": 0.1}, {}),
    ("momentum", torch.optim.SGD, {"momentum": 0.9}, {}),
    ("momentum", torch.optim.SGD, {"momentum": 0.5, "weight_decay": 0.1}, {}),
    ("nesterov", torch.optim.SGD, {"momentum": 0.9}, {"nesterov": True}),
    ("nesterov", torch.optim.SGD, {"momentum": 0.5, "weight_decay": 0.1}, {"nesterov": True}),
    ("adagrad", torch.optim.Adagrad, {}, {}),
    ("adagrad", torch.optim.Adagrad, {"weight_decay": 0.1, "eps": 1e-3}, {}),
    ("rmsprop", torch.optim.RMSprop, {}, {}),
    ("rmsprop", torch.optim.RMSprop, {"alpha": 0.7, "weight_decay": 0.1, "eps": 1e-3}, {}),
    ("adam", torch.optim.Adam, {}, {}),
    ("adam", torch.optim.Adam, {"betas": (0.7, 0.9), "weight_decay": 0.1, "eps": 1e-3}, {}),
    ("adamw", torch.optim.AdamW, {}, {}),
    ("adamw", torch.optim.AdamW, {"betas": (0.7, 0.9), "weight_decay": 0.3, "eps": 1e-3}, {}),
]


def draw(shape, seed):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def gradient_at(w, step):
    """A slope that depends on the weight, so that a wrong step shows in all that follow, and on the batch."""
    return torch.sin(3 * w) + 0.1 * draw(w.shape, step)


@pytest.mark.parametrize(("name", "optimiser", "options", "torchs"), CASES)
def test_a_hundred_steps_are_torchs(name, optimiser, options, torchs):
    update, start = UPDATES[name]
    w = draw([3, 4], 0)
    reference = torch.nn.Parameter(w.clone())
    torch_optimiser = optimiser([reference], lr=0.05, **options, **torchs)
    state = start(w)
    for step in range(1, 101):
        w, state = update(w, gradient_at(w, step), state, lr=0.05, **options)
        reference.grad = gradient_at(reference.detach(), step)
        torch_optimiser.step()
        assert_close(w, reference.detach(), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "torchs"), [("adagrad", "Adagrad"), ("rmsprop", "RMSprop"), ("adam", "Adam"), ("adamw", "AdamW")]
)
def test_the_defaults_are_torchs(name, torchs):
    update, start = UPDATES[name]
    w = draw([5], 0)
    reference = torch.nn.Parameter(w.clone())
    reference.grad = gradient_at(w, 1)
    getattr(torch.optim, torchs)([reference]).step()
    assert_close(update(w, gradient_at(w, 1), start(w))[0], reference.detach(), rtol=0, atol=1e-15)


@pytest.mark.parametrize("name", sorted(UPDATES))
def test_an_update_changes_nothing_that_it_was_given(name):
    update, start = UPDATES[name]
    w, g = draw([4], 0), draw([4], 1)
    first, state = update(w, g, start(w), lr=0.1)
    once = update(first, g, state, lr=0.1)
    again = update(first, g, state, lr=0.1)
    assert_close(once[0], again[0], rtol=0, atol=0)
    assert_close(w, draw([4], 0), rtol=0, atol=0)
    assert_close(g, draw([4], 1), rtol=0, atol=0)


def test_every_state_starts_at_zero():
    w = draw([2], 0)
    assert NoState.start(w) == NoState()
    assert Velocity.start(w).velocity.tolist() == [0, 0]
    assert Squares.start(w).squares.tolist() == [0, 0]
    assert AdamState.start(w).step == 0


def test_the_demonstration_can_be_checked_by_hand():
    rows = {line.split()[0]: line.split()[1:] for line in demonstrate().splitlines() if line}
    assert rows["gradient_descent"] == ["0.9000", "0.8100", "0.7290", "0.6561"]  # 0.9, 0.9^2, ...
    assert rows["momentum"][:3] == ["0.9000", "0.7200", "0.4860"]  # v = 1, 1.8, 0.9 * 1.8 + 0.72 = 2.34
    assert rows["nesterov"][0] == "0.8100"  # 1 - 0.1 (1 + 0.9)
    assert rows["adagrad"][0] == "0.9000"
    assert rows["rmsprop"][0] == "0.0000"  # 1 - 0.1 / sqrt(0.01)
    assert rows["adam"][0] == "0.9000"
    assert rows["adamw"][0] == "0.8990"  # 0.999 - 0.1
