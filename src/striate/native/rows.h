// One picture's first convolution, with 2x2 max pooling: the lanes are neighbours of a row, for a picture lies by rows.
//
// There a channel a lane would leave most lanes empty, for first layers have few channels.  Every sum is made tap by tap
// in the order of conv.h, so a picture comes to the same bits.  What is made lies as in single.h.
#pragma once

#include "single.h"

// Whether it is there for this stage, and takes no more products of vectors than single.h.
INLINE bool is_by_rows(const Stage& s) {
    if (s.kind != CONV || !s.pooled || s.groups != 1 || s.stride[1] != 1) return false;
    const int outs = s.output.channels, width = s.output.width;
    return Parts(width, LANES).number * outs <= width * vectors_of(outs);
}

INLINE int64_t products_by_rows(const Stage& s, int taps) {
    return (int64_t)s.output.height * Parts(s.output.width, LANES).number * 4 * s.output.channels * taps;
}

constexpr int PAST = 2;  // vectors that may be read behind the last row

// Outputs first .. first + OUTS - 1 of LANES windows of a row.
template <int OUTS>
static void row_pooled(const Stage& s, const ConvPlan& p, const float* x, const float* packed, int first, V* y) {
    const int64_t down = (int64_t)s.stride[0] * s.input.cols, pixel[4] = {0, LANES, down, down + LANES};
    V sum[OUTS][4];
    UNROLL for (int o = 0; o < OUTS; o++) UNROLL for (int k = 0; k < 4; k++)
        sum[o][k] = all(s.bias ? s.bias[first + o] : 0.0f);
    window<OUTS, 4>(x, p, packed + first, pixel, sum);
    UNROLL for (int o = 0; o < OUTS; o++) {
        V four[4];
        UNROLL for (int k = 0; k < 4; k += 2) {
            four[k] = EVERY_OTHER(sum[o][k], sum[o][k + 1], 0);
            four[k + 1] = EVERY_OTHER(sum[o][k], sum[o][k + 1], 1);
        }
        M winner;
        y[o] = activated(largest_of(four, winner), s.activation, s.slope);
    }
}

// x: the picture, channel by channel, each with its border; y: LANES channels from the first on, of `live` windows.
static void rows_to_pixels(const Stage& s, const ConvPlan& p, const float* x, const float* packed, int first, int live,
                           float* y, int32_t step) {
    const int left = s.output.channels - first, outs = left < LANES ? left : LANES;
    V made[LANES];
    UNROLL for (int o = 0; o < LANES; o++) made[o] = V{};  // those that there are not
    in_parts<MOST[4]>({outs, MOST[4]}, [&](int o, auto many) { row_pooled<many>(s, p, x, packed, first + o, made + o); });
    transpose(made);
    UNROLL for (int lane = 0; lane < LANES; lane++)
        if (pair_in(lane) < live) store(y + pair_in(lane) * step, made[lane]);
}

static void conv_by_rows(const Stage& s, const ConvPlan& p, const float* packed, const Field& out, const float* x, float* y) {
    const int width = s.output.width, live = width < LANES ? width : LANES;
    for (int row = 0; row < s.output.height; row++)
        for (int u = 0; u < width; u += LANES) {
            const int column = u + live < width ? u : width - live;  // the last may lie over the one before
            const float* from = x + place(s.input, 0, 2 * row * s.stride[0]) + 2 * column;
            for (int first = 0; first < s.output.channels; first += LANES)
                rows_to_pixels(s, p, from, packed, first, live, y + spot(out, row, column) + first, out.step);
        }
}
