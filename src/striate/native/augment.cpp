// Training pictures of bytes that are only moved: windows, mirrored or not, normalised, in one pass.
//
//     y = (v - shift) scale     v: the byte, 0 beyond the picture and in the border
//
// computed in float32 in two roundings, as data/preprocess.py does, so the result is the same to the bit.
#include <cstdlib>

#include "numbers.h"
#include "threads.h"

struct Windows {  // as in augment.py
    const uint8_t* const* pictures;  // H W C bytes each
    const int64_t* moves;            // of each: top, left, whether mirrored left to right, and top to bottom
    const float *shift, *scale;      // a channel's
    void* out;                       // B h+2p w+2p C, float32; moved alone B h w C, bytes
    int64_t count, H, W, C, h, w, p;
    int32_t threads;
};

namespace {

constexpr int64_t ROWS = 8;  // made ahead: what was just written cannot be read at other offsets at once

constexpr int64_t SOON = 4, FAR = 4096;  // pictures ahead, and bytes of one, that are asked for: they lie anywhere

struct Plan {
    Windows of;
    int64_t row;              // numbers of a row of the result
    float *shift, *scale;     // a row of them
    uint8_t* scratch;
    int64_t room;  // bytes of a row in a thread's scratch
    bool streams;
};

INLINE V bytes(const uint8_t* from, Whole) { return ::bytes(from); }

INLINE V bytes(const uint8_t* from, Part) { return ::bytes(from); }  // what lies behind a row may be read

// Pixels of C bytes in the other order.
template <int C>
void mirror(uint8_t* to, const uint8_t* from, int64_t pixels, int64_t channels) {
    const int64_t each = C ? C : channels;
    int64_t done = 0;
#if defined(__SSSE3__)
    if constexpr (C > 0) {  // 16 bytes at a time, of which the last are whole pixels; the rest is written over
        constexpr int WHOLE = 16 / C, SPARE = 16 - WHOLE * C;
        alignas(16) uint8_t order[16] = {};
        for (int i = 0; i < WHOLE * C; i++) order[i] = uint8_t(SPARE + (WHOLE - 1 - i / C) * C + i % C);
        const __m128i turned = _mm_load_si128((const __m128i*)order);
        for (; (pixels - done) * C >= 16; done += WHOLE) {
            const __m128i some = _mm_loadu_si128((const __m128i*)(from + (pixels - done) * C - 16));
            _mm_storeu_si128((__m128i*)(to + done * C), _mm_shuffle_epi8(some, turned));
        }
    }
#endif
    for (; done < pixels; done++)
        for (int64_t c = 0; c < each; c++) to[done * each + c] = from[(pixels - 1 - done) * each + c];
}

void mirrored(uint8_t* to, const uint8_t* from, int64_t pixels, int64_t channels) {
    if (channels == 1) return mirror<1>(to, from, pixels, 1);
    if (channels == 3) return mirror<3>(to, from, pixels, 3);
    mirror<0>(to, from, pixels, channels);
}

// The window of one picture: which of its columns lie in the picture, and where they come in a row of the result.
struct View {
    const uint8_t* picture;
    int64_t top, left, first, end, place;
    bool flip, upside_down, whole;

    View(const Plan& plan, int64_t number) {
        const Windows& o = plan.of;
        const int64_t* moves = o.moves + 4 * number;
        picture = o.pictures[number];
        top = moves[0], left = moves[1], flip = moves[2], upside_down = moves[3];
        first = left < 0 ? (-left < o.w ? -left : o.w) : 0;
        end = o.W - left < o.w ? (o.W - left > first ? o.W - left : first) : o.w;
        place = o.p + (flip ? o.w - end : first);
        whole = first == 0 && end == o.w && !flip && !o.p && plan.row % LANES == 0;
    }

    // Where the bytes of row i of the result begin in the picture; null where it has none of them.
    const uint8_t* source(const Windows& o, int64_t i) const {
        const int64_t inside = i - o.p, y = top + (upside_down ? o.h - 1 - inside : inside);
        if (inside < 0 || inside >= o.h || y < 0 || y >= o.H || first == end) return nullptr;
        return picture + (y * o.W + left + first) * o.C;
    }

    // Ask for the bytes of row i, which will be needed soon: the processor does not foresee what is read backwards.
    void ask(const Windows& o, int64_t i) const {
        const uint8_t* from = source(o, i);
        if (!from) return;
        for (int64_t at = 0; at < (end - first) * o.C; at += LINE) __builtin_prefetch(from + at);
    }

    // Row i of the result as bytes, made in `to`, whose other bytes are 0; not one that has none in the picture.
    void make(const Windows& o, const uint8_t* from, uint8_t* to) const {
        if (flip)
            mirrored(to + place * o.C, from, end - first, o.C);
        else
            memcpy(to + place * o.C, from, size_t((end - first) * o.C));
    }

    // The same: where the picture has it, or made in `to`, whose other bytes are 0, or all 0.
    const uint8_t* row(const Windows& o, int64_t i, uint8_t* to, const uint8_t* zeros) const {
        const uint8_t* from = source(o, i);
        if (!from) return zeros;
        if (whole) return from;
        make(o, from, to);
        return to;
    }
};

void picture(void* context, int64_t number, int who) {
    const Plan& plan = *(const Plan*)context;
    const Windows& o = plan.of;
    const View view(plan, number);
    const float *shift = plan.shift, *scale = plan.scale;
    const int64_t rows = o.h + 2 * o.p;
    uint8_t *made = plan.scratch + who * (ROWS + 1) * plan.room, *zeros = made + ROWS * plan.room;
    memset(made, 0, size_t((ROWS + 1) * plan.room));
    const uint8_t* from[ROWS];
    const auto prepare = [&](int64_t i) {
        view.ask(o, i + ROWS);
        from[i % ROWS] = view.row(o, i, made + i % ROWS * plan.room, zeros);
    };
    for (int64_t i = 0; i < ROWS; i++) prepare(i);
    for (int64_t i = 0; i < rows; i++) {
        const uint8_t* row = from[i % ROWS];
        write((float*)o.out + (number * rows + i) * plan.row, plan.row, plan.streams, [&](int64_t at, auto lanes) {
            return (bytes(row + at, lanes) - load(shift + at)) * load(scale + at);
        });
        prepare(i + ROWS);
    }
    if (plan.streams) streamed();
}

// The bytes as they are.
void moved(void* context, int64_t number, int) {
    const Plan& plan = *(const Plan*)context;
    const Windows& o = plan.of;
    const int64_t soon = number + SOON < o.count ? number + SOON : o.count - 1;
    for (int64_t at = 0; at < o.H * o.W * o.C && at < FAR; at += LINE) __builtin_prefetch(o.pictures[soon] + at);
    const View view(plan, number);
    uint8_t* to = (uint8_t*)o.out + number * o.h * plan.row;
    if (!view.top && !view.left && !view.flip && !view.upside_down && o.h == o.H && o.w == o.W) {
        memcpy(to, view.picture, size_t(o.h * plan.row));
        return;
    }
    memset(to, 0, size_t(o.h * plan.row));
    for (int64_t i = 0; i < o.h; i++, to += plan.row)
        if (const uint8_t* from = view.source(o, i)) view.make(o, from, to);
}

}  // namespace

// Without a border.
API void striate_moved(const Windows* windows) {
    Plan plan = {};
    const Windows& o = plan.of = *windows;
    plan.row = o.w * o.C;
    const int64_t worth = 1 + o.count * o.h * plan.row / CACHED;  // copying what is in a cache takes less than waking
    in_pieces(o.count, int(worth < o.threads ? worth : o.threads), moved, &plan);
}

// 0: done; 1: no memory for the rows.
API int striate_windows(const Windows* windows) {
    Plan plan = {};
    const Windows& o = plan.of = *windows;
    plan.row = (o.w + 2 * o.p) * o.C;
    const int64_t numbers = o.count * (o.h + 2 * o.p) * plan.row;
    if (!numbers) return 0;
    plan.streams = numbers * 4 > CACHED && plan.row * 4 % LINE == 0 && uintptr_t(o.out) % LINE == 0;
    int threads = o.threads < MOST_THREADS ? o.threads : MOST_THREADS;
    if (threads > o.count) threads = int(o.count);
    plan.room = plan.row + LINE;
    plan.shift = (float*)malloc(size_t(2 * (plan.row + LANES) * 4 + threads * (ROWS + 1) * plan.room));
    if (!plan.shift) return 1;
    plan.scale = plan.shift + plan.row + LANES;
    plan.scratch = (uint8_t*)(plan.scale + plan.row + LANES);
    for (int64_t i = 0; i < plan.row + LANES; i++) {
        plan.shift[i] = o.shift[i % o.C];
        plan.scale[i] = o.scale[i % o.C];
    }
    in_pieces(o.count, threads, picture, &plan);
    free(plan.shift);
    return 0;
}
