import platform
import subprocess
import sys
import textwrap

import pytest

from striate.base import allocator

PROGRAM = """
    import resource, sys
    import torch
    from striate.base.allocator import keep_memory
    if sys.argv[1] == "keep":
        assert keep_memory()
    def faults():
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    def step():
        for count in (1_000_000, 10_000_000, 3_000_000):
            torch.ones(count)
    for _ in range(10):
        step()
    before = faults()
    for _ in range(5):
        step()
    print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told")
def test_memory_that_is_let_go_of_is_not_faulted_in_again():
    command = [sys.executable, "-c", textwrap.dedent(PROGRAM)]
    kept, given = (int(subprocess.check_output([*command, word], text=True)) for word in ("keep", "give"))
    assert kept < 0.1 * given


def test_another_c_library_is_let_be(monkeypatch):
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda _: object())
    assert not allocator.keep_memory()
