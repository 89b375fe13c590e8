// Pictures as they come, and how their numbers get to where the first stage reads them.
#pragma once

#include <vector>

#include "maps.h"
#include "numbers.h"

// From a picture's numbers to the network's: (v - shift) * scale, with v = 0 in the border.  Python's mirror: in program.py.
struct Front {
    int32_t channels, height, width, pad;  // of the picture, without its border
    const float *shift, *scale;            // of each channel
};

enum Numbers { BYTES, WORDS, FLOATS };

// Python's mirror: in program.py.
struct Pictures {
    const void* data;
    int64_t strides[4];  // in numbers: from picture to picture, channel, row, column
    int64_t count;
    int32_t kind;
};

// LANES numbers as float32.
template <class T>
INLINE V floats(const T* from) {
    typedef T Row __attribute__((vector_size(sizeof(T) * LANES)));
    Row row;
    memcpy(&row, from, sizeof row);
    return __builtin_convertvector(row, V);
}
INLINE V floats(const uint8_t* from) { return bytes(from); }

// Where the picture's numbers go: place `first`, and from there so far to the next channel, row and column.
struct Places {
    int64_t first, channel, row, column;
};

class Entrance {
   public:
    // `by_rows`: one picture lies as many do, channel after channel; else its channels lie side by side.
    Entrance(const Front& front, const Map& m, bool by_rows = false)
        : front_(front),
          shift_(front.shift, front.shift + front.channels),
          scale_(front.scale, front.scale + front.channels),
          lanes_(places(m, plane(m), 1)),
          single_(by_rows ? lanes_ : places(m, 1, m.channels)) {
        for (int u = 0; u < front.width; u++)
            for (int c = 0; c < front.channels; c++) mixed_.push_back({c * lanes_.channel + u, shift_[c], scale_[c]});
        for (int c = 0; c < front.channels; c++)
            for (int u = 0; u < front.width; u++) apart_.push_back({u, shift_[c], scale_[c]});
    }

    // What is written there once: the numbers of the border.
    void lay_out_one(float* x) const { lay_out(single_, 1, x); }
    void lay_out_lanes(V* x) const {
        for (int lane = 0; lane < LANES; lane++) lay_out(lanes_, LANES, (float*)x + lane);
    }

    void one(const Pictures& pictures, int64_t number, float* x) const {
        switch (pictures.kind) {
            case BYTES: return picture<uint8_t>(pictures, number, x);
            case WORDS: return picture<uint16_t>(pictures, number, x);
            default: return picture<float>(pictures, number, x);
        }
    }

    // From picture `first` on, `live` of them; the last goes into the lanes that are left.
    void lanes(const Pictures& pictures, int64_t first, int live, V* x) const {
        switch (pictures.kind) {
            case BYTES: return together<uint8_t>(pictures, first, live, x);
            case WORDS: return together<uint16_t>(pictures, first, live, x);
            default: return together<float>(pictures, first, live, x);
        }
    }

   private:
    // A number of a row: its place in the lanes, and what is done to it.
    struct Number {
        int64_t place;
        float shift, scale;
    };

    // The first stage reads a map, or all numbers in a row: the picture was flattened at once.
    Places places(const Map& m, int64_t channel, int64_t pixel) const {
        const int H = front_.height + 2 * front_.pad, W = front_.width + 2 * front_.pad;
        const bool flat = m.channels != front_.channels || m.height != H || m.width != W;
        if (flat) return {front_.pad * W + front_.pad, (int64_t)H * W, W, 1};
        return {(origin(m) + (int64_t)front_.pad * m.cols + front_.pad) * pixel, channel, m.cols * pixel, pixel};
    }

    // The neighbouring numbers of x are `apart`.
    void lay_out(const Places& to, int64_t apart, float* x) const {
        const int pad = front_.pad;
        for (int c = 0; c < front_.channels; c++)
            for (int row = -pad; row < front_.height + pad; row++)
                for (int column = -pad; column < front_.width + pad; column++)
                    x[(to.first + c * to.channel + row * to.row + column * to.column) * apart] =
                        (0.0f - shift_[c]) * scale_[c];
    }

    template <class T>
    void picture(const Pictures& pictures, int64_t number, float* x) const {
        const int64_t* s = pictures.strides;
        const T* from = (const T*)pictures.data + number * s[0];
        for (int c = 0; c < front_.channels; c++)
            for (int row = 0; row < front_.height; row++)
                line(from + c * s[1] + row * s[2], s[3], shift_[c], scale_[c],
                     x + single_.first + c * single_.channel + row * single_.row, single_.column);
    }

    // A row; the last vector may lie over the one before.
    template <class T>
    void line(const T* from, int64_t from_step, float shift, float scale, float* to, int64_t step) const {
        const int width = front_.width;
        if (from_step == 1 && step == 1 && width >= LANES)
            for (int u = 0; u < width; u += LANES) {
                const int column = u + LANES < width ? u : width - LANES;
                store(to + column, (floats(from + column) - all(shift)) * all(scale));
            }
        else
            for (int u = 0; u < width; u++) to[u * step] = ((float)from[u * from_step] - shift) * scale;
    }

    template <class T>
    void together(const Pictures& pictures, int64_t first, int live, V* x) const {
        const int64_t* s = pictures.strides;
        const T* from[LANES];
        for (int lane = 0; lane < LANES; lane++)
            from[lane] = (const T*)pictures.data + (first + (lane < live ? lane : live - 1)) * s[0];
        const bool mixed = s[1] == 1 && s[3] == front_.channels;  // channels last
        const int wide = mixed ? front_.width * front_.channels : front_.width;
        const bool dense = wide >= LANES && (mixed || s[3] == 1);
        for (int row = 0; row < front_.height; row++)
            for (int c = 0; c < (mixed ? 1 : front_.channels); c++) {
                const int64_t at = c * s[1] + row * s[2];
                V* to = x + lanes_.first + c * lanes_.channel + row * lanes_.row;
                const Number* numbers = mixed ? mixed_.data() : apart_.data() + c * front_.width;
                dense ? squares(from, at, wide, numbers, to) : scattered(from, at, mixed ? 1 : s[3], wide, numbers, to);
            }
    }

    // A row of each, `at` from where they begin, LANES numbers at a time; the last square may lie over the one before.
    template <class T>
    static void squares(const T* const* from, int64_t at, int wide, const Number* numbers, V* to) {
        for (int u = 0; u < wide; u += LANES) {
            const int k = u + LANES < wide ? u : wide - LANES;
            V square[LANES];
            UNROLL for (int lane = 0; lane < LANES; lane++) square[lane] = floats(from[lane] + at + k);
            transpose(square);
            UNROLL for (int n = 0; n < LANES; n++)
                to[numbers[k + n].place] = (square[n] - all(numbers[k + n].shift)) * all(numbers[k + n].scale);
        }
    }

    template <class T>
    static void scattered(const T* const* from, int64_t at, int64_t step, int wide, const Number* numbers, V* to) {
        for (int u = 0; u < wide; u++)
            for (int lane = 0; lane < LANES; lane++)
                ((float*)(to + numbers[u].place))[lane] =
                    ((float)from[lane][at + u * step] - numbers[u].shift) * numbers[u].scale;
    }

    Front front_;
    std::vector<float> shift_, scale_;
    Places lanes_, single_;
    std::vector<Number> mixed_, apart_;  // of a row, channels last; of each channel's row
};
