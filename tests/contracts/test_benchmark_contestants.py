import importlib
import os
from functools import partial
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def contestants(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)  # for the children as well
    return importlib.import_module("contestants")


def entry(contestants, name, work):
    return contestants.Entry(name, partial(contestants.Contestant, work))


def test_each_contestant_makes_its_turns_in_a_process_of_its_own_and_the_first_does_not_count(contestants):
    with contestants.seated([entry(contestants, name, os.getpid) for name in ("one", "two")]) as seats:
        records = contestants.compete(seats, rounds=2)
        assert [seat.verdict() for seat in seats] == [None, None]
    pids = [set(record.values) for record in records]
    assert [len(own) for own in pids] == [1, 1]
    assert len({os.getpid(), *pids[0], *pids[1]}) == 3
    assert [len(record.seconds) for record in records] == [2, 2]


@pytest.mark.parametrize(
    ("work", "said"), [(partial(divmod, 1, 0), "ZeroDivisionError"), (partial(os._exit, 1), "has died")]
)
def test_what_happens_to_a_contestant_is_said(contestants, work, said):
    with (
        contestants.seated([entry(contestants, "unlucky", work)]) as seats,
        pytest.raises(RuntimeError, match=f"(?s)unlucky.*{said}"),
    ):
        seats[0].turn()


def test_the_ratio_is_of_medians_and_its_range_round_by_round(contestants):
    slow, fast = (contestants.Record("", seconds, []) for seconds in ([2.0, 4.0, 9.0], [1.0, 2.0, 1.0]))
    assert fast.times_as_fast_as(slow) == (4.0, 2.0, 9.0)


def test_the_peak_is_the_best_turn_of_the_faster_product(contestants):
    turns = [{"float32": 1e9, "bfloat16": 3e9}, {"float32": 2e9, "bfloat16": 1e9}]
    peak = importlib.import_module("machine").Peak.of(contestants.Record("", [1.0, 1.0], turns))
    assert (peak.float32, peak.bfloat16, peak.best) == (2e9, 3e9, 3e9)
    assert str(peak) == "matrix product: float32 2.0 GFLOP/s, bfloat16 3.0 GFLOP/s"
