// Convolution back: gradient of the input, of the weights, of the bias; the formula is in conv.h.
//
//     dL/dx[t at q] += sum_o w[o][t] dL/dz[o][q]        dL/dw[o][t] = sum_q dL/dz[o][q] x[t at q]
//
// Each loop nest keeps a block of inputs by pixels, or of outputs by taps, in registers.
#pragma once

#include "conv_plan.h"
#include "norm.h"

// w: the weights of the first output channel and of the first of these input channels.
template <int INS, int AT_ONCE>
static void input_pixels(const Stage& s, const ConvPlan& p, const V* dz, const Run& run, const float* w, V* dx) {
    V sum[INS][AT_ONCE] = {};
    const int64_t high = (int64_t)p.high * p.wide, over = run.over_output;
    const Met *met = p.met.data() + run.met, *end = p.met.data() + run.end;
    dz += run.output;
    const char* base[AT_ONCE];
    UNROLL for (int q = 0; q < AT_ONCE; q++) base[q] = (const char*)(dz + q * over);
    for (const Met* tap = met; tap < end; tap++) {
        int64_t at = tap->output * (int64_t)sizeof(V);
        const float* wk = w + tap->weight;
        for (int o = 0; o < p.outs; o++, at += high * (int64_t)sizeof(V), wk += p.ins) {
            V weight[INS];
            UNROLL for (int c = 0; c < INS; c++) weight[c] = all(wk[c]);
            UNROLL for (int q = 0; q < AT_ONCE; q++) {
                const V value = *(const V*)(base[q] + at);
                UNROLL for (int c = 0; c < INS; c++) sum[c][q] += weight[c] * value;
            }
        }
    }
    const int64_t size = (int64_t)s.input.height * s.input.width;
    UNROLL for (int c = 0; c < INS; c++) UNROLL for (int q = 0; q < AT_ONCE; q++)
        dx[c * size + run.input + q * run.over] = sum[c][q];
}

// dL/dx, without border, from dL/dz of the convolution's own output, without border.
static void conv_input(const Stage& s, const ConvPlan& p, const V* dz, const float* packed, V* dx) {
    const int64_t size = (int64_t)s.input.height * s.input.width, outputs = (int64_t)p.outs * p.high * p.wide;
    for (int g = 0; g < s.groups; g++, dz += outputs, dx += p.ins * size, packed += (int64_t)p.outs * p.taps)
        for (const Run& run : p.runs)
            chosen<PIXELS>(run.number, [&](auto pixels) {
                in_parts<MOST[pixels]>({p.ins, MOST[pixels]}, [&](int c, auto ins) {
                    input_pixels<ins, pixels>(s, p, dz, run, packed + c, dx + c * size);
                });
            });
}

constexpr int64_t NEAR = 24576 / sizeof(V);  // vectors: most of a first cache

// Rows from ... to - 1 of dL/dz of a convolution's own output, as they lie: dz is the first, channels are `over` apart.
struct Band {
    int from, to;
    V* dz;
    int64_t over;
};

template <int OUTS, int TAPS>
static void weight_block(const Stage& s, const ConvPlan& p, const Band& band, const V* dz, const V* x, const int32_t* offset,
                         float* dw) {
    V total[OUTS][TAPS] = {};
    const int64_t step = s.stride[1];
    const V* base[TAPS];
    UNROLL for (int t = 0; t < TAPS; t++) base[t] = x + offset[t];
    for (int y = band.from; y < band.to; y++, dz += p.wide) {
        int64_t at = (int64_t)y * s.stride[0] * s.input.cols;
        for (int k = 0; k < p.wide; k++, at += step) {
            V error[OUTS];
            UNROLL for (int o = 0; o < OUTS; o++) error[o] = dz[o * band.over + k];
            UNROLL for (int t = 0; t < TAPS; t++) {
                const V value = base[t][at];
                UNROLL for (int o = 0; o < OUTS; o++) total[o][t] += error[o] * value;
            }
        }
    }
    UNROLL for (int o = 0; o < OUTS; o++) {
        float sums[4];
        sum4(total[o][0], total[o][TAPS > 1 ? 1 : 0], total[o][TAPS > 2 ? 2 : 0], total[o][TAPS > 3 ? 3 : 0], sums);
        UNROLL for (int t = 0; t < TAPS; t++) dw[(int64_t)o * p.taps + t] += sums[t];
    }
}

// Adds to dL/dw.
static void conv_weight(const Stage& s, const ConvPlan& p, const Band& band, const V* x, float* dw) {
    const Parts outputs(p.outs, MOST[PIXELS]), taps(p.taps, PIXELS);
    for (int g = 0; g < s.groups; g++)
        in_parts<MOST[PIXELS]>(outputs, [&](int o, auto outs) {
            const int first = g * p.outs + o;
            in_parts<PIXELS>(taps, [&](int t, auto many) {
                weight_block<outs, many>(s, p, band, band.dz + first * band.over, x + place(s.input, g * p.ins, 0),
                                         p.offset.data() + t, dw + (int64_t)first * p.taps + t);
            });
        });
}

// Adds to dL/db.
static void conv_bias(const Stage& s, const ConvPlan& p, const Band& band, float* db) {
    for (int o = 0; o < s.output.channels; o++) {
        V total = {};
        const V* dz = band.dz + o * band.over;
        for (int k = 0; k < (band.to - band.from) * p.wide; k++) total += dz[k];
        db[o] += sum(total);
    }
}

// What came out, which number of a window was the largest, and its error; or, where a normalisation comes next, that.
struct Made {
    const V *dy, *y;
    const M* which;
    const NormBack* norm;  // or null
};

// dL/dz from dL/dy: of what was pooled each error belongs to the pixel that was the largest.
static void conv_error(const Stage& s, const ConvPlan& p, const Made& made, const Band& band) {
    const int H = s.output.height, W = s.output.width, size = s.pooled ? 2 : 1;
    for (int c = 0; c < s.output.channels; c++) {
        V* dz = band.dz + c * band.over;
        if (s.pooled && (band.to > 2 * H || p.wide != 2 * W))  // an odd last row or column is in no window
            memset(dz, 0, sizeof(V) * (band.to - band.from) * p.wide);
        by_function(s.activation, [&](auto function) {
            if (made.norm) {
                const auto error = made.norm->channel(c);
                for (int row = band.from; row < band.to; row++, dz += W)
                    for (int u = 0; u < W; u++)
                        dz[u] = pulled(error(row, u), made.y[place(s.output, c, row) + u], function, s.slope);
                return;
            }
            for (int row = band.from / size; row < H && row * size < band.to; row++, dz += size * p.wide) {
                const int64_t at = ((int64_t)c * H + row) * W;
                const V *error = made.dy + at, *y = made.y + place(s.output, c, row);
                for (int k = 0; k < W; k++) {
                    const V e = pulled(error[k], y[k], function, s.slope);
                    s.pooled ? unpooled(e, made.which[at + k], dz + 2 * k, p.wide) : (void)(dz[k] = e);
                }
            }
        });
    }
}

// f of one band after the other, each small enough to stay near; of a convolution whose input nobody asks the gradient
// of, `kept` false, all in the same place.
template <class F>
INLINE void in_bands(const Stage& s, const ConvPlan& p, V* dz, bool kept, F&& f) {
    const int64_t row = (int64_t)s.output.channels * p.wide;
    const int near = (int)(NEAR / row) / 2 * 2, least = near < 2 ? 2 : near, rows = least < p.high ? least : p.high;
    for (int from = 0; from < p.high; from += rows) {
        const int to = from + rows < p.high ? from + rows : p.high;
        f(kept ? Band{from, to, dz + (int64_t)from * p.wide, (int64_t)p.high * p.wide}
               : Band{from, to, dz, (int64_t)rows * p.wide});
    }
}
