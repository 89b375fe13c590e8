import copy
import json
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from striate.base.errors import ResourceError
from striate.training import batch_probe
from striate.training.batch_probe import Probe, Trainer, probe_batch_size
from striate.training.engine import TrainState
from striate.training.forms import Form

SOURCES = Path(batch_probe.__file__).resolve().parents[2]


class Clock:
    """Time that passes as steps say."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(batch_probe, "time", clock)
    return clock


def trainer(clock, *, samples=10**6, fits=10**9, seconds=lambda size: 0.01 + size * 1e-4):
    """A training whose steps take as long as is said, and in which larger batches than `fits` run out of memory."""
    model = nn.Linear(3, 2)

    def fit(state, batches, *, lr_at):
        assert lr_at(0) == 0
        for x, _ in batches:
            if len(x) > fits:
                raise RuntimeError(f"DefaultCPUAllocator: not enough memory: you tried to allocate {len(x)} bytes.")
            clock.now += seconds(len(x))
            with torch.no_grad():
                state.model.weight += 1
            yield 0.0

    return Trainer(
        state=TrainState(model=model, optimizer=torch.optim.SGD(model.parameters(), lr=0.1), seed=0),
        batch_of=lambda size: (torch.zeros(size, 3), torch.zeros(size, dtype=torch.long)),
        fit=fit,
        form=Form("float32", "contiguous"),
        samples=samples,
    )


def test_the_smallest_size_within_a_tenth_of_the_best_is_taken(clock, tmp_path):
    found = probe_batch_size(trainer(clock), remembered=tmp_path)  # at most 10000 samples a second
    speeds = {one.batch_size: one.samples_per_second for one in found.tried}
    assert speeds == {size: pytest.approx(size / (0.01 + size * 1e-4)) for size in speeds}
    enough = [size for size, speed in speeds.items() if speed >= 0.9 * max(speeds.values())]
    assert found.batch_size == min(enough)
    assert "no faster" in found.ended


def test_the_data_bound_it_to_twelve_updates_an_epoch(clock, tmp_path):
    found = probe_batch_size(trainer(clock, samples=12 * 64, seconds=lambda _: 0.01), remembered=tmp_path)
    assert found.batch_size == 64
    assert "12 updates" in found.ended


def test_few_data_leave_the_first_size(clock, tmp_path):
    assert probe_batch_size(trainer(clock, samples=30), remembered=tmp_path).batch_size == 16


def test_running_out_of_memory_is_survived(clock, tmp_path):
    found = probe_batch_size(trainer(clock, fits=100, seconds=lambda _: 0.01), remembered=tmp_path)
    assert found.batch_size == 64
    assert found.ended == "128 runs out of memory"


def test_where_the_first_size_does_not_fit_smaller_ones_are_tried(clock, tmp_path):
    found = probe_batch_size(trainer(clock, fits=5), remembered=tmp_path)
    assert found.batch_size == 4
    assert found.ended == "8 runs out of memory"


def test_where_no_size_fits_that_is_said(clock, tmp_path):
    with pytest.raises(ResourceError, match="one sample must be what fits into memory"):
        probe_batch_size(trainer(clock, fits=0), remembered=tmp_path)


def test_another_error_is_not_taken_for_lack_of_memory(clock, tmp_path):
    def fit(state, batches, *, lr_at):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
        yield

    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        probe_batch_size(replace(trainer(clock), fit=fit), remembered=tmp_path)


def test_a_size_that_would_take_more_than_there_is_is_not_tried(clock, tmp_path, monkeypatch):
    per_sample, seen = 1000, []

    def peak():
        return per_sample * max(seen, default=0)

    def batch_of(size):
        seen.append(size)
        return torch.zeros(size, 3), torch.zeros(size)

    monkeypatch.setattr(batch_probe, "peak_memory", peak)
    monkeypatch.setattr(batch_probe, "held_memory", peak)
    monkeypatch.setattr(batch_probe, "free_memory", lambda: 500 * per_sample - peak())
    found = probe_batch_size(replace(trainer(clock, seconds=lambda _: 1), batch_of=batch_of), remembered=tmp_path)
    assert max(seen) == found.batch_size == 256
    assert found.ended == "512 would take more memory than there is"


def test_an_equal_run_takes_the_same_size_whatever_the_clock_says(clock, tmp_path):
    first = probe_batch_size(trainer(clock), remembered=tmp_path)
    assert probe_batch_size(trainer(clock, seconds=lambda size: size), remembered=tmp_path) == first
    other = probe_batch_size(trainer(clock, samples=500, seconds=lambda size: size), remembered=tmp_path)
    assert other.batch_size == 16


def test_a_size_that_no_longer_fits_is_found_anew(clock, tmp_path, monkeypatch):
    first = probe_batch_size(trainer(clock), remembered=tmp_path)
    (file,) = tmp_path.iterdir()
    told = json.loads(file.read_bytes())
    for one in told["outcome"]["tried"]:
        one["grew"] = 1 << 60
    file.write_text(json.dumps(told))
    assert probe_batch_size(trainer(clock, fits=16), remembered=tmp_path).batch_size == 16 < first.batch_size


@pytest.mark.parametrize("damage", [b"{", b'{"outcome": 3}', b"[]"])
def test_a_damaged_memory_is_ignored(clock, tmp_path, damage):
    first = probe_batch_size(trainer(clock), remembered=tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(damage)
    again = probe_batch_size(trainer(clock), remembered=tmp_path)
    assert again.batch_size == first.batch_size


def test_network_and_optimiser_are_left_as_they_are(clock, tmp_path):
    trained = trainer(clock)
    before = copy.deepcopy(trained.state.model.state_dict())
    probe_batch_size(trained, remembered=tmp_path)
    assert all(torch.equal(value, before[name]) for name, value in trained.state.model.state_dict().items())


def test_what_was_found_survives_being_written_down(clock, tmp_path):
    found = probe_batch_size(trainer(clock), remembered=tmp_path)
    assert Probe.from_dict(json.loads(json.dumps(found.as_dict()))) == found


PROGRAM = """
    import resource, sys
    from functools import partial
    from pathlib import Path
    import torch
    from torch import nn
    from torch.nn import functional as F
    from striate.base import memory
    from striate.training import batch_probe
    from striate.training.batch_probe import Trainer, probe_batch_size
    from striate.training.engine import TrainState, fit
    from striate.training.forms import Form

    torch.set_num_threads(1)

    class Wide(nn.Module):  # four times 1.2 MB a sample, and hardly any work
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.rand(300_000))

        def forward(self, x):
            return ((x * self.weight).tanh().exp() + 1).log()[:, :2]

    model = Wide()
    try:
        from striate.training.engine import Objective
        engine = partial(fit, objective=Objective(F.cross_entropy))
    except ImportError:
        engine = partial(fit, loss_fn=F.cross_entropy)
    trainer = Trainer(
        state=TrainState(model=model, optimizer=torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9), seed=0),
        batch_of=lambda size: (torch.rand(size, 1), torch.zeros(size, dtype=torch.long)),
        fit=engine,
        form=Form("float32", "contiguous"),
        samples=10**6,
    )
    batch_probe.GAIN, batch_probe.SECONDS, batch_probe.LEAST = 0.0, 0.0, 1  # until memory ends it
    if sys.argv[2] == "blind":
        batch_probe.free_memory = lambda: None
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + 500_000_000, resource.RLIM_INFINITY))
    found = probe_batch_size(trainer, remembered=Path(sys.argv[1]))
    list(engine(trainer.state, [trainer.batch_of(found.batch_size)] * 2, lr_at=lambda _: 0.1))  # and it trains
    print(found.tried[-1].batch_size, found.ended)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS is Linux's")
@pytest.mark.parametrize(
    ("sight", "said"),
    [pytest.param("sees", "would take more memory", marks=pytest.mark.slow), ("blind", "runs out of memory")],
)
def test_a_real_limit_is_foreseen_and_where_it_cannot_be_it_is_survived(tmp_path, sight, said):
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(PROGRAM), str(tmp_path), sight]
    one = {"MALLOC_ARENA_MAX": "1"}  # another arena, made when threads meet, takes 64 MB of what is limited
    env = {"PYTHONPATH": str(SOURCES), **one}
    result = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert result.returncode == 0, result.stderr
    assert said in result.stdout
    assert 16 <= int(result.stdout.split()[0]) <= 128
