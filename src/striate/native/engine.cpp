// A small network's training step as one program: forward, loss, backward, update.
//
// A batch is cut into chunks of LANES samples.  A chunk goes through all stages, and back, in the hands of one thread,
// with its activations in that thread's cache.  Batch normalisation looks at the whole batch, so there the threads meet,
// and every chunk keeps activations of its own.  Chunks belong to slots, whatever the number of threads; sums go slot by
// slot, so that no number depends on it.
#include <new>
#include <optional>

#include "batch.h"
#include "dropout.h"
#include "gradient.h"
#include "loss.h"
#include "pool.h"
#include "team.h"

constexpr int SLOTS = 16;              // more threads than these find no work
constexpr int64_t SHARED = 1 << 26;    // numbers of the sums of all slots: of a large network there are fewer slots

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

using Place = Team::Place;

class Engine {
   public:
    Engine(const Stage* stages, int number, const Front& front, const Parameter* parameters, int tensors, int64_t largest,
           int threads)
        : lay_(stages, number, parameters, tensors),
          chunks_((int)((largest + LANES - 1) / LANES)),
          samples_(front, stages[0].input),
          slots_(slots()),
          packs_((int)lay_.packing.size()),
          reductions_((int)lay_.pieces.size()),
          changes_((int)lay_.pieces.size()),
          team_(threads < 1 ? 1 : threads > SLOTS ? SLOTS : threads, [this](Place& at) { train(at); }),
          norms_(lay_, chunks_, team_.size()),
          gradient_(lay_, chunks_, slots_.number()) {
        rooms_.resize(norms() ? chunks_ : team_.size());
        for (auto& room : rooms_) furnish(room);
        values_.resize(team_.size());
        packed_.resize(number);
        for (int k = 0; k < number; k++) equip(k);
        error_.resize(team_.size());
        for (auto& e : error_) e.resize(lay_.widest);
        losses_.resize(chunks_);
        const unsigned passes = 2 * (unsigned)norms() + 1;
        team_.begin(3 + passes, (unsigned)(lay_.packing.size() + 2 * lay_.pieces.size()) + passes * slots_.number());
    }

    ~Engine() { team_.end(); }

    Result step(const Batch& batch, const Rule* rule) {
        batch_ = &batch, rule_ = rule;
        norms_.begin(batch.size());
        gradient_.begin(chunks());
        total_ = total_weight(batch.targets, batch.size());
        team_.run();
        return {loss_, norm_, updated_};
    }

    float* gradient() { return gradient_.data(); }

   private:
    int chunks() const { return (int)((batch_->size() + LANES - 1) / LANES); }
    int live(int chunk) const {
        const int64_t left = batch_->size() - (int64_t)chunk * LANES;
        return left < LANES ? (int)left : LANES;
    }
    Room& room(int thread, int chunk) { return rooms_[norms() ? chunk : thread]; }
    int norms() const { return norms_.number(); }

    int slots() const {
        const int64_t fit = SHARED / (lay_.shared + 1), most = fit < 1 ? 1 : fit < SLOTS ? fit : SLOTS;
        return (int)(chunks_ < most ? chunks_ : most);
    }

    // The memory of a stage.
    void equip(int k) {
        const Stage& s = lay_.stages[k];
        packed_[k].resize(2 * lay_.sums(k));
        if (s.tile)
            for (auto& own : values_) own.fit(lay_.plans[k].ins, lay_.plans[k].outs);
    }

    void furnish(Room& room) {
        room.y.emplace_back(volume(lay_.stages[0].input));
        samples_.lay_out_lanes(room.y[0].data());
        room.d.emplace_back(0);  // nobody asks for the gradient of the input
        for (const Stage& s : lay_.stages) {
            room.y.emplace_back(volume(s.output));
            room.d.emplace_back(lay_.normed_next((int)room.d.size() - 1) ? 0 : count(s.output));
            const bool winners = s.kind == MAX_POOL || s.pooled || s.kind == DROPOUT;
            room.which.emplace_back(winners ? count(s.output) : 0);
        }
    }

    // The weights of some outputs of a convolution, as the loops read them.
    void pack(const Piece& piece) {
        const Stage& s = lay_.stages[piece.stage];
        const ConvPlan& p = lay_.plans[piece.stage];
        float *forward = packed_[piece.stage].data(), *back = forward + lay_.sums(piece.stage);
        if (s.tile)
            return tiled(s, p, [&](auto tiles) {
                for (int64_t o = piece.from; o < piece.to; o++) pack_values<tiles.KERNEL>(s, p, (int)o, forward, back);
            });
        pack_forward(s, p, forward);
        if (piece.stage) pack_backward(s, p, back);
    }

    // f(slot, chunk, its room) of all chunks; `once` before the first that falls to this thread.
    template <class G, class F>
    void each_chunk(Place& at, G&& once, F&& f) {
        bool first = true;
        team_.share(at, slots_, [&](int slot) {
            if (first) once(), first = false;
            for (int chunk = slot; chunk < chunks(); chunk += slots_.number()) f(slot, chunk, room(at.thread, chunk));
        });
    }

    // The stages between two batch normalisations: after number n (-1: from the input on) up to the next, or the end.
    int after(int n) const { return n < 0 ? 0 : lay_.norms[n] + 1; }
    int until(int n) const { return n + 1 < norms() ? lay_.norms[n + 1] : (int)lay_.stages.size(); }

    void train(Place& at) {
        const int last = norms() - 1, thread = at.thread;
        team_.share(at, packs_, [&](int k) { pack(lay_.packing[k]); });
        for (int n = -1; n < last; n++)
            each_chunk(at, [&] { norms_.join(thread, n); }, [&](int, int chunk, Room& room) {
                enter(thread, n, chunk, room);
                const int k = lay_.norms[n + 1];
                norm_shares(lay_.stages[k], room.y[k].data(), live(chunk), norms_.share(n + 1, chunk));
            });
        each_chunk(at, [&] { norms_.join(thread, last); }, [&](int slot, int chunk, Room& room) {
            if (chunk == slot) gradient_.begin_slot(slot);
            enter(thread, last, chunk, room);
            const size_t end = lay_.stages.size();
            losses_[chunk] = loss_forward(batch_->targets, (int64_t)chunk * LANES, live(chunk), total_,
                                          room.y[end].data(), room.d[end].data());
            leave(thread, last, slot, chunk, room);
        });
        for (int n = last; n >= 0; n--)
            each_chunk(at, [&] { join_back(thread, n); }, [&](int slot, int chunk, Room& room) {
                const int k = lay_.norms[n];
                if (!k) return;  // nobody asks for the gradient of the input
                if (!lay_.normed_next(k - 1)) norm_backward(lay_.stages[k], norm_back(thread, k, chunk, room), room.d[k].data());
                leave(thread, n - 1, slot, chunk, room);
            });
        team_.share(at, reductions_, [&](int k) { gradient_.reduce(k, norms_); });
        team_.share(at, changes_, [&](int k) { if (updates()) gradient_.change(k, *rule_); });
        if (!thread) conclude();
    }

    // What the way back through a normalisation, and up to the one before, needs to know.
    void join_back(int thread, int n) {
        norms_.join(thread, n), norms_.join(thread, n - 1);
        norms_.join_errors(thread, n);
    }

    // Forward through the stages after batch normalisation n, itself included.
    void enter(int thread, int n, int chunk, Room& room) {
        if (n < 0) {
            fill(chunk, room);
        } else {
            const int k = lay_.norms[n];
            norm_forward(lay_.stages[k], norms_.of(thread, n), room.y[k].data(), room.y[k + 1].data(),
                         Winners{room.which[k].data()});
        }
        for (int k = after(n); k < until(n); k++) forward(k, thread, chunk, room);
    }

    // Backward through the same, up to the sums that batch normalisation n needs.
    void leave(int thread, int n, int slot, int chunk, Room& room) {
        for (int k = until(n) - 1; k >= after(n); k--) backward(k, thread, slot, chunk, room);
        if (n < 0) return;
        const int k = lay_.norms[n];
        norm_errors(lay_.stages[k], norms_.of(thread, n), room.y[k].data(), room.y[k + 1].data(), room.which[k].data(),
                    room.d[k + 1].data(), norms_.error_share(n, chunk));
    }

    NormBack norm_back(int thread, int k, int chunk, const Room& room) {
        return {lay_.stages[k], norms_.of(thread, lay_.norm_of(k)), room.y[k].data(), room.d[k + 1].data(),
                room.which[k].data(), live(chunk)};
    }

    void fill(int chunk, Room& room) {
        samples_.lanes(batch_->samples, (int64_t)chunk * LANES, live(chunk), room.y[0].data());
    }

    void forward(int k, int thread, int chunk, Room& room) {
        const Stage& s = lay_.stages[k];
        const V* x = room.y[k].data();
        V* y = room.y[k + 1].data();
        M* which = room.which[k].data();
        switch (s.kind) {
            case CONV:
                if (!s.tile) return conv_forward(s, lay_.plans[k], x, packed_[k].data(), y, Winners{which});
                return tiled(s, lay_.plans[k], [&](auto tiles) {
                    tiles.forward(x, packed_[k].data(), values_[thread], y, Winners{which});
                });
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

    void convolved(int k, int thread, int slot, const Made& made, const V* x, V* dx) {
        const Stage& s = lay_.stages[k];
        const ConvPlan& p = lay_.plans[k];
        float *dw = gradient_.sums(slot, k), *db = s.bias_at >= 0 ? dw + lay_.sums(k) : nullptr;
        const float* w = packed_[k].data() + lay_.sums(k);
        if (s.tile)
            return tiled(s, p, [&](auto tiles) { tiles.backward(made, x, w, values_[thread], dw, db, k ? dx : nullptr); });
        V* dz = error_[thread].data();
        in_bands(s, p, dz, k > 0, [&](const Band& band) {
            conv_error(s, p, made, band);
            if (db) conv_bias(s, p, band, db);
            conv_weight(s, p, band, x, dw);
        });
        if (k) conv_input(s, p, dz, w, dx);
    }

    void backward(int k, int thread, int slot, int chunk, Room& room) {
        const Stage& s = lay_.stages[k];
        const V *x = room.y[k].data(), *y = room.y[k + 1].data(), *dy = room.d[k + 1].data();
        V* dx = room.d[k].data();
        const M* which = room.which[k].data();
        switch (s.kind) {
            case CONV: {
                std::optional<NormBack> norm;
                if (lay_.normed_next(k)) norm.emplace(norm_back(thread, k + 1, chunk, room));
                return convolved(k, thread, slot, {dy, y, which, norm ? &*norm : nullptr}, x, dx);
            }
            case LINEAR: {
                V* dz = gradient_.errors(k, chunk);
                for (int o = 0; o < s.output.channels; o++) dz[o] = pulled(dy[o], y[o], s.activation, s.slope);
                gradient_.bring(k, chunk, x);
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

    // Once all is done.
    void conclude() {
        norms_.conclude();
        loss_ = loss(), norm_ = gradient_.norm(), updated_ = updates();
    }

    double loss() const {
        double total = 0;
        for (int c = 0; c < chunks(); c++) total += losses_[c];
        return total;
    }

    // Whether the weights change: not where loss or gradient is not finite.
    bool updates() const { return rule_ && std::isfinite(loss()) && std::isfinite(gradient_.norm()); }

    const Layout lay_;
    int chunks_;
    const Entrance samples_;
    Items slots_, packs_, reductions_, changes_;
    Team team_;
    Norms norms_;
    Gradient gradient_;
    std::vector<Room> rooms_;
    std::vector<Values> values_;
    std::vector<std::vector<float>> packed_;
    std::vector<std::vector<V>> error_;
    std::vector<double> losses_;

    const Batch* batch_ = nullptr;
    const Rule* rule_ = nullptr;
    double total_ = 0, loss_ = 0, norm_ = 0;
    int updated_ = 0;
};

}  // namespace

// Null: there is not enough memory.
API void* striate_engine_create(const Stage* stages, int number, const Front* front, const Parameter* parameters, int tensors,
                                int64_t largest, int threads) {
    try {
        return new Engine(stages, number, *front, parameters, tensors, largest, threads);
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
