// Convolution forward, with 2x2 max pooling where it follows.
//
//     y[o][q] = b[o] + sum_t w[o][t] x[t at q]        t = (c, i, j): a tap, input channel and place in the kernel
//
// A tap is an offset into the input, which has its border of zeros, so that one loop over the taps serves every kernel,
// stride, padding and dilation.  Each loop nest keeps a block of outputs by pixels in registers.
#pragma once

#include "activation.h"
#include "conv_plan.h"

// What a tap reads: a number of every sample, or of neighbours (rows.h).
INLINE V read(const V* x) { return *x; }
INLINE V read(const float* x) { return load(x); }

// The sums over all taps; `x` counts in the pixels' own unit.
template <int OUTS, int AT_ONCE, class Pixel>
INLINE void window(const Pixel* x, const ConvPlan& p, const float* w, const int64_t* pixel, V (&sum)[OUTS][AT_ONCE]) {
    const int32_t* offset = p.offset.data();
    const char* base[AT_ONCE];
    UNROLL for (int k = 0; k < AT_ONCE; k++) base[k] = (const char*)(x + pixel[k]);
    for (int t = 0; t < p.taps; t++, w += p.outs) {
        const int64_t at = offset[t] * (int64_t)sizeof(Pixel);
        V weight[OUTS];
        UNROLL for (int o = 0; o < OUTS; o++) weight[o] = all(w[o]);
        UNROLL for (int k = 0; k < AT_ONCE; k++) {
            const V value = read((const Pixel*)(base[k] + at));
            UNROLL for (int o = 0; o < OUTS; o++) sum[o][k] += weight[o] * value;
        }
    }
}

template <int OUTS, int AT_ONCE>
static void conv_pixels(const Stage& s, const ConvPlan& p, const V* x, const float* w, int first, V* y) {
    int64_t pixel[AT_ONCE];
    for (int k = 0; k < AT_ONCE; k++) pixel[k] = (int64_t)k * s.stride[1];
    V sum[OUTS][AT_ONCE];
    UNROLL for (int o = 0; o < OUTS; o++) UNROLL for (int k = 0; k < AT_ONCE; k++)
        sum[o][k] = all(s.bias ? s.bias[first + o] : 0.0f);
    window<OUTS, AT_ONCE>(x, p, w, pixel, sum);
    UNROLL for (int o = 0; o < OUTS; o++) UNROLL for (int k = 0; k < AT_ONCE; k++)
        y[o * plane(s.output) + k] = activated(sum[o][k], s.activation, s.slope);
}

// Four pixels are the window of a pooling: the largest goes on; which of them it was is kept, where there is a way back.
template <int OUTS, class Keep>
static void conv_pooled(const Stage& s, const ConvPlan& p, const V* x, const float* w, int first, V* y, Keep keep) {
    const int64_t down = (int64_t)s.stride[0] * s.input.cols;
    const int64_t pixel[4] = {0, s.stride[1], down, down + s.stride[1]};
    V sum[OUTS][4];
    UNROLL for (int o = 0; o < OUTS; o++) UNROLL for (int k = 0; k < 4; k++)
        sum[o][k] = all(s.bias ? s.bias[first + o] : 0.0f);
    window<OUTS, 4>(x, p, w, pixel, sum);
    UNROLL for (int o = 0; o < OUTS; o++) {
        M winner;
        y[o * plane(s.output)] = activated(largest_of(sum[o], winner), s.activation, s.slope);
        keep((int64_t)o * s.output.height * s.output.width, winner);
    }
}

template <int AT_ONCE>
static void conv_columns(const Stage& s, const ConvPlan& p, const V* x, const float* packed, int row, int from, V* y) {
    const Parts blocks(p.outs, MOST[AT_ONCE]);
    for (int g = 0; g < s.groups; g++) {
        const V* at = x + place(s.input, g * p.ins, row * s.stride[0]) + from * s.stride[1];
        const float* w = packed + (int64_t)g * p.taps * p.outs;
        in_parts<MOST[AT_ONCE]>(blocks, [&](int o, auto outs) {
            const int first = g * p.outs + o;
            conv_pixels<outs, AT_ONCE>(s, p, at, w + o, first, y + place(s.output, first, row) + from);
        });
    }
}

// A row of windows, all outputs: what they read of the input is then still near.
template <class Keep>
static void conv_row_pooled(const Stage& s, const ConvPlan& p, const V* x, const float* packed, int row, V* y, Keep keep) {
    const Parts blocks(p.outs, MOST[4]);
    for (int g = 0; g < s.groups; g++) {
        const V* at = x + place(s.input, g * p.ins, 2 * row * s.stride[0]);
        const float* w = packed + (int64_t)g * p.taps * p.outs;
        in_parts<MOST[4]>(blocks, [&](int o, auto outs) {
            const int first = g * p.outs + o;
            const int64_t out = ((int64_t)first * s.output.height + row) * s.output.width;
            V* to = y + place(s.output, first, row);
            for (int column = 0; column < s.output.width; column++)
                conv_pooled<outs>(s, p, at + 2 * column * s.stride[1], w + o, first, to + column,
                                  [&](int64_t o, M winner) { keep(out + column + o, winner); });
        });
    }
}

// `keep` is told each pooling's winner, see `Winners`.
template <class Keep>
static void conv_forward(const Stage& s, const ConvPlan& p, const V* x, const float* packed, V* y, Keep keep) {
    for (int row = 0; s.pooled && row < s.output.height; row++) conv_row_pooled(s, p, x, packed, row, y, keep);
    for (int row = 0; !s.pooled && row < s.output.height; row++)
        for (int column = 0; column < s.output.width; column += PIXELS) {
            const int left = s.output.width - column;
            chosen<PIXELS>(left < PIXELS ? left : PIXELS,
                           [&](auto n) { conv_columns<n>(s, p, x, packed, row, column, y); });
        }
}
