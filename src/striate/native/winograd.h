// Convolution with fewer multiplications, forward and back; calculus/winograd.py has the matrices and where they are from.
//
// A tile of M x M outputs is made of 6 x 6 inputs d with a kernel w of K x K, M + K = 7.  Taken as polynomials, both are
// known by their values at six points, 0, 1, -1, 2, -2 and infinity, and there the sum of K x K products is one product:
//
//     v = B^T d B        u = G w G^T        y = A^T [sum_c u v] A
//
// All of it is linear in d and in w, so the way back is the same matrices transposed:
//
//     e = A dy A^T       dd = B [sum_o u e] B^T        dw = G^T [sum_tiles e v] G
//
// Each of the three sums is 36 small matrix products, one for each pair of points: 36 multiplications for a tile where
// the plain sum takes M^2 K^2, 144 for kernels of 3 x 3 and 100 for those of 5 x 5.
#pragma once

#include "conv_back.h"
#include "numbers.h"
#include "points.h"

constexpr int TILES = 16;  // that the way back takes at once; a multiple of PIXELS
constexpr int GROUP = 12;  // channels whose values at the points are made before any is made outputs of
constexpr int STRIP = PLACES + 1;  // of a channel, places of tiles: those of a tile are near, for a processor knows few pages
                                   // at once; one more, for as powers of two apart all would want the same lines of a cache

// The kernels of LANES pairs of channels, numbers o ins + c from `first` on, as vectors; those past the end are 0.
static void spread(const float* w, int64_t first, int64_t number, int size, V* to) {
    const int live = number - first < LANES ? (int)(number - first) : LANES;
    for (int k = 0; k < size; k++) to[k] = V{};
    for (int n = 0; n < live; n++)
        for (int k = 0; k < size; k++) ((float*)(to + k))[n] = w[(first + n) * size + k];
}

// Values of all kernels of an output channel: [place][input][output] forward, [place][output][input] back.
template <int K>
static void pack_values(const Stage& s, const ConvPlan& p, int o, float* forward, float* back) {
    const int64_t all = (int64_t)p.ins * p.outs;
    for (int c = 0; c < p.ins; c += LANES) {
        V w[K * K];
        spread(s.weight + (int64_t)o * p.ins * K * K, c, p.ins, K * K, w);
        const int live = p.ins - c < LANES ? p.ins - c : LANES;
        both<K, POINTS>(KernelValues{}, [&](int i, int j) { return w[i * K + j]; }, [&](int i, int j, V u) {
            const int64_t at = (i * POINTS + j) * all;
            memcpy(back + at + o * p.ins + c, &u, sizeof(float) * live);
            for (int n = 0; n < live; n++) forward[at + (c + n) * p.outs + o] = u[n];
        });
    }
}

// The gradient of kernels first ... end - 1 from that of their values, the sum of `slots` that lie `over` apart.
template <int K>
static void kernel_gradients(const float* du, int slots, int64_t over, int64_t number, int64_t first, int64_t end, float* dw) {
    each(first, end, [&](int64_t n, auto lanes) {
        const auto get = [&](int i, int j) {
            const float* at = du + (i * POINTS + j) * number + n;
            V total = load(at, lanes);
            for (int slot = 1; slot < slots; slot++) total += load(at + slot * over, lanes);
            return total;
        };
        const int live = end - n < LANES ? (int)(end - n) : LANES;
        both<POINTS, K>(KernelGradient{}, get, [&](int i, int j, V w) {
            for (int lane = 0; lane < live; lane++) dw[(n + lane) * K * K + i * K + j] = w[lane];
        });
    });
}

// What a thread writes on the way: values of inputs, of errors, of sums.
struct Values {
    std::vector<V> x, e, sums;

    void fit(int ins, int outs) {
        const auto grow = [](std::vector<V>& v, size_t size) { v.resize(v.size() > size ? v.size() : size); };
        grow(x, (size_t)ins * STRIP * TILES);
        grow(e, (size_t)outs * STRIP * TILES);
        grow(sums, (size_t)PLACES * GROUP * PIXELS);
    }
};

// sums[f][k][t] = sum_j u[f][j][k] v[f][j][t]
template <int OUTS, int MANY>
static void products(const float* u, int64_t wide, const V* v, int64_t over, int inner, V* sums) {
    V sum[OUTS][MANY] = {};
    for (int j = 0; j < inner; j++, u += wide, v += over) {
        V weight[OUTS];
        UNROLL for (int k = 0; k < OUTS; k++) weight[k] = all(u[k]);
        UNROLL for (int t = 0; t < MANY; t++) {
            const V value = v[t];
            UNROLL for (int k = 0; k < OUTS; k++) sum[k][t] += weight[k] * value;
        }
    }
    UNROLL for (int k = 0; k < OUTS; k++) UNROLL for (int t = 0; t < MANY; t++) sums[k * PIXELS + t] = sum[k][t];
}

// For `n` channels and up to PIXELS tiles; `step`: vectors from place to place.
static void all_products(const float* u, int wide, const V* v, int step, int inner, int n, int tiles, V* sums) {
    chosen<PIXELS>(tiles, [&](auto many) {
        const Parts blocks(n, MOST[many]);
        for (int f = 0; f < PLACES; f++, u += (int64_t)inner * wide, v += step, sums += GROUP * PIXELS)
            in_parts<MOST[many]>(blocks, [&](int k, auto outs) {
                products<outs, many>(u + k, wide, v, STRIP * step, inner, sums + k * PIXELS);
            });
    });
}

// du[f][o][c] += sum_t e[f][o][t] v[f][c][t]
template <int OUTS, int INS>
static void gradient_block(const V* e, const V* v, int tiles, int64_t ins, float* du) {
    V total[OUTS][INS] = {};
    for (int t = 0; t < tiles; t++) {
        V error[OUTS];
        UNROLL for (int o = 0; o < OUTS; o++) error[o] = e[o * STRIP * TILES + t];
        UNROLL for (int c = 0; c < INS; c++) {
            const V value = v[c * STRIP * TILES + t];
            UNROLL for (int o = 0; o < OUTS; o++) total[o][c] += error[o] * value;
        }
    }
    UNROLL for (int o = 0; o < OUTS; o++) {
        float sums[4];
        sum4(total[o][0], total[o][INS > 1 ? 1 : 0], total[o][INS > 2 ? 2 : 0], total[o][INS > 3 ? 3 : 0], sums);
        UNROLL for (int c = 0; c < INS; c++) du[o * ins + c] += sums[c];
    }
}

static void all_gradients(const ConvPlan& p, const V* e, const V* v, int tiles, float* du) {
    const Parts inputs(p.ins, PIXELS), outputs[] = {{0, 1}, {p.outs, MOST[1]}, {p.outs, MOST[2]}, {p.outs, MOST[3]}, {p.outs, MOST[4]}};
    for (int f = 0; f < PLACES; f++, du += (int64_t)p.outs * p.ins, e += TILES, v += TILES)
        in_parts<PIXELS>(inputs, [&](int c, auto ins) {
            in_parts<MOST[ins]>(outputs[ins], [&](int o, auto outs) {
                gradient_block<outs, ins>(e + (int64_t)o * STRIP * TILES, v + (int64_t)c * STRIP * TILES, tiles, p.ins,
                                          du + (int64_t)o * p.ins + c);
            });
        });
}

// What `get` of a map gives from (row, column) on; beyond its end it is 0.
template <int SIZE, class F>
INLINE void window_of(const V* from, int rows, int cols, int row, int column, F&& f) {
    from += (int64_t)row * cols + column;
    if (row + SIZE <= rows && column + SIZE <= cols) return f([&](int i, int j) { return from[i * cols + j]; });
    f([&](int i, int j) { return row + i < rows && column + j < cols ? from[i * cols + j] : V{}; });
}

template <int SIDE>
struct Winograd {
    static constexpr int KERNEL = POINTS + 1 - SIDE;
    const Stage& s;
    const ConvPlan& p;
    const int across = (p.wide + SIDE - 1) / SIDE, tiles = across * ((p.high + SIDE - 1) / SIDE);

    int row(int tile) const { return tile / across * SIDE; }
    int column(int tile) const { return tile % across * SIDE; }

    // Values of the inputs of tiles first ... first + many - 1.
    void inputs(const V* x, int first, int many, int step, V* to) const {
        for (int c = 0; c < p.ins; c++)
            for (int t = 0; t < many; t++) {
                V* own = to + (int64_t)c * STRIP * step + t;
                window_of<POINTS>(x + c * plane(s.input), s.input.rows, s.input.cols, row(first + t), column(first + t),
                                  [&](auto get) {
                    both<POINTS, POINTS>(ToValues{}, get, [&](int i, int j, V v) { own[(i * POINTS + j) * step] = v; });
                });
            }
    }

    // Values of the errors of the convolution's own outputs; adds to dL/db.
    void errors(const Made& made, int first, int many, V* to, float* db) const {
        for (int o = 0; o < p.outs; o++, to += (int64_t)STRIP * TILES) {
            V total = {};
            const auto value = [&](int t, auto&& pull) {
                V dz[SIDE][SIDE];
                pull(first + t, dz);
                UNROLL for (int k = 0; k < SIDE * SIDE; k++) total += dz[k / SIDE][k % SIDE];
                both<SIDE, POINTS>(FromOutputs{}, [&](int i, int j) { return dz[i][j]; },
                                   [&](int i, int j, V v) { to[(i * POINTS + j) * TILES + t] = v; });
            };
            if (made.norm) {
                const auto error = made.norm->channel(o);
                for (int t = 0; t < many; t++)
                    value(t, [&](int tile, auto& dz) { pulled_all(made, error, tile, o, dz); });
            } else if (s.pooled) {
                for (int t = 0; t < many; t++) value(t, [&](int tile, auto& dz) { pulled_largest(made, tile, o, dz); });
            } else {
                const V* dy = made.dy + (int64_t)o * p.high * p.wide;
                const auto error = [&](int i, int j) { return dy[i * p.wide + j]; };
                for (int t = 0; t < many; t++)
                    value(t, [&](int tile, auto& dz) { pulled_all(made, error, tile, o, dz); });
            }
            if (db) db[o] += sum(total);
        }
    }

    // error(row, column): of what came out.
    template <class F>
    void pulled_all(const Made& made, F&& error, int tile, int o, V (&dz)[SIDE][SIDE]) const {
        const int r = row(tile), q = column(tile);
        const V* y = made.y + place(s.output, o, r) + q;
        UNROLL for (int i = 0; i < SIDE; i++) UNROLL for (int j = 0; j < SIDE; j++)
            dz[i][j] = r + i < p.high && q + j < p.wide
                           ? pulled(error(r + i, q + j), y[i * s.output.cols + j], s.activation, s.slope)
                           : V{};
    }

    void pulled_largest(const Made& made, int tile, int o, V (&dz)[SIDE][SIDE]) const {
        UNROLL for (int i = 0; i < SIDE; i += 2) UNROLL for (int j = 0; j < SIDE; j += 2) {
            const int r = (row(tile) + i) / 2, q = (column(tile) + j) / 2;
            const bool inside = r < s.output.height && q < s.output.width;  // an odd last row or column is in no window
            const int64_t at = ((int64_t)o * s.output.height + r) * s.output.width + q;
            const V y = inside ? made.y[place(s.output, o, r) + q] : V{}, dy = inside ? made.dy[at] : V{};
            unpooled(pulled(dy, y, s.activation, s.slope), inside ? made.which[at] : M{}, &dz[i][j], SIDE);
        }
    }

    // A tile's outputs of a channel go where they belong.
    template <class Keep>
    void put(const V* sums, int tile, int o, V* y, Keep keep) const {
        V z[SIDE][SIDE];
        const V bias = all(s.bias ? s.bias[o] : 0.0f);
        both<POINTS, SIDE>(ToOutputs{}, [&](int i, int j) { return sums[(i * POINTS + j) * GROUP * PIXELS]; },
                           [&](int i, int j, V v) { z[i][j] = v + bias; });
        s.pooled ? put_largest(z, tile, o, y, keep) : put_all(z, tile, o, y);
    }

    void put_all(const V (&z)[SIDE][SIDE], int tile, int o, V* y) const {
        const int high = p.high - row(tile), wide = p.wide - column(tile);
        V* to = y + place(s.output, o, row(tile)) + column(tile);
        UNROLL for (int i = 0; i < SIDE; i++) UNROLL for (int j = 0; j < SIDE; j++)
            if (i < high && j < wide) to[i * s.output.cols + j] = activated(z[i][j], s.activation, s.slope);
    }

    template <class Keep>
    void put_largest(const V (&z)[SIDE][SIDE], int tile, int o, V* y, Keep keep) const {
        UNROLL for (int i = 0; i < SIDE; i += 2) UNROLL for (int j = 0; j < SIDE; j += 2) {
            const int r = (row(tile) + i) / 2, q = (column(tile) + j) / 2;
            if (r >= s.output.height || q >= s.output.width) continue;
            const V four[4] = {z[i][j], z[i][j + 1], z[i + 1][j], z[i + 1][j + 1]};
            M winner;
            y[place(s.output, o, r) + q] = activated(largest_of(four, winner), s.activation, s.slope);
            keep(((int64_t)o * s.output.height + r) * s.output.width + q, winner);
        }
    }

    template <class Keep>
    void forward(const V* x, const float* u, Values& own, V* y, Keep keep) const {
        const Parts some(tiles, PIXELS);
        for (int b = 0; b < some.number; b++) {
            const int first = some.begin(b), many = some.length(b);
            inputs(x, first, many, PIXELS, own.x.data());
            for (int from = 0; from < p.outs; from += GROUP) {
                const int n = from + GROUP < p.outs ? GROUP : p.outs - from;
                all_products(u + from, p.outs, own.x.data(), PIXELS, p.ins, n, many, own.sums.data());
                for (int o = 0; o < n; o++)
                    for (int t = 0; t < many; t++)
                        put(own.sums.data() + o * PIXELS + t, first + t, from + o, y, keep);
            }
        }
    }

    // Adds to the values' gradient and to dL/db; both db and dx may be null.
    void backward(const Made& made, const V* x, const float* u, Values& own, float* du, float* db, V* dx) const {
        if (dx) memset(dx, 0, sizeof(V) * count(s.input));
        const Parts some(tiles, TILES);
        for (int b = 0; b < some.number; b++) {
            const int first = some.begin(b), many = some.length(b);
            inputs(x, first, many, TILES, own.x.data());
            errors(made, first, many, own.e.data(), db);
            all_gradients(p, own.e.data(), own.x.data(), many, du);
            const Parts few(many, PIXELS);
            for (int a = 0; dx && a < few.number; a++) input_gradient(u, own, first, few.begin(a), few.length(a), dx);
        }
    }

    // Of `many` tiles from number `at` of those that begin with `first`.
    void input_gradient(const float* u, Values& own, int first, int at, int many, V* dx) const {
        for (int from = 0; from < p.ins; from += GROUP) {
            const int n = from + GROUP < p.ins ? GROUP : p.ins - from;
            all_products(u + from, p.ins, own.e.data() + at, TILES, p.outs, n, many, own.sums.data());
            for (int c = 0; c < n; c++)
                for (int t = 0; t < many; t++) give(own.sums.data() + c * PIXELS + t, first + at + t, from + c, dx);
        }
    }

    // Tiles overlap in the input: each adds its part.
    void give(const V* sums, int tile, int c, V* dx) const {
        const int H = s.input.height, W = s.input.width, r = row(tile) - s.padding[0], q = column(tile) - s.padding[1];
        V* to = dx + ((int64_t)c * H + r) * W + q;
        const auto get = [&](int i, int j) { return sums[(i * POINTS + j) * GROUP * PIXELS]; };
        if (r >= 0 && q >= 0 && r + POINTS <= H && q + POINTS <= W)
            return both<POINTS, POINTS>(FromValues{}, get, [&](int i, int j, V d) { to[i * W + j] += d; });
        both<POINTS, POINTS>(FromValues{}, get, [&](int i, int j, V d) {
            if (r + i >= 0 && r + i < H && q + j >= 0 && q + j < W) to[i * W + j] += d;
        });
    }
};

template <class F>
INLINE void tiled(const Stage& s, const ConvPlan& p, F&& f) {
    s.kernel[0] == 3 ? f(Winograd<4>{s, p}) : f(Winograd<2>{s, p});
}
