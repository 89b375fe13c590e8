// A small network's training step as one program: forward, loss, backward, update.
//
// A batch is cut into chunks of LANES samples.  A chunk goes through all stages, and back, in the hands of one thread,
// with its activations in that thread's cache.  Batch normalisation looks at the whole batch, so there the threads meet,
// and every chunk keeps activations of its own.  Chunks belong to slots, whatever the number of threads; sums go slot by
// slot, so that no number depends on it.
#include <memory>
#include <new>
#include <type_traits>

#include "batch.h"
#include "conv.h"
#include "dropout.h"
#include "linear.h"
#include "loss.h"
#include "norm.h"
#include "pool.h"
#include "team.h"
#include "update.h"

constexpr int SLOTS = 8;             // more threads than these find no work
constexpr int64_t BLOCK = 4096;      // numbers of a tensor that are reduced, or updated, in one piece
constexpr int ROWS = 4 * MOST[3];    // rows of a matrix whose gradient is made in one piece

struct Result {
    double loss, norm;  // of the batch; of its gradient
    int32_t updated;
};

namespace {

// Activations, errors and winners of one chunk.
struct Room {
    std::vector<std::vector<V>> y, d;
    std::vector<std::vector<M>> which;
};

// A piece of the gradient: numbers (or rows of a matrix, and of its bias) from ... to - 1 of a stage's weights or bias.
struct Piece {
    int stage;
    bool bias;
    int64_t from, to;
};

void add(float* __restrict to, const float* __restrict from, int64_t number) {
    for (int64_t k = 0; k < number; k++) to[k] += from[k];
}

// The sum of squares, in eight sums.
double squared(const float* x, int64_t number) {
    double sums[8] = {};
    int64_t k = 0;
    for (; k + 8 <= number; k += 8)
        UNROLL for (int lane = 0; lane < 8; lane++) sums[lane] += (double)x[k + lane] * x[k + lane];
    for (; k < number; k++) sums[0] += (double)x[k] * x[k];
    return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

class Engine {
   public:
    Engine(const Stage* stages, int number, const Parameter* parameters, int tensors, int64_t largest, int threads)
        : stages_(stages, stages + number),
          parameters_(parameters, parameters + tensors),
          chunks_((int)((largest + LANES - 1) / LANES)),
          samples_(stages[0].input),
          team_(threads < 1 ? 1 : threads > SLOTS ? SLOTS : threads) {
        for (int k = 0; k < number; k++)
            if (stages_[k].kind == BATCH_NORM) norms_.push_back(k);
        layout();
        rooms_.resize(norms_.empty() ? team_.size() : chunks_);
        for (auto& room : rooms_) furnish(room);
        packed_.resize(number);
        for (int k = 0; k < number; k++) packed_[k].resize(2 * weights(k));
        error_.resize(team_.size());
        for (auto& e : error_) e.resize(widest_);
        sums_.resize(SLOTS * shared_);
        shares_.resize(norms_.size());
        moments_.resize(norms_.size());
        for (size_t n = 0; n < norms_.size(); n++) {
            shares_[n].resize((size_t)2 * chunks_ * stages_[norms_[n]].input.channels);
            moments_[n].resize((size_t)team_.size() * stages_[norms_[n]].input.channels);
        }
        losses_.resize(chunks_);
        squares_.resize(pieces_.size());
    }

    Result step(const Batch& batch, const Rule* rule) {
        batch_ = &batch, rule_ = rule;
        total_ = total_weight(batch.targets, batch.size);
        pack();
        team_.run([this](int thread) { train(thread); });
        return {loss_, norm_, updated_};
    }

    float* gradient() { return gradient_.data(); }

   private:
    int chunks() const { return (int)((batch_->size + LANES - 1) / LANES); }
    int live(int chunk) const {
        const int64_t left = batch_->size - (int64_t)chunk * LANES;
        return left < LANES ? (int)left : LANES;
    }
    Room& room(int thread, int chunk) { return rooms_[norms_.empty() ? thread : chunk]; }
    int64_t weights(int k) const {
        const Stage& s = stages_[k];
        return s.kind == CONV ? (int64_t)s.output.channels * plans_[k].taps : 0;
    }

    // Numbers of a stage's weights.
    int64_t values(int k) const {
        const Stage& s = stages_[k];
        const bool learns = s.kind == BATCH_NORM || s.kind == LINEAR;
        return s.kind == LINEAR ? s.output.channels * count(s.input) : learns ? s.input.channels : weights(k);
    }

    // Where everything lies: plans of convolutions, gradients that chunks add to, pieces of the reduction.
    void layout() {
        int64_t gradients = 0;
        plans_.resize(stages_.size()), rows_.resize(stages_.size()), errors_.resize(stages_.size());
        at_.resize(stages_.size());
        for (int k = 0; k < (int)stages_.size(); k++) {
            const Stage& s = stages_[k];
            if (s.kind == CONV) {
                plans_[k] = conv_plan(s);
                at_[k] = shared_;
                shared_ += weights(k) + s.output.channels;
                const int64_t wide = (int64_t)s.output.channels * plans_[k].high * plans_[k].wide;
                widest_ = widest_ > wide ? widest_ : wide;
            }
            if (s.kind == LINEAR) {
                rows_[k].resize((size_t)chunks_ * stride(s));
                errors_[k].resize((size_t)chunks_ * s.output.channels);
            }
            divide(k);
            const int64_t sizes[] = {s.weight_at + values(k), s.bias_at + s.output.channels};
            for (int64_t end : sizes) gradients = gradients > end ? gradients : end;
        }
        gradient_.resize(gradients);
    }

    void divide(int k) {
        const Stage& s = stages_[k];
        if (s.kind == LINEAR) {
            for (int row = 0; row < s.output.channels; row += ROWS)
                pieces_.push_back({k, false, row, row + ROWS < s.output.channels ? row + ROWS : s.output.channels});
            return;
        }
        const int64_t size = s.kind == CONV ? weights(k) : s.kind == BATCH_NORM ? s.input.channels : 0;
        for (int64_t from = 0; from < size; from += BLOCK)
            pieces_.push_back({k, false, from, from + BLOCK < size ? from + BLOCK : size});
        if (size && s.bias_at >= 0) pieces_.push_back({k, true, 0, s.output.channels});
    }

    void furnish(Room& room) {
        room.y.emplace_back(volume(stages_[0].input));
        room.d.emplace_back(0);  // nobody asks for the gradient of the input
        for (const Stage& s : stages_) {
            room.y.emplace_back(volume(s.output));
            room.d.emplace_back(count(s.output));
            const bool winners = s.kind == MAX_POOL || s.pooled || s.kind == DROPOUT;
            room.which.emplace_back(winners ? count(s.output) : 0);
        }
    }

    static int stride(const Stage& s) {
        const int wide = 3 * LANES;
        return (int)(count(s.input) + wide - 1) / wide * wide;
    }

    void pack() {
        for (int k = 0; k < (int)stages_.size(); k++)
            if (stages_[k].kind == CONV) {
                pack_forward(stages_[k], plans_[k], packed_[k].data());
                if (k) pack_backward(stages_[k], plans_[k], packed_[k].data() + weights(k));
            }
    }

    template <class F>
    void own_chunks(int thread, F&& f) {
        for (int slot = thread; slot < SLOTS; slot += team_.size())
            for (int chunk = slot; chunk < chunks(); chunk += SLOTS) f(slot, chunk, room(thread, chunk));
    }

    // The stages between two batch normalisations: after number n (-1: from the input on) up to the next, or the end.
    int after(int n) const { return n < 0 ? 0 : norms_[n] + 1; }
    int until(int n) const { return n + 1 < (int)norms_.size() ? norms_[n + 1] : (int)stages_.size(); }

    void train(int thread) {
        const int last = (int)norms_.size() - 1;
        for (int slot = thread; shared_ && slot < SLOTS; slot += team_.size())
            memset(sums_.data() + slot * shared_, 0, sizeof(float) * shared_);
        for (int n = -1; n < last; n++) {
            own_chunks(thread, [&](int, int chunk, Room& room) {
                enter(thread, n, chunk, room);
                const int k = norms_[n + 1];
                norm_shares(stages_[k], room.y[k].data(), live(chunk), share(n + 1, chunk));
            });
            team_.barrier();
            join(thread, n + 1);
        }
        own_chunks(thread, [&](int slot, int chunk, Room& room) {
            enter(thread, last, chunk, room);
            const size_t end = stages_.size();
            losses_[chunk] = loss_forward(batch_->targets, (int64_t)chunk * LANES, live(chunk), total_,
                                          room.y[end].data(), room.d[end].data());
            leave(thread, last, slot, chunk, room);
        });
        for (int n = last; n >= 0; n--) {
            team_.barrier();
            join_errors(thread, n);
            own_chunks(thread, [&](int slot, int chunk, Room& room) {
                const int k = norms_[n];
                if (!k) return;  // nobody asks for the gradient of the input
                norm_backward(stages_[k], moments(thread, n), room.y[k].data(), room.d[k + 1].data(), live(chunk),
                              room.d[k].data());
                leave(thread, n - 1, slot, chunk, room);
            });
        }
        team_.barrier();
        finish(thread);
    }

    // Forward through the stages after batch normalisation n, itself included.
    void enter(int thread, int n, int chunk, Room& room) {
        if (n < 0)
            fill(chunk, room);
        else
            norm_forward(stages_[norms_[n]], moments(thread, n), room.y[norms_[n]].data(), room.y[norms_[n] + 1].data());
        for (int k = after(n); k < until(n); k++) forward(k, chunk, room);
    }

    // Backward through the same, up to the sums that batch normalisation n needs.
    void leave(int thread, int n, int slot, int chunk, Room& room) {
        for (int k = until(n) - 1; k >= after(n); k--) backward(k, thread, slot, chunk, room);
        if (n < 0) return;
        const int k = norms_[n];
        norm_errors(stages_[k], moments(thread, n), room.y[k].data(), room.y[k + 1].data(), room.d[k + 1].data(),
                    error_share(n, chunk));
    }

    void fill(int chunk, Room& room) { samples_.fill(*batch_, (int64_t)chunk * LANES, live(chunk), room.y[0].data()); }

    void forward(int k, int chunk, Room& room) {
        const Stage& s = stages_[k];
        const V* x = room.y[k].data();
        V* y = room.y[k + 1].data();
        M* which = room.which[k].data();
        switch (s.kind) {
            case CONV: return conv_forward(s, plans_[k], x, packed_[k].data(), y, Winners{which});
            case MAX_POOL: return max_forward(s, x, y, Winners{which});
            case MEAN_POOL: return mean_forward(s, x, y);
            case ACTIVATION: return pointwise(s, x, y);
            case LINEAR: return linear_forward(s, x, y);
            case DROPOUT: {
                const Chance chance{{batch_->key[0], batch_->key[1]}, batch_->step,
                                    batch_->first_row + (int64_t)chunk * LANES};
                return dropout_forward(s, chance, x, y, which);
            }
        }
    }

    void backward(int k, int thread, int slot, int chunk, Room& room) {
        const Stage& s = stages_[k];
        const V *x = room.y[k].data(), *y = room.y[k + 1].data(), *dy = room.d[k + 1].data();
        V* dx = room.d[k].data();
        const M* which = room.which[k].data();
        switch (s.kind) {
            case CONV: {
                V* dz = error_[thread].data();
                float* dw = sums_.data() + slot * shared_ + at_[k];
                conv_error(s, plans_[k], dy, y, which, dz);
                conv_weight(s, plans_[k], dz, x, dw, s.bias_at >= 0 ? dw + weights(k) : nullptr);
                if (k) conv_input(s, plans_[k], dz, packed_[k].data() + weights(k), dx);
                return;
            }
            case LINEAR: {
                V* dz = errors_[k].data() + (int64_t)chunk * s.output.channels;
                for (int o = 0; o < s.output.channels; o++) dz[o] = pulled(dy[o], y[o], s.activation, s.slope);
                transposed(x, (int)count(s.input), stride(s), (float*)(rows_[k].data() + (int64_t)chunk * stride(s)));
                if (k) linear_input(s, dz, dx);
                return;
            }
        }
        if (!k) return;
        switch (s.kind) {
            case MAX_POOL: return max_backward(s, dy, y, which, dx);
            case MEAN_POOL: return mean_backward(s, dy, y, dx);
            case DROPOUT: return dropout_backward(s, dy, which, dx);
            case ACTIVATION:
                for (int c = 0; c < s.output.channels; c++)
                    for (int row = 0; row < s.output.height; row++)
                        for (int u = 0; u < s.output.width; u++) {
                            const int64_t at = ((int64_t)c * s.output.height + row) * s.output.width + u;
                            dx[at] = pulled(dy[at], y[place(s.output, c, row) + u], s.activation, s.slope);
                        }
        }
    }

    // Of a chunk: forward, and in the second half backward, for one thread may be there while another still reads.
    Share* share(int n, int chunk) { return shares_[n].data() + (int64_t)chunk * stages_[norms_[n]].input.channels; }
    Share* error_share(int n, int chunk) { return share(n, chunks_ + chunk); }
    Moments* moments(int thread, int n) {
        return moments_[n].data() + (int64_t)thread * stages_[norms_[n]].input.channels;
    }

    // Moments of the batch, by every thread for itself; the first moves the running ones.
    void join(int thread, int n) {
        const Stage& s = stages_[norms_[n]];
        const int C = s.input.channels, area = s.input.height * s.input.width;
        const double number = (double)batch_->size * area;
        for (int c = 0; c < C; c++) {
            double mean, squares;
            norm_join(shares_[n].data(), C, chunks(), (int)batch_->size, area, c, &mean, &squares);
            const double variance = squares / number;
            moments(thread, n)[c] = {(float)mean, (float)(1.0 / std::sqrt(variance + s.eps)), 0, 0};
            if (thread) continue;
            const double unbiased = number > 1 ? squares / (number - 1) : squares / number;
            s.mean[c] = (float)((1.0 - s.momentum) * s.mean[c] + s.momentum * mean);
            s.variance[c] = (float)((1.0 - s.momentum) * s.variance[c] + s.momentum * unbiased);
        }
    }

    void join_errors(int thread, int n) {
        const Stage& s = stages_[norms_[n]];
        const int C = s.input.channels;
        const double number = (double)batch_->size * s.input.height * s.input.width;
        for (int c = 0; c < C; c++) {
            double error = 0, along = 0;
            for (int k = 0; k < chunks(); k++) error += error_share(n, k)[c].mean, along += error_share(n, k)[c].squares;
            Moments& m = moments(thread, n)[c];
            m.error = (float)(error / number), m.along = (float)(along / number);
            if (thread) continue;
            gradient_[s.weight_at + c] = (float)along;
            gradient_[s.bias_at + c] = (float)error;
        }
    }

    // Put the gradient together, look whether it is finite, and update.
    void finish(int thread) {
        for (int k = thread; k < (int)pieces_.size(); k += team_.size()) squares_[k] = reduce(pieces_[k]);
        team_.barrier();
        double loss = 0, squares = 0;
        for (int c = 0; c < chunks(); c++) loss += losses_[c];
        for (double s : squares_) squares += s;
        const double norm = std::sqrt(squares);
        const bool finite = std::isfinite(loss) && std::isfinite(norm);
        if (!thread) loss_ = loss, norm_ = norm, updated_ = finite && rule_;
        if (!finite || !rule_) return;
        const float bound = rule_->clip_norm, scale = bound > 0 && norm > bound ? (float)(bound / norm) : 1.0f;
        for (int k = thread; k < (int)pieces_.size(); k += team_.size()) change(pieces_[k], scale);
    }

    // Update a piece's numbers, by the thread in whose cache their gradient is.
    void change(const Piece& piece, float scale) {
        const Stage& s = stages_[piece.stage];
        const int64_t wide = s.kind == LINEAR ? count(s.input) : 1;
        if (piece.bias || s.kind == LINEAR) change(s.bias_at, scale, piece.from, piece.to);
        if (!piece.bias) change(s.weight_at, scale, piece.from * wide, piece.to * wide);
    }

    void change(int64_t at, float scale, int64_t from, int64_t to) {
        for (const Parameter& p : parameters_)
            if (p.at == at) update(p, *rule_, scale, gradient_.data(), from, to);
    }

    // A piece of the gradient, and the sum of its squares.
    double reduce(const Piece& piece) {
        const Stage& s = stages_[piece.stage];
        const int k = piece.stage;
        float* out = gradient_.data() + (piece.bias ? s.bias_at : s.weight_at);
        int64_t from = piece.from, to = piece.to;
        double squares = 0;
        if (s.kind == LINEAR) {
            const int ins = (int)count(s.input), outs = s.output.channels;
            float* db = s.bias_at >= 0 ? gradient_.data() + s.bias_at : nullptr;
            linear_weight((const float*)errors_[k].data(), (int64_t)outs * LANES, chunks(),
                          (const float*)rows_[k].data(), stride(s), ins,
                          (int)from, (int)to, out, db);
            if (db) squares = squared(db + from, to - from);
            from *= ins, to *= ins;
        } else if (s.kind == CONV) {
            const float* sums = sums_.data() + at_[k] + (piece.bias ? weights(k) : 0);
            const int used = chunks() < SLOTS ? chunks() : SLOTS;
            memcpy(out + from, sums + from, sizeof(float) * (to - from));
            for (int slot = 1; slot < used; slot++) add(out + from, sums + slot * shared_ + from, to - from);
        }
        return squares + squared(out + from, to - from);
    }

    std::vector<Stage> stages_;
    std::vector<Parameter> parameters_;
    int chunks_;
    Filling samples_;
    Team team_;
    std::vector<int> norms_;
    std::vector<ConvPlan> plans_;
    std::vector<Room> rooms_;
    std::vector<std::vector<float>> packed_;
    std::vector<std::vector<V>> error_, errors_, rows_;
    std::vector<int64_t> at_;
    int64_t shared_ = 0, widest_ = 0;
    std::vector<float> sums_, gradient_;
    std::vector<std::vector<Share>> shares_;
    std::vector<std::vector<Moments>> moments_;
    std::vector<Piece> pieces_;
    std::vector<double> losses_, squares_;

    const Batch* batch_ = nullptr;
    const Rule* rule_ = nullptr;
    double total_ = 0, loss_ = 0, norm_ = 0;
    int updated_ = 0;
};

}  // namespace

// Null: there is not enough memory.
API void* striate_engine_create(const Stage* stages, int number, const Parameter* parameters, int tensors,
                                int64_t largest, int threads) {
    try {
        return new Engine(stages, number, parameters, tensors, largest, threads);
    } catch (const std::bad_alloc&) {
        return nullptr;
    }
}

API void striate_engine_destroy(void* engine) { delete (Engine*)engine; }

// One step; without a rule the gradient alone.
API void striate_engine_step(void* engine, const Batch* batch, const Rule* rule, Result* result) {
    *result = ((Engine*)engine)->step(*batch, rule);
}

API float* striate_engine_gradient(void* engine) { return ((Engine*)engine)->gradient(); }
