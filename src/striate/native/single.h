// One picture: the lanes are channels, and a map is [row][column][channel].
//
// Every number is computed as where the lanes are samples (conv.h, linear.h, pool.h, norm.h): from the bias on, tap by
// tap in the same order, each product and sum rounded alike.  So a picture comes to the same bits in both layouts.
#pragma once

#include <vector>

#include "activation.h"
#include "conv.h"
#include "maps.h"
#include "norm.h"
#include "pool.h"

// Accumulators that fit the registers, and how many vectors of channels at once a convolution has among them; LONG: those
// of a linear layer, which waits for its weights and for the sum before, not for the registers.
#if LANES == 16
constexpr int HELD = 24, ABREAST = 4, LONG = 8;
#else
constexpr int HELD = 12, ABREAST = 3, LONG = 6;
#endif

// A map with `step` numbers to a pixel: its channels, and what fills up the last vector.
struct Field {
    Map map;
    int32_t step;
};

INLINE int vectors_of(int channels) { return (channels + LANES - 1) / LANES; }
INLINE int64_t spot(const Field& f, int row, int column) {
    return (origin(f.map) + (int64_t)row * f.map.cols + column) * f.step;
}
// Vectors that hold it; behind the last pixel one more may be read.
INLINE int64_t extent(const Field& f) { return ((int64_t)f.map.rows * f.map.cols * f.step + 2 * LANES - 1) / LANES; }

// The weights of a convolution or a linear layer, by groups of outputs that read the same channels.
struct Weighing {
    int groups, vectors, taps;   // vectors: of a group's outputs
    int in_step, out_step;       // channels from group to group
    bool own;                    // depthwise: every output reads its own channel; a group is then a vector of them
    int most;                    // vectors at once
    std::vector<int32_t> offset;  // of every tap
    std::vector<V> weight, bias;  // [group][vectors at once][tap][vector]; [group][vector]
};

INLINE bool own_channels(const Stage& s) { return s.input.channels == s.groups && s.output.channels == s.groups; }

static Weighing weighing_of_conv(const Stage& s, const Field& in) {
    const int ins = s.input.channels / s.groups, outs = s.output.channels / s.groups;
    Weighing w;
    w.own = own_channels(s);
    w.groups = w.own ? vectors_of(s.output.channels) : s.groups;
    w.vectors = w.own ? 1 : vectors_of(outs);
    w.taps = ins * s.kernel[0] * s.kernel[1];
    w.in_step = w.own ? LANES : ins, w.out_step = w.own ? LANES : outs;
    w.most = ABREAST;
    for (int c = 0; c < ins; c++)
        for (int i = 0; i < s.kernel[0]; i++)
            for (int j = 0; j < s.kernel[1]; j++)
                w.offset.push_back(c + ((i * s.dilation[0] - s.padding[0]) * in.map.cols + j * s.dilation[1] -
                                        s.padding[1]) * in.step);
    return w;
}

static Weighing weighing_of_linear(const Stage& s, const Field& in) {
    Weighing w;
    w.own = false, w.groups = 1, w.vectors = vectors_of(s.output.channels), w.taps = (int)count(s.input);
    w.in_step = s.input.channels, w.out_step = s.output.channels;
    w.most = LONG;
    for (int c = 0; c < in.map.channels; c++)
        for (int row = 0; row < in.map.height; row++)
            for (int column = 0; column < in.map.width; column++)
                w.offset.push_back((int32_t)spot(in, row, column) + c);
    return w;
}

// Numbers to a pixel of what a stage makes: the vectors of one group may reach into the channels of the next, which are
// written after it, and those of the last beyond them all.
static int32_t step_of(const Stage& s) {
    const bool grouped = s.kind == CONV && !own_channels(s);
    const int groups = grouped ? s.groups : 1, outs = s.output.channels / groups;
    return vectors_of((groups - 1) * outs + vectors_of(outs) * LANES) * LANES;
}

static void pack_single(const Stage& s, Weighing& w) {
    w.weight.assign((size_t)w.groups * w.vectors * w.taps, V{});
    w.bias.assign((size_t)w.groups * w.vectors, V{});
    const Parts blocks(w.vectors, w.most);
    for (int g = 0; g < w.groups; g++)
        for (int b = 0; b < blocks.number; b++) {
            const int v = blocks.begin(b), n = blocks.length(b);
            float* to = (float*)(w.weight.data() + ((int64_t)g * w.vectors + v) * w.taps);
            float* bias = (float*)(w.bias.data() + (int64_t)g * w.vectors + v);
            for (int lane = 0; lane < n * LANES; lane++) {
                const int o = g * w.out_step + v * LANES + lane;
                if (v * LANES + lane >= w.out_step || o >= s.output.channels) continue;
                if (s.bias) bias[lane] = s.bias[o];
                const float* from = s.weight + (int64_t)o * w.taps;
                for (int t = 0; t < w.taps; t++) to[(int64_t)t * n * LANES + lane] = from[t];
            }
        }
}

// What a tap reads for vector v of outputs: one number for all lanes, or a channel for each.
struct Shared {
    static V read(const float* x, int) { return all(*x); }
};
struct Own {
    static V read(const float* x, int v) { return load(x + v * LANES); }
};

// The sums of ROWS by AT_ONCE pixels: so far `down` to the next row, `right` to the next of a row.
template <class Reads, int VECTORS, int ROWS, int AT_ONCE>
INLINE void weigh(const Weighing& w, const V* weight, const V* bias, const float* x, int64_t down, int64_t right,
                  V (&sum)[ROWS][AT_ONCE][VECTORS]) {
    UNROLL for (int k = 0; k < ROWS * AT_ONCE; k++) UNROLL for (int v = 0; v < VECTORS; v++)
        sum[k / AT_ONCE][k % AT_ONCE][v] = bias[v];
    const int32_t* offset = w.offset.data();
    const int taps = w.taps;
    for (int t = 0; t < taps; t++, weight += VECTORS) {
        const float* q = x + offset[t];
        V wanted[VECTORS];
        UNROLL for (int v = 0; v < VECTORS; v++) wanted[v] = weight[v];
        UNROLL for (int row = 0; row < ROWS; row++, q += down) UNROLL for (int k = 0; k < AT_ONCE; k++)
            UNROLL for (int v = 0; v < VECTORS; v++) sum[row][k][v] += wanted[v] * Reads::read(q + k * right, v);
    }
}

// A block of pixels.
template <class Reads, int VECTORS, int ROWS, int AT_ONCE>
static void single_pixels(const Stage& s, const Weighing& w, const V* weight, const V* bias, const float* x, int64_t down,
                          int64_t right, float* y, int64_t below, int64_t beside) {
    V sum[ROWS][AT_ONCE][VECTORS];
    weigh<Reads>(w, weight, bias, x, down, right, sum);
    UNROLL for (int row = 0; row < ROWS; row++) UNROLL for (int k = 0; k < AT_ONCE; k++)
        UNROLL for (int v = 0; v < VECTORS; v++)
            store(y + row * below + k * beside + v * LANES, activated(sum[row][k][v], s.activation, s.slope));
}

// A row of windows of 2x2 pixels, of each of which the largest goes on.
template <class Reads, int VECTORS, int WINDOWS>
static void single_windows(const Stage& s, const Weighing& w, const V* weight, const V* bias, const float* x, int64_t down,
                           int64_t right, float* y, int64_t beside) {
    V sum[2][2 * WINDOWS][VECTORS];
    weigh<Reads>(w, weight, bias, x, down, right, sum);
    UNROLL for (int n = 0; n < WINDOWS; n++) UNROLL for (int v = 0; v < VECTORS; v++) {
        V most = sum[0][2 * n][v];
        UNROLL for (int k = 1; k < 4; k++) {
            const V other = sum[k / 2][2 * n + k % 2][v];
            most = beats(other, most) ? other : most;
        }
        store(y + n * beside + v * LANES, activated(most, s.activation, s.slope));
    }
}

// What a block of outputs is made of, of all pixels.
struct Task {
    const Stage& s;
    const Weighing& w;
    const Field &in, &out;
    const V *weight, *bias;
    const float* x;
    float* y;
    int64_t down, right;  // to the next pixel's place in x
};

template <class Reads, int VECTORS>
static void all_windows(const Task& a) {
    constexpr int MOST_AT_ONCE = HELD / 4 / VECTORS;
    const Parts windows(a.out.map.width, MOST_AT_ONCE);
    for (int row = 0; row < a.out.map.height; row++)
        in_parts<MOST_AT_ONCE>(windows, [&](int column, auto many) {
            const float* at = a.x + spot(a.in, 0, 0) + 2 * row * a.down + 2 * column * a.right;
            single_windows<Reads, VECTORS, many>(a.s, a.w, a.weight, a.bias, at, a.down, a.right,
                                                 a.y + spot(a.out, row, column), a.out.step);
        });
}

template <class Reads, int VECTORS, int ROWS>
static void some_rows(const Task& a, int row) {
    constexpr int MOST_AT_ONCE = HELD / VECTORS / (VECTORS == 1 ? 2 : 1);
    in_parts<MOST_AT_ONCE>({a.out.map.width, MOST_AT_ONCE}, [&](int column, auto many) {
        const float* at = a.x + spot(a.in, 0, 0) + row * a.down + column * a.right;
        single_pixels<Reads, VECTORS, ROWS, many>(a.s, a.w, a.weight, a.bias, at, a.down, a.right,
                                                  a.y + spot(a.out, row, column),
                                                  (int64_t)a.out.map.cols * a.out.step, a.out.step);
    });
}

template <class Reads, int VECTORS>
static void all_pixels(const Task& a) {
    if (a.s.pooled) return all_windows<Reads, VECTORS>(a);
    constexpr int ROWS = VECTORS == 1 ? 2 : 1;  // with more vectors one row is enough
    int row = 0;
    for (; row + ROWS <= a.out.map.height; row += ROWS) some_rows<Reads, VECTORS, ROWS>(a, row);
    if (row < a.out.map.height) some_rows<Reads, VECTORS, 1>(a, row);
}

// f(vectors at once, their weights, their bias, group, first vector) for all outputs.
template <int LIMIT, class F>
INLINE void each_block(const Weighing& w, F f) {
    const Parts blocks(w.vectors, LIMIT);
    for (int g = 0; g < w.groups; g++)
        in_parts<LIMIT>(blocks, [&](int v, auto many) {
            const int64_t first = (int64_t)g * w.vectors + v;
            f(many, w.weight.data() + first * w.taps, w.bias.data() + first, g, v);
        });
}

static void single_conv(const Stage& s, const Weighing& w, const Field& in, const Field& out, const float* x, float* y) {
    const int64_t down = (int64_t)s.stride[0] * in.map.cols * in.step, right = (int64_t)s.stride[1] * in.step;
    const auto task = [&](const V* weight, const V* bias, int g, int v) -> Task {
        return {s, w, in, out, weight, bias, x + g * w.in_step, y + g * w.out_step + v * LANES, down, right};
    };
    if (w.own)
        return each_block<1>(w, [&](auto many, const V* weight, const V* bias, int g, int v) {
            all_pixels<Own, many>(task(weight, bias, g, v));
        });
    each_block<ABREAST>(w, [&](auto many, const V* weight, const V* bias, int g, int v) {
        all_pixels<Shared, many>(task(weight, bias, g, v));
    });
}

static void single_linear(const Stage& s, const Weighing& w, const float* x, float* y) {
    each_block<LONG>(w, [&](auto many, const V* weight, const V* bias, int, int v) {
        single_pixels<Shared, many, 1, 1>(s, w, weight, bias, x, 0, 0, y + v * LANES, 0, 0);
    });
}

// Outputs of four pictures of LANES, as rows.
template <int VECTORS>
static void rows_of_four(const Stage& s, const V* weight, int64_t step, const V* bias, int taps, const float* x, float* rows) {
    V sum[4][VECTORS];
    UNROLL for (int k = 0; k < 4; k++) UNROLL for (int v = 0; v < VECTORS; v++) sum[k][v] = bias[v];
    for (int t = 0; t < taps; t++, weight += step, x += LANES) {
        V wanted[VECTORS];
        UNROLL for (int v = 0; v < VECTORS; v++) wanted[v] = weight[v];
        UNROLL for (int k = 0; k < 4; k++) UNROLL for (int v = 0; v < VECTORS; v++) sum[k][v] += wanted[v] * all(x[k]);
    }
    UNROLL for (int k = 0; k < 4; k++) UNROLL for (int v = 0; v < VECTORS; v++)
        store(rows + (k * LONG + v) * LANES, activated(sum[k][v], s.activation, s.slope));
}

// The same layer for LANES pictures, from and to the layout of conv.h: the weights go through the cache once for four.
static void together_linear(const Stage& s, const Weighing& w, const V* x, V* y) {
    constexpr int LIMIT = HELD / 4;
    each_block<LONG>(w, [&](auto many, const V* weight, const V* bias, int, int first) {
        float rows[LANES * LONG * LANES];
        for (int picture = 0; picture < LANES; picture += 4)
            for (int v = 0; v < many; v += LIMIT)
                chosen<LIMIT>(many - v < LIMIT ? many - v : LIMIT, [&](auto n) {
                    rows_of_four<n>(s, weight + v, many, bias + v, w.taps, (const float*)x + picture,
                                    rows + (picture * LONG + v) * LANES);
                });
        for (int v = 0; v < many; v++) {
            V turned[LANES];
            UNROLL for (int k = 0; k < LANES; k++) turned[k] = load(rows + (k * LONG + v) * LANES);
            transpose(turned);
            const int o = (first + v) * LANES, left = s.output.channels - o;
            for (int lane = 0; lane < LANES && lane < left; lane++) y[o + lane] = turned[lane];
        }
    });
}

// The numbers of a map in the order of their channels, in which a flattened one is read.
static const float* flattened(const Field& in, const float* x, float* y) {
    const float* begin = y;
    for (int c = 0; c < in.map.channels; c++)
        for (int row = 0; row < in.map.height; row++)
            for (int column = 0; column < in.map.width; column++) *y++ = x[spot(in, row, column) + c];
    return begin;
}

// f(row, column, vector of channels) makes every number that comes before the activation.
template <class F>
INLINE void single_each(const Stage& s, const Field& out, float* y, F f) {
    for (int row = 0; row < out.map.height; row++)
        for (int column = 0; column < out.map.width; column++)
            for (int v = 0; v < vectors_of(out.map.channels); v++)
                store(y + spot(out, row, column) + v * LANES, activated(f(row, column, v), s.activation, s.slope));
}

static void single_pointwise(const Stage& s, const Field& in, const Field& out, const float* x, float* y) {
    single_each(s, out, y, [&](int row, int column, int v) { return load(x + spot(in, row, column) + v * LANES); });
}

// `moments` of whole vectors of channels, as weight and bias.
static void single_norm(const Stage& s, const Moments* moments, const Field& in, const Field& out, const float* x,
                        float* y) {
    const int C = in.map.channels;
    for (int v = 0; v < vectors_of(C); v++) {
        V w = {}, b = {}, middle = {};
        for (int lane = 0; lane < LANES && v * LANES + lane < C; lane++) {
            const int c = v * LANES + lane;
            w[lane] = moments[c].inverse * s.weight[c], b[lane] = s.bias[c], middle[lane] = moments[c].mean;
        }
        for (int row = 0; row < in.map.height; row++)
            for (int column = 0; column < in.map.width; column++) {
                const V value = load(x + spot(in, row, column) + v * LANES);
                store(y + spot(out, row, column) + v * LANES,
                      activated((value - middle) * w + b, s.activation, s.slope));
            }
    }
}

static void single_max(const Stage& s, const Field& in, const Field& out, const float* x, float* y) {
    single_each(s, out, y, [&](int row, int column, int channels) {
        V most = all(-__builtin_inff());
        bool first = true;
        for (int i = 0; i < s.kernel[0]; i++) {
            const int v = row * s.stride[0] - s.padding[0] + i * s.dilation[0];
            if (v < 0 || v >= in.map.height) continue;
            for (int j = 0; j < s.kernel[1]; j++) {
                const int u = column * s.stride[1] - s.padding[1] + j * s.dilation[1];
                if (u < 0 || u >= in.map.width) continue;
                const V value = load(x + spot(in, v, u) + channels * LANES);
                most = first ? value : beats(value, most) ? value : most;
                first = false;
            }
        }
        return most;
    });
}

static void single_mean(const Stage& s, const Field& in, const Field& out, const float* x, float* y) {
    single_each(s, out, y, [&](int row, int column, int channels) {
        const Span a = span(s, 0, row, in.map.height, out.map.height);
        const Span b = span(s, 1, column, in.map.width, out.map.width);
        V total = {};
        for (int v = a.from; v < a.to; v++)
            for (int u = b.from; u < b.to; u++) total += load(x + spot(in, v, u) + channels * LANES);
        return total / all((float)(a.counted * b.counted));
    });
}
