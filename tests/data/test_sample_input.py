import numpy as np
import pytest
import torch
from torch.testing import assert_close

from striate.base.errors import DataError
from striate.data.record_set import RecordPart, Records, all_rows
from striate.data.sample_input import SampleInput, measured
from striate.data.tokenizer import fit_tokenizer

RNG = np.random.default_rng(0)


def part_of(inputs, kind="none", targets=None):
    targets = np.empty((len(inputs), 0), np.float32) if targets is None else targets
    names = tuple(f"y{i}" for i in range(targets.shape[1])) if kind == "numbers" else ()
    records = Records(
        name="x", location="x", kind=kind, inputs=inputs, targets=targets, classes=names, parts=all_rows(len(inputs))
    )
    return RecordPart(records, np.arange(0, len(inputs), 2))


@pytest.mark.parametrize("shape", [(7,), (3, 11), (2, 5, 4), (1, 3, 4, 5)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_inputs_have_mean_0_and_deviation_1_in_every_channel_of_training(shape, dtype):
    inputs = (
        RNG.normal(size=(600, *shape)) * 20 + 90 + 10 * np.arange(shape[0]).reshape(-1, *[1] * (len(shape) - 1))
    ).astype(dtype)
    part = part_of(inputs)
    reading = measured(part, normalise=True)
    held = inputs[part.rows].astype(np.float64)
    axes = (0, *range(2, held.ndim))
    np.testing.assert_allclose(reading.mean, held.mean(axes), rtol=1e-12)
    np.testing.assert_allclose(reading.std, held.std(axes), rtol=1e-9)
    x = reading.to_input(torch.from_numpy(inputs[part.rows].astype(np.float32)))
    assert x.dtype == torch.float32
    assert_close(x.double().mean(axes), torch.zeros(shape[0], dtype=torch.float64), atol=1e-5, rtol=0)
    back = reading.to_samples(x)
    np.testing.assert_allclose(back, held, atol=1e-3)


def test_a_channel_that_never_changes_is_left_alone_and_large_numbers_lose_nothing():
    inputs = np.stack([np.full(50, 0.1), 1e6 + np.arange(50) % 2], axis=1).astype(np.float32)
    reading = measured(part_of(np.repeat(inputs, 2, axis=0)), normalise=True)
    assert reading.std == (1.0, 0.5)
    plain = measured(part_of(inputs), normalise=False)
    assert (plain.mean, plain.std) == ((0.0, 0.0), (1.0, 1.0))


def test_numbers_go_to_deviations_and_back():
    targets = RNG.normal(size=(80, 2)).astype(np.float32) * [1e3, 1e-3] + [5e3, 0]
    part = part_of(RNG.normal(size=(80, 3)).astype(np.float32), "numbers", targets.astype(np.float32))
    reading = measured(part, normalise=True)
    told = torch.from_numpy(targets[part.rows].astype(np.float32))
    scaled = reading.to_target(told)
    assert_close(scaled.double().std(0, correction=0), torch.ones(2, dtype=torch.float64), atol=1e-5, rtol=0)
    assert_close(reading.to_numbers(scaled).float(), told, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "reading",
    [
        SampleInput((3, 5), (1.0, 2.0, 3.0), (0.5, 1.0, 2.0)),
        SampleInput((1,), (0.0,), (1.0,), None, (3.0,), (4.0,)),
        SampleInput((6,), tokenizer=fit_tokenizer(["a good film"], length=6)),
    ],
    ids=["signal", "numbers", "text"],
)
def test_it_reads_back_as_it_was_written(reading):
    assert SampleInput.from_dict(reading.as_dict()) == reading


@pytest.mark.parametrize(
    "changed",
    [{"std": [0.0]}, {"std": [1.0, 1.0]}, {"shape": []}, {"shape": [2]}, {"mean": ["x"]}, {"target_std": [-1.0]}],
    ids=str,
)
def test_other_values_are_refused(changed):
    told = SampleInput((1,), (0.0,), (1.0,), None, (3.0,), (4.0,)).as_dict()["samples"]
    with pytest.raises(ValueError, match=r"no such|no mean|shape|convert"):
        SampleInput.from_dict({"samples": told | changed})


def test_what_somebody_gives_is_one_sample_or_several():
    reading = SampleInput((2, 4), (0.0, 0.0), (1.0, 1.0))
    assert reading.arrays(np.zeros((2, 4))).shape == (1, 2, 4)
    assert reading.arrays(np.zeros((7, 2, 4), dtype=np.uint8)).dtype == np.float32
    with pytest.raises(DataError, match=r"must be numbers of shape \(2, 4\), .* got float64 of shape \(4, 2\)"):
        reading.arrays(np.zeros((4, 2)))
    texts = SampleInput((3,), tokenizer=fit_tokenizer(["good film"], length=3))
    assert texts.arrays("a good film").tolist() == [[1, 3, 2]]
    assert texts.arrays(["film", "good"]).shape == (2, 3)
    with pytest.raises(DataError, match="must be a text or a list of them, got int"):
        texts.arrays(3)
