import importlib
import re
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
ROW = re.compile(r"^  (\w+) +engine +(\S+) ms +bare loop +(\S+) ms +overhead (\S+) % ", re.M)


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.setattr(sys, "argv", ["engine_overhead.py", "--steps", "20", "--batch-size", "8"])
    return importlib.import_module("engine_overhead")


def test_the_benchmark_of_the_engine_prints_what_it_adds_to_a_step(benchmark, capsys):
    benchmark.main()
    printed = capsys.readouterr().out
    assert "LeNet-5, batch size 8, 20 steps of each" in printed
    found = ROW.findall(printed)
    assert [kind for kind, *_ in found] == ["clock", "processor"]
    for _, ours, theirs, overhead in found:
        assert float(overhead) == pytest.approx((float(ours) / float(theirs) - 1) * 100, abs=0.5)  # three decimals


def test_both_loops_of_the_benchmark_train_the_same(benchmark):
    ours, theirs = benchmark.engine(4), benchmark.bare(4)
    for _ in range(3):
        assert next(ours) == pytest.approx(next(theirs).item(), rel=1e-6)
