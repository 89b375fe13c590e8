"""The shared library: which one is taken, and what happens without it."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from striate.base.errors import ConfigError
from striate.native import library as module
from striate.native.library import CHOICES, NEEDS, VARIABLE, absence, library

BUILT = library() is not None
ROOT = Path(__file__).resolve().parents[2]
CLANG = shutil.which("clang++")  # g++ is the one that the other tests were built with


def test_off_means_that_there_is_none_and_says_so(monkeypatch):
    monkeypatch.setenv(VARIABLE, "off")
    assert library() is None
    assert absence() == "STRIATE_NATIVE=off"


def test_without_the_files_the_reason_names_the_compiler(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(module, "_opened", lambda _: None)
    assert module._library.__wrapped__("") is None
    assert "C++ compiler" in absence()


def test_another_name_is_refused_with_those_there_are(monkeypatch):
    monkeypatch.setenv(VARIABLE, "sse9")
    with pytest.raises(ConfigError, match="one of off, avx512, avx2, portable, got 'sse9'"):
        library()


@pytest.mark.skipif(not BUILT, reason=absence())
def test_what_the_processor_lacks_is_never_run(monkeypatch):
    real = module._opened

    class Old:
        def striate_processor(self):
            return 0

    monkeypatch.setattr(module, "_opened", lambda name: Old() if name == "portable" else real(name))
    with pytest.raises(ConfigError, match="what this processor has, got avx2"):
        module._library.__wrapped__("avx2")
    assert [*module._candidates("", 0)] == ["portable"]
    assert [*module._candidates("", 3)] == [*NEEDS]


@pytest.mark.skipif(not BUILT, reason=absence())
def test_the_best_that_the_processor_has_is_taken_and_an_older_one_can_be_forced(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    best = library()
    monkeypatch.setenv(VARIABLE, "portable")
    assert best.lanes >= library().lanes == 4
    assert str(library()) == "portable, 4 lanes"


def test_each_is_compiled_for_its_own_instruction_set(instructions):
    assert library().lanes == {"portable": 4, "avx2": 8, "avx512": 16}[instructions]


def test_the_instruction_sets_are_those_that_are_built():
    assert set(CHOICES) == {"off", *NEEDS}


def test_it_is_not_loaded_before_it_is_needed():
    code = "import sys, striate, striate.native.library; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(CLANG is None, reason="no clang++")
def test_clang_takes_the_source_too():
    modules = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["ext-modules"]
    (module,) = [m for m in modules if m["name"].endswith("_portable")]
    command = [CLANG, *module["extra-compile-args"], "-fsyntax-only", *module["sources"]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
