"""The test program of a network in C, and the Makefile: pictures, and the probabilities that must come out.

Where the file keeps weights in 8 bits, what must come out is what these weights give; how far that is from the trained
network is printed beside.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from striate.native.c_text import table

TOLERANCE = 1e-5  # of a probability: the sums of float32 in another order


@dataclass(frozen=True, slots=True, kw_only=True)
class Vectors:
    """Inputs and what they lead to.

    Args:
        images: as the C code takes them, one row of bytes each.
        expected: probabilities that the weights of the file give, one row each.
        trained: those of the trained network; None where they are the same.
    """

    images: Sequence[np.ndarray]
    expected: Sequence[np.ndarray]
    trained: Sequence[np.ndarray] | None = None


def check_program(symbol: str, vectors: Vectors) -> str:
    """The text of NAME_test.c: exit 0 where every probability is within `TOLERANCE`, 1 where one is not."""
    tables = [table("images", vectors.images), table("expected", [_single(row) for row in vectors.expected])]
    trained = vectors.trained is not None
    if vectors.trained is not None:
        tables.append(table("trained", [_single(row) for row in vectors.trained]))
    beside = '    printf("largest difference from the trained network: %.2g\\n", difference(found, trained));\n'
    upper = symbol.upper()
    return f"""\
/* Written by Striate.  Compares {symbol}.c with what the network gives.
 *
 * Exit 1 where a probability differs by more than {TOLERANCE:g}, or is no number.
 */
#include "{symbol}.h"

#include <math.h>
#include <stdio.h>

{chr(10).join(tables)}
static float found[{len(vectors.images)}][{upper}_CLASSES];

/* The largest |a - b|, or not a number where one is none. */
static double difference(float a[][{upper}_CLASSES], const float b[][{upper}_CLASSES])
{{
    double largest = 0.0;
    for (int i = 0; i < {len(vectors.images)}; ++i) {{
        for (int n = 0; n < {upper}_CLASSES; ++n) {{
            const double d = fabs((double)a[i][n] - (double)b[i][n]);
            if (isnan(d))
                return d;
            largest = d > largest ? d : largest;
        }}
    }}
    return largest;
}}

int main(void)
{{
    for (int i = 0; i < {len(vectors.images)}; ++i)
        {symbol}_predict(images[i], found[i]);
    const double largest = difference(found, expected);
    printf("largest difference on {len(vectors.images)} pictures: %.2g (tolerance {TOLERANCE:g})\\n", largest);
{beside if trained else ""}    return largest <= {TOLERANCE!r} ? 0 : 1;
}}
"""


def _single(row: np.ndarray) -> np.ndarray:
    return row.astype(np.float32)


def makefile(symbol: str) -> str:
    """The text of the Makefile; CC, CFLAGS and RUNNER (what starts the program, for another processor) can be given."""
    program = f"{symbol}_test"
    return f"""\
# The test of {symbol}.c; written by Striate.  CC, CFLAGS and RUNNER can be given.
CFLAGS ?= -std=c99 -O3 -march=native -ffp-contract=fast
RUNNER ?=

{program}: {program}.c {symbol}.c {symbol}.h
\t$(CC) $(CFLAGS) $(LDFLAGS) -o $@ {program}.c {symbol}.c $(LDLIBS) -lm

test: {program}
\t$(RUNNER) ./{program}

clean:
\trm -f {program}

.PHONY: test clean
"""
