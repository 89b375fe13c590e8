// Samples as they come, and how they get into the lanes.
#pragma once

#include <vector>

#include "loss.h"
#include "maps.h"

// Samples and what they should come to.  Python's mirror: `Batch` in program.py.
struct Batch {
    const float* x;
    int64_t strides[4];  // in numbers: from sample to sample, channel, row, column
    int64_t size;
    Targets targets;
    uint32_t key[2], step;
    int64_t first_row;
};

// The first map of a chunk: a sample a lane.
class Filling {
   public:
    explicit Filling(const Map& map) : map_(map) {
        for (int u = 0; u < map.width; u++)
            for (int c = 0; c < map.channels; c++) mixed_.push_back(c * plane(map) + u);
        for (int u = 0; u < map.width; u++) single_.push_back(u);
    }

    // From sample `first` on, `live` of them; the other lanes are 0.
    void fill(const Batch& batch, int64_t first, int live, V* y) const {
        const int64_t* s = batch.strides;
        const float* x = batch.x + first * s[0];
        const bool mixed = s[1] == 1 && s[3] == map_.channels;  // channels last
        for (int row = 0; row < map_.height; row++)
            for (int c = 0; c < (mixed ? 1 : map_.channels); c++) {
                const float* from = x + c * s[1] + row * s[2];
                V* to = y + place(map_, c, row);
                if (live == LANES && (mixed || s[3] == 1))
                    dense(from, s[0], mixed ? mixed_ : single_, to);
                else
                    scattered(from, s, mixed ? map_.channels : 1, live, to);
            }
    }

   private:
    // A row of numbers that lie side by side, LANES of them at a time; `places`: where each belongs.
    static void dense(const float* from, int64_t sample, const std::vector<int64_t>& places, V* to) {
        const int number = (int)places.size();
        int k = 0;
        for (; k + LANES <= number; k += LANES) {
            V v[LANES];
            UNROLL for (int n = 0; n < LANES; n++) v[n] = load(from + n * sample + k);
            transpose(v);
            UNROLL for (int n = 0; n < LANES; n++) to[places[k + n]] = v[n];
        }
        for (; k < number; k++)
            for (int n = 0; n < LANES; n++) ((float*)(to + places[k]))[n] = from[n * sample + k];
    }

    void scattered(const float* from, const int64_t* s, int channels, int live, V* to) const {
        for (int c = 0; c < channels; c++)
            for (int u = 0; u < map_.width; u++)
                for (int n = 0; n < LANES; n++)
                    ((float*)(to + c * plane(map_) + u))[n] = n < live ? from[n * s[0] + c * s[1] + u * s[3]] : 0.0f;
    }

    Map map_;
    std::vector<int64_t> mixed_, single_;
};
