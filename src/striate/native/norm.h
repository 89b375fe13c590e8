// Batch normalisation: z = (x - m) / sqrt(v + eps), y = g z + b; m and v over the batch's samples and places.
//
//     dL/dx = g / sqrt(v + eps) (dy - mean(dy) - z mean(dy z))        dL/dg = sum dy z        dL/db = sum dy
//
// A 2x2 max pooling that follows is taken in the same pass: what is normalised is then never written, nor its error.
//
// Each chunk brings its mean and its sum of squares about it; Chan's formula joins them, in the chunks' order, in
// float64, so that large means cost few digits, and the number of threads changes none.  Ioffe and Szegedy 2015,
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

// Mean and squares of a chunk's samples in one pass: of every row, joined lane by lane, then of all lanes.  Means are told
// from each sample's first number on, so that of equal numbers, however large, none is off by the mean's rounding.
static void norm_shares(const Stage& s, const V* x, int live, Share* shares) {
    const Map& m = s.input;
    const float wide = (float)m.width;
    for (int c = 0; c < m.channels; c++) {
        const V begin = x[place(m, c, 0)];
        V mean = {}, squares = {};
        for (int row = 0; row < m.height; row++) {
            const V* from = x + place(m, c, row);
            V total = {}, own = {};
            for (int u = 0; u < m.width; u++) total += from[u] - begin;
            const V more = total * all(1.0f / wide), middle = begin + more, d = more - mean;
            for (int u = 0; u < m.width; u++) own += (from[u] - middle) * (from[u] - middle);
            mean += d * all(1.0f / (float)(row + 1));
            squares += own + d * d * all(wide * (float)row / (float)(row + 1));
        }
        const double area = (double)m.height * m.width, all = (lanes_sum(begin, live) + lanes_sum(mean, live)) / live;
        double about = lanes_sum(squares, live);
        for (int lane = 0; lane < live; lane++) {
            const double off = (double)begin[lane] + mean[lane] - all;
            about += area * off * off;
        }
        shares[c] = {all, about};
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

// A channel on its way forward.
struct Normed {
    V w, b, middle;

    Normed(const Stage& s, const Moments* moments, int c)
        : w(all(moments[c].inverse * s.weight[c])), b(all(s.bias[c])), middle(all(moments[c].mean)) {}
    V operator()(V x) const { return (x - middle) * w + b; }
};

template <class Keep>
static void norm_pooled(const Stage& s, const Moments* moments, const V* x, V* y, Keep keep) {
    const Map &in = s.input, &out = s.output;
    for (int c = 0; c < in.channels; c++) {
        const Normed normed(s, moments, c);
        for (int row = 0; row < out.height; row++) {
            const V *upper = x + place(in, c, 2 * row), *lower = upper + in.cols;
            V* to = y + place(out, c, row);
            for (int u = 0; u < out.width; u++) {
                const V four[4] = {normed(upper[2 * u]), normed(upper[2 * u + 1]), normed(lower[2 * u]), normed(lower[2 * u + 1])};
                M winner;
                to[u] = activated(largest_of(four, winner), s.activation, s.slope);
                keep(((int64_t)c * out.height + row) * out.width + u, winner);
            }
        }
    }
}

template <class Keep>
static void norm_forward(const Stage& s, const Moments* moments, const V* x, V* y, Keep keep) {
    if (s.pooled) return norm_pooled(s, moments, x, y, keep);
    const Map &in = s.input, &out = s.output;
    for (int c = 0; c < in.channels; c++) {
        const Normed normed(s, moments, c);
        for (int row = 0; row < in.height; row++)
            for (int u = 0; u < in.width; u++)
                y[place(out, c, row) + u] = activated(normed(x[place(in, c, row) + u]), s.activation, s.slope);
    }
}

// A channel's numbers and errors on its way back, once dy is dL/d(g z + b): of a pooling that of the largest alone.
struct NormErrors {
    const Map &in, &out;
    const V *x, *dy;
    const M* which;  // null where nothing is pooled

    NormErrors(const Stage& s, const V* x, const V* dy, const M* which, int c)
        : in(s.input),
          out(s.output),
          x(x + place(in, c, 0)),
          dy(dy + (int64_t)c * out.height * out.width),
          which(s.pooled ? which + (int64_t)c * out.height * out.width : nullptr) {}

    V error(int row, int u) const {
        if (!which) return dy[(int64_t)row * in.width + u];
        const int r = row / 2, q = u / 2;
        if (r >= out.height || q >= out.width) return V{};  // an odd last row or column is in no window
        return (V)((which[r * out.width + q] == row % 2 * 2 + u % 2) & (M)dy[r * out.width + q]);
    }
};

// The sums that the way back needs; dy becomes dL/d(g z + b) in its place.  Lanes without samples have dy = 0.
static void norm_errors(const Stage& s, const Moments* moments, const V* x, const V* y, const M* which, V* dy, Share* shares) {
    const Map &in = s.input, &out = s.output;
    for (int c = 0; c < in.channels; c++) {
        const NormErrors errors(s, x, dy, which, c);
        V error = {}, along = {};
        const V middle = all(moments[c].mean), inverse = all(moments[c].inverse);
        const auto add = [&](V e, int row, int u) { along += e * ((errors.x[row * in.cols + u] - middle) * inverse); };
        V* e = dy + (int64_t)c * out.height * out.width;
        for (int row = 0; row < out.height; row++)
            for (int u = 0; u < out.width; u++, e++) {
                *e = pulled(*e, y[place(out, c, row) + u], s.activation, s.slope);
                error += *e;
                if (!s.pooled) {
                    add(*e, row, u);
                    continue;
                }
                V four[4];
                unpooled(*e, errors.which[row * out.width + u], four, 2);
                UNROLL for (int k = 0; k < 4; k++) add(four[k], 2 * row + k / 2, 2 * u + k % 2);
            }
        shares[c] = {lanes_sum(error, LANES), lanes_sum(along, LANES)};
    }
}

// dL/dx, 0 in lanes that hold no sample: what follows must not see the means there.
class NormBack {
   public:
    NormBack(const Stage& s, const Moments* moments, const V* x, const V* dy, const M* which, int live)
        : s_(s), moments_(moments), x_(x), dy_(dy), which_(which) {
        for (int n = 0; n < LANES; n++) on_[n] = n < live ? -1 : 0;
    }

    // Of a channel.
    struct Channel {
        NormErrors errors;
        V w, inverse, middle, error, along;
        M on;

        V operator()(int row, int u) const {
            const V z = (errors.x[row * errors.in.cols + u] - middle) * inverse;
            return on ? w * (errors.error(row, u) - error - z * along) : V{};
        }
    };

    Channel channel(int c) const {
        const Moments& m = moments_[c];
        return {{s_, x_, dy_, which_, c}, all(m.inverse * s_.weight[c]), all(m.inverse), all(m.mean), all(m.error), all(m.along), on_};
    }

   private:
    const Stage& s_;
    const Moments* moments_;
    const V *x_, *dy_;
    const M* which_;
    M on_;
};

static void norm_backward(const Stage& s, const NormBack& back, V* dx) {
    const Map& in = s.input;
    for (int c = 0; c < in.channels; c++) {
        const auto channel = back.channel(c);
        for (int row = 0; row < in.height; row++)
            for (int u = 0; u < in.width; u++) dx[((int64_t)c * in.height + row) * in.width + u] = channel(row, u);
    }
}
