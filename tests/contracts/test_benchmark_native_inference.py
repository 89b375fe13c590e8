import importlib
import re
import sys
from pathlib import Path

import pytest

from striate.native.library import library

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
ROW = re.compile(r"^    (\w+) +(\S+) us a call, fastest +(\S+), +(\S+) pictures/s, Striate's speed is x (\S+)$", re.M)


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    options = ["--turns", "2", "--seconds", "0.001", "--threads", "1"]
    monkeypatch.setattr(sys, "argv", ["native_inference.py", *options])
    return importlib.import_module("native_inference")


@pytest.mark.skipif(library() is None, reason="no compiler at install")
def test_the_benchmark_compares_what_gives_the_same_and_says_what_is_left_out(benchmark, capsys, monkeypatch):
    monkeypatch.setattr(benchmark.importlib.util, "find_spec", lambda _: None)
    benchmark.main()
    printed = capsys.readouterr().out
    assert "onnxruntime left out: onnxruntime, onnx, onnxscript not installed" in printed
    apart = re.findall(r"^  (.+) a call, threads: 1, probabilities at most (\S+) from torch's$", printed, re.M)
    assert [pictures for pictures, _ in apart] == ["1 picture", "32 pictures"] * len(benchmark.SUBJECTS)
    assert all(float(difference) < 2e-6 for _, difference in apart)
    rows = ROW.findall(printed)
    assert [name for name, *_ in rows] == ["Striate", "torch"] * 2 * len(benchmark.SUBJECTS)
    for (_, ours, *_), (_, theirs, _, _, ratio) in zip(rows[::2], rows[1::2], strict=True):
        assert float(ratio) == pytest.approx(float(theirs) / float(ours), rel=0.02)
