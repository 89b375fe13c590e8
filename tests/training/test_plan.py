import json
import platform
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from striate.base.errors import ConfigError, ModelFileError
from striate.training import plan as planning
from striate.training.plan import Asked, Plan, by_engine, decide, machine, resumed
from striate.training.trials import Work, try_forms

SHORT, LONG = 1000, 10**9  # samples of a training that is too short to try forms, and of one that is not


def convolutions():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(), nn.Flatten(), nn.LazyLinear(3))


def work(network=None, macs=50_000, samples=SHORT, shape=(1, 8, 8)):
    network = network or convolutions()
    x = torch.randn(8, *shape, generator=torch.Generator().manual_seed(0))
    network(x)  # lazy layers are made
    return Work(network=network, batch=(x, torch.arange(8) % 3), loss=F.cross_entropy, macs=macs, samples=samples)


def decided(tmp_path, work, **asked):
    asked = Asked(device="cpu", **asked)
    return decide(asked, machine(asked), work, remembered=tmp_path / "plans")


@pytest.fixture(autouse=True)
def short_trials(monkeypatch):
    monkeypatch.setattr(planning, "try_forms", partial(try_forms, seconds=0.02))


@pytest.fixture
def with_bfloat16(monkeypatch):
    monkeypatch.setattr(planning, "native_bfloat16", lambda: True)


@pytest.fixture
def without_bfloat16(monkeypatch):
    monkeypatch.setattr(planning, "native_bfloat16", lambda: False)


def test_a_short_training_of_a_small_network_takes_the_usual_form_and_tries_nothing(tmp_path, with_bfloat16):
    plan = decided(tmp_path, work())
    assert (plan.precision, plan.memory_format, plan.trials) == ("float32", "channels_last", ())
    assert not (tmp_path / "plans").exists()


def test_a_large_network_takes_bfloat16_where_the_processor_has_it(tmp_path, with_bfloat16):
    plan = decided(tmp_path, work(macs=41_000_000, samples=LONG))
    assert (plan.precision, plan.memory_format, plan.trials) == ("bfloat16", "channels_last", ())


def test_a_large_network_takes_float32_where_the_processor_lacks_bfloat16(tmp_path, without_bfloat16):
    plan = decided(tmp_path, work(macs=41_000_000, samples=LONG))
    assert (plan.precision, plan.memory_format) == ("float32", "channels_last")


def test_a_small_network_that_trains_long_tries_four_forms_and_takes_a_fast_one(tmp_path, with_bfloat16):
    plan = decided(tmp_path, work(samples=LONG))
    assert len({trial.form for trial in plan.trials}) == 4
    seconds = {trial.form: trial.seconds for trial in plan.trials}
    assert seconds[plan.form] <= min(seconds.values()) / 0.9
    assert plan.notes[0].count(" ms") == 4


def test_a_processor_without_bfloat16_tries_memory_formats_alone(tmp_path, without_bfloat16):
    plan = decided(tmp_path, work(samples=LONG))
    assert [str(trial.form) for trial in plan.trials] == ["float32, channels-last", "float32, contiguous"]


def test_an_equal_run_takes_what_the_first_came_to_whatever_the_clock_says(tmp_path, with_bfloat16):
    first = decided(tmp_path, work(samples=LONG))
    (file,) = (tmp_path / "plans").iterdir()
    told = json.loads(file.read_bytes())
    for trial in told["outcome"]:
        trial["seconds"] = 1e-9 if trial["form"]["memory_format"] == "contiguous" else 1.0
    file.write_text(json.dumps(told))
    again = decided(tmp_path, work(samples=LONG))
    assert again.memory_format == "contiguous"
    assert again.trials != first.trials
    assert "earlier run" in str(again)


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"key": "other", "outcome": []}', b"\xff"])
def test_a_damaged_memory_of_trials_is_ignored_and_made_anew(tmp_path, without_bfloat16, damage):
    decided(tmp_path, work(samples=LONG))
    (file,) = (tmp_path / "plans").iterdir()
    file.write_bytes(damage)
    assert len(decided(tmp_path, work(samples=LONG)).trials) == 2
    assert json.loads(file.read_bytes())["key"] == file.stem


@pytest.mark.parametrize("outcome", [None, 3, {}, [3], [{"form": 1, "seconds": 1, "fault": ""}], [{"seconds": "x"}]])
def test_an_outcome_that_is_none_is_ignored(tmp_path, without_bfloat16, outcome):
    decided(tmp_path, work(samples=LONG))
    (file,) = (tmp_path / "plans").iterdir()
    file.write_text(json.dumps({"key": file.stem, "outcome": outcome}))
    assert len(decided(tmp_path, work(samples=LONG)).trials) == 2


def test_another_batch_size_is_another_outcome(tmp_path, without_bfloat16):
    first = work(samples=LONG)
    decided(tmp_path, first)
    decided(tmp_path, replace(first, batch=(first.batch[0][:4], first.batch[1][:4])))
    assert len(list((tmp_path / "plans").iterdir())) == 2


def test_a_folder_that_cannot_be_written_is_said(tmp_path, without_bfloat16):
    (tmp_path / "plans").write_text("a file where the folder should be")
    plan = decided(tmp_path, work(samples=LONG))
    assert "could not be remembered" in plan.reason


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("memory_format", ["channels_last", "contiguous"])
def test_what_is_asked_for_is_taken_without_trials(tmp_path, precision, memory_format):
    plan = decided(tmp_path, work(samples=LONG), precision=precision, memory_format=memory_format)
    assert (plan.precision, plan.memory_format, plan.reason) == (precision, memory_format, "as asked")
    assert not plan.trials


def test_a_precision_that_is_asked_for_leaves_the_memory_format_to_trials(tmp_path):
    plan = decided(tmp_path, work(samples=LONG), precision="bfloat16")
    assert {trial.form.precision for trial in plan.trials} == {"bfloat16"}


@pytest.mark.parametrize(
    ("network", "shape"), [(nn.Sequential(nn.Conv1d(1, 2, 3), nn.Flatten(), nn.Linear(12, 3)), (1, 8))]
)
def test_what_has_no_plane_lies_as_torch_lays_it(tmp_path, without_bfloat16, network, shape):
    assert decided(tmp_path, work(network, samples=LONG, shape=shape)).memory_format == "contiguous"


def test_the_network_and_the_callers_randomness_are_left_as_they_are(tmp_path, with_bfloat16):
    job = work(samples=LONG)
    before = {name: value.clone() for name, value in job.network.state_dict().items()}
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    decided(tmp_path, job)
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(value, before[name]) for name, value in job.network.state_dict().items())
    assert all(parameter.grad is None for parameter in job.network.parameters())
    assert all(value.is_contiguous() for value in job.network.state_dict().values())


class OnlyFloat32(nn.Module):
    """A network whose own operation knows no 16 bits, as some of torch's do not."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(1, 3, 8)

    def forward(self, x):
        y = self.convolution(x)
        if y.dtype != torch.float32:
            raise RuntimeError("\"own\" not implemented for 'BFloat16'")
        return y.flatten(1)


def test_a_network_that_cannot_do_with_fewer_bits_keeps_float32_and_says_so(tmp_path, with_bfloat16):
    plan = decided(tmp_path, work(OnlyFloat32(), macs=41_000_000))
    assert plan.precision == "float32"
    assert "not implemented for 'BFloat16'" in str(plan)


def test_a_form_that_fails_in_the_trials_is_not_taken(tmp_path, with_bfloat16):
    plan = decided(tmp_path, work(OnlyFloat32(), samples=LONG))
    assert plan.precision == "float32"
    assert plan.notes[0].count("failed (") == 2


def test_a_plan_survives_being_written_down(tmp_path, with_bfloat16):
    plan = decided(tmp_path, work(OnlyFloat32(), samples=LONG))
    assert Plan.from_dict(json.loads(json.dumps(plan.as_dict()))) == plan


@pytest.mark.parametrize(
    "damage",
    [{"precision": "int4"}, {"threads": "abc"}, {"threads": -3}, {"threads": 1e400}, {"more": 1}, {"trials": [1]}],
)
def test_a_damaged_plan_is_refused(tmp_path, damage):
    told = decided(tmp_path, work()).as_dict() | damage
    with pytest.raises(ModelFileError, match=r"plan must be as a run writes it"):
        Plan.from_dict(told)


def test_a_run_that_goes_on_keeps_its_plan_and_sets_its_threads(tmp_path):
    told = decided(tmp_path, work(), precision="bfloat16", threads=2).as_dict()
    torch.set_num_threads(1)
    try:
        began, plan = Plan.from_dict(told), resumed(told, Asked())
        assert replace(plan, reason=began.reason, began=None) == began
        assert plan.reason == f"as the run began: {began.reason}"
        assert resumed(plan.as_dict(), Asked()) == plan
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("name", "other"), [("engine", "native"), ("precision", "bfloat16"), ("memory_format", "contiguous")]
)
def test_a_run_that_goes_on_is_not_asked_for_another_plan(tmp_path, name, other):
    told = decided(tmp_path, work(), precision="float32", memory_format="channels_last").as_dict()
    said = rf"execution\.{name} of recipe.toml must be .*, as the run began, got {other}"
    with pytest.raises(ConfigError, match=said):
        resumed(told, Asked(**{name: other}))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU to go on with")
def test_a_run_that_began_on_a_gpu_goes_on_without_it_and_says_so(tmp_path):
    told = decided(tmp_path, work(), precision="bfloat16").as_dict() | {"device": "cuda"}
    plan = resumed(told, Asked())
    assert (plan.device, plan.precision) == ("cpu", "float32")
    assert "began on cuda" in str(plan)
    assert resumed(plan.as_dict(), Asked()) == plan  # stopped a second time
    with pytest.raises(ConfigError, match="cuda on a machine without it"):
        resumed(told, Asked(device="cuda"))


def test_back_on_its_gpu_a_run_is_what_it_was(tmp_path, monkeypatch):
    told = decided(tmp_path, work(), precision="bfloat16").as_dict() | {"device": "cuda"}
    without = resumed(told, Asked(device="cpu")).as_dict()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    plan = resumed(without, Asked())
    assert (plan.device, plan.precision, plan.reason) == ("cuda", "bfloat16", f"as the run began: {told['reason']}")


def test_a_run_of_an_engine_for_cpus_stays_on_the_cpu_where_there_is_a_gpu(tmp_path, monkeypatch):
    told = by_engine("native", machine(Asked(device="cpu")), "as asked").as_dict()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resumed(told, Asked()).device == "cpu"
    assert resumed(told, Asked(device="cuda")).device == "cuda"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told")
def test_the_allocator_is_told_and_untold():
    assert machine(Asked(device="cpu")).allocator == "keep"
    assert machine(Asked(device="cpu", allocator="system")).allocator == "system"
    assert machine(Asked(device="cpu", allocator="keep")).allocator == "keep"


def test_an_allocator_that_cannot_be_had_is_refused(monkeypatch):
    monkeypatch.setattr(planning, "keep_memory", lambda: False)
    assert machine(Asked(device="cpu")).allocator == "system"
    with pytest.raises(ConfigError, match="allocator"):
        machine(Asked(device="cpu", allocator="keep"))


def test_the_plan_reads_as_one_line(tmp_path, without_bfloat16):
    line = str(decided(tmp_path, work(), allocator="system", threads=1))
    assert line == ("torch engine, 1 CPU thread, float32, channels-last (usual: training is too short to try others)")
