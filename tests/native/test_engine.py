"""The native engine: how samples may lie, threads, and its memory."""

import os
from pathlib import Path

import pytest
import torch
from tests.native.networks import NETWORKS, NOW, engine, made, samples
from torch.nn import functional as F

from striate.base.random import StepRandomness
from striate.native.engine import Goal, Memory
from striate.native.library import absence, library
from striate.native.pixels import Pixels
from striate.native.program import Rule

pytestmark = pytest.mark.skipif(library() is None, reason=absence())


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("conv 6 5x5 pad 2, relu, maxpool 2, flatten, linear 10", (1, 28, 28)),
        ("conv 6 3x3, batch_norm, relu, flatten, linear 10", (3, 21, 13)),
        ("conv 4 3x3, flatten, linear 3", (2, 6, 3)),  # rows that are shorter than a vector
        ("flatten, linear 12, relu, linear 3", (3, 10, 17)),
    ],
)
@pytest.mark.parametrize("pad", [0, 2])
@pytest.mark.parametrize("count", [5, 32, 37])
def test_a_batch_of_bytes_comes_to_the_bits_of_its_numbers(text, shape, layout, pad, count):
    channels, height, width = shape
    padded = (channels, height + 2 * pad, width + 2 * pad)
    network, _, tensors = made(text, padded)
    draw = torch.Generator().manual_seed(1)
    pictures = torch.randint(256, (count, *shape), generator=draw, dtype=torch.uint8).contiguous(memory_format=layout)
    y = torch.randint(3, (count,), generator=draw)
    shift, scale = torch.tensor([100.0, 30.5, 200.0][:channels]), torch.tensor([0.02, 0.015, 0.01][:channels])
    pixels = Pixels(pad=pad, shift=tuple(shift.tolist()), scale=tuple(scale.tolist()))
    numbers = (F.pad(pictures, (pad,) * 4).float() - shift[:, None, None]) * scale[:, None, None]
    of_bytes = engine(network, tensors, largest=count, pixels=pixels)
    of_numbers = engine(network, tensors, largest=count, threads=2)
    for _ in range(2):  # the border is laid out once
        found, expected = (e.step(x, y, Goal(), None, NOW) for e, x in ((of_bytes, pictures), (of_numbers, numbers)))
        assert found.loss == expected.loss
        assert all(torch.equal(of_bytes.gradients()[name], g) for name, g in of_numbers.gradients().items())


def bits(threads, count, steps=3):
    """Weights after some updates."""
    network, module, tensors = made(*NETWORKS["batch norm"])
    x, y = samples(network, count)
    memory = {name: Memory(first=torch.zeros_like(p)) for name, p in module.named_parameters()}
    own = engine(network, tensors, largest=count, threads=threads, memory=memory)
    for step in range(steps):
        own.step(x, y, Goal(), Rule(lr=0.1, momentum=0.9), StepRandomness(1, step))
    return torch.cat([t.detach().double().flatten() for t in tensors.values()])


@pytest.mark.parametrize("count", [5, 64, 100])
def test_no_bit_depends_on_the_number_of_threads(count):
    first = bits(1, count)
    assert all(torch.equal(first, bits(threads, count)) for threads in (2, 3, 5, 8))


def test_threads_that_are_late_are_not_waited_for_and_change_no_bit():
    """Sixteen threads on fewer processors: most come to a step when others have done it, or the next one."""
    network, _, tensors = made(*NETWORKS["batch norm"])
    x, y = samples(network, 70)
    alone, many = (engine(network, tensors, largest=100, threads=threads) for threads in (1, 16))
    alone.step(x, y, Goal(), None, NOW)
    expected = {name: gradient.clone() for name, gradient in alone.gradients().items()}
    for _ in range(200):
        many.step(x, y, Goal(), None, NOW)
        assert all(torch.equal(gradient, expected[name]) for name, gradient in many.gradients().items())


@pytest.mark.parametrize("layout", ["channels last", "every other sample", "turned"])
def test_samples_may_lie_in_memory_in_any_way(layout):
    network, _, tensors = made(*NETWORKS["strides"])
    x, y = samples(network, 12)
    own = engine(network, tensors, largest=12)
    plain = own.step(x, y, Goal(), None, NOW).loss
    odd = {
        "channels last": x.contiguous(memory_format=torch.channels_last),
        "every other sample": x.repeat_interleave(2, 0)[::2],
        "turned": x.transpose(2, 3).contiguous().transpose(2, 3),
    }[layout]
    assert own.step(odd, y, Goal(), None, NOW).loss == plain


@pytest.mark.parametrize("layout", ["channels last", "turned"])
def test_samples_that_are_flattened_at_once_may_lie_in_any_way(layout):
    text, shape = "flatten, linear 4", (3, 48, 48)  # so large that the memory of a copy is given back when it is let go
    network, _, tensors = made(text, shape)
    x, y = samples(network, 32)
    odd = {
        "channels last": x.contiguous(memory_format=torch.channels_last),
        "turned": x.transpose(2, 3).contiguous().transpose(2, 3),
    }[layout]
    own = engine(network, tensors, largest=32)
    assert own.step(odd, y, Goal(), None, NOW).loss == own.step(x, y, Goal(), None, NOW).loss


def test_one_number_a_channel_is_refused_as_torch_refuses_it():
    network, _, tensors = made(*NETWORKS["vectors"])
    x, y = samples(network, 1)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        engine(network, tensors, largest=4).step(x, y, Goal(), None, NOW)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read where Linux tells it")
def test_an_engine_gives_its_memory_back():
    network, _, tensors = made(*NETWORKS["batch norm"])
    taken = []
    for _ in range(12):
        engine(network, tensors, largest=512, threads=2)
        taken.append(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
    assert taken[-1] - taken[1] < 30e6  # an engine is as large as that
