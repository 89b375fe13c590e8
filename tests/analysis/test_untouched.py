"""Whatever a network does while it is inspected, it is afterwards as it was before."""

from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from striate.analysis.inspect import inspect


class Busy(nn.Module):
    """Convolution, normalisation and dropout, and something that changes what it is made of."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.drop = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout()
        self.last = nn.Conv2d(4, 4, 3)
        self.register_buffer("count", torch.zeros(1))
        self.kept, self.calls = None, 0

    def forward(self, x):
        self.calls += 1
        return self.then(self.drop(self.norm(self.conv(x)))).mean((2, 3))

    def then(self, y):
        return y


class Looks(Busy):
    def then(self, y):
        return self.last(y) if y.sum() > 1e9 else y


class Counts(Looks):
    def then(self, y):
        self.count += 1
        return super().then(y)


class Writes(Looks):
    def then(self, y):
        self.last.weight.data.mul_(2)
        return super().then(y)


class Keeps(Busy):
    def then(self, y):
        self.kept = self.last.kept = y
        return y


class Replaces(Busy):
    def then(self, y):
        self.norm.running_mean = self.norm.running_mean * 0.9 + y.mean()
        self.last.weight = nn.Parameter(self.last.weight * 1)
        return y


class Draws(Looks):
    def then(self, y):
        return super().then(y + torch.rand_like(y) + torch.rand(1))


class ComputesAgain(Looks):
    def then(self, y):
        return super().then(checkpoint(self.last, y, use_reentrant=True))


class Fails(Looks):
    def then(self, y):
        raise RuntimeError(f"no {y.sum().item()}")


def of(module):
    """All that a module is made of, by name."""
    return {
        "numbers": {name: tensor.clone() for name, tensor in module.state_dict().items()},
        "objects": [id(tensor) for tensor in (*module.parameters(), *module.buffers())],
        "modes": [one.training for one in module.modules()],
        "gradients": [p.grad for p in module.parameters()],
        "attributes": [sorted(vars(one)) for one in module.modules()],
        "hooks": sum(len(one._forward_hooks) + len(one._forward_pre_hooks) for one in module.modules()),
        "own": (module.kept, module.calls),
        "generator": torch.get_rng_state(),
    }


@pytest.mark.parametrize("kind", [Looks, Counts, Writes, Keeps, Replaces, Draws, ComputesAgain, Fails])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
def test_nothing_of_it_changes(kind, training):
    module = kind().train(training)
    module.norm.eval()
    before = deepcopy(of(module)) | {"objects": of(module)["objects"]}
    if kind is Fails:
        with pytest.raises(ValueError, match="got RuntimeError: no "):
            inspect(module, (3, 8, 8))
    else:
        inspect(module, (3, 8, 8))
    after = of(module)
    torch.testing.assert_close(after.pop("numbers"), before.pop("numbers"), rtol=0, atol=0)
    assert torch.equal(after.pop("generator"), before.pop("generator"))
    assert after == before


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
def test_what_is_computed_again_costs_less_memory_and_the_same_operations(reentrant):
    class Deep(nn.Module):
        def __init__(self, again):
            super().__init__()
            self.again = again
            self.first = nn.Linear(64, 64)
            self.rest = nn.ModuleList(
                nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh()) for _ in range(8)
            )

        def forward(self, x):
            x = self.first(x)
            for part in self.rest:
                x = checkpoint(part, x, use_reentrant=reentrant) if self.again else part(x)
            return x

    plain, again = (inspect(Deep(again), (64,), batch_size=1000) for again in (False, True))
    assert plain.notes == again.notes == ()
    assert [(row.name, row.macs) for row in plain] == [(row.name, row.macs) for row in again]
    assert again.totals.peak_training_bytes < 0.8 * plain.totals.peak_training_bytes


@pytest.mark.parametrize(
    "context",
    [torch.inference_mode(), torch.no_grad(), torch.enable_grad(), torch.device("meta")],
    ids=["inference_mode", "no_grad", "enable_grad", "meta"],
)
def test_what_is_set_around_it_changes_no_figure(context):
    model = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(36, 2))
    plain = inspect(model, (3, 8, 8))
    with context:
        assert inspect(model, (3, 8, 8)).as_dict() == plain.as_dict()
    assert plain.totals.macs == 9 * 4 * 27 + 72


def test_weights_made_in_inference_mode_can_be_inspected():
    with torch.inference_mode():
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    assert inspect(model, (3, 8, 8)).totals.macs == 36 * 4 * 27
