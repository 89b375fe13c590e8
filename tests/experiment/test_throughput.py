import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate.data.prefetch import prefetched
from striate.experiment.events import EpochEnded, Noted
from striate.experiment.history import EpochRow, History, Speeds
from striate.experiment.throughput import Waiting, bottleneck, peak_memory, with_bottleneck

BATCH = 100  # pictures


def slow(count, seconds):
    for item in range(count):
        time.sleep(seconds)
        yield item


def measured(loader, network, count=12):
    """A training that sleeps: seconds a batch for the loader, made ahead, and for the network."""
    history, batches = History(), Waiting(prefetched(slow(count, loader)))
    before = time.monotonic()
    for _ in batches:
        time.sleep(network)
        now = time.monotonic()
        history.add_batch(1.0, BATCH, now - before, batches.taken())
        before = now
    return history.speeds


def test_where_the_loader_is_slow_both_speeds_come_out():
    speeds = measured(loader=0.03, network=0.01)
    assert 0.5 * BATCH / 0.03 < speeds.overall < 1.1 * BATCH / 0.03  # a busy machine sleeps longer, never shorter
    assert 0.5 * BATCH / 0.01 < speeds.network < 1.1 * BATCH / 0.01
    assert bottleneck(speeds, "cpu").startswith("loader ")


def test_where_the_network_is_slow_nothing_is_waited_for_but_the_first_batch():
    speeds = measured(loader=0.002, network=0.03)
    assert speeds.share < 0.1
    assert 0.5 * BATCH / 0.03 < speeds.network < 1.1 * BATCH / 0.03
    assert "the network sets the pace; a GPU" in bottleneck(speeds, "cpu")
    assert "GPU" not in bottleneck(speeds, "cuda:0")


def test_waiting_passes_all_on_and_ends_what_it_reads():
    ended = []

    def items():
        try:
            yield from range(5)
        finally:
            ended.append(True)

    assert list(Waiting(items())) == [0, 1, 2, 3, 4]
    early = iter(Waiting(items()))
    next(early)
    del early
    assert ended == [True, True]


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.integers(0, 10**9))
def test_speeds_are_numbers_whatever_was_measured(seconds, waited, pictures):
    speeds = Speeds(pictures, seconds, waited)
    assert 0 <= speeds.share <= 1
    assert speeds.network >= 0
    assert bottleneck(speeds, "cpu")


def ended(epoch, seconds):
    row = EpochRow(epoch, epoch, 1.0, 0.1, 1.0, 1.0, 0.5, 100.0)
    return EpochEnded(row=row, epochs=9, best=True, speeds=Speeds(100, seconds, 0.9 * seconds))


def test_the_bottleneck_is_said_once_after_an_epoch_long_enough_to_tell():
    def events():
        yield from (ended(1, 0.1), ended(2, 2.0), ended(3, 2.0))

    told = list(with_bottleneck(events(), "cpu"))
    assert [type(event) for event in told] == [EpochEnded, EpochEnded, Noted, EpochEnded]
    assert told[2].note.startswith("loader 50 pictures/s, network 500: training waits for pictures 90 % of the time")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system tells its peak elsewhere")
def test_peak_memory_is_what_the_system_says():
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    assert peak_memory("cpu") == pytest.approx(1024 * int(line.split()[1]), rel=0.05)
