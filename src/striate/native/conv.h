// Convolution: forward (with 2x2 max pooling where it follows), gradient of the input, gradient of the weights.
//
//     y[o][q] = b[o] + sum_t w[o][t] x[t at q]        t = (c, i, j): a tap, input channel and place in the kernel
//
// A tap is an offset into the input, which has its border of zeros, so that one loop over the taps serves every kernel,
// stride, padding and dilation.  Each loop nest keeps a block of outputs by pixels (or by taps) in registers.
#pragma once

#include <vector>

#include "activation.h"
#include "maps.h"

// Where an axis of the input meets the output, told from the input's side: taps k with u + padding - k d = s g.
struct Reach {
    int32_t kernel, out, number;  // first tap, its output, how many; then tap + kernel_step meets output - out_step
};

struct Run {
    int32_t first, number;  // pixels of a row of the input: first, first + stride, ... that meet the same taps
};

// What a convolution needs beside its numbers, made once.
struct ConvPlan {
    int taps, ins, outs;         // of a group: taps, input channels, output channels
    int high, wide;              // the convolution's own output, before pooling
    std::vector<int32_t> offset;  // of every tap
    std::vector<Reach> down, across;
    std::vector<Run> runs;
    int kernel_step[2], out_step[2];
};

static int common(int a, int b) { return b ? common(b, a % b) : a; }

static std::vector<Reach> reaches(int size, int outs, int kernel, int stride, int padding, int dilation) {
    std::vector<Reach> found(size);
    for (int u = 0; u < size; u++) {
        Reach r{0, 0, 0};
        for (int k = 0; k < kernel; k++) {
            const int at = u + padding - k * dilation;
            if (at < 0 || at % stride || at / stride >= outs) continue;
            if (!r.number) r.kernel = k, r.out = at / stride;
            r.number++;
        }
        found[u] = r;
    }
    return found;
}

static std::vector<Run> runs_of(const std::vector<Reach>& across, int stride) {
    std::vector<Run> found;
    const int size = (int)across.size();
    for (int residue = 0; residue < stride && residue < size; residue++)
        for (int x = residue; x < size;) {
            int number = 1;
            while (number < PIXELS && x + number * stride < size &&
                   across[x + number * stride].kernel == across[x].kernel &&
                   across[x + number * stride].number == across[x].number)
                number++;
            found.push_back({x, number});
            x += number * stride;
        }
    return found;
}

static ConvPlan conv_plan(const Stage& s) {
    ConvPlan p;
    p.ins = s.input.channels / s.groups, p.outs = s.output.channels / s.groups;
    p.taps = p.ins * s.kernel[0] * s.kernel[1];
    p.high = s.pooled ? s.after[0] : s.output.height;
    p.wide = s.pooled ? s.after[1] : s.output.width;
    for (int c = 0; c < p.ins; c++)
        for (int i = 0; i < s.kernel[0]; i++)
            for (int j = 0; j < s.kernel[1]; j++)
                p.offset.push_back(
                    (int32_t)(c * plane(s.input) + (i * s.dilation[0] - s.padding[0]) * s.input.cols +
                              j * s.dilation[1] - s.padding[1]));
    p.down = reaches(s.input.height, p.high, s.kernel[0], s.stride[0], s.padding[0], s.dilation[0]);
    p.across = reaches(s.input.width, p.wide, s.kernel[1], s.stride[1], s.padding[1], s.dilation[1]);
    p.runs = runs_of(p.across, s.stride[1]);
    for (int a = 0; a < 2; a++) {
        const int both = common(s.stride[a], s.dilation[a]);
        p.kernel_step[a] = s.stride[a] / both, p.out_step[a] = s.dilation[a] / both;
    }
    return p;
}

// Weights as the loops read them: [group][tap][output] forward, [output][place][input] for the gradient of the input.
static void pack_forward(const Stage& s, const ConvPlan& p, float* to) {
    for (int g = 0; g < s.groups; g++)
        for (int o = 0; o < p.outs; o++) {
            const float* from = s.weight + (int64_t)(g * p.outs + o) * p.taps;
            float* w = to + (int64_t)g * p.taps * p.outs + o;
            for (int t = 0; t < p.taps; t++) w[(int64_t)t * p.outs] = from[t];
        }
}

static void pack_backward(const Stage& s, const ConvPlan& p, float* to) {
    const int places = s.kernel[0] * s.kernel[1];
    for (int o = 0; o < s.output.channels; o++)
        for (int c = 0; c < p.ins; c++) {
            const float* from = s.weight + ((int64_t)o * p.ins + c) * places;
            for (int k = 0; k < places; k++) to[((int64_t)o * places + k) * p.ins + c] = from[k];
        }
}

template <int OUTS, int AT_ONCE>
INLINE void window(const V* x, const ConvPlan& p, const float* w, const int64_t* pixel, V (&sum)[OUTS][AT_ONCE]) {
    const int32_t* offset = p.offset.data();
    for (int t = 0; t < p.taps; t++, w += p.outs) {
        const V* q = x + offset[t];
        V weight[OUTS];
        UNROLL for (int o = 0; o < OUTS; o++) weight[o] = all(w[o]);
        UNROLL for (int k = 0; k < AT_ONCE; k++) {
            const V value = q[pixel[k]];
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
        V most = sum[o][0];
        M winner = {};
        UNROLL for (int k = 1; k < 4; k++) {
            const M larger = beats(sum[o][k], most);
            winner = larger ? winner * 0 + k : winner;
            most = larger ? sum[o][k] : most;
        }
        y[o * plane(s.output)] = activated(most, s.activation, s.slope);
        keep((int64_t)o * s.output.height * s.output.width, winner);
    }
}

// Call f<n>() for a run-time n in 1 ... most.
template <int N, class F>
INLINE void chosen(int n, F&& f) {
    if constexpr (N > 0) {
        if (n == N)
            f(std::integral_constant<int, N>());
        else
            chosen<N - 1>(n, f);
    }
}

template <int AT_ONCE>
static void conv_columns(const Stage& s, const ConvPlan& p, const V* x, const float* packed, int row, int from, V* y) {
    for (int g = 0; g < s.groups; g++)
        for (int b = 0; b < parts(p.outs, MOST[AT_ONCE]); b++) {
            const int o = begins(p.outs, MOST[AT_ONCE], b), n = begins(p.outs, MOST[AT_ONCE], b + 1) - o;
            const int first = g * p.outs + o;
            const V* at = x + place(s.input, g * p.ins, row * s.stride[0]) + from * s.stride[1];
            const float* w = packed + (int64_t)g * p.taps * p.outs + o;
            chosen<MOST[AT_ONCE]>(n, [&](auto outs) {
                conv_pixels<outs, AT_ONCE>(s, p, at, w, first, y + place(s.output, first, row) + from);
            });
        }
}

// A row of windows, all outputs: what they read of the input is then still near.
template <class Keep>
static void conv_row_pooled(const Stage& s, const ConvPlan& p, const V* x, const float* packed, int row, V* y, Keep keep) {
    for (int g = 0; g < s.groups; g++)
        for (int b = 0; b < parts(p.outs, MOST[4]); b++) {
            const int o = begins(p.outs, MOST[4], b), n = begins(p.outs, MOST[4], b + 1) - o, first = g * p.outs + o;
            const float* w = packed + (int64_t)g * p.taps * p.outs + o;
            const V* at = x + place(s.input, g * p.ins, 2 * row * s.stride[0]);
            V* to = y + place(s.output, first, row);
            const int64_t out = ((int64_t)first * s.output.height + row) * s.output.width;
            chosen<MOST[4]>(n, [&](auto outs) {
                for (int column = 0; column < s.output.width; column++)
                    conv_pooled<outs>(s, p, at + 2 * column * s.stride[1], w, first, to + column,
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

template <int INS, int AT_ONCE>
static void input_pixels(const Stage& s, const ConvPlan& p, const V* dz, const float* w, Reach down, Reach across, V* dx) {
    V sum[INS][AT_ONCE] = {};
    const int64_t high = (int64_t)p.high * p.wide;
    for (int o = 0; o < p.outs; o++)
        for (int i = 0; i < down.number; i++) {
            const V* row = dz + o * high + (int64_t)(down.out - i * p.out_step[0]) * p.wide + across.out;
            const int k = (o * s.kernel[0] + down.kernel + i * p.kernel_step[0]) * s.kernel[1] + across.kernel;
            const float* wk = w + (int64_t)k * p.ins;
            for (int j = 0; j < across.number; j++, row -= p.out_step[1], wk += p.kernel_step[1] * p.ins) {
                V weight[INS];
                UNROLL for (int c = 0; c < INS; c++) weight[c] = all(wk[c]);
                UNROLL for (int q = 0; q < AT_ONCE; q++) {
                    const V value = row[q];
                    UNROLL for (int c = 0; c < INS; c++) sum[c][q] += weight[c] * value;
                }
            }
        }
    const int64_t size = (int64_t)s.input.height * s.input.width;
    UNROLL for (int c = 0; c < INS; c++) UNROLL for (int q = 0; q < AT_ONCE; q++)
        dx[c * size + q * s.stride[1]] = sum[c][q];
}

// dL/dx, without border, from dL/dz of the convolution's own output, without border.
static void conv_input(const Stage& s, const ConvPlan& p, const V* dz, const float* packed, V* dx) {
    const int places = s.kernel[0] * s.kernel[1];
    for (int g = 0; g < s.groups; g++)
        for (int y = 0; y < s.input.height; y++)
            for (const Run& run : p.runs)
                chosen<PIXELS>(run.number, [&](auto pixels) {
                    constexpr int most = MOST[pixels];
                    for (int b = 0; b < parts(p.ins, most); b++) {
                        const int c = begins(p.ins, most, b), n = begins(p.ins, most, b + 1) - c;
                        const float* w = packed + (int64_t)g * p.outs * places * p.ins + c;
                        const V* from = dz + (int64_t)g * p.outs * p.high * p.wide;
                        V* to = dx + ((int64_t)(g * p.ins + c) * s.input.height + y) * s.input.width + run.first;
                        chosen<most>(n, [&](auto ins) {
                            input_pixels<ins, pixels>(s, p, from, w, p.down[y], p.across[run.first], to);
                        });
                    }
                });
}

template <int OUTS, int TAPS>
static void weight_block(const Stage& s, const ConvPlan& p, const V* dz, const V* x, const int32_t* offset, float* dw) {
    V total[OUTS][TAPS] = {};
    const int64_t high = (int64_t)p.high * p.wide, step = s.stride[1];
    const V* base[TAPS];
    UNROLL for (int t = 0; t < TAPS; t++) base[t] = x + offset[t];
    for (int y = 0; y < p.high; y++) {
        const V* g = dz + (int64_t)y * p.wide;
        int64_t at = (int64_t)y * s.stride[0] * s.input.cols;
        for (int k = 0; k < p.wide; k++, at += step) {
            V error[OUTS];
            UNROLL for (int o = 0; o < OUTS; o++) error[o] = g[o * high + k];
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

// Adds to dL/dw and dL/db.
static void conv_weight(const Stage& s, const ConvPlan& p, const V* dz, const V* x, float* dw, float* db) {
    constexpr int OUTS = MOST[PIXELS];
    const int64_t high = (int64_t)p.high * p.wide;
    for (int g = 0; g < s.groups; g++)
        for (int b = 0; b < parts(p.outs, OUTS); b++) {
            const int o = begins(p.outs, OUTS, b), n = begins(p.outs, OUTS, b + 1) - o, first = g * p.outs + o;
            for (int a = 0; a < parts(p.taps, PIXELS); a++) {
                const int t = begins(p.taps, PIXELS, a), taps = begins(p.taps, PIXELS, a + 1) - t;
                chosen<OUTS>(n, [&](auto outs) {
                    chosen<PIXELS>(taps, [&](auto many) {
                        weight_block<outs, many>(s, p, dz + first * high, x + place(s.input, g * p.ins, 0),
                                                 p.offset.data() + t, dw + (int64_t)first * p.taps + t);
                    });
                });
            }
        }
    if (db)
        for (int o = 0; o < s.output.channels; o++) {
            V total = {};
            for (int64_t k = 0; k < high; k++) total += dz[o * high + k];
            db[o] += sum(total);
        }
}

// dL/dz of the convolution's own output: of what was pooled each error belongs to the pixel that was the largest.
static void conv_error(const Stage& s, const ConvPlan& p, const V* dy, const V* y, const M* which, V* dz) {
    const int H = s.output.height, W = s.output.width;
    if (s.pooled && (p.high != 2 * H || p.wide != 2 * W))  // an odd last row or column is in no window
        memset(dz, 0, sizeof(V) * s.output.channels * p.high * p.wide);
    for (int c = 0; c < s.output.channels; c++)
        for (int row = 0; row < H; row++)
            for (int column = 0; column < W; column++) {
                const int64_t at = ((int64_t)c * H + row) * W + column;
                const V error = pulled(dy[at], y[place(s.output, c, row) + column], s.activation, s.slope);
                if (!s.pooled) {
                    dz[at] = error;
                    continue;
                }
                V* to = dz + ((int64_t)c * p.high + 2 * row) * p.wide + 2 * column;
                UNROLL for (int k = 0; k < 4; k++) to[k / 2 * p.wide + k % 2] = which[at] == k ? error : all(0.0f);
            }
}
