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
#elif LANES == 8
#define BY_TURNS(a, b, h) PICK(a, b, h, h + 8, h + 1, h + 9, h + 2, h + 10, h + 3, h + 11)
#else
#define BY_TURNS(a, b, h) PICK(a, b, h, h + 4, h + 1, h + 5)
#endif

// LANES vectors of LANES numbers, rows to columns: each turn makes of number i of all rows their neighbours.
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
