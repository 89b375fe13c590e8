// Batch normalisation: z = (x - m) / sqrt(v + eps), y = g z + b; m and v over the batch's samples and places.
//
//     dL/dx = g / sqrt(v + eps) (dy - mean(dy) - z mean(dy z))        dL/dg = sum dy z        dL/db = sum dy
//
// Each chunk brings its mean and its sum of squares about it; Chan's formula joins them, in the chunks' order, in
// float64, so that neither large means nor the number of threads can change a digit.  Ioffe and Szegedy 2015,
// arXiv:1502.03167; Chan, Golub and LeVeque 1979.
#pragma once

#include <cmath>

#include "activation.h"
#include "maps.h"

struct Share {
    double mean, squares;  // forward; backward: sum of dy, sum of dy z
};

struct Moments {
    float mean, inverse;   // of a channel; inverse: 1 / sqrt(v + eps)
    float error, along;    // backward: mean(dy), mean(dy z)
};

// Sums of the lanes that hold samples.
INLINE double lanes_sum(V v, int live) {
    float lanes[LANES];
    store(lanes, v);
    double total = 0;
    for (int n = 0; n < live; n++) total += lanes[n];
    return total;
}

static void norm_shares(const Stage& s, const V* x, int live, Share* shares) {
    const Map& m = s.input;
    const double number = (double)live * m.height * m.width;
    for (int c = 0; c < m.channels; c++) {
        V total = {}, squares = {};
        for (int row = 0; row < m.height; row++)
            for (int u = 0; u < m.width; u++) total += x[place(m, c, row) + u];
        const double mean = lanes_sum(total, live) / number;
        const V middle = all((float)mean);
        for (int row = 0; row < m.height; row++)
            for (int u = 0; u < m.width; u++) {
                const V d = x[place(m, c, row) + u] - middle;
                squares += d * d;
            }
        const double off = mean - (double)(float)mean;  // about the rounded mean: put right
        shares[c] = {mean, lanes_sum(squares, live) - number * off * off};
    }
}

// Mean and variance of all chunks of a channel; `shares` is [chunk][channels].
static void norm_join(const Share* shares, int channels, int chunks, int batch, int area, int c, double* mean, double* squares) {
    double n = 0, m = 0, q = 0;
    for (int k = 0; k < chunks; k++) {
        const int live = batch - k * LANES < LANES ? batch - k * LANES : LANES;
        const double more = (double)live * area, d = shares[(int64_t)k * channels + c].mean - m;
        q += shares[(int64_t)k * channels + c].squares + d * d * n * more / (n + more);
        m += d * more / (n + more);
        n += more;
    }
    *mean = m, *squares = q;
}

static void norm_forward(const Stage& s, const Moments* moments, const V* x, V* y) {
    const Map &in = s.input, &out = s.output;
    for (int c = 0; c < in.channels; c++) {
        const float scale = moments[c].inverse * s.weight[c];
        const V w = all(scale), b = all(s.bias[c]), middle = all(moments[c].mean);
        for (int row = 0; row < in.height; row++)
            for (int u = 0; u < in.width; u++)
                y[place(out, c, row) + u] =
                    activated((x[place(in, c, row) + u] - middle) * w + b, s.activation, s.slope);
    }
}

// The sums that the way back needs; dy becomes dL/d(g z + b) in its place.  Lanes without samples have dy = 0.
static void norm_errors(const Stage& s, const Moments* moments, const V* x, const V* y, V* dy, Share* shares) {
    const Map &in = s.input, &out = s.output;
    for (int c = 0; c < in.channels; c++) {
        V error = {}, along = {};
        const V middle = all(moments[c].mean), inverse = all(moments[c].inverse);
        for (int row = 0; row < in.height; row++)
            for (int u = 0; u < in.width; u++) {
                V* e = dy + ((int64_t)c * in.height + row) * in.width + u;
                *e = pulled(*e, y[place(out, c, row) + u], s.activation, s.slope);
                error += *e;
                along += *e * ((x[place(in, c, row) + u] - middle) * inverse);
            }
        shares[c] = {lanes_sum(error, LANES), lanes_sum(along, LANES)};
    }
}

// dx[lane] = 0 where the lane holds no sample: what follows must not see the means there.
static void norm_backward(const Stage& s, const Moments* moments, const V* x, const V* dy, int live, V* dx) {
    const Map& in = s.input;
    M on;
    for (int n = 0; n < LANES; n++) on[n] = n < live ? -1 : 0;
    for (int c = 0; c < in.channels; c++) {
        const Moments m = moments[c];
        const V w = all(m.inverse * s.weight[c]), inverse = all(m.inverse), middle = all(m.mean);
        for (int row = 0; row < in.height; row++)
            for (int u = 0; u < in.width; u++) {
                const int64_t at = ((int64_t)c * in.height + row) * in.width + u;
                const V z = (x[place(in, c, row) + u] - middle) * inverse;
                dx[at] = on ? w * (dy[at] - all(m.error) - z * all(m.along)) : all(0.0f);
            }
    }
}
