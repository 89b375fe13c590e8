import os
from datetime import timedelta

import pytest
import torch
import torch.distributed as dist

from striate.base.errors import ConfigError
from striate.training import joining
from striate.training.joining import Launch, _tells, _unused, joined, launch, of_environment, own_device
from striate.training.processes import ALONE, Processes


@pytest.mark.parametrize(
    "place",
    [
        {"WORLD_SIZE": "2"},
        {"WORLD_SIZE": "2", "RANK": "2", "LOCAL_RANK": "0"},
        {"WORLD_SIZE": "two", "RANK": "0", "LOCAL_RANK": "0"},
    ],
)
def test_an_environment_that_cannot_be_is_refused(monkeypatch, place):
    for name, value in place.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=r"as torchrun sets them, got .*WORLD_SIZE="), joined():
        pass


def test_the_place_is_read_from_the_environment(monkeypatch):
    for name, value in {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    assert of_environment() == Processes(5, 8, 1)


def test_each_process_has_a_gpu_of_its_own_or_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert own_device(ALONE, "cuda") == "cuda"
    assert own_device(Processes(1, 2, 1), "cpu") == "cpu"
    assert own_device(Processes(0, 2, 0), "cuda") == "cuda:0"
    with pytest.raises(ConfigError, match=r"one a process, got 1\.\n.*--nproc-per-node 1"):
        own_device(Processes(1, 2, 1), "cuda")


def test_without_torchrun_a_process_is_alone():
    with joined() as processes:
        assert processes == ALONE
    assert launch() == Launch(None, 0)


def test_a_start_of_torchrun_has_a_name_that_stays(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "job-7")
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "3")
    assert launch() == Launch("job-7", 3)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert launch().name.endswith(f"-{os.getppid()}")


def test_processes_started_anew_do_not_read_what_the_dead_have_written(together, tmp_path):
    def work(processes):
        store = dist.FileStore(str(tmp_path / "store"), -1)  # for two lives, as torchrun's
        counts = []
        for _ in range(2):
            counts.append(_unused(store, processes).add("count", 1))
            processes.largest(0)
        return counts

    answers = together(3, work)
    assert [sorted(counts) for counts in zip(*answers, strict=True)] == [[1, 2, 3]] * 2


def test_an_error_is_told_by_the_first_or_else_by_one_of_the_others(monkeypatch):
    monkeypatch.setattr(joining, "FIRST_TELLS", timedelta(seconds=0.1))
    store, others = dist.HashStore(), [Processes(1, 3), Processes(2, 3)]
    assert [_tells(one, store) for one in others] == [True, False]  # the first says nothing
    assert _tells(Processes(0, 3), store)
    assert [_tells(one, store) for one in others] == [False, False]
