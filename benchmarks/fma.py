"""What the processor can multiply and add: registers only, no memory, every core that torch uses.

    python benchmarks/fma.py

prints it for float32 and, where the processor has them, for dot products of pairs of bfloat16 (AVX512_BF16).
"""

import ctypes
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import torch

from contestants import Contestant, Entry
from machine import heading

TIMES = 2_000_000  # how often each sum is added to, a call
PRODUCTS = {"work": 12, "dot": 2 * 24}  # of each lane a time: so many sums that do not wait for one another, by 1 and 2
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

#if defined(__AVX512BF16__)
#include <immintrin.h>
int dots(void) { return 1; }

float dot(long times, float start) {
    __m512 sum[24];
    const __m512bh ones = (__m512bh)_mm512_set1_epi32(0x3f803f80);
    for (int k = 0; k < 24; k++) sum[k] = _mm512_set1_ps(start * k);
    for (long n = 0; n < times; n++) {
#pragma GCC unroll 24
        for (int k = 0; k < 24; k++) sum[k] = _mm512_dpbf16_ps(sum[k], ones, ones);
    }
    float total = 0;
    for (int k = 0; k < 24; k++) total += _mm512_reduce_add_ps(sum[k]);
    return total;
}
#else
int dots(void) { return 0; }
#endif

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
    return Contestant(partial(rate, compiled(), "work"))


def rate(library: ctypes.CDLL, name: str) -> float:
    """FLOP/s of one of the loops, the best of three."""
    loop, threads = library[name], torch.get_num_threads()
    loop.argtypes, loop.restype = [ctypes.c_long, ctypes.c_float], ctypes.c_float
    flops = 2.0 * PRODUCTS[name] * library.lanes() * TIMES * threads
    with ThreadPoolExecutor(threads) as pool:
        return flops / min(_seconds(pool, loop, threads) for _ in range(3))


def _seconds(pool: ThreadPoolExecutor, loop: Any, threads: int) -> float:
    start = time.perf_counter()
    list(pool.map(lambda k: loop(TIMES, 1.0 + k), range(threads)))
    return time.perf_counter() - start


def compiled() -> ctypes.CDLL:
    """The loop as a library, by the compiler of this machine."""
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder, "fma.c"), Path(folder, "fma.so")
        source.write_text(SOURCE)
        subprocess.run(["cc", *FLAGS, "-o", str(library), str(source)], check=True)
        return ctypes.CDLL(str(library))


def main() -> None:
    print(heading(("torch",)))
    library = compiled()
    print(f"  float32, multiply and add   {rate(library, 'work') / 1e9:6.1f} GFLOP/s")
    told = f"{rate(library, 'dot') / 1e9:6.1f} GFLOP/s" if library.dots() else "the processor has none"
    print(f"  bfloat16, dot products      {told}")


if __name__ == "__main__":
    main()
