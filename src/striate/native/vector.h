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

// LANES rows of LANES numbers, `stride` apart, as columns.
INLINE void transpose(const float* rows, int64_t stride, V* columns) {
#if defined(__AVX2__) && !defined(__AVX512F__)
    V a[8], b[8];
    UNROLL for (int i = 0; i < 8; i += 2) {
        const V upper = load(rows + i * stride), lower = load(rows + (i + 1) * stride);
        a[i] = _mm256_unpacklo_ps(upper, lower), a[i + 1] = _mm256_unpackhi_ps(upper, lower);
    }
    UNROLL for (int i = 0; i < 8; i += 4) UNROLL for (int k = 0; k < 2; k++) {
        b[i + 2 * k] = _mm256_shuffle_ps(a[i + k], a[i + k + 2], 0x44);
        b[i + 2 * k + 1] = _mm256_shuffle_ps(a[i + k], a[i + k + 2], 0xee);
    }
    UNROLL for (int k = 0; k < 4; k++) {
        columns[k] = _mm256_permute2f128_ps(b[k], b[k + 4], 0x20);
        columns[k + 4] = _mm256_permute2f128_ps(b[k], b[k + 4], 0x31);
    }
#else
    for (int column = 0; column < LANES; column++)
        for (int row = 0; row < LANES; row++) columns[column][row] = rows[row * stride + column];
#endif
}
