import threading
import time

import pytest
import torch

from striate.data.prefetch import prefetched


def makers():
    return [thread for thread in threading.enumerate() if thread.name == "striate-prefetch"]


def test_the_items_come_in_order_and_all_of_them():
    assert list(prefetched(iter(range(100)))) == list(range(100))
    assert list(prefetched([])) == []


def test_the_next_items_are_made_while_the_current_one_is_used():
    made = []

    def slowly():
        for i in range(6):
            made.append(i)
            yield i

    items = prefetched(slowly(), ahead=2)
    next(items)
    deadline = time.monotonic() + 5
    while len(made) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    assert made == [0, 1, 2, 3]  # one in use, two ready, one waiting for its place: no more
    items.close()


def test_a_fault_comes_at_its_place_and_ends_the_making():
    def failing():
        yield 1
        yield 2
        raise ZeroDivisionError("the third")

    items = prefetched(failing())
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(ZeroDivisionError, match="the third"):
        next(items)
    assert makers() == []


def test_a_reader_who_stops_early_leaves_no_thread():
    def endless():
        number = 0
        while True:
            yield number
            number += 1

    items = prefetched(endless())
    assert next(items) == 0
    assert makers()
    items.close()
    assert makers() == []


def test_the_making_takes_one_core_and_the_reader_keeps_its_own():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert list(prefetched(torch.get_num_threads() for _ in range(3))) == [1, 1, 1]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
