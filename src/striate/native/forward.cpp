// A small network's evaluation: from decoded pictures to what the network says of them.
//
// Weights are kept as both layouts read them: a sample a lane for LANES pictures (as in training, without errors and
// gradients), a channel a lane for one (single.h).  Which is taken does not change a bit.  Several threads may evaluate
// at once, each with activations of its own.
#include <array>
#include <cmath>
#include <memory>
#include <mutex>
#include <new>

#include "conv.h"
#include "entrance.h"
#include "norm.h"
#include "pool.h"
#include "rows.h"
#include "single.h"
#include "threads.h"

namespace {

constexpr int64_t ROOMY = 1 << 18;  // vectors, 8 MB of 8 lanes: maps that are larger leave the caches LANES at a time
constexpr int64_t WORTH = 1000000;  // products of vectors, some 200 microseconds: less is done before a thread is awake

// A stage's numbers in both layouts.
struct Step {
    ConvPlan plan;
    std::vector<float> numbers[4];  // weight, bias, mean, variance: copies, so that no update moves one layout alone
    std::vector<float> packed;
    std::vector<Moments> moments;
    Weighing single{};
    Field before, in, out;  // what the stage before made; the same as this one reads it, where it was flattened; made
};

// Activations of LANES pictures, and of one.
struct Desk {
    std::vector<std::vector<V>> lanes, single, flat;
};

class Forward {
   public:
    Forward(const Stage* stages, int number, const Front& front, int threads)
        : stages_(stages, stages + number),
          steps_(number),
          threads_(threads < 1 ? 1 : threads),
          entrance_(front, stages[0].input, is_by_rows(stages[0])) {
        int32_t step = stages[0].input.channels;  // the picture's own: only what is computed comes in whole vectors
        for (int k = 0; k < number; k++) {
            const Stage& s = stages_[k];
            steps_[k].before = k ? steps_[k - 1].out : Field{s.input, step};
            steps_[k].in = is_flattened(k) ? Field{s.input, s.input.channels} : steps_[k].before;
            steps_[k].out = {s.output, step = step_of(s)};
            plan(k);
        }
        refresh(stages);
    }

    // The stages' numbers as they are now; nobody may be evaluating.
    void refresh(const Stage* stages) {
        for (size_t k = 0; k < stages_.size(); k++) {
            Step& step = steps_[k];
            const Stage& s = stages_[k];
            for (size_t n = 0; n < 4; n++) {
                std::vector<float>& own = step.numbers[n];
                if (!own.empty()) memcpy(own.data(), numbers_of(stages[k])[n], sizeof(float) * own.size());
            }
            const int C = s.input.channels;
            if (s.kind == CONV) pack_forward(s, step.plan, step.packed.data());
            if (s.kind == CONV || s.kind == LINEAR) pack_single(s, step.single);
            for (int c = 0; s.kind == BATCH_NORM && c < C; c++)
                step.moments[c] = {s.mean[c], 1.0f / std::sqrt(s.variance[c] + s.eps), 0, 0};
        }
    }

    int64_t outputs() const { return count(stages_.back().output); }

    void run(const Pictures& pictures, float* logits) {
        const int64_t whole = pays(LANES) ? pictures.count / LANES : 0, left = pictures.count - whole * LANES;
        const bool together = pays(left);
        const int64_t pieces = whole + (together ? 1 : left);
        const int64_t work = whole * by_lanes_ + (together ? by_lanes_ : left * by_one_);
        int64_t threads = threads_ < pieces ? threads_ : pieces;
        if (threads > work / WORTH) threads = work / WORTH;
        if (threads < 1) threads = 1;
        const bool lanes = whole || together;
        auto desks = taken((int)threads, lanes);
        const auto piece = [&](int64_t number, int who) {
            if (number < whole || together)
                chunk(pictures, number * LANES, *desks[who], logits);
            else
                one(pictures, whole * LANES + number - whole, *desks[who], logits);
        };
        in_pieces(pieces, (int)threads,
                  [](void* context, int64_t number, int who) { (*(decltype(piece)*)context)(number, who); },
                  (void*)&piece);
        give_back(desks);
    }

   private:
    using Desks = std::vector<std::unique_ptr<Desk>>;

    // Whether a stage reads as channels what the one before made as a map.
    bool is_flattened(int k) const {
        const Map &made = steps_[k].before.map, &read = stages_[k].input;
        return stages_[k].kind != LINEAR && (made.height != read.height || made.width != read.width);
    }

    static std::array<float*, 4> numbers_of(const Stage& s) { return {s.weight, s.bias, s.mean, s.variance}; }

    // Whether some, LANES at most, are sooner done together: alone, all that is needed lies nearer.
    bool pays(int64_t pictures) const {
        return pictures <= LANES && volume_ <= ROOMY && 9 * pictures * by_one_ > 10 * by_lanes_;
    }

    void plan(int k) {
        Stage& s = stages_[k];
        Step& step = steps_[k];
        volume_ += volume(s.output);
        int64_t places = 1;
        if (s.kind == CONV) {
            step.plan = forward_plan(s);
            step.packed.resize((size_t)s.output.channels * step.plan.taps);
            step.single = weighing_of_conv(s, step.in);
            places = (int64_t)s.output.height * s.output.width * (s.pooled ? 4 : 1);
        }
        if (s.kind == LINEAR) step.single = weighing_of_linear(s, step.before);
        if (s.kind == BATCH_NORM) step.moments.resize(s.input.channels);
        if (s.kind == CONV || s.kind == LINEAR) {
            by_lanes_ += places * s.output.channels * step.single.taps;
            by_one_ += !k && is_by_rows(s) ? products_by_rows(s, step.single.taps)
                       : (s.kind == LINEAR ? 2 : 1) * places * step.single.groups * step.single.vectors * step.single.taps;
        }
        const size_t outs = s.output.channels, taps = s.kind == BATCH_NORM ? 1 : step.single.taps;
        for (size_t n = 0; n < 4; n++)
            if (numbers_of(s)[n]) step.numbers[n].resize(n ? outs : outs * taps);
        const auto own = [&](int n) { return step.numbers[n].empty() ? nullptr : step.numbers[n].data(); };
        s.weight = own(0), s.bias = own(1), s.mean = own(2), s.variance = own(3);
    }

    Desks taken(int number, bool lanes) {
        Desks desks;
        {
            std::lock_guard<std::mutex> held(mutex_);
            while ((int)desks.size() < number && !free_.empty()) {
                desks.push_back(std::move(free_.back()));
                free_.pop_back();
            }
        }
        while ((int)desks.size() < number) desks.push_back(std::make_unique<Desk>());
        for (auto& desk : desks) furnish(*desk, lanes);
        return desks;
    }

    void give_back(Desks& desks) {
        std::lock_guard<std::mutex> held(mutex_);
        for (; !desks.empty(); desks.pop_back()) free_.push_back(std::move(desks.back()));  // each to the same thread again
    }

    void furnish(Desk& desk, bool lanes) {
        if (desk.single.empty()) {
            std::vector<std::vector<V>> made;
            made.emplace_back(extent(steps_[0].in) + PAST);
            for (const Step& step : steps_) made.emplace_back(extent(step.out));
            entrance_.lay_out_one((float*)made[0].data());
            desk.single = std::move(made);
            for (const Step& step : steps_) desk.flat.emplace_back(extent(step.in));
        }
        if (lanes && desk.lanes.empty()) {
            std::vector<std::vector<V>> made;
            made.emplace_back(volume(stages_[0].input));
            for (const Stage& s : stages_) made.emplace_back(volume(s.output));
            entrance_.lay_out_lanes(made[0].data());
            desk.lanes = std::move(made);
        }
    }

    void one(const Pictures& pictures, int64_t number, Desk& desk, float* logits) const {
        entrance_.one(pictures, number, (float*)desk.single[0].data());
        for (int k = 0; k < (int)stages_.size(); k++) {
            const float* x = (const float*)desk.single[k].data();
            if (is_flattened(k)) x = flattened(steps_[k].before, x, (float*)desk.flat[k].data());
            float* y = (float*)desk.single[k + 1].data();
            const Step& step = steps_[k];
            if (!k && is_by_rows(stages_[0]))
                conv_by_rows(stages_[0], step.plan, step.packed.data(), step.out, x, y);
            else
                single(stages_[k], step, x, y);
        }
        const Field& out = steps_.back().out;
        const float* y = (const float*)desk.single.back().data();
        logits += number * outputs();
        for (int c = 0; c < out.map.channels; c++)
            for (int row = 0; row < out.map.height; row++)
                for (int column = 0; column < out.map.width; column++) *logits++ = y[spot(out, row, column) + c];
    }

    static void single(const Stage& s, const Step& step, const float* x, float* y) {
        switch (s.kind) {
            case CONV: return single_conv(s, step.single, step.in, step.out, x, y);
            case MAX_POOL: return single_max(s, step.in, step.out, x, y);
            case MEAN_POOL: return single_mean(s, step.in, step.out, x, y);
            case BATCH_NORM: return single_norm(s, step.moments.data(), step.in, step.out, x, y);
            case LINEAR: return single_linear(s, step.single, x, y);
            default: return single_pointwise(s, step.in, step.out, x, y);
        }
    }

    void chunk(const Pictures& pictures, int64_t first, Desk& desk, float* logits) const {
        const int64_t left = pictures.count - first;
        const int live = left < LANES ? (int)left : LANES;
        entrance_.lanes(pictures, first, live, desk.lanes[0].data());
        for (size_t k = 0; k < stages_.size(); k++)
            lanes(stages_[k], steps_[k], desk.lanes[k].data(), desk.lanes[k + 1].data());
        const V* y = desk.lanes.back().data();
        for (int64_t c = 0; c < outputs(); c++) {
            float numbers[LANES];
            store(numbers, y[c]);
            for (int lane = 0; lane < live; lane++) logits[(first + lane) * outputs() + c] = numbers[lane];
        }
    }

    static void lanes(const Stage& s, const Step& step, const V* x, V* y) {
        switch (s.kind) {
            case CONV: return conv_forward(s, step.plan, x, step.packed.data(), y, Unasked{});
            case MAX_POOL: return max_forward(s, x, y, Unasked{});
            case MEAN_POOL: return mean_forward(s, x, y);
            case BATCH_NORM: return norm_forward(s, step.moments.data(), x, y, Unasked{});
            case LINEAR: return together_linear(s, step.single, x, y);
            default: return pointwise(s, x, y);
        }
    }

    std::vector<Stage> stages_;
    std::vector<Step> steps_;
    int threads_;
    Entrance entrance_;
    int64_t by_lanes_ = 0, by_one_ = 0;  // products of vectors: of LANES pictures, of one; twice where weights come slowly
    int64_t volume_ = 0;  // numbers of all maps
    std::mutex mutex_;
    Desks free_;  // behind it
};

// In float64, each picture by itself.
void softmax(const float* logits, int64_t classes, double* probabilities) {
    float most = logits[0];
    for (int64_t c = 1; c < classes; c++) most = logits[c] > most ? logits[c] : most;
    double total = 0;
    for (int64_t c = 0; c < classes; c++) total += probabilities[c] = std::exp((double)logits[c] - (double)most);
    for (int64_t c = 0; c < classes; c++) probabilities[c] /= total;
}

}  // namespace

// Null: there is not enough memory.
API void* striate_forward_create(const Stage* stages, int number, const Front* front, int threads) {
    try {
        return new Forward(stages, number, *front, threads);
    } catch (const std::bad_alloc&) {
        return nullptr;
    }
}

API void striate_forward_destroy(void* forward) { delete (Forward*)forward; }

API void striate_forward_refresh(void* forward, const Stage* stages) { ((Forward*)forward)->refresh(stages); }

// Outputs (count, outputs).  Not 0: there is not enough memory.
API int striate_forward_logits(void* forward, const void* data, const int64_t* strides, int64_t number, int kind, float* out) {
    try {
        ((Forward*)forward)->run({data, {strides[0], strides[1], strides[2], strides[3]}, number, kind}, out);
        return 0;
    } catch (const std::bad_alloc&) {
        return 1;
    }
}

// Their softmax.
API int striate_forward_probabilities(void* forward, const void* data, const int64_t* strides, int64_t number, int kind,
                                      double* out) {
    try {
        const int64_t classes = ((Forward*)forward)->outputs();
        std::vector<float> logits((size_t)(number * classes));
        ((Forward*)forward)->run({data, {strides[0], strides[1], strides[2], strides[3]}, number, kind}, logits.data());
        for (int64_t n = 0; n < number; n++) softmax(logits.data() + n * classes, classes, out + n * classes);
        return 0;
    } catch (const std::bad_alloc&) {
        return 1;
    }
}
