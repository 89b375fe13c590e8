import importlib
import re
import sys
from pathlib import Path

import pytest
from tests.native.compiled import COMPILER, needs_compiler

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
ROW = re.compile(r"^  (C, \w+|\w+) +(\S+) us a picture, fastest +(\S+), +(\S+) x$", re.M)


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.setattr(sys, "argv", ["export_c.py", "--turns", "2", "--calls", "3", "--compiler", str(COMPILER)])
    return importlib.import_module("export_c")


@needs_compiler
def test_the_benchmark_compares_what_gives_the_same_and_says_what_is_left_out(benchmark, capsys, monkeypatch):
    monkeypatch.setattr(benchmark.importlib.util, "find_spec", lambda _: None)
    benchmark.main()
    printed = capsys.readouterr().out
    assert "onnxruntime left out: onnxruntime, onnx, onnxscript not installed" in printed
    apart = dict(re.findall(r"^  (.+?) +largest difference .*: (\S+)$", printed, re.M))
    assert float(apart["C, float32"]) < 1e-5 < float(apart["C, int8"]) < 0.1
    rows = {name: float(ratio) for name, _, _, ratio in ROW.findall(printed)}
    assert list(rows) == ["C, float32", "C, int8", "torch"]
    assert rows["C, float32"] == 1
