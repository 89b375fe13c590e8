// Convolution: forward (with 2x2 max pooling where it follows), gradient of the input, gradient of the weights.
//
//     y[o][q] = b[o] + sum_t w[o][t] x[t at q]        t = (c, i, j): a tap, input channel and place in the kernel
//
// A tap is an offset into the input, which has its border of zeros, so that one loop over the taps serves every kernel,
// stride, padding and dilation.  Each loop nest keeps a block of outputs by pixels (or by taps) in registers.
#pragma once

#include <array>
#include <map>
#include <vector>

#include "norm.h"

// Where an axis of the input meets the output, told from the input's side: taps k with u + padding - k d = s g.
struct Reach {
    int32_t kernel, out, number;  // first tap, its output, how many; then tap + kernel_step meets output - out_step
};

INLINE bool same_taps(const Reach& a, const Reach& b) { return a.kernel == b.kernel && a.number == b.number; }

// Pixels of the input, side by side or one above the other, that meet the same taps.
struct Run {
    int32_t input, output;             // the first of them, and the first output that it meets: places in a channel
    int32_t number, over, over_output;  // how many; from one to the next, in the input and in the output
    int32_t met, end;                  // their taps
};

// A tap seen from the input: from the first output that a pixel meets, and the first weight of its place in the kernel.
struct Met {
    int32_t output, weight;
};

// What a convolution needs beside its numbers, made once.
struct ConvPlan {
    int taps, ins, outs;         // of a group: taps, input channels, output channels
    int high, wide;              // the convolution's own output, before pooling
    std::vector<int32_t> offset;  // of every tap
    std::vector<Run> runs;        // over the input
    std::vector<Met> met;         // lists of taps
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

// An axis of the input.
struct Axis {
    std::vector<Reach> reach;
    int stride, kernel_step, out_step;
};

static Axis axis_of(const Stage& s, int a, int size, int outs) {
    const int both = common(s.stride[a], s.dilation[a]);
    return {reaches(size, outs, s.kernel[a], s.stride[a], s.padding[a], s.dilation[a]), s.stride[a], s.stride[a] / both,
            s.dilation[a] / both};
}

// How many from `at` on meet the same taps, PIXELS at most.
static int alike(const Axis& axis, int at) {
    int number = 1;
    const int size = (int)axis.reach.size();
    while (number < PIXELS && at + number * axis.stride < size &&
           same_taps(axis.reach[at + number * axis.stride], axis.reach[at]))
        number++;
    return number;
}

// The taps that a pixel of this row and this column meets.
static void list_taps(const Stage& s, const Axis& down, const Axis& across, const Reach& row, const Reach& column,
                      ConvPlan& p) {
    for (int i = 0; i < row.number; i++)
        for (int j = 0; j < column.number; j++) {
            const int k = row.kernel + i * down.kernel_step, m = column.kernel + j * across.kernel_step;
            p.met.push_back({-(i * down.out_step * p.wide + j * across.out_step), (k * s.kernel[1] + m) * p.outs * p.ins});
        }
}

// The input in the longest runs: those at the left and right edges go down, for there every column meets other taps.
static void list_runs(const Stage& s, ConvPlan& p) {
    const int H = s.input.height, W = s.input.width;
    const Axis down = axis_of(s, 0, H, p.high), across = axis_of(s, 1, W, p.wide);
    std::map<std::array<int, 4>, std::pair<int, int>> lists;
    std::vector<bool> done((size_t)H * W);
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++) {
            if (done[(size_t)y * W + x]) continue;
            const Reach &row = down.reach[y], &column = across.reach[x];
            const auto [found, is_new] = lists.insert({{row.kernel, row.number, column.kernel, column.number}, {}});
            if (is_new) {
                found->second.first = (int)p.met.size();
                list_taps(s, down, across, row, column, p);
                found->second.second = (int)p.met.size();
            }
            int wide = 1, high = alike(down, y);
            for (const int most = alike(across, x); wide < most && !done[(size_t)y * W + x + wide * s.stride[1]];) wide++;
            const bool flat = wide >= high;
            const int number = flat ? wide : high, over = flat ? s.stride[1] : s.stride[0] * W;
            for (int k = 0; k < number; k++) done[(size_t)y * W + x + (size_t)k * over] = true;
            p.runs.push_back({y * W + x, row.out * p.wide + column.out, number, over, flat ? 1 : p.wide,
                              found->second.first, found->second.second});
        }
}

// For the way forward.
static ConvPlan forward_plan(const Stage& s) {
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
    return p;
}

static ConvPlan conv_plan(const Stage& s) {
    ConvPlan p = forward_plan(s);
    list_runs(s, p);
    return p;
}

// Weights as the loops read them: [group][tap][output] forward, [group][place][output][input] for the gradient of the input.
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
    for (int g = 0; g < s.groups; g++, to += (int64_t)p.outs * p.taps)
        for (int o = 0; o < p.outs; o++)
            for (int c = 0; c < p.ins; c++) {
                const float* from = s.weight + ((int64_t)(g * p.outs + o) * p.ins + c) * places;
                for (int k = 0; k < places; k++) to[((int64_t)k * p.outs + o) * p.ins + c] = from[k];
            }
}

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
