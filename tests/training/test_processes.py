import os

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from striate.base.errors import ConfigError, ResourceError
from striate.training.processes import ALONE, Processes, joined, of_environment


@given(world=st.integers(1, 70), count=st.integers(1, 300))
def test_every_row_is_somebodys_in_order_and_pairs_stay_together(world, count):
    parts = [Processes(rank, world).rows(count) for rank in range(world)]
    if count // 2 < world:
        assert parts == [slice(0, count)] * world
        return
    assert [row for part in parts for row in range(count)[part]] == list(range(count))
    assert all(part.start % 2 == 0 and part.stop - part.start >= 2 for part in parts)
    sizes = [part.stop - part.start for part in parts]
    assert max(sizes) - min(sizes) <= 3  # a pair, and the odd one


def test_one_process_is_all_there_is():
    rows = torch.arange(5.0)
    assert ALONE.first
    assert ALONE.rows(5) == slice(0, 5)
    assert ALONE.sum(rows) is rows
    assert ALONE.gather(rows, 5) is rows
    assert ALONE.from_first("x") == "x"
    assert ALONE.largest(3) == 3
    with joined("cpu") as processes:
        assert processes == ALONE


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("count", [1, 5, 7, 16])
def test_rows_come_together_in_their_order(together, world, count):
    whole = torch.arange(count * 2).reshape(count, 2)
    answers = together(world, lambda processes: processes.gather(whole[processes.rows(count)], count))
    assert all(torch.equal(answer, whole) for answer in answers)


def test_processes_add_up_agree_and_take_from_the_first(together):
    def work(processes):
        own = torch.tensor([1.0, processes.rank])
        return processes.sum(own), own, processes.largest(15 * (processes.rank == 1)), processes.from_first(own)

    for rank, (total, own, largest, first) in enumerate(together(3, work)):
        assert total.tolist() == [3, 3]
        assert own.tolist() == [1, rank]  # as it was
        assert largest == 15
        assert first.tolist() == [1, 0]


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
    with pytest.raises(ConfigError, match=r"as torchrun sets them, got .*WORLD_SIZE="), joined("cpu"):
        pass


def test_the_place_is_read_from_the_environment(monkeypatch):
    for name, value in {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    assert of_environment() == Processes(5, 8, 1)


def test_more_processes_than_gpus_are_refused(monkeypatch):
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(ConfigError, match="one a process, got 0"), joined("cuda"):
        pass


def test_who_waits_for_a_process_that_is_gone_is_told(together):
    def work(processes):
        if processes.rank == 1:
            os._exit(0)
        with pytest.raises(ResourceError) as told:
            processes.sum(torch.zeros(1))
        return str(told.value)

    told, _ = together(2, work)
    assert told.startswith("processes: every process must be there, got one that is gone (")
    assert "striate resume RUN" in told
