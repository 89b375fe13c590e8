"""What the processor can multiply and add, on every core that torch uses.

    python benchmarks/fma.py

prints it for float32 with registers only; with operands from the first cache, in the blocks that a convolution or a
matrix product is made of; and, where the processor has them, for dot products of pairs of bfloat16 (AVX512_BF16).
Registers only is the processor's limit.  A second hardware thread of the same core, which on a rented machine is
somebody else's, takes away loads long before it takes away that: the second figure tells how much is left.
"""

import ctypes
import statistics
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from contestants import Contestant, Entry
from machine import heading

TIMES = 2_000_000  # how often each sum is added to, a call
TURNS = 51  # for a median: the neighbours of a rented core come and go
FLAGS = "-O3 -march=native -ffp-contract=fast -shared -fPIC".split()
SOURCE = """
#if defined(__AVX512F__)
#define BYTES 64
#define ROWS 6
#elif defined(__AVX__)
#define BYTES 32
#define ROWS 3
#else
#define BYTES 16
#define ROWS 3
#endif
typedef float V __attribute__((vector_size(BYTES)));

// Multiplications a time: of each lane, by so many sums that do not wait for one another.
int work_products(void) { return BYTES / 4 * 12; }
int block_products(void) { return BYTES / 4 * ROWS * 4; }
int dot_products(void) { return BYTES / 4 * 24 * 2; }

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

static float spread[64][ROWS];
static V values[64][4];

float block(long times, float start) {
    V sum[ROWS][4], total = {};
    for (int k = 0; k < ROWS * 4; k++) sum[k / 4][k % 4] = (V){} + start * k;
    for (long n = 0; n < times; n++) {
        V factor[ROWS];
#pragma GCC unroll 6
        for (int row = 0; row < ROWS; row++) factor[row] = spread[n & 63][row] - (V){};
#pragma GCC unroll 4
        for (int k = 0; k < 4; k++) {
            const V value = values[n & 63][k];
#pragma GCC unroll 6
            for (int row = 0; row < ROWS; row++) sum[row][k] += factor[row] * value;
        }
    }
    for (int k = 0; k < ROWS * 4; k++) total += sum[k / 4][k % 4];
    return total[0];
}
"""


def fma() -> Entry:
    """A contestant whose turns come to `Rates`."""
    return Entry("multiply and add", multiplier)


class Rates(NamedTuple):
    """FLOP/s, a multiplication and an addition each.

    Args:
        registers: with registers only, at best: the processor's limit.
        cache: with operands from the first cache, in the median: what was left of it.
    """

    registers: float
    cache: float


def multiplier() -> Contestant:
    """In a child: both rates a turn."""
    return Contestant(partial(rates, compiled()))


def rates(library: ctypes.CDLL) -> Rates:
    """Of float32."""
    return Rates(max(rate(library, "work")), statistics.median(rate(library, "block", TURNS)))


def rate(library: ctypes.CDLL, name: str, turns: int = 3) -> list[float]:
    """FLOP/s of one of the loops, turn by turn."""
    loop, threads = library[name], torch.get_num_threads()
    loop.argtypes, loop.restype = [ctypes.c_long, ctypes.c_float], ctypes.c_float
    flops = 2.0 * library[f"{name}_products"]() * TIMES * threads
    with ThreadPoolExecutor(threads) as pool:
        return [flops / _seconds(pool, loop, threads) for _ in range(turns)]


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
    found = rates(library)
    print(f"  float32, registers only     {found.registers / 1e9:6.1f} GFLOP/s")
    print(f"  float32, first cache        {found.cache / 1e9:6.1f} GFLOP/s")
    told = f"{max(rate(library, 'dot')) / 1e9:6.1f} GFLOP/s" if library.dots() else "the processor has none"
    print(f"  bfloat16, dot products      {told}")


if __name__ == "__main__":
    main()
