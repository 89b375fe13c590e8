import numpy as np
import pytest
import torch

from striate.base.random import (
    Purpose,
    StepRandomness,
    current_step,
    derive,
    key,
    philox,
    step_randomness,
    uniform,
)

# Known-answer vectors of Random123 1.14 (kat_vectors, philox4x32 10 rounds): counter, key, result.
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "philox_key", "expected"), KNOWN)
@pytest.mark.parametrize("array", [lambda v: np.array([v]), lambda v: torch.tensor([v])], ids=["numpy", "torch"])
def test_random123s_known_answers_come_out(array, counter, philox_key, expected):
    words = philox(tuple(array(value) for value in counter), philox_key)
    assert tuple(int(word[0]) for word in words) == expected


def test_uniform_numbers_fill_the_unit_interval_evenly():
    rows = np.arange(100_000)
    draws = uniform(philox((rows, rows * 0, rows * 0, rows * 0), key(7, Purpose.ORDER))[0])
    assert draws.min() >= 0
    assert draws.max() < 1
    counts = np.histogram(draws, bins=20, range=(0, 1))[0]
    assert (abs(counts - 5000) < 5 * 5000**0.5).all()


def test_seeds_and_purposes_never_share_numbers():
    seeds = {derive(seed, purpose) for seed in (0, 1, 2**32, 2**40) for purpose in Purpose}
    assert len(seeds) == 4 * len(Purpose)


def test_the_step_is_known_inside_the_block_only():
    assert current_step() is None
    with step_randomness(StepRandomness(seed=3, step=14)):
        assert current_step() == StepRandomness(seed=3, step=14, first_row=0)
    assert current_step() is None


def test_uniform_numbers_of_torchs_words_are_float64_too_and_below_one():
    import torch

    largest = uniform(torch.tensor([0, 2**32 - 1]))
    assert largest.dtype == torch.float64
    assert largest.tolist() == [0.0, 1 - 2.0**-32]
