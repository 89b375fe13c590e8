// From numbers to the values of their polynomial at six points, and back; calculus/winograd.py has the matrices G, B, A.
#pragma once

#include "vector.h"

constexpr int POINTS = 6, PLACES = POINTS * POINTS;  // along an axis: 0, 1, -1, 2, -2 and infinity; of a tile

#define ALONG inline __attribute__((always_inline)) void operator()

// B^T d, along one axis.
struct ToValues {
    ALONG(const V (&d)[6], V (&v)[6]) const {
        const V two = all(2.0f), four = all(4.0f);
        const V even = d[4] - four * d[2], odd = d[3] - four * d[1], near = d[4] - d[2], far = d[3] - d[1];
        v[0] = near + four * (d[0] - d[2]);
        v[1] = even + odd, v[2] = even - odd;
        v[3] = near + two * far, v[4] = near - two * far;
        v[5] = (d[5] - d[3]) - four * far;
    }
};

// B v.
struct FromValues {
    ALONG(const V (&v)[6], V (&d)[6]) const {
        const V two = all(2.0f), three = all(3.0f), four = all(4.0f), five = all(5.0f);
        const V p = v[1] + v[2], q = v[1] - v[2], r = v[3] + v[4], t = v[3] - v[4], u = q + two * t;
        d[0] = four * v[0];
        d[4] = v[0] + p + r;
        d[2] = -(d[4] + d[0]) - three * p;
        d[3] = u - five * v[5];
        d[1] = four * v[5] - (u + three * q);
        d[5] = v[5];
    }
};

// A^T v.
struct ToOutputs {
    ALONG(const V (&v)[6], V (&y)[2]) const {
        y[0] = v[0] + (v[1] + v[2]) + (v[3] + v[4]);
        y[1] = (v[1] - v[2]) + all(2.0f) * (v[3] - v[4]) + v[5];
    }
    ALONG(const V (&v)[6], V (&y)[4]) const {
        const V p = v[1] + v[2], q = v[1] - v[2], r = v[3] + v[4], t = v[3] - v[4];
        y[0] = v[0] + p + r, y[1] = q + all(2.0f) * t;
        y[2] = p + all(4.0f) * r, y[3] = q + all(8.0f) * t + v[5];
    }
};

// A y.
struct FromOutputs {
    ALONG(const V (&y)[2], V (&v)[6]) const {
        const V two = all(2.0f);
        v[0] = y[0], v[1] = y[0] + y[1], v[2] = y[0] - y[1];
        v[3] = y[0] + two * y[1], v[4] = y[0] - two * y[1], v[5] = y[1];
    }
    ALONG(const V (&y)[4], V (&v)[6]) const {
        const V even = y[0] + y[2], odd = y[1] + y[3];
        const V near = y[0] + all(4.0f) * y[2], far = y[1] + all(4.0f) * y[3];
        v[0] = y[0], v[1] = even + odd, v[2] = even - odd;
        v[3] = near + all(2.0f) * far, v[4] = near - all(2.0f) * far, v[5] = y[3];
    }
};

// G w: values at the points, as products of which B^T d and A^T want them.
struct KernelValues {
    ALONG(const V (&w)[3], V (&u)[6]) const { values(w[0] + w[2], w[1], w[0] + all(4.0f) * w[2], w[1], w[0], w[2], u); }
    ALONG(const V (&w)[5], V (&u)[6]) const {
        const V four = all(4.0f), sixteen = all(16.0f);
        values(w[0] + w[2] + w[4], w[1] + w[3], w[0] + four * w[2] + sixteen * w[4], w[1] + four * w[3], w[0], w[4], u);
    }

   private:
    // Of the even powers and of the odd ones at 1, then at 2, the odd ones halved.
    INLINE void values(V even, V odd, V even2, V odd2, V first, V last, V (&u)[6]) {
        const V sixth = all(-1 / 6.0f), part = all(1 / 24.0f);
        u[0] = all(0.25f) * first, u[1] = sixth * (even + odd), u[2] = sixth * (even - odd);
        u[3] = part * (even2 + all(2.0f) * odd2), u[4] = part * (even2 - all(2.0f) * odd2), u[5] = last;
    }
};

// G^T u.
struct KernelGradient {
    template <int K>
    ALONG(const V (&u)[6], V (&w)[K]) const {
        const V sixth = all(-1 / 6.0f), part = all(1 / 24.0f);
        const V p = sixth * (u[1] + u[2]), q = sixth * (u[1] - u[2]), r = part * (u[3] + u[4]), t = part * (u[3] - u[4]);
        w[0] = all(0.25f) * u[0] + p + r, w[1] = q + all(2.0f) * t, w[2] = p + all(4.0f) * r;
        if constexpr (K == 5) w[3] = q + all(8.0f) * t, w[4] = p + all(16.0f) * r;
        w[K - 1] += u[5];
    }
};

// Along the columns, then along the rows: what get(i, j) gives comes to put(i, j, value).
template <int FROM, int TO, class Axis, class Get, class Put>
INLINE void both(Axis along, Get&& get, Put&& put) {
    V half[TO][FROM];
    UNROLL for (int j = 0; j < FROM; j++) {
        V in[FROM], out[TO];
        UNROLL for (int i = 0; i < FROM; i++) in[i] = get(i, j);
        along(in, out);
        UNROLL for (int i = 0; i < TO; i++) half[i][j] = out[i];
    }
    UNROLL for (int i = 0; i < TO; i++) {
        V out[TO];
        along(half[i], out);
        UNROLL for (int j = 0; j < TO; j++) put(i, j, out[j]);
    }
}

#undef ALONG
