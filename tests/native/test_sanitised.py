"""The library's tests once more, on one that was compiled to watch itself: memory, undefined behaviour, races."""

import os
import shutil
import subprocess
import sys
import tomllib
from importlib.machinery import EXTENSION_SUFFIXES
from multiprocessing.pool import ThreadPool
from pathlib import Path

import pytest
from tests.native.conftest import RUNNABLE

ROOT = Path(__file__).resolve().parents[2]
WATCHED = {
    "memory": ("-fsanitize=address,undefined -fno-sanitize-recover=undefined", ("libasan.so", "libubsan.so")),
    "races": ("-fsanitize=thread", ("libtsan.so",)),
}
TESTED = ("engine", "gradients", "updates", "forward", "local_response_norm", "augment")
TESTS = [f"tests/native/test_{name}.py" for name in TESTED]
# Processes of their own, with the library as installed; whole runs; memory that is kept a while to catch who uses it.
ELSEWHERE = "forked or a_run_has or gives_its_memory"
TOGETHER = "threads or callers or no_bit or float64 or finite or updates"  # what several threads work at
OF_OTHERS = "race:libgomp\nrace:ld-linux\n"  # how OpenMP's threads end, which nobody compiled to be watched
COMPILER = shutil.which("g++")


def runtime(name):
    """Where the compiler has a library of its own; "" if it has none."""
    path = subprocess.run([COMPILER, f"-print-file-name={name}"], capture_output=True, text=True, check=True).stdout
    return path.strip() if "/" in path else ""


def build(folder, instructions, flags):
    """The library as pyproject.toml has it, but for the optimisation, in a folder of its own."""
    modules = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["ext-modules"]
    (module,) = [m for m in modules if m["name"].endswith(f"_{instructions}")]
    usual = [flag for flag in module["extra-compile-args"] if flag != "-O3"]
    common = [COMPILER, *usual, "-g", "-O1", "-fPIC", *flags.split()]

    def compiled(source):
        made = folder / f"{Path(source).stem}.o"
        subprocess.run([*common, "-c", str(ROOT / source), "-o", str(made)], check=True)
        return str(made)

    with ThreadPool(2) as pool:
        objects = pool.map(compiled, module["sources"], chunksize=1)
    library = folder / f"_{instructions}{EXTENSION_SUFFIXES[0]}"
    subprocess.run([*common, "-shared", *module["extra-link-args"], *objects, "-o", str(library)], check=True)
    if instructions != "portable":  # which is asked what the processor can
        (folder / f"_portable{EXTENSION_SUFFIXES[0]}").symlink_to(library)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(COMPILER is None, reason="no g++")
@pytest.mark.parametrize(
    ("kind", "instructions"), [*(("memory", name) for name in RUNNABLE), *(("races", name) for name in RUNNABLE[:1])]
)
def test_nothing_is_reported_by(kind, instructions, tmp_path):
    flags, names = WATCHED[kind]
    runtimes = [runtime(name) for name in names]
    if not all(runtimes):
        pytest.skip(f"the compiler has no {' or '.join(names)}")
    build(tmp_path, instructions, flags)
    (tmp_path / "others").write_text(OF_OTHERS)
    environment = os.environ | {
        "LD_PRELOAD": ":".join(runtimes),
        "ASAN_OPTIONS": "detect_leaks=0",  # Python's own are thousands
        "TSAN_OPTIONS": f"suppressions={tmp_path / 'others'}",
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
    }
    environment.pop("STRIATE_NATIVE", None)
    which = f"({TOGETHER}) and not ({ELSEWHERE})" if kind == "races" else f"not ({ELSEWHERE})"
    which += "" if instructions == "portable" else " and not portable"
    command = [sys.executable, "tests/native/with_library.py", str(tmp_path), "-q", "-s", "-k", which, *TESTS]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
