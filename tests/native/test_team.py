"""The threads of a training step, in a program of their own: those that are late."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

NATIVE = Path(__file__).resolve().parents[2] / "src" / "striate" / "native"
COMPILER = shutil.which("g++") or shutil.which("clang++")
LATE = "std::this_thread::sleep_for(std::chrono::milliseconds(2));"
PROGRAM = """
#include <chrono>
#include <cstdlib>
#include "vector.h"
#include "team.h"

// Items done by a team that is let go so many milliseconds after its last turn.
static int done_by(int threads, int turns, int pause, unsigned stretches) {
    std::atomic<int> done{0};
    {
        Items items(16);
        Team* own = nullptr;
        Team team(threads, [&](Team::Place& at) { own->share(at, items, [&](int) { done++; }); });
        own = &team;
        team.begin(stretches, 16);
        for (int k = 0; k < turns; k++) team.run();
        std::this_thread::sleep_for(std::chrono::milliseconds(pause));
    }
    return done;
}

int main() {
    for (int pause = 0; pause < 12; pause++)
        if (done_by(4, 3, pause, 1) != 48) return 1;
    return done_by(4, 20, 0, 1u << 29) != 320;  // stretches that skip so many numbers begin anew after 8 turns
}
"""


@pytest.mark.skipif(COMPILER is None, reason="no C++ compiler")
def test_a_thread_that_is_late_everywhere_does_what_was_asked_and_no_more(tmp_path):
    """Between two statements of its loop the others may be through with a turn, or with all of them."""
    text = (NATIVE / "team.h").read_text()
    (loop,) = re.findall(r"void serve.*?\n    }\n", text, re.DOTALL)
    late, number = re.subn(r";(?=( *//.*)?\n)", f"; {LATE}", loop)
    assert number >= 4
    (tmp_path / "team.h").write_text(text.replace(loop, late))
    (tmp_path / "late.cpp").write_text(PROGRAM)
    program = tmp_path / "late"
    flags = f"-std=gnu++17 -O1 -Wno-psabi -pthread -I{tmp_path} -I{NATIVE}".split()
    subprocess.run([COMPILER, *flags, str(tmp_path / "late.cpp"), "-o", str(program)], check=True)
    assert subprocess.run([str(program)], check=False, timeout=30).returncode == 0
