// Softmax and cross-entropy, with label smoothing e and class weights w, as torch counts them:
//
//     a_c = (1 - e) w_t [c = t] + (e / C) w_c        L = sum_n sum_c a_c (log sum exp z - z_c) / sum_n w_t
//     dL/dz_c = (A p_c - a_c) / sum_n w_t            A = sum_c a_c, p = softmax(z)
//
// Against probabilities q in place of a class:  a_c = w_c ((1 - e) q_c + e / C), and the sum is over samples.
//
// Against numbers t, over all outputs of all samples:  L = sum (z - t)^2 / (n C)        dL/dz = 2 (z - t) / (n C)
#pragma once

#include <cmath>

#include "activation.h"

struct Targets {
    const int64_t* labels;      // (n,), or null
    const float* probabilities;  // (n, classes), or null
    const float* numbers;        // (n, classes), or null; where they are there, the loss is that of numbers
    const float* weights;       // (classes,), or null: 1
    float smoothing;
    int32_t classes;
};

static double total_weight(const Targets& t, int64_t n) {
    if (t.numbers) return (double)n * t.classes;
    if (!t.weights || !t.labels) return (double)n;
    double total = 0;
    for (int64_t k = 0; k < n; k++) total += t.weights[t.labels[k]];
    return total;
}

static double squares(const Targets& t, int64_t first, int live, double total, const V* z, V* dz) {
    double loss = 0;
    for (int c = 0; c < t.classes; c++) {
        dz[c] = V{};
        for (int n = 0; n < live; n++) {
            const double error = (double)z[c][n] - t.numbers[(first + n) * t.classes + c];
            loss += error * error;
            dz[c][n] = (float)(2 * error / total);
        }
    }
    return loss / total;
}

// Loss of a chunk of `live` samples from `first` on, in the mean's share; dz of its logits.
static double loss_forward(const Targets& t, int64_t first, int live, double total, const V* z, V* dz) {
    if (t.numbers) return squares(t, first, live, total, z, dz);
    const int C = t.classes;
    V most = z[0], denominator = {};
    for (int c = 1; c < C; c++) most = largest(most, z[c]);
    for (int c = 0; c < C; c++) {
        dz[c] = exponential(z[c] - most);  // p_c times the denominator, for now
        denominator += dz[c];
    }
    double loss = 0;
    for (int c = 0; c < C; c++) dz[c] /= denominator;
    float* out = (float*)dz;
    for (int n = 0; n < LANES; n++) {
        if (n >= live) {
            for (int c = 0; c < C; c++) out[c * LANES + n] = 0;
            continue;
        }
        const double top = most[n], log_sum = std::log((double)denominator[n]);
        const int64_t label = t.labels ? t.labels[first + n] : -1;
        const float* q = t.probabilities ? t.probabilities + (first + n) * C : nullptr;
        double all_a = 0;
        for (int c = 0; c < C; c++) {
            const double w = t.weights ? t.weights[c] : 1.0, hit = q ? q[c] : (c == label);
            all_a += w * ((1.0 - t.smoothing) * hit + t.smoothing / C);
        }
        for (int c = 0; c < C; c++) {
            const double w = t.weights ? t.weights[c] : 1.0, hit = q ? q[c] : (c == label);
            const double a = w * ((1.0 - t.smoothing) * hit + t.smoothing / C);
            if (a != 0) loss += a * (log_sum - ((double)z[c][n] - top));
            out[c * LANES + n] = (float)((all_a * out[c * LANES + n] - a) / total);
        }
    }
    return loss / total;
}
