// Pooling: the largest number of every window, or the mean, each channel by itself.
#pragma once

#include "activation.h"
#include "maps.h"

struct Span {
    int from, to, counted;  // rows (or columns) from ... to - 1; how many the mean divides by
};

INLINE Span span(const Stage& s, int axis, int number, int size, int outs) {
    if (s.adaptive) {
        const int from = number * size / outs, to = ((number + 1) * size + outs - 1) / outs;
        return {from, to, to - from};
    }
    const int from = number * s.stride[axis] - s.padding[axis];
    int to = from + s.kernel[axis];
    const int end = size + s.after[axis];  // ceil mode: a window may stand over the padding, too
    if (s.count_pad) to = to < end ? to : end;
    const int first = from > 0 ? from : 0, last = to < size ? to : size;
    return {first, last, s.count_pad ? to - from : last - first};
}

// `keep` is told the winner's place in the window, the first of those that are equal.
template <class Keep>
static void max_forward(const Stage& s, const V* x, V* y, Keep keep) {
    const Map &in = s.input, &out = s.output;
    for (int c = 0; c < out.channels; c++)
        for (int row = 0; row < out.height; row++)
            for (int column = 0; column < out.width; column++) {
                V most = all(-__builtin_inff());
                M winner = {};
                bool first = true;
                for (int i = 0; i < s.kernel[0]; i++) {
                    const int v = row * s.stride[0] - s.padding[0] + i * s.dilation[0];
                    if (v < 0 || v >= in.height) continue;
                    for (int j = 0; j < s.kernel[1]; j++) {
                        const int u = column * s.stride[1] - s.padding[1] + j * s.dilation[1];
                        if (u < 0 || u >= in.width) continue;
                        const V value = x[place(in, c, v) + u];
                        const M larger = first ? M{} - 1 : beats(value, most);
                        winner = larger ? winner * 0 + (i * s.kernel[1] + j) : winner;
                        most = larger ? value : most;
                        first = false;
                    }
                }
                keep(((int64_t)c * out.height + row) * out.width + column, winner);
                y[place(out, c, row) + column] = activated(most, s.activation, s.slope);
            }
}

static void max_backward(const Stage& s, const V* dy, const V* y, const M* which, V* dx) {
    const Map &in = s.input, &out = s.output;
    memset(dx, 0, sizeof(V) * count(in));
    for (int c = 0; c < out.channels; c++)
        for (int row = 0; row < out.height; row++)
            for (int column = 0; column < out.width; column++) {
                const int64_t at = ((int64_t)c * out.height + row) * out.width + column;
                const V error = pulled(dy[at], y[place(out, c, row) + column], s.activation, s.slope);
                const M winner = which[at];
                for (int i = 0; i < s.kernel[0]; i++) {
                    const int v = row * s.stride[0] - s.padding[0] + i * s.dilation[0];
                    if (v < 0 || v >= in.height) continue;
                    for (int j = 0; j < s.kernel[1]; j++) {
                        const int u = column * s.stride[1] - s.padding[1] + j * s.dilation[1];
                        if (u < 0 || u >= in.width) continue;
                        V* to = dx + ((int64_t)c * in.height + v) * in.width + u;
                        *to += winner == i * s.kernel[1] + j ? error : all(0.0f);
                    }
                }
            }
}

static void mean_forward(const Stage& s, const V* x, V* y) {
    const Map &in = s.input, &out = s.output;
    for (int c = 0; c < out.channels; c++)
        for (int row = 0; row < out.height; row++)
            for (int column = 0; column < out.width; column++) {
                const Span a = span(s, 0, row, in.height, out.height), b = span(s, 1, column, in.width, out.width);
                V total = {};
                for (int v = a.from; v < a.to; v++)
                    for (int u = b.from; u < b.to; u++) total += x[place(in, c, v) + u];
                const V mean = total / all((float)(a.counted * b.counted));
                y[place(out, c, row) + column] = activated(mean, s.activation, s.slope);
            }
}

static void mean_backward(const Stage& s, const V* dy, const V* y, V* dx) {
    const Map &in = s.input, &out = s.output;
    memset(dx, 0, sizeof(V) * count(in));
    for (int c = 0; c < out.channels; c++)
        for (int row = 0; row < out.height; row++)
            for (int column = 0; column < out.width; column++) {
                const Span a = span(s, 0, row, in.height, out.height), b = span(s, 1, column, in.width, out.width);
                const int64_t at = ((int64_t)c * out.height + row) * out.width + column;
                const V error = pulled(dy[at], y[place(out, c, row) + column], s.activation, s.slope);
                const V share = error / all((float)(a.counted * b.counted));
                for (int v = a.from; v < a.to; v++)
                    for (int u = b.from; u < b.to; u++) dx[((int64_t)c * in.height + v) * in.width + u] += share;
            }
}
