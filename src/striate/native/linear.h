// Fully connected: y = W x + b, W of (outputs, inputs); dx = W^T dz, dW = dz x^T.
//
// The first two go chunk by chunk with a sample a lane.  The third sums over samples, so it waits for the whole batch
// and has inputs in the lanes: `transposed` makes the rows of inputs, one a sample, that it reads.
#pragma once

#include "activation.h"
#include "maps.h"

template <int OUTS>
static void linear_block(const Stage& s, const V* x, int ins, int first, V* y) {
    V total[OUTS];
    UNROLL for (int o = 0; o < OUTS; o++) total[o] = all(s.bias ? s.bias[first + o] : 0.0f);
    const float* w = s.weight + (int64_t)first * ins;
    for (int i = 0; i < ins; i++, w++) {
        const V value = x[i];
        UNROLL for (int o = 0; o < OUTS; o++) total[o] += all(w[(int64_t)o * ins]) * value;
    }
    UNROLL for (int o = 0; o < OUTS; o++) y[first + o] = activated(total[o], s.activation, s.slope);
}

static void linear_forward(const Stage& s, const V* x, V* y) {
    const int ins = (int)count(s.input), outs = s.output.channels;
    in_parts<MOST[1]>({outs, MOST[1]}, [&](int o, auto many) { linear_block<many>(s, x, ins, o, y); });
}

template <int INS>
static void linear_input_block(const Stage& s, const V* dz, int ins, int first, V* dx) {
    V total[INS] = {};
    const float* w = s.weight + first;
    for (int o = 0; o < s.output.channels; o++, w += ins) {
        const V error = dz[o];
        UNROLL for (int i = 0; i < INS; i++) total[i] += all(w[i]) * error;
    }
    UNROLL for (int i = 0; i < INS; i++) dx[first + i] = total[i];
}

static void linear_input(const Stage& s, const V* dz, V* dx) {
    const int ins = (int)count(s.input);
    in_parts<MOST[1]>({ins, MOST[1]}, [&](int i, auto many) { linear_input_block<many>(s, dz, ins, i, dx); });
}

// Rows of the inputs of a chunk's samples, each `stride` long (a multiple of LANES); beyond `ins` nothing is asked for.
static void transposed(const V* x, int ins, int stride, float* rows) {
    for (int i = 0; i < ins; i += LANES) {
        V v[LANES];
        UNROLL for (int k = 0; k < LANES; k++) v[k] = i + k < ins ? x[i + k] : V{};
        transpose(v);
        UNROLL for (int n = 0; n < LANES; n++) store(rows + (int64_t)n * stride + i, v[n]);
    }
}

template <int OUTS, int WIDE>
static void linear_weight_block(const float* dz, int64_t chunk, int chunks, const float* x, int stride, int ins, int from,
                                float* dw) {
    x += from;
    V total[OUTS][WIDE] = {};
    for (int c = 0; c < chunks; c++) {
        const float* error = dz + c * chunk;
        for (int n = 0; n < LANES; n++, x += stride, error++) {
            V value[WIDE];
            UNROLL for (int k = 0; k < WIDE; k++) value[k] = load(x + k * LANES);
            for (int k = 0; k < WIDE * LANES; k += 16)  // the next columns, perhaps from another core's cache
                __builtin_prefetch(x + WIDE * LANES + k);
            UNROLL for (int o = 0; o < OUTS; o++) {
                const V e = all(error[o * LANES]);
                UNROLL for (int k = 0; k < WIDE; k++) total[o][k] += e * value[k];
            }
        }
    }
    for (int o = 0; o < OUTS; o++)
        for (int k = 0; k < WIDE; k++) {
            float lanes[LANES];
            store(lanes, total[o][k]);
            const int at = from + k * LANES, left = ins - at;
            if (left > 0) memcpy(dw + (int64_t)o * ins + at, lanes, sizeof(float) * (left < LANES ? left : LANES));
        }
}

// Rows from ... to - 1 of dL/dW, and dL/db.  dz: [chunk][output][lane]; x: [sample][stride].
static void linear_weight(const float* dz, int64_t chunk, int chunks, const float* x, int stride, int ins, int from,
                          int to, float* dw, float* db) {
    constexpr int WIDE = 3, OUTS = MOST[WIDE];
    for (int i = 0; i < ins; i += WIDE * LANES)  // some columns of x, which stay in the cache for all the rows
        for (int row = from; row < to; row += OUTS)
            chosen<OUTS>(to - row < OUTS ? to - row : OUTS, [&](auto outs) {
                linear_weight_block<outs, WIDE>(dz + row * LANES, chunk, chunks, x, stride, ins, i,
                                                dw + (int64_t)row * ins);
            });
    if (db)
        for (int o = from; o < to; o++) {
            V total = {};
            for (int c = 0; c < chunks; c++) total += load(dz + c * chunk + o * LANES);
            db[o] = sum(total);
        }
}
