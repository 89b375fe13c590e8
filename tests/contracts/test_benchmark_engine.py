import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
ROW = re.compile(r"^  (\w+) +engine +(\S+) ms +bare loop +(\S+) ms +overhead (\S+) % ", re.M)


def test_the_benchmark_of_the_engine_prints_what_it_adds_to_a_step():
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "engine_overhead.py"), "--steps", "20", "--batch-size", "8"],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "LeNet-5, batch size 8, 20 steps of each" in done.stdout
    found = ROW.findall(done.stdout)
    assert [kind for kind, *_ in found] == ["clock", "processor"]
    for _, ours, theirs, overhead in found:
        assert float(overhead) == pytest.approx((float(ours) / float(theirs) - 1) * 100, abs=0.5)  # three decimals


def test_both_loops_of_the_benchmark_train_the_same(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    benchmark = importlib.import_module("engine_overhead")
    ours, theirs = benchmark.engine(4), benchmark.bare(4)
    for _ in range(3):
        assert next(ours) == pytest.approx(next(theirs).item(), rel=1e-6)
