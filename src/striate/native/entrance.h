// How pictures become the first map: (v - shift) * scale, with v = 0 in the border.
#pragma once

#include <vector>

#include "maps.h"
#include "numbers.h"

// From a picture's numbers to the network's.  Python's mirror: in program.py.
struct Front {
    int32_t channels, height, width, pad;  // of the picture, without its border
    const float *shift, *scale;            // of each channel
};

enum Numbers { BYTES, WORDS, FLOATS };

// Pictures as they come.
struct Pictures {
    const void* data;
    int64_t strides[4];  // in numbers: from picture to picture, channel, row, column
    int64_t count;
    int32_t kind;
};

// Where the picture's numbers go: place `first`, and from there so far to the next channel, row and column.
struct Entrance {
    int64_t first, channel, row, column;
};

// The first stage reads a map, or all numbers in a row: the picture was flattened at once.
INLINE Entrance entrance(const Front& front, const Map& m, int64_t channel, int64_t pixel) {
    const int H = front.height + 2 * front.pad, W = front.width + 2 * front.pad;
    const bool flat = m.channels != front.channels || m.height != H || m.width != W;
    if (flat) return {front.pad * W + front.pad, (int64_t)H * W, W, 1};
    return {(origin(m) + (int64_t)front.pad * m.cols + front.pad) * pixel, channel, m.cols * pixel, pixel};
}

// What is written there once: the numbers of the border.
INLINE void lay_out(const Front& front, const Entrance& to, int64_t apart, float* x) {
    for (int c = 0; c < front.channels; c++)
        for (int row = -front.pad; row < front.height + front.pad; row++)
            for (int column = -front.pad; column < front.width + front.pad; column++)
                x[(to.first + c * to.channel + row * to.row + column * to.column) * apart] =
                    (0.0f - front.shift[c]) * front.scale[c];
}

// LANES numbers as float32.
template <class T>
INLINE V floats(const T* from) {
    typedef T Row __attribute__((vector_size(sizeof(T) * LANES)));
    Row row;
    memcpy(&row, from, sizeof row);
    return __builtin_convertvector(row, V);
}
INLINE V floats(const uint8_t* from) { return bytes(from); }

// A picture a lane.
class LanesEntrance {
   public:
    LanesEntrance(const Front& front, const Map& map)
        : front_(front),
          shift_(front.shift, front.shift + front.channels),
          scale_(front.scale, front.scale + front.channels),
          to_(entrance(front, map, plane(map), 1)) {
        front_.shift = shift_.data(), front_.scale = scale_.data();
        for (int u = 0; u < front.width; u++)
            for (int c = 0; c < front.channels; c++) mixed_.push_back({c * to_.channel + u, shift_[c], scale_[c]});
        for (int c = 0; c < front.channels; c++)
            for (int u = 0; u < front.width; u++) apart_.push_back({u, shift_[c], scale_[c]});
    }
    LanesEntrance(const LanesEntrance&) = delete;

    // Of a map that nothing has come to yet.
    void lay_out(V* x) const {
        for (int lane = 0; lane < LANES; lane++) ::lay_out(front_, to_, LANES, (float*)x + lane);
    }

    // From picture `first` on, `live` of them; the last one goes into the lanes that are left.
    void enter(const Pictures& pictures, int64_t first, int live, V* x) const {
        switch (pictures.kind) {
            case BYTES: return enter<uint8_t>(pictures, first, live, x);
            case WORDS: return enter<uint16_t>(pictures, first, live, x);
            default: return enter<float>(pictures, first, live, x);
        }
    }

   private:
    // A number of a row: its place, and what is done to it.
    struct Number {
        int64_t place;
        float shift, scale;
    };

    template <class T>
    void enter(const Pictures& pictures, int64_t first, int live, V* x) const {
        const int64_t* s = pictures.strides;
        const T* from[LANES];
        for (int lane = 0; lane < LANES; lane++)
            from[lane] = (const T*)pictures.data + (first + (lane < live ? lane : live - 1)) * s[0];
        const bool mixed = s[1] == 1 && s[3] == front_.channels;  // channels last
        const int wide = mixed ? front_.width * front_.channels : front_.width;
        const bool dense = wide >= LANES && (mixed || s[3] == 1);
        for (int row = 0; row < front_.height; row++)
            for (int c = 0; c < (mixed ? 1 : front_.channels); c++) {
                V* to = x + to_.first + c * to_.channel + row * to_.row;
                const Number* numbers = mixed ? mixed_.data() : apart_.data() + c * front_.width;
                dense ? squares(from, c * s[1] + row * s[2], wide, numbers, to)
                      : single(from, c * s[1] + row * s[2], mixed ? 1 : s[3], wide, numbers, to);
            }
    }

    // Numbers that lie side by side, LANES at a time; the last square of them may lie over the one before.
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
    static void single(const T* const* from, int64_t at, int64_t step, int wide, const Number* numbers, V* to) {
        for (int u = 0; u < wide; u++)
            for (int lane = 0; lane < LANES; lane++)
                ((float*)(to + numbers[u].place))[lane] =
                    ((float)from[lane][at + u * step] - numbers[u].shift) * numbers[u].scale;
    }

    Front front_;
    std::vector<float> shift_, scale_;
    Entrance to_;
    std::vector<Number> mixed_, apart_;  // of a row, channels last; of each channel's row
};
