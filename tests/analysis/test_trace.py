"""What a run writes down: rows, names, branches, reuse; and that it leaves the network as it was."""

import subprocess
import sys
from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

import striate
from striate.analysis.inspect import inspect
from striate.layers.dropout import Dropout


class Block(nn.Module):
    """A residual block, half in modules and half in functions."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x):
        y = F.relu(self.conv1(x))
        return F.relu(self.conv2(y) + x)


class Swish(nn.Module):
    def forward(self, x):
        return F.silu(x)


def names(model, shape):
    return [row.name for row in inspect(model, shape)]


def test_layers_go_by_their_path_and_functions_by_their_module():
    model = nn.Sequential(Block(), nn.Flatten(), nn.Linear(64, 2))
    assert names(model, (4, 4, 4)) == ["0.conv1", "0.relu", "0.conv2", "0.add", "0.relu_1", "1", "2"]


def test_a_module_that_is_one_function_goes_by_its_path():
    model = nn.Sequential(nn.Conv2d(4, 4, 3), Swish())
    assert [(row.name, row.kind) for row in inspect(model, (4, 4, 4))] == [("0", "Conv2d"), ("1", "silu")]


def test_a_lone_layer_and_a_lone_function_go_by_their_kind():
    assert names(nn.Linear(3, 2), (3,)) == ["Linear"]
    assert names(Swish(), (3,)) == ["silu"]


def test_rows_say_where_they_take_from():
    rows = list(inspect(Block(), (4, 4, 4)))
    assert [row.sources for row in rows] == [(-1,), (0,), (1,), (-1, 2), (3,)]


def test_views_without_a_row_pass_on_where_they_come_from():
    class Halves(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1)

        def forward(self, x):
            left, right = F.relu(x).chunk(2, 1)
            return torch.cat([self.a(left), self.b(right).transpose(2, 3).transpose(2, 3)], 1)

    rows = list(inspect(Halves(), (4, 3, 3)))
    assert [(row.kind, row.sources) for row in rows] == [
        ("relu", (-1,)),
        ("Conv2d", (0,)),
        ("Conv2d", (0,)),
        ("cat", (1, 2)),
    ]


def test_a_layer_that_runs_twice_has_two_rows_and_one_set_of_parameters():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 3, padding=1)

        def forward(self, x):
            return self.conv(self.conv(x))

    summary = inspect(Twice(), (4, 4, 4))
    assert [(row.name, row.parameters, row.reused) for row in summary] == [("conv", 148, False), ("conv", 0, True)]
    assert summary.totals.parameters == 148


def test_shared_weights_count_once():
    one = nn.Linear(4, 4)
    other = nn.Linear(4, 4)
    other.weight = one.weight
    summary = inspect(nn.Sequential(one, other), (4,))
    assert [(row.parameters, row.reused) for row in summary] == [(20, False), (4, False)]
    assert summary.totals.parameters == 24
    assert summary.totals.weight_bytes == 96


def test_parameters_of_functional_calls_belong_to_their_rows():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.kernel, self.scale = nn.Parameter(torch.zeros(2, 3, 3, 3)), nn.Parameter(torch.ones(2, 1, 1))
            self.idle = nn.Parameter(torch.zeros(7))

        def forward(self, x):
            return F.conv2d(x, self.kernel) * self.scale

    summary = inspect(Own(), (3, 5, 5))
    assert [(row.name, row.parameters) for row in summary] == [("conv2d", 54), ("mul", 2)]
    assert (summary.totals.parameters, summary.totals.unused) == (63, 7)


def test_frozen_parameters_are_not_trainable():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    model[0].requires_grad_(False)
    summary = inspect(model, (4,))
    assert [(row.parameters, row.trainable) for row in summary] == [(20, 0), (10, 10)]
    assert (summary.totals.parameters, summary.totals.trainable) == (30, 10)


def test_a_parametrised_layer_is_one_row_of_its_own_kind():
    (row,) = inspect(weight_norm(nn.Conv2d(3, 8, 3)), (3, 8, 8))
    assert (row.kind, row.parameters) == ("Conv2d", 8 * 27 + 8 + 8)


def test_what_does_nothing_in_evaluation_has_a_row_and_an_identity_has_none():
    model = nn.Sequential(nn.Linear(3, 3), Dropout(0.5), nn.Identity(), nn.Sequential(), nn.Dropout(0.2))
    assert names(model, (3,)) == ["0", "1", "4"]


def test_operators_have_the_names_of_what_they_do():
    class Sums(nn.Module):
        def forward(self, x):
            y = 1 + x
            y += x
            return (y - x) / 2 @ x.flatten(1).T

    assert names(Sums(), (3,)) == ["add", "add_1", "sub", "div", "matmul"]


@pytest.mark.parametrize("build_on", ["cpu", "meta"])
def test_the_network_is_left_as_it_was(build_on):
    with torch.device(build_on):
        model = nn.Sequential(Block(), nn.BatchNorm2d(4), nn.Dropout(), nn.Flatten(), nn.Linear(64, 2))
    model[0].eval()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    modes, hooks = [m.training for m in model.modules()], [len(m._forward_hooks) for m in model.modules()]
    before, fast = torch.random.get_rng_state(), torch.backends.mha.get_fastpath_enabled()
    inspect(model, (4, 4, 4), batch_size=3)
    assert [m.training for m in model.modules()] == modes
    assert [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()] == hooks
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.backends.mha.get_fastpath_enabled() == fast
    if build_on == "cpu":
        assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_a_layer_in_two_places_keeps_its_weights_and_counts_once():
    layer = nn.Conv2d(4, 4, 3, padding=1)
    weight = layer.weight
    summary = inspect(nn.Sequential(layer, nn.ReLU(), layer), (4, 8, 8))
    assert layer.weight is weight
    assert [(row.parameters, row.reused) for row in summary] == [(148, False), (0, False), (0, True)]
    assert (summary.totals.parameters, summary.totals.unused) == (148, 0)


def test_an_error_leaves_it_as_it_was_too():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(4, 4)).train()
    reference = deepcopy(model)
    with pytest.raises(striate.base.errors.ConfigError):
        inspect(model, (3,))
    assert model.training
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in model.modules())
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), reference.parameters(), strict=True))


def test_a_network_that_looks_at_numbers_is_run_on_zeros():
    class Looking(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 3)

        def forward(self, x):
            return self.conv(x) if float(x.sum()) == 0 else x

    summary = inspect(Looking(), (1, 5, 5))
    assert summary.totals.macs == 2 * 9 * 9
    assert summary.notes[0] == "it looks at numbers, so it was run on zeros"


def test_tensors_that_are_no_parameters_are_met_by_a_run_on_zeros():
    class Constant(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = torch.ones(3)  # forgotten: no buffer

        def forward(self, x):
            return x * self.scale

    assert inspect(Constant(), (3,)).rows[0].kind == "mul"


def test_a_wide_network_takes_no_memory_and_no_compiler():
    """In a fresh process: no weights, and neither torch's compiler nor its symbolic mathematics are imported."""
    code = """
import resource, sys, torch
from torch import nn
import striate
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with torch.device("meta"):
    wide = nn.Sequential(nn.Conv2d(3, 64, 3), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1),
                         nn.Flatten(), nn.Linear(64, 20_000), nn.ReLU(), nn.Linear(20_000, 20_000), nn.Softmax(1))
summary = striate.inspect(wide, (3, 64, 64))
assert summary.totals.weight_bytes > 1.6e9
assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB
assert not {"sympy", "torch._dynamo", "matplotlib"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_what_repeats_its_entries_takes_memory_and_has_a_row():
    class Repeats(nn.Module):
        def forward(self, x):
            return x.repeat_interleave(2, 2)

    (row,) = inspect(Repeats(), (3, 4, 5))
    assert (row.name, row.output_shape, row.activation_bytes) == ("repeat_interleave", (3, 8, 5), 4 * 3 * 8 * 5)
