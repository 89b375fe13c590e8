// The gradient of all weights, made piece by piece of what the chunks have brought, and the update.
//
// Convolutions' sums come slot by slot, linear stages bring errors and inputs, normalisations the shares of norms.h.  A
// piece is one thread's, and its order does not depend on which.
#pragma once

#include "linear.h"
#include "norms.h"

INLINE void add(float* __restrict to, const float* __restrict from, int64_t number) {
    for (int64_t k = 0; k < number; k++) to[k] += from[k];
}

// The sum of squares, in eight sums.
INLINE double squared(const float* x, int64_t number) {
    double sums[8] = {};
    int64_t k = 0;
    for (; k + 8 <= number; k += 8)
        UNROLL for (int lane = 0; lane < 8; lane++) sums[lane] += (double)x[k + lane] * x[k + lane];
    for (; k < number; k++) sums[0] += (double)x[k] * x[k];
    return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

class Gradient {
   public:
    Gradient(const Layout& lay, int chunks, int slots)
        : lay_(lay),
          slots_(slots),
          rows_(lay.stages.size()),
          errors_(lay.stages.size()),
          sums_(slots * lay.shared),
          gradient_(lay.gradients),
          squares_(lay.pieces.size()) {
        for (size_t k = 0; k < lay.stages.size(); k++) {
            const Stage& s = lay.stages[k];
            if (s.kind != LINEAR) continue;
            rows_[k].resize((size_t)chunks * stride(s));
            errors_[k].resize((size_t)chunks * s.output.channels);
        }
    }

    void begin(int chunks) { chunks_ = chunks; }

    // A slot's sums of all convolutions begin anew.
    void begin_slot(int slot) {
        if (lay_.shared) memset(sums_.data() + slot * lay_.shared, 0, sizeof(float) * lay_.shared);
    }

    // A slot's sums of a convolution's weights, those of its bias behind them.
    float* sums(int slot, int k) { return sums_.data() + slot * lay_.shared + lay_.at[k]; }

    // A chunk's errors of a linear stage's outputs.
    V* errors(int k, int chunk) { return errors_[k].data() + (int64_t)chunk * lay_.stages[k].output.channels; }

    // A chunk brings the inputs of a linear stage.
    void bring(int k, int chunk, const V* x) {
        const Stage& s = lay_.stages[k];
        transposed(x, (int)count(s.input), stride(s), (float*)(rows_[k].data() + (int64_t)chunk * stride(s)));
    }

    void reduce(int which, Norms& norms) { squares_[which] = reduce(lay_.pieces[which], norms); }

    double norm() const {
        double total = 0;
        for (double s : squares_) total += s;
        return std::sqrt(total);
    }

    // Update a piece's numbers.
    void change(int which, const Rule& rule) const {
        const Piece& piece = lay_.pieces[which];
        const double norm = this->norm();
        const float bound = rule.clip_norm, scale = bound > 0 && norm > bound ? (float)(bound / norm) : 1.0f;
        const Stage& s = lay_.stages[piece.stage];
        const int64_t wide = s.kind == LINEAR ? count(s.input) : 1;
        if (piece.bias || s.kind == LINEAR) change(rule, s.bias_at, scale, piece.from, piece.to);
        if (!piece.bias) change(rule, s.weight_at, scale, piece.from * wide, piece.to * wide);
    }

    float* data() { return gradient_.data(); }

   private:
    static int stride(const Stage& s) {
        const int wide = 3 * LANES;
        return (int)(count(s.input) + wide - 1) / wide * wide;
    }

    void change(const Rule& rule, int64_t at, float scale, int64_t from, int64_t to) const {
        for (const Parameter& p : lay_.parameters)
            if (p.at == at) update(p, rule, scale, gradient_.data(), from, to);
    }

    // A piece, and the sum of its squares.
    double reduce(const Piece& piece, Norms& norms) {
        const Stage& s = lay_.stages[piece.stage];
        const int64_t at = piece.bias ? s.bias_at : s.weight_at, wide = s.kind == LINEAR ? count(s.input) : 1;
        float* out = gradient_.data() + at;
        double squares = 0;
        switch (s.kind) {
            case LINEAR: squares = of_linear(piece, out); break;
            case BATCH_NORM: of_norm(piece, norms, out); break;
            case CONV: s.tile && !piece.bias ? of_tiles(piece, out) : of_sums(piece, out);
        }
        return squares + squared(out + piece.from * wide, (piece.to - piece.from) * wide);
    }

    // Its bias as well; the sum of that one's squares.
    double of_linear(const Piece& piece, float* out) {
        const Stage& s = lay_.stages[piece.stage];
        const int k = piece.stage, from = (int)piece.from, to = (int)piece.to, outs = s.output.channels;
        float* db = s.bias_at >= 0 ? gradient_.data() + s.bias_at : nullptr;
        linear_weight((const float*)errors_[k].data(), (int64_t)outs * LANES, chunks_, (const float*)rows_[k].data(),
                      stride(s), (int)count(s.input), from, to, out, db);
        return db ? squared(db + from, to - from) : 0;
    }

    void of_norm(const Piece& piece, Norms& norms, float* out) {
        const int n = lay_.norm_of(piece.stage);
        for (int64_t c = piece.from; c < piece.to; c++) {
            const Share total = norms.errors(n, (int)c);
            out[c] = (float)(piece.bias ? total.mean : total.squares);
        }
    }

    void of_tiles(const Piece& piece, float* out) {
        const Stage& s = lay_.stages[piece.stage];
        const ConvPlan& p = lay_.plans[piece.stage];
        const int64_t size = s.kernel[0] * s.kernel[1], number = (int64_t)p.ins * p.outs;
        tiled(s, p, [&](auto tiles) {
            kernel_gradients<tiles.KERNEL>(sums(0, piece.stage), used(), lay_.shared, number, piece.from / size,
                                           piece.to / size, out);
        });
    }

    void of_sums(const Piece& piece, float* out) {
        const int64_t from = piece.from, number = piece.to - from;
        const float* first = sums(0, piece.stage) + (piece.bias ? lay_.sums(piece.stage) : 0) + from;
        memcpy(out + from, first, sizeof(float) * number);
        for (int slot = 1; slot < used(); slot++) add(out + from, first + slot * lay_.shared, number);
    }

    int used() const { return chunks_ < slots_ ? chunks_ : slots_; }

    const Layout& lay_;
    int slots_, chunks_ = 0;
    std::vector<std::vector<V>> rows_, errors_;
    std::vector<float> sums_, gradient_;
    std::vector<double> squares_;  // of every piece
};
