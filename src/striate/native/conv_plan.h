// What a convolution needs beside its numbers: where its taps read, and for the way back which taps a pixel meets.
#pragma once

#include <array>
#include <map>
#include <vector>

#include "maps.h"

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
