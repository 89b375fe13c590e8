"""What the processor can multiply and add in float32: registers only, no memory, every core that torch uses."""

import ctypes
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from contestants import Contestant, Entry

CHAINS, TIMES = 12, 2_000_000  # sums that do not wait for one another; how often each is added to, a call
FLAGS = "-O3 -march=native -ffp-contract=fast -shared -fPIC".split()
SOURCE = """
#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16
#endif
typedef float V __attribute__((vector_size(BYTES)));

int lanes(void) { return BYTES / 4; }

float work(long times, float start) {
    V sum[12], factor = (V){} + 0.999f, more = (V){} + 0.001f;
    for (int k = 0; k < 12; k++) sum[k] = (V){} + start * k;
    for (long n = 0; n < times; n++) {
#pragma GCC unroll 12
        for (int k = 0; k < 12; k++) sum[k] = sum[k] * factor + more;
    }
    V total = {};
    for (int k = 0; k < 12; k++) total += sum[k];
    return total[0];
}
"""


def fma() -> Entry:
    """A contestant whose turns come to FLOP/s: a multiplication and an addition each."""
    return Entry("multiply and add", multiplier)


def multiplier() -> Contestant:
    """In a child: the best of three a turn."""
    library = compiled()
    library.work.argtypes, library.work.restype = [ctypes.c_long, ctypes.c_float], ctypes.c_float
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(threads)

    def rate() -> float:
        start = time.perf_counter()
        list(pool.map(lambda k: library.work(TIMES, 1.0 + k), range(threads)))
        return 2.0 * CHAINS * library.lanes() * TIMES * threads / (time.perf_counter() - start)

    return Contestant(lambda: max(rate() for _ in range(3)))


def compiled() -> ctypes.CDLL:
    """The loop as a library, by the compiler of this machine."""
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder, "fma.c"), Path(folder, "fma.so")
        source.write_text(SOURCE)
        subprocess.run(["cc", *FLAGS, "-o", str(library), str(source)], check=True)
        return ctypes.CDLL(str(library))
