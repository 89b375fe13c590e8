// Functions of each number, and their slopes told from what came out.
//
//     relu          max(x, 0)                          y > 0
//     leaky_relu    x, or s x below 0  (s > 0)         1, or s
//     elu           x, or a (e^x - 1) below 0          1, or y + a
//     sigmoid       1 / (1 + e^-x)                     y (1 - y)
//     tanh          tanh x                             1 - y^2
//     scaled_tanh   1.7159 tanh(2 x / 3)               (2 / 3) (1.7159 - y^2 / 1.7159)
#pragma once

#include <type_traits>

#include "maps.h"

enum Function { IDENTITY, RELU, LEAKY_RELU, ELU, SIGMOID, TANH, SCALED_TANH };
constexpr float AMPLITUDE = 1.7159f, STEEPNESS = 2.0f / 3.0f;

// e^x = 2^n e^r with |r| <= ln 2 / 2; e^r by a polynomial (Cephes' expf).  Below -87 it is e^-87, above 88 e^88.
INLINE V exponential(V x) {
    x = largest(all(-87.0f), x);  // in this order what is not a number stays so
    x = x > all(88.0f) ? all(88.0f) : x;
    const V magic = all(12582912.0f);  // 1.5 2^23: adding it rounds to the nearest whole number
    const V n = (x * all(1.44269504f) + magic) - magic;
    V r = x - n * all(0.693359375f);
    r = r - n * all(-2.12194440e-4f);
    V p = all(1.9875691500e-4f);
    p = p * r + all(1.3981999507e-3f);
    p = p * r + all(8.3334519073e-3f);
    p = p * r + all(4.1665795894e-2f);
    p = p * r + all(1.6666665459e-1f);
    p = p * r + all(5.0000001201e-1f);
    p = p * (r * r) + (r + all(1.0f));
    const M power = (__builtin_convertvector(n, M) + 127) << 23;
    V scale;
    memcpy(&scale, &power, sizeof scale);
    return p * scale;
}

INLINE V sigmoid(V x) { return all(1.0f) / (all(1.0f) + exponential(-x)); }

// By its series near 0, where the quotient would lose digits.
INLINE V tangent(V x) {
    const V e = exponential(x + x), far = (e - all(1.0f)) / (e + all(1.0f)), q = x * x;
    V near = all(-5.70498872745e-3f);
    near = near * q + all(2.06390887954e-2f);
    near = near * q + all(-5.37397155531e-2f);
    near = near * q + all(1.33314422036e-1f);
    near = near * q + all(-3.33332819422e-1f);
    near = near * q * x + x;
    return (q < all(0.39f)) ? near : far;
}

// e^x - 1 for x <= 0, exact near 0.
INLINE V less_one(V x) {
    const V half = tangent(x * all(0.5f));
    return all(2.0f) * half / (all(1.0f) - half);
}

// Apart from those that are short, and used most, once in the program: the loops that end with them stay small.
__attribute__((noinline)) static V curved(V x, int function, float slope) {
    switch (function) {
        case ELU: return x > all(0.0f) ? x : all(slope) * less_one(x > all(0.0f) ? all(0.0f) : x);
        case SIGMOID: return sigmoid(x);
        case TANH: return tangent(x);
        default: return all(AMPLITUDE) * tangent(all(STEEPNESS) * x);
    }
}

INLINE V activated(V x, int function, float slope) {
    switch (function) {
        case IDENTITY: return x;
        case RELU: return largest(all(0.0f), x);
        case LEAKY_RELU: return x > all(0.0f) ? x : x * all(slope);
        default: return curved(x, function, slope);
    }
}

static void pointwise(const Stage& s, const V* x, V* y) {
    for (int c = 0; c < s.input.channels; c++)
        for (int row = 0; row < s.input.height; row++)
            for (int u = 0; u < s.input.width; u++)
                y[place(s.output, c, row) + u] = activated(x[place(s.input, c, row) + u], s.activation, s.slope);
}

// dL/dx from dL/dy and y.
INLINE V pulled(V dy, V y, int function, float slope) {
    switch (function) {
        case RELU: return y > all(0.0f) ? dy : all(0.0f);
        case LEAKY_RELU: return y > all(0.0f) ? dy : dy * all(slope);
        case ELU: return y > all(0.0f) ? dy : dy * (y + all(slope));
        case SIGMOID: return dy * y * (all(1.0f) - y);
        case TANH: return dy * (all(1.0f) - y * y);
        case SCALED_TANH: return dy * all(STEEPNESS) * (all(AMPLITUDE) - y * y * all(1.0f / AMPLITUDE));
        default: return dy;
    }
}

// f with the function told when the program is made, where it is one of those that are used most.
template <class F>
INLINE void by_function(int function, F&& f) {
    if (function == RELU) return f(std::integral_constant<int, RELU>());
    if (function == IDENTITY) return f(std::integral_constant<int, IDENTITY>());
    f(function);
}
