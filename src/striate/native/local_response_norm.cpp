// Local response normalisation across channels (calculus/local_response_norm.py), forward and backward, one pass each.
//
//     y_i = x_i d_i^-beta        d_i = k + alpha sum_j A_ij x_j^2
//     dx_j = dy_j d_j^-beta - 2 alpha beta x_j sum_i A_ij dy_i x_i d_i^(-beta-1)
//
// The work is cut into tiles that stay in a core's cache: a pixel with all its channels where channels are neighbours in
// memory, else a strip of pixels with all their channels.  In a tile's buffers a neighbouring channel is `step` numbers
// away, so both kinds of memory are one program.  Every number is computed in the same way whatever the tile's thread.
#include <cmath>
#include <cstdlib>

#include "numbers.h"
#include "threads.h"

struct Norm {  // as in local_response_norm.py
    const void *x, *dy;
    void* out;
    int64_t outer, channels, inner;  // x as outer by channels by inner numbers
    int64_t below, above;            // neighbours: channels i - below .. i + above
    float alpha, beta, k;
    int32_t halves;  // whether numbers are bfloat16
    int32_t threads;
};

namespace {

constexpr int64_t PIECE = 1 << 15;   // numbers of a piece of work

struct Plan {
    Norm norm;
    int64_t margin, step, total;  // numbers around and in a tile's buffers
    int64_t tile, tiles;          // pixels of a tile, or rows of a piece; how many to a picture, or in all
    bool streams;
    float* scratch;
    int64_t room;  // numbers of a thread's scratch

    float* squares(int who) const { return scratch + who * room + margin; }
    float* inside(int who) const { return squares(who) + total + 2 * margin + LANES; }
    float* direct(int who) const { return inside(who) + total + margin + LANES; }
};

// A tile's numbers: `runs` runs of `length` neighbours in memory.
struct Tile {
    int64_t runs, length, stride;
};

template <bool ROOTS>
struct Power {  // d^-beta, and 1/d
    V power, inverse;

    Power(V d, float beta) {
        if (ROOTS) {  // d^-3/4 = d^-1/2 (d^-1/2)^1/2
            const V half = 1 / root(d);
            power = half * root(half);
            inverse = half * half;
        } else {
            for (int lane = 0; lane < LANES; lane++) power[lane] = powf(d[lane], -beta);
            inverse = 1 / d;
        }
    }
};

template <int N>
INLINE V window(const float* from, int64_t step, int64_t count) {
    if (N == 5) return load(from) + load(from + step) + (load(from + 2 * step) + load(from + 3 * step)) + load(from + 4 * step);
    V total = load(from);
    for (int64_t place = 1; place < count; place++) total += load(from + place * step);
    return total;
}

template <class T, bool ROOTS, int N>
void tile(const Plan& plan, int64_t at, Tile t, int who) {
    const Norm& o = plan.norm;
    const T *x = (const T*)o.x + at, *dy = (const T*)o.dy + at;
    T* out = (T*)o.out + at;
    float *squares = plan.squares(who), *inside = plan.inside(who), *direct = plan.direct(who);
    const int64_t step = plan.step, count = o.below + o.above + 1;
    const V alpha = all(o.alpha), k = all(o.k), twice = all(2 * o.alpha * o.beta);
    const auto power = [&](int64_t i) {
        return Power<ROOTS>(alpha * window<N>(squares + i - o.below * step, step, count) + k, o.beta);
    };
    for (int64_t run = 0; run < t.runs; run++)
        each(0, t.length, [&](int64_t i, auto lanes) {
            const V v = load(x + run * t.stride + i, lanes);
            store(squares + run * step + i, v * v, lanes);
        });
    if (!o.dy) {
        for (int64_t run = 0; run < t.runs; run++)
            write(out + run * t.stride, t.length, plan.streams, [&](int64_t i, auto lanes) {
                return load(x + run * t.stride + i, lanes) * power(run * step + i).power;
            });
        return;
    }
    for (int64_t run = 0; run < t.runs; run++)
        each(0, t.length, [&](int64_t i, auto lanes) {
            const int64_t from = run * t.stride + i, to = run * step + i;
            const auto p = power(to);
            const V error = load(dy + from, lanes) * p.power;
            store(direct + to, error, lanes);
            store(inside + to, error * load(x + from, lanes) * p.inverse, lanes);
        });
    for (int64_t run = 0; run < t.runs; run++)
        write(out + run * t.stride, t.length, plan.streams, [&](int64_t i, auto lanes) {
            const V spread = window<N>(inside + run * step + i - o.above * step, step, count);
            return load(direct + run * step + i) - twice * load(x + run * t.stride + i, lanes) * spread;
        });
}

template <class T, bool ROOTS, int N>
void piece(void* context, int64_t number, int who) {
    const Plan& plan = *(const Plan*)context;
    const Norm& o = plan.norm;
    if (o.inner == 1) {
        const int64_t first = number * plan.tile, end = first + plan.tile < o.outer ? first + plan.tile : o.outer;
        for (int64_t row = first; row < end; row++) tile<T, ROOTS, N>(plan, row * o.channels, {1, o.channels, 0}, who);
    } else {
        const int64_t picture = number / plan.tiles, pixel = number % plan.tiles * plan.tile;
        const int64_t length = pixel + plan.tile < o.inner ? plan.tile : o.inner - pixel;
        tile<T, ROOTS, N>(plan, picture * o.channels * o.inner + pixel, {o.channels, length, o.inner}, who);
    }
    if (plan.streams) streamed();
}

template <class T>
auto choice(const Norm& o) {
    const bool roots = o.beta == 0.75f, five = o.below == 2 && o.above == 2;
    return roots ? (five ? piece<T, true, 5> : piece<T, true, 0>) : (five ? piece<T, false, 5> : piece<T, false, 0>);
}

int64_t up(int64_t number, int64_t multiple) { return (number + multiple - 1) / multiple * multiple; }

Plan planned(const Norm& o) {
    Plan plan = {};
    plan.norm = o;
    const int64_t channels = o.channels, bytes = o.halves ? 2 : 4, size = o.outer * channels * o.inner * bytes;
    const int64_t farthest = o.below > o.above ? o.below : o.above;
    int64_t pixels = PIECE / channels;
    if (o.inner == 1) {
        plan.tile = pixels > 1 ? pixels : 1;
        plan.step = 1;
        plan.total = up(channels, LINE);
        plan.tiles = (o.outer + plan.tile - 1) / plan.tile;
        plan.streams = size > CACHED && channels * bytes % LINE == 0 && uintptr_t(o.out) % LINE == 0;
    } else {
        pixels = up(pixels < o.inner ? pixels : o.inner, 16);
        plan.tile = plan.step = pixels > 16 ? pixels : 16;
        plan.total = channels * plan.step;
        plan.tiles = (o.inner + plan.tile - 1) / plan.tile;
        plan.streams = size > CACHED;
    }
    plan.margin = up(farthest * plan.step, LINE);
    plan.room = 3 * (plan.total + LINE) + 4 * plan.margin;
    return plan;
}

}  // namespace

// 0: done; 1: no memory for the buffers.
API int striate_local_response_norm(const Norm* norm) {
    Plan plan = planned(*norm);
    if (norm->outer * norm->channels * norm->inner == 0) return 0;
    const int64_t pieces = norm->inner == 1 ? plan.tiles : norm->outer * plan.tiles;
    int threads = norm->threads < MOST_THREADS ? norm->threads : MOST_THREADS;
    if (threads > pieces) threads = int(pieces);
    plan.scratch = (float*)calloc(size_t(threads * plan.room), sizeof(float));  // the margins stay 0
    if (!plan.scratch) return 1;
    in_pieces(pieces, threads, norm->halves ? choice<bfloat16>(*norm) : choice<float>(*norm), &plan);
    free(plan.scratch);
    return 0;
}
