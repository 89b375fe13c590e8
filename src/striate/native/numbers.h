// Numbers as they lie in memory, float32 or bfloat16, as vectors of float32: whole vectors, parts of one, past the cache.
#pragma once

#include "vector.h"

constexpr int64_t LINE = 64;         // bytes of a line of the cache
constexpr int64_t CACHED = 1 << 24;  // bytes; a larger result would only drive others out of the cache

struct bfloat16 {
    uint16_t bits;
};

typedef uint16_t Half __attribute__((vector_size(2 * LANES)));
typedef uint32_t Bits __attribute__((vector_size(4 * LANES)));

INLINE V bytes(const uint8_t* from) {  // GCC 12 converts a vector shorter than a register byte by byte
#if defined(__AVX512F__)
    const __mmask16 every = -1;  // GCC 12 warns of the plain ones
    return _mm512_maskz_cvtepi32_ps(every, _mm512_maskz_cvtepu8_epi32(every, _mm_loadu_si128((const __m128i*)from)));
#elif defined(__AVX2__)
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)from)));
#else
    V v;
    for (int lane = 0; lane < LANES; lane++) v[lane] = from[lane];
    return v;
#endif
}

struct Whole {};                // all lanes
struct Part {                   // the first of them; the others are read as 0 and not written
    int lanes;                  // 1 .. LANES - 1
};

INLINE Half rounded(V v) {  // to the nearest, ties to even; whatever is not a number to the one that torch makes
    const Bits bits = (Bits)v;
    const Bits near = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    return __builtin_convertvector(v == v ? near : Bits{} + 0x7fc0, Half);
}

INLINE V widened(Half half) { return (V)(__builtin_convertvector(half, Bits) << 16); }

INLINE V load(const float* from, Whole) { return load(from); }

INLINE V load(const bfloat16* from, Whole) {
    Half half;
    memcpy(&half, from, sizeof half);
    return widened(half);
}

INLINE void store(float* to, V v, Whole) { store(to, v); }

INLINE void store(bfloat16* to, V v, Whole) {
    const Half half = rounded(v);
    memcpy(to, &half, sizeof half);
}

#if defined(__AVX2__) && !defined(__AVX512F__)
INLINE __m256i lanes_of(Part part) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(part.lanes), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
#endif

INLINE V load(const float* from, Part part) {
#if defined(__AVX512F__)
    return _mm512_maskz_loadu_ps(__mmask16((1u << part.lanes) - 1), from);
#elif defined(__AVX2__)
    return _mm256_maskload_ps(from, lanes_of(part));
#else
    V v = {};
    for (int lane = 0; lane < part.lanes; lane++) v[lane] = from[lane];
    return v;
#endif
}

INLINE void store(float* to, V v, Part part) {
#if defined(__AVX512F__)
    _mm512_mask_storeu_ps(to, __mmask16((1u << part.lanes) - 1), v);
#elif defined(__AVX2__)
    _mm256_maskstore_ps(to, lanes_of(part), v);
#else
    for (int lane = 0; lane < part.lanes; lane++) to[lane] = v[lane];
#endif
}

INLINE V load(const bfloat16* from, Part part) {
    uint16_t bits[LANES] = {};
    for (int lane = 0; lane < part.lanes; lane++) bits[lane] = from[lane].bits;
    Half half;
    memcpy(&half, bits, sizeof half);
    return widened(half);
}

INLINE void store(bfloat16* to, V v, Part part) {
    uint16_t bits[LANES];
    const Half half = rounded(v);
    memcpy(bits, &half, sizeof half);
    for (int lane = 0; lane < part.lanes; lane++) to[lane].bits = bits[lane];
}

// Past the cache, to an address that is a multiple of the vector's size; a whole line is written without being read.
INLINE void stream(float* to, V v) {
#if defined(__AVX512F__)
    _mm512_stream_ps(to, v);
#elif defined(__AVX2__)
    _mm256_stream_ps(to, v);
#else
    store(to, v);
#endif
}

INLINE void stream(bfloat16* to, V v) {
#if defined(__AVX512F__)
    _mm256_stream_si256((__m256i*)to, (__m256i)rounded(v));
#elif defined(__AVX2__)
    _mm_stream_si128((__m128i*)to, (__m128i)rounded(v));
#else
    store(to, v, Whole{});
#endif
}

INLINE void streamed() {  // all of it is there for the other threads
#if defined(__AVX512F__) || defined(__AVX2__)
    _mm_sfence();
#endif
}

INLINE V root(V v) {
#if defined(__AVX512F__)
    return _mm512_maskz_sqrt_ps(__mmask16(-1), v);  // GCC 12 warns of the plain one
#elif defined(__AVX2__)
    return _mm256_sqrt_ps(v);
#else
    for (int lane = 0; lane < LANES; lane++) v[lane] = __builtin_sqrtf(v[lane]);
    return v;
#endif
}

// The numbers from .. to - 1, by whole vectors and the part that is left.
template <class F>
INLINE void each(int64_t from, int64_t to, F f) {
    for (; from + LANES <= to; from += LANES) f(from, Whole{});
    if (from < to) f(from, Part{int(to - from)});
}

// The values of a run of numbers go to memory: whole lines past the cache where `streams`.
template <class T, class F>
INLINE void write(T* to, int64_t length, bool streams, F value) {
    const auto keep = [&](int64_t i, auto lanes) { store(to + i, value(i, lanes), lanes); };
    int64_t head = 0, lines = 0;
    if (streams) {
        head = int64_t(-uintptr_t(to) % LINE / sizeof(T));
        if (head > length) head = length;
        lines = (length - head) * int64_t(sizeof(T)) / LINE * (LINE / int64_t(sizeof(T)));
    }
    each(0, head, keep);
    for (int64_t i = head; i < head + lines; i += LANES) stream(to + i, value(i, Whole{}));
    each(head + lines, length, keep);
}
