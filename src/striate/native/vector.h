// One vector for every processor: LANES numbers of 32 bits, in registers of the widest kind that the build may use.
//
// Written in the compiler's own vectors (GCC, Clang), so that the same source makes AVX-512, AVX2, SSE2 and NEON.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX2__)
#define LANES 8
#else
#define LANES 4
#endif

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

#define API extern "C" __attribute__((visibility("default")))
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 32")

typedef float V __attribute__((vector_size(4 * LANES)));
typedef int32_t M __attribute__((vector_size(4 * LANES)));  // a mask: all bits set, or none

INLINE V load(const float* from) {
    V v;
    memcpy(&v, from, sizeof v);
    return v;
}

INLINE void store(float* to, V v) { memcpy(to, &v, sizeof v); }

INLINE V all(float x) { return x - V{}; }  // x - 0 is x for every x, so this is one broadcast

INLINE V either(M mask, V a, V b) { return mask ? a : b; }

INLINE V largest(V a, V b) {  // b where either is not a number, as the instruction does
#if defined(__AVX512F__)
    return _mm512_max_ps(a, b);
#elif defined(__AVX2__)
    return _mm256_max_ps(a, b);
#else
    return a > b ? a : b;
#endif
}

// Where b takes a's place as the larger one; what is not a number takes it, and keeps it.
INLINE M beats(V b, V a) { return ~(b <= a) & (a == a); }

INLINE float sum(V v) {  // halves onto halves: the order is part of the result
    float lanes[LANES];
    store(lanes, v);
    for (int half = LANES / 2; half; half /= 2)
        for (int lane = 0; lane < half; lane++) lanes[lane] += lanes[lane + half];
    return lanes[0];
}

// The lanes of both by turns: of their first halves, and of their second.
#if defined(__clang__)
#define PICK(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define PICK(a, b, ...) __builtin_shuffle(a, b, M{__VA_ARGS__})
#endif
#if LANES == 16
#define BY_TURNS(a, b, h) \
    PICK(a, b, h, h + 16, h + 1, h + 17, h + 2, h + 18, h + 3, h + 19, h + 4, h + 20, h + 5, h + 21, h + 6, h + 22, h + 7, h + 23)
#elif LANES == 4
#define BY_TURNS(a, b, h) PICK(a, b, h, h + 4, h + 1, h + 5)
#endif

// Of two vectors of neighbours the even ones (h = 0), or the odd ones (h = 1), in the order that takes one instruction.
#if LANES == 16
#define EVERY_OTHER(a, b, h) \
    PICK(a, b, h, h + 2, h + 16, h + 18, h + 4, h + 6, h + 20, h + 22, h + 8, h + 10, h + 24, h + 26, h + 12, h + 14, h + 28, h + 30)
#elif LANES == 8
#define EVERY_OTHER(a, b, h) PICK(a, b, h, h + 2, h + 8, h + 10, h + 4, h + 6, h + 12, h + 14)
#else
#define EVERY_OTHER(a, b, h) PICK(a, b, h, h + 2, h + 4, h + 6)
#endif
constexpr int pair_in(int lane) { return lane % 4 / 2 * (LANES / 2) + lane / 4 * 2 + lane % 2; }  // which of the pairs is there

// LANES vectors of LANES numbers, rows to columns.
#if LANES == 8  // within the halves of registers first, for instructions that cross them are slow
INLINE void transpose(V (&v)[LANES]) {
    V w[LANES];
    UNROLL for (int k = 0; k < LANES; k += 2) {
        w[k] = PICK(v[k], v[k + 1], 0, 8, 1, 9, 4, 12, 5, 13);
        w[k + 1] = PICK(v[k], v[k + 1], 2, 10, 3, 11, 6, 14, 7, 15);
    }
    V four[2][4];
    UNROLL for (int k = 0; k < LANES; k++) {  // columns n and n + 4 of four rows
        const V above = w[k / 4 * 4 + k / 2 % 2], below = w[k / 4 * 4 + k / 2 % 2 + 2];
        four[k / 4][k % 4] = k % 2 ? PICK(above, below, 2, 3, 10, 11, 6, 7, 14, 15) : PICK(above, below, 0, 1, 8, 9, 4, 5, 12, 13);
    }
    UNROLL for (int n = 0; n < 4; n++) {
        v[n] = PICK(four[0][n], four[1][n], 0, 1, 2, 3, 8, 9, 10, 11);
        v[n + 4] = PICK(four[0][n], four[1][n], 4, 5, 6, 7, 12, 13, 14, 15);
    }
}
#else  // each turn makes of number i of all rows their neighbours
INLINE void transpose(V (&v)[LANES]) {
    UNROLL for (int turn = 1; turn < LANES; turn *= 2) {
        V w[LANES];
        UNROLL for (int k = 0; k < LANES / 2; k++) {
            w[2 * k] = BY_TURNS(v[k], v[k + LANES / 2], 0);
            w[2 * k + 1] = BY_TURNS(v[k], v[k + LANES / 2], LANES / 2);
        }
        UNROLL for (int k = 0; k < LANES; k++) v[k] = w[k];
    }
}
#endif

// The sums of four vectors' lanes.
INLINE void sum4(V a, V b, V c, V d, float* sums) {
#if defined(__AVX512F__) || defined(__AVX2__)
#if defined(__AVX512F__)
    const auto halved = [](V v) {
        return _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    };
#else
    const auto halved = [](V v) { return v; };
#endif
    const __m256 ab = _mm256_hadd_ps(halved(a), halved(b)), cd = _mm256_hadd_ps(halved(c), halved(d));
    const __m256 abcd = _mm256_hadd_ps(ab, cd);
    _mm_storeu_ps(sums, _mm_add_ps(_mm256_castps256_ps128(abcd), _mm256_extractf128_ps(abcd, 1)));
#else
    sums[0] = sum(a), sums[1] = sum(b), sums[2] = sum(c), sums[3] = sum(d);
#endif
}
