// One pool of threads for all kernels of the library.
//
// None are made before they are needed, nor kept by a forked child, which makes its own.  They wait for work awake for a
// moment and then asleep.  Who asks while others use the pool works alone.
#pragma once

#include <cstdint>

// Does the work of pieces 0 .. pieces - 1, each once, in no order, on up to `threads` threads, the caller's among them.
// `who` < threads: no two pieces at the same time have the same.  The result must not depend on who does which.
void in_pieces(int64_t pieces, int threads, void (*work)(void* context, int64_t piece, int who), void* context);

constexpr int MOST_THREADS = 256;
