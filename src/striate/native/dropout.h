// Inverted dropout with the masks of calculus/dropout.py: word (position mod 4) of
//
//     Philox4x32-10(key = (seed, purpose), counter = (position / 4, row of the batch, step, layer))
//
// keeps a number where it is >= p 2^32.  Salmon, Moraes, Dror and Shaw, SC 2011.
#pragma once

#include <cmath>

#include "maps.h"

typedef uint32_t Words[LANES];

INLINE void philox(Words c0, Words c1, Words c2, Words c3, uint32_t k0, uint32_t k1) {
    for (int round = 0; round < 10; round++) {
        for (int n = 0; n < LANES; n++) {
            const uint64_t a = (uint64_t)0xD2511F53u * c0[n], b = (uint64_t)0xCD9E8D57u * c2[n];
            c0[n] = (uint32_t)(b >> 32) ^ c1[n] ^ k0, c1[n] = (uint32_t)b;
            c2[n] = (uint32_t)(a >> 32) ^ c3[n] ^ k1, c3[n] = (uint32_t)a;
        }
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
}

struct Chance {
    uint32_t key[2];  // seed and purpose
    uint32_t step;
    int64_t first_row;  // of the chunk, in the batch
};

// `kept`: all bits where a number stays.
static void dropout_forward(const Stage& s, const Chance& chance, const V* x, V* y, M* kept) {
    const Map &in = s.input, &out = s.output;
    const int64_t size = count(in);
    const double bound = std::ceil((double)s.p * 4294967296.0);
    const V scale = all(s.p >= 1 ? 0.0f : (float)(1.0 / (1.0 - (double)s.p)));
    Words words[4];
    for (int64_t k = 0; k < size; k++) {
        if (k % 4 == 0) {
            for (int n = 0; n < LANES; n++) {
                words[0][n] = (uint32_t)(k / 4), words[1][n] = (uint32_t)(chance.first_row + n);
                words[2][n] = chance.step, words[3][n] = (uint32_t)s.layer;
            }
            philox(words[0], words[1], words[2], words[3], chance.key[0], chance.key[1]);
        }
        M mask;
        for (int n = 0; n < LANES; n++) mask[n] = (double)words[k % 4][n] >= bound ? -1 : 0;
        kept[k] = mask;
        const int column = (int)(k % in.width), row = (int)(k / in.width % in.height);
        const int c = (int)(k / ((int64_t)in.width * in.height));
        y[place(out, c, row) + column] = mask ? x[place(in, c, row) + column] * scale : all(0.0f);
    }
}

static void dropout_backward(const Stage& s, const V* dy, const M* kept, V* dx) {
    const V scale = all(s.p >= 1 ? 0.0f : (float)(1.0 / (1.0 - (double)s.p)));
    for (int64_t k = 0; k < count(s.input); k++) dx[k] = kept[k] ? dy[k] * scale : all(0.0f);
}
