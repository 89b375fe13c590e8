// From gradients to the next weights; the rules and their order are those of training/update.py.
#pragma once

#include <cmath>

#include "vector.h"

// A tensor of parameters.  Python's mirror: `Parameter` in program.py.
struct Parameter {
    float *value, *first, *second;  // weights; the optimiser's memory: momentum, or Adam's two means
    int64_t at, size;               // where its gradient begins, and its length
    float lr_factor, decay, l1;
};

enum Optimizer { SGD, ADAM, ADAMW };

// What an update is told.  Python's mirror: `Rule` in program.py.
struct Rule {
    int32_t optimizer, nesterov;
    float lr, momentum, beta1, beta2, eps;
    float correction1, correction2;  // Adam: 1 - beta^t
    float clip_norm, clip_value;     // <= 0: none
};

INLINE float clipped(float g, float scale, float bound) {
    g *= scale;
    if (bound > 0) g = g > bound ? bound : g < -bound ? -bound : g;
    return g;
}

// Numbers from ... to - 1 of a tensor; `scale`: what clipping by norm leaves of the gradient.
static void update(const Parameter& p, const Rule& r, float scale, float* gradient, int64_t from, int64_t to) {
    const float lr = r.lr * p.lr_factor, root = std::sqrt(r.correction2);
    for (int64_t k = from; k < to; k++) {
        const float w = p.value[k];
        float g = clipped(gradient[p.at + k], scale, r.clip_value);
        g += p.l1 * (float)((w > 0) - (w < 0));
        if (r.optimizer == SGD) {
            g += p.decay * w;
            if (p.first) {
                const float v = p.first[k] = r.momentum * p.first[k] + g;
                g = r.nesterov ? g + r.momentum * v : v;
            }
            p.value[k] = w - lr * g;
            continue;
        }
        const float kept = r.optimizer == ADAMW ? w - lr * p.decay * w : w;
        if (r.optimizer == ADAM) g += p.decay * w;
        const float m = p.first[k] += (1 - r.beta1) * (g - p.first[k]);
        const float v = p.second[k] = r.beta2 * p.second[k] + (1 - r.beta2) * g * g;
        p.value[k] = kept - lr / r.correction1 * m / (std::sqrt(v) / root + r.eps);
    }
}
