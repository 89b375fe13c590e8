// How activations lie: one vector holds the same number of LANES samples, and a map is [channel][row][column] of them.
#pragma once

#include <type_traits>

#include "vector.h"

// Channels, height and width, and the border of zeros around every channel that the next convolution reads.
struct Map {
    int32_t channels, height, width, top, left, rows, cols;
};

INLINE int64_t plane(const Map& m) { return (int64_t)m.rows * m.cols; }
INLINE int64_t volume(const Map& m) { return m.channels * plane(m); }
INLINE int64_t count(const Map& m) { return (int64_t)m.channels * m.height * m.width; }  // without the border
INLINE int64_t origin(const Map& m) { return (int64_t)m.top * m.cols + m.left; }
INLINE int64_t place(const Map& m, int c, int y) { return c * plane(m) + origin(m) + (int64_t)y * m.cols; }

enum Kind { CONV, MAX_POOL, MEAN_POOL, ACTIVATION, BATCH_NORM, LINEAR, DROPOUT };

// One fused operation.  Python's mirror: `Stage` in program.py.
struct Stage {
    int32_t kind;
    int32_t activation;  // what comes after it, see activation.h
    float slope;         // its number, where it has one
    int32_t pooled;      // convolution: 1 where the largest of 2x2 is taken before the activation
    int32_t tile;        // convolution: the side of the tiles that winograd.h makes it in; 0: pixel by pixel
    Map input, output;
    int32_t kernel[2], stride[2], padding[2], dilation[2];  // rows, columns; padding: before
    int32_t groups;
    int32_t adaptive;   // mean pooling: windows that cover the input, whatever its size
    int32_t count_pad;  // mean pooling: whether the padding counts, and how far it goes after
    int32_t after[2];
    int32_t layer;  // dropout: which of the layers that draw
    float p, eps, momentum;
    float *weight, *bias, *mean, *variance;
    int64_t weight_at, bias_at;  // where their gradients begin; -1: there is none
};

// Which number of a window was the largest, for the way back; in evaluation nobody asks.
struct Winners {
    M* which;
    void operator()(int64_t at, M winner) const { which[at] = winner; }
};
struct Unasked {
    void operator()(int64_t, M) const {}
};

// The largest of four numbers, and which of them it is.
INLINE V largest_of(const V (&four)[4], M& winner) {
    V most = four[0];
    winner = M{};
    UNROLL for (int k = 1; k < 4; k++) {
        const M larger = beats(four[k], most);
        winner = larger ? winner * 0 + k : winner;
        most = larger ? four[k] : most;
    }
    return most;
}

// The same backwards: the error goes to the largest.
INLINE void unpooled(V error, M winner, V* dz, int64_t row) {
    UNROLL for (int k = 0; k < 4; k++) dz[k / 2 * row + k % 2] = (V)((winner == k) & (M)error);
}

// n things in the fewest parts of at most `most`, as equal as can be.
struct Parts {
    int number, size, smaller;  // parts, and things in each; from number `smaller` on they have one more

    Parts(int n, int most)
        : number((n + most - 1) / most), size(number ? n / number : 0), smaller(number ? number - n % number : 0) {}

    int begin(int part) const { return part * size + (part > smaller ? part - smaller : 0); }
    int length(int part) const { return size + (part >= smaller); }
};

// f<n>() for a run-time n in 1 ... N.
template <int N, class F>
INLINE void chosen(int n, F&& f) {
    if constexpr (N > 0) {
        if (n == N)
            f(std::integral_constant<int, N>());
        else
            chosen<N - 1>(n, f);
    }
}

// f<length>(first) of each part; MOST: what they were made with.
template <int MOST, class F>
INLINE void in_parts(const Parts& parts, F&& f) {
    for (int k = 0; k < parts.number; k++) chosen<MOST>(parts.length(k), [&](auto length) { f(parts.begin(k), length); });
}

// Accumulators that fit the registers: outputs at once, for 1 to 4 pixels at once.
#if LANES == 16
constexpr int MOST[5] = {0, 16, 12, 8, 6};
#else
constexpr int MOST[5] = {0, 8, 6, 4, 3};
#endif
constexpr int PIXELS = 4;
