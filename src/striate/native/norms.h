// What batch normalisations know of a batch: the chunks' shares, the whole's moments, in every thread that needs them.
#pragma once

#include "layout.h"

class Norms {
   public:
    Norms(const Layout& lay, int chunks, int threads)
        : lay_(lay), chunks_(chunks), shares_(number()), moments_(number()), joined_(threads * number()) {
        for (int n = 0; n < number(); n++) {
            shares_[n].resize((size_t)2 * chunks * channels(n));
            moments_[n].resize((size_t)threads * channels(n));
        }
    }

    int number() const { return (int)lay_.norms.size(); }

    void begin(int64_t batch) { batch_ = batch, step_++; }

    // Of a chunk: forward, and in the second half backward, for one thread may be there while another still reads.
    Share* share(int n, int chunk) { return shares_[n].data() + (int64_t)chunk * channels(n); }
    Share* error_share(int n, int chunk) { return share(n, chunks_ + chunk); }

    const Moments* of(int thread, int n) const { return moments_[n].data() + (int64_t)thread * channels(n); }

    // Moments of the batch, by every thread that needs them for itself.
    void join(int thread, int n) {
        if (n < 0 || joined_[thread * number() + n] == step_) return;
        joined_[thread * number() + n] = step_;
        for (int c = 0; c < channels(n); c++) {
            const Moment m = moment(n, c);
            own(thread, n)[c] = {(float)m.mean, (float)(1.0 / std::sqrt(m.squares / m.number + stage(n).eps)), 0, 0};
        }
    }

    void join_errors(int thread, int n) {
        const double number = (double)batch_ * area(n);
        for (int c = 0; c < channels(n); c++) {
            const Share total = errors(n, c);
            Moments& m = own(thread, n)[c];
            m.error = (float)(total.mean / number), m.along = (float)(total.squares / number);
        }
    }

    // Of all chunks: dL/db, and dL/dg.
    Share errors(int n, int c) {
        Share total{0, 0};
        for (int k = 0; k < chunks(); k++)
            total.mean += error_share(n, k)[c].mean, total.squares += error_share(n, k)[c].squares;
        return total;
    }

    // The running statistics, once all is done.
    void conclude() {
        for (int n = 0; n < number(); n++) {
            const Stage& s = stage(n);
            for (int c = 0; c < channels(n); c++) {
                const Moment m = moment(n, c);
                const double unbiased = m.number > 1 ? m.squares / (m.number - 1) : m.squares / m.number;
                s.mean[c] = (float)((1.0 - s.momentum) * s.mean[c] + s.momentum * m.mean);
                s.variance[c] = (float)((1.0 - s.momentum) * s.variance[c] + s.momentum * unbiased);
            }
        }
    }

   private:
    struct Moment {
        double mean, squares, number;
    };

    const Stage& stage(int n) const { return lay_.stages[lay_.norms[n]]; }
    int channels(int n) const { return stage(n).input.channels; }
    int area(int n) const { return stage(n).input.height * stage(n).input.width; }
    int chunks() const { return (int)((batch_ + LANES - 1) / LANES); }
    Moments* own(int thread, int n) { return moments_[n].data() + (int64_t)thread * channels(n); }

    Moment moment(int n, int c) {
        Moment m{0, 0, (double)batch_ * area(n)};
        norm_join(shares_[n].data(), channels(n), chunks(), (int)batch_, area(n), c, &m.mean, &m.squares);
        return m;
    }

    const Layout& lay_;
    int chunks_;
    int64_t batch_ = 0;
    std::vector<std::vector<Share>> shares_;
    std::vector<std::vector<Moments>> moments_;
    std::vector<uint64_t> joined_;  // of every thread and normalisation: the last step whose moments it has
    uint64_t step_ = 0;
};
