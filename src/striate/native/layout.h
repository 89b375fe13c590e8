// A network as a training step goes through it: what is known before the first batch comes.
#pragma once

#include "conv.h"
#include "update.h"
#include "winograd.h"

constexpr int64_t BLOCK = 4096;    // numbers of a tensor that are reduced, or updated, in one piece
constexpr int ROWS = 4 * MOST[3];  // rows of a matrix whose gradient is made in one piece
constexpr int KERNELS = 32;        // of a tiled convolution, in one piece
constexpr int OUTPUTS = 4;         // of a tiled convolution, whose kernels are laid out in one piece

// A piece of the weights: numbers (of a matrix rows, and of its bias) from ... to - 1 of a stage's weights or bias.
struct Piece {
    int stage;
    bool bias;
    int64_t from, to;
};

struct Layout {
    std::vector<Stage> stages;
    std::vector<Parameter> parameters;
    std::vector<int> norms;                   // the stages that normalise
    std::vector<ConvPlan> plans;              // of every stage, empty where it is no convolution
    std::vector<int64_t> at;                  // where the sums of a stage begin that chunks add to
    int64_t shared = 0, widest = 0;           // numbers of all these sums; of the largest map of errors
    int64_t gradients = 0;                    // numbers of the gradient
    std::vector<Piece> pieces, packing;       // of the gradient; of the convolutions' weights, as the loops read them

    Layout(const Stage* first, int number, const Parameter* parameters, int tensors)
        : stages(first, first + number), parameters(parameters, parameters + tensors), plans(number), at(number) {
        for (int k = 0; k < number; k++) {
            if (stages[k].kind == BATCH_NORM) norms.push_back(k);
            if (stages[k].kind == CONV) convolution(k);
            divide(k);
            const int64_t ends[] = {stages[k].weight_at + values(k), stages[k].bias_at + stages[k].output.channels};
            for (int64_t end : ends) gradients = gradients > end ? gradients : end;
        }
    }

    // Numbers of a convolution's weights.
    int64_t weights(int k) const {
        const Stage& s = stages[k];
        return s.kind == CONV ? (int64_t)s.output.channels * plans[k].taps : 0;
    }

    // The same as the loops read them and sum up their gradient: of a tiled convolution, their values at the points.
    int64_t sums(int k) const { return stages[k].tile ? (int64_t)PLACES * plans[k].ins * plans[k].outs : weights(k); }

    // Which of the normalisations a stage is.
    int norm_of(int k) const {
        int n = 0;
        while (norms[n] != k) n++;
        return n;
    }

    // Whether a stage is a convolution that is normalised next, channel by channel: its errors are then made as it asks
    // for them.  Flattened in between, every number is a channel of its own.
    bool normed_next(int k) const {
        if (k < 0 || k + 1 == (int)stages.size() || stages[k].kind != CONV || stages[k].pooled) return false;
        const Map &made = stages[k].output, &read = stages[k + 1].input;
        return stages[k + 1].kind == BATCH_NORM && made.height == read.height && made.width == read.width;
    }

   private:
    int64_t values(int k) const {
        const Stage& s = stages[k];
        return s.kind == LINEAR ? s.output.channels * count(s.input) : s.kind == BATCH_NORM ? s.input.channels : weights(k);
    }

    void convolution(int k) {
        const Stage& s = stages[k];
        const ConvPlan& p = plans[k] = conv_plan(s);
        at[k] = shared;
        shared += sums(k) + s.output.channels;
        const int64_t wide = (int64_t)s.output.channels * p.high * p.wide;
        if (!s.tile && wide > widest) widest = wide;
        cut(packing, k, false, s.output.channels, s.tile ? OUTPUTS : s.output.channels);
    }

    void divide(int k) {
        const Stage& s = stages[k];
        if (s.kind == LINEAR) return cut(pieces, k, false, s.output.channels, ROWS);
        if (s.kind != CONV && s.kind != BATCH_NORM) return;
        cut(pieces, k, false, values(k), s.tile ? KERNELS * s.kernel[0] * s.kernel[1] : BLOCK);
        if (s.bias_at >= 0) pieces.push_back({k, true, 0, s.output.channels});
    }

    static void cut(std::vector<Piece>& pieces, int k, bool bias, int64_t size, int64_t block) {
        for (int64_t from = 0; from < size; from += block)
            pieces.push_back({k, bias, from, from + block < size ? from + block : size});
    }
};
