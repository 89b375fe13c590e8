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

// Accumulators that fit the registers, and how many vectors of channels at once a convolution has among them.
#if LANES == 16
constexpr int HELD = 24, ABREAST = 4;
#else
constexpr int HELD = 12, ABREAST = 3;
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
    w.most = HELD;
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
    for (int g = 0; g < w.groups; g++)
        for (int b = 0; b < parts(w.vectors, w.most); b++) {
            const int v = begins(w.vectors, w.most, b), n = begins(w.vectors, w.most, b + 1) - v;
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

template <class Reads, int VECTORS, int AT_ONCE>
INLINE void weigh(const Weighing& w, const V* weight, const V* bias, const float* x, const int64_t* pixel,
                  V (&sum)[VECTORS][AT_ONCE]) {
    UNROLL for (int v = 0; v < VECTORS; v++) UNROLL for (int k = 0; k < AT_ONCE; k++) sum[v][k] = bias[v];
    const int32_t* offset = w.offset.data();
    const int taps = w.taps;
    for (int t = 0; t < taps; t++, weight += VECTORS) {
        const float* q = x + offset[t];
        V wanted[VECTORS];
        UNROLL for (int v = 0; v < VECTORS; v++) wanted[v] = weight[v];
        UNROLL for (int k = 0; k < AT_ONCE; k++) UNROLL for (int v = 0; v < VECTORS; v++)
            sum[v][k] += wanted[v] * Reads::read(q + pixel[k], v);
    }
}

// A run of pixels of one row.
template <class Reads, int VECTORS, int AT_ONCE>
static void single_pixels(const Stage& s, const Weighing& w, const V* weight, const V* bias, const float* x, int64_t right,
                          float* y, int64_t step) {
    int64_t pixel[AT_ONCE];
    for (int k = 0; k < AT_ONCE; k++) pixel[k] = k * right;
    V sum[VECTORS][AT_ONCE];
    weigh<Reads>(w, weight, bias, x, pixel, sum);
    UNROLL for (int k = 0; k < AT_ONCE; k++) UNROLL for (int v = 0; v < VECTORS; v++)
        store(y + k * step + v * LANES, activated(sum[v][k], s.activation, s.slope));
}

// A run of windows of 2x2 pixels, of each of which the largest goes on.
template <class Reads, int VECTORS, int WINDOWS>
static void single_windows(const Stage& s, const Weighing& w, const V* weight, const V* bias, const float* x,
                           int64_t right, int64_t down, float* y, int64_t step) {
    int64_t pixel[4 * WINDOWS];
    for (int k = 0; k < 4 * WINDOWS; k++) pixel[k] = (k / 4 * 2 + k % 2) * right + k % 4 / 2 * down;
    V sum[VECTORS][4 * WINDOWS];
    weigh<Reads>(w, weight, bias, x, pixel, sum);
    UNROLL for (int n = 0; n < WINDOWS; n++) UNROLL for (int v = 0; v < VECTORS; v++) {
        V most = sum[v][4 * n];
        UNROLL for (int k = 1; k < 4; k++) most = beats(sum[v][4 * n + k], most) ? sum[v][4 * n + k] : most;
        store(y + n * step + v * LANES, activated(most, s.activation, s.slope));
    }
}

template <class Reads, int VECTORS>
static void single_rows(const Stage& s, const Weighing& w, const Field& in, const Field& out, const V* weight,
                        const V* bias, const float* x, float* y) {
    const int64_t right = (int64_t)s.stride[1] * in.step, down = (int64_t)s.stride[0] * in.map.cols * in.step;
    const int twice = s.pooled ? 2 : 1;
    constexpr int AT_ONCE = HELD / VECTORS, WINDOWS = HELD / 4 / VECTORS;
    const int most = s.pooled ? WINDOWS : AT_ONCE, width = out.map.width;
    for (int row = 0; row < out.map.height; row++)
        for (int b = 0; b < parts(width, most); b++) {
            const int column = begins(width, most, b), n = begins(width, most, b + 1) - column;
            const float* at = x + spot(in, twice * row * s.stride[0], twice * column * s.stride[1]);
            float* to = y + spot(out, row, column);
            if (s.pooled)
                chosen<WINDOWS>(n, [&](auto many) {
                    single_windows<Reads, VECTORS, many>(s, w, weight, bias, at, right, down, to, out.step);
                });
            else
                chosen<AT_ONCE>(n, [&](auto many) {
                    single_pixels<Reads, VECTORS, many>(s, w, weight, bias, at, right, to, out.step);
                });
        }
}

// f(vectors at once, their weights, their bias, group, first vector) for all outputs.
template <int LIMIT, class F>
INLINE void each_block(const Weighing& w, F f) {
    for (int g = 0; g < w.groups; g++)
        for (int b = 0; b < parts(w.vectors, LIMIT); b++) {
            const int v = begins(w.vectors, LIMIT, b), n = begins(w.vectors, LIMIT, b + 1) - v;
            const int64_t first = (int64_t)g * w.vectors + v;
            chosen<LIMIT>(n, [&](auto many) {
                f(many, w.weight.data() + first * w.taps, w.bias.data() + first, g, v);
            });
        }
}

static void single_conv(const Stage& s, const Weighing& w, const Field& in, const Field& out, const float* x, float* y) {
    if (w.own)
        return each_block<1>(w, [&](auto many, const V* weight, const V* bias, int g, int) {
            single_rows<Own, many>(s, w, in, out, weight, bias, x + g * w.in_step, y + g * w.out_step);
        });
    each_block<ABREAST>(w, [&](auto many, const V* weight, const V* bias, int g, int v) {
        single_rows<Shared, many>(s, w, in, out, weight, bias, x + g * w.in_step, y + g * w.out_step + v * LANES);
    });
}

static void single_linear(const Stage& s, const Weighing& w, const float* x, float* y) {
    each_block<HELD>(w, [&](auto many, const V* weight, const V* bias, int, int v) {
        single_pixels<Shared, many, 1>(s, w, weight, bias, x, 0, y + v * LANES, 0);
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
