import os

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from striate.base.errors import ResourceError
from striate.training.processes import ALONE, Agreement, Processes


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
    assert ALONE.gather(rows) is rows
    assert ALONE.from_first(lambda: "x") == "x"
    assert ALONE.largest(3) == 3


@pytest.mark.parametrize(("world", "count"), [(2, 7), (3, 7), (3, 2), (2, 8)])
def test_dealt_rows_come_together_in_their_order_each_once(together, world, count):
    whole = torch.arange(count * 2, dtype=torch.bfloat16).reshape(count, 2)

    def work(processes):
        mine = [*whole[processes.dealt(count)].split(2)]  # batches of two
        rounds = range(-(-count // (2 * world)))
        return [processes.gather(mine[number] if number < len(mine) else None) for number in rounds]

    for answer in together(world, work):
        assert torch.equal(torch.cat(answer), whole)


def test_labels_and_flags_come_together_too(together):
    def work(processes):
        return processes.gather(torch.arange(4)[processes.dealt(4)]), processes.gather(torch.tensor([True]))

    for labels, flags in together(2, work):
        assert labels.tolist() == [0, 1, 2, 3]
        assert flags.tolist() == [True, True]


def test_processes_add_up_agree_and_take_from_the_first(together):
    def work(processes):
        own = torch.tensor([1.0, processes.rank])
        largest = processes.largest(15 * (processes.rank == 1))
        return processes.sum(own), own, largest, processes.from_first(lambda: own)

    for rank, (total, own, largest, first) in enumerate(together(3, work)):
        assert total.tolist() == [3, 3]
        assert own.tolist() == [1, rank]  # as it was
        assert largest == 15
        assert first.tolist() == [1, 0]


def test_only_the_first_makes_what_all_get(together):
    def work(processes):
        made = []
        processes.from_first(lambda: made.append(processes.rank))
        return made

    assert together(2, work) == [[0], []]


def test_all_begin_with_the_bits_of_the_first(together):
    def work(processes):
        tensors = [torch.full((2, 3, 4, 4), float(processes.rank)), torch.tensor(processes.rank)]
        tensors[0] = tensors[0].to(memory_format=torch.channels_last)
        processes.align(tensors)
        return [int(tensor.sum()) for tensor in tensors]

    assert together(2, work) == [[0, 0], [0, 0]]


def test_a_number_is_agreed_upon_one_call_later(together):
    def work(processes):
        agreement = Agreement(processes)
        return [agreement.before(15 if (processes.rank, call) == (1, 1) else 0) for call in range(4)]

    assert together(2, work) == [[0, 0, 15, 0]] * 2
    assert Agreement(ALONE).before(15) == 15


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
