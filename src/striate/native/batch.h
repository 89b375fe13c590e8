// Samples and what they should come to.  Python's mirror: `Batch` in program.py.
#pragma once

#include "entrance.h"
#include "loss.h"

struct Batch {
    Pictures samples;
    Targets targets;
    uint32_t key[2], step;
    int64_t first_row;

    int64_t size() const { return samples.count; }
};
