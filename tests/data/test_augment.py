import numpy as np
import pytest
import torch

from striate.base.errors import ConfigError
from striate.data.augment import Augment, apply, draw

SAMPLES = np.arange(20_000, dtype=np.int64)


def images(count: int, channels: int = 1, size: tuple[int, int] = (9, 7)) -> torch.Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(1, 256, (count, channels, *size), dtype=np.uint8))  # no 0: fill is seen


def one_by_one(x: torch.Tensor, draws, fill: int) -> torch.Tensor:
    """The definition, pixel by pixel."""
    y = torch.full_like(x, fill)
    _, _, H, W = x.shape
    dy, dx, flip = draws.dy.tolist(), draws.dx.tolist(), draws.flip
    for b in range(len(x)):
        for i in range(H):
            for j in range(W):
                u, v = i + dy[b], j + dx[b]
                if 0 <= u < H and 0 <= v < W:
                    y[b, :, i, j] = x[b, :, u, v]
        if flip is not None and flip[b]:
            y[b] = y[b].flip(2)
    return y


@pytest.mark.parametrize("augment", [Augment(2), Augment(2, True), Augment(0, True), Augment(11, True), Augment()])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_applying_is_the_definition(augment, channels, memory):
    x = images(24, channels).contiguous(memory_format=memory)
    draws = draw(augment, 5, 1, np.arange(24, dtype=np.int64))
    before = x.clone()
    for fill in (0, 7):
        assert torch.equal(apply(x, draws, fill), one_by_one(x, draws, fill))
    assert torch.equal(x, before)


def test_a_draw_belongs_to_its_sample_whoever_else_is_drawn():
    augment = Augment(3, True)
    together = draw(augment, 1, 4, SAMPLES)
    some = np.array([17, 3, 19_999], dtype=np.int64)
    alone = draw(augment, 1, 4, some)
    picked = together[torch.from_numpy(some)]
    for field in ("dy", "dx", "flip"):
        assert torch.equal(getattr(alone, field), getattr(picked, field))


def test_the_draws_are_pinned():
    """Philox's words by hand for one sample: a change of counter or key would break every resumed run."""
    from striate.base.random import Purpose, key, philox

    words = philox(tuple(np.array([v]) for v in (12, 3, 0, 0)), key(7, Purpose.AUGMENT))
    found = draw(Augment(2, True), 7, 3, np.array([12], dtype=np.int64))
    assert int(found.dy) == int(words[0][0] / 2**32 * 5) - 2
    assert int(found.dx) == int(words[1][0] / 2**32 * 5) - 2
    assert bool(found.flip) == (words[2][0] < 2**31)


def test_seed_epoch_and_axis_draw_apart():
    augment = Augment(2)
    base, other_seed, other_epoch = (draw(augment, s, e, SAMPLES) for s, e in ((0, 0), (1, 0), (0, 1)))
    pairs = [(base.dy, other_seed.dy), (base.dy, other_epoch.dy), (base.dy, base.dx)]
    for a, b in pairs:
        assert abs((a == b).double().mean() - 0.2) < 5 * (0.16 / len(SAMPLES)) ** 0.5


def test_every_shift_is_equally_likely_and_half_are_flipped():
    found = draw(Augment(2, True), 0, 0, SAMPLES)
    for values in (found.dy, found.dx):
        counts = torch.bincount(values + 2, minlength=5)
        assert len(counts) == 5
        assert ((counts - 4000).abs() < 5 * (20_000 * 0.16) ** 0.5).all()
    assert abs(int(found.flip.sum()) - 10_000) < 5 * 5000**0.5


def test_a_slice_of_draws_is_a_slice_of_each():
    found = draw(Augment(2, True), 0, 0, SAMPLES)[10:13]
    assert (len(found), len(found.flip), found.shift) == (3, 3, 2)


def test_nothing_to_do_gives_the_same_pictures_back():
    x = images(4)
    assert apply(x, draw(Augment(), 0, 0, np.arange(4, dtype=np.int64))) is x
    assert Augment().changes_nothing
    assert not Augment(flip=True).changes_nothing


def test_a_negative_shift_is_refused():
    with pytest.raises(ConfigError, match=r"shift must be >= 0, got -1\.\n  Fix: 2 suits 28x28"):
        Augment(shift=-1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_gives_the_same_bytes():
    x, draws = images(24, 3), draw(Augment(2, True), 0, 0, np.arange(24, dtype=np.int64))
    assert torch.equal(apply(x.cuda(), draws).cpu(), apply(x, draws))
