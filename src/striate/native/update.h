// From gradients to the next weights; the rules and their order are those of training/update.py.
#pragma once

#include <cmath>

#include "numbers.h"

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

// What acts on a vector of numbers: weights w, their gradient g.
INLINE V penalised(const Parameter& p, const Rule& r, float scale, V w, V g) {
    g *= all(scale);
    if (r.clip_value > 0) {
        const V bound = all(r.clip_value);
        g = g > bound ? bound : g < -bound ? -bound : g;
    }
    const V one = all(1.0f), sign = w > V{} ? one : w < V{} ? -one : V{};
    return p.l1 > 0 ? g + all(p.l1) * sign : g;
}

template <class Lanes>
INLINE void descend(const Parameter& p, const Rule& r, float scale, const float* gradient, int64_t k, Lanes lanes) {
    const V w = load(p.value + k, lanes);
    V g = penalised(p, r, scale, w, load(gradient + k, lanes)) + all(p.decay) * w;
    if (p.first) {
        const V v = all(r.momentum) * load(p.first + k, lanes) + g;
        store(p.first + k, v, lanes);
        g = r.nesterov ? g + all(r.momentum) * v : v;
    }
    store(p.value + k, w - all(r.lr * p.lr_factor) * g, lanes);
}

template <class Lanes>
INLINE void adapt(const Parameter& p, const Rule& r, float scale, const float* gradient, int64_t k, Lanes lanes) {
    const float lr = r.lr * p.lr_factor;
    const V w = load(p.value + k, lanes), m0 = load(p.first + k, lanes), v0 = load(p.second + k, lanes);
    V g = penalised(p, r, scale, w, load(gradient + k, lanes));
    if (r.optimizer == ADAM) g += all(p.decay) * w;
    const V kept = r.optimizer == ADAMW ? w - all(lr * p.decay) * w : w;
    const V m = m0 + all(1 - r.beta1) * (g - m0), v = all(r.beta2) * v0 + all(1 - r.beta2) * g * g;
    store(p.first + k, m, lanes);
    store(p.second + k, v, lanes);
    const V divisor = root(v) / all(std::sqrt(r.correction2)) + all(r.eps);
    store(p.value + k, kept - all(lr / r.correction1) * m / divisor, lanes);
}

// Numbers from ... to - 1 of a tensor; `scale`: what clipping by norm leaves of the gradient.
static void update(const Parameter& p, const Rule& r, float scale, const float* gradient, int64_t from, int64_t to) {
    gradient += p.at;
    each(from, to, [&](int64_t k, auto lanes) {
        r.optimizer == SGD ? descend(p, r, scale, gradient, k, lanes) : adapt(p, r, scale, gradient, k, lanes);
    });
}
