import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from striate.base.errors import ConfigError
from striate.base.random import Purpose, key, philox
from striate.calculus.dropout import demonstrate, dropout, dropout_mask, dropout_pullback

shapes = st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(shapes, st.sampled_from([0.0, 0.25, 0.5, 0.9, 1.0]))
def test_the_pullback_is_autograds(shape, p):
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    mask = dropout_mask(shape, p, seed=1, layer=2, step=3)
    y = dropout(x, mask, p)
    dy = torch.randn_like(y)
    assert_close(dropout_pullback(dy, mask, p), torch.autograd.grad(y, x, dy)[0], rtol=1e-10, atol=1e-12)


def test_kept_numbers_are_scaled_and_dropped_ones_are_zero_even_if_infinite():
    x = torch.tensor([1.0, torch.inf, -3.0])
    assert_close(dropout(x, torch.tensor([True, False, True]), 0.75), torch.tensor([4.0, 0.0, -12.0]))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(2, 6), st.lists(st.integers(1, 5), min_size=1, max_size=3), st.data())
def test_a_rows_mask_does_not_depend_on_its_batch(rows, sample, data):
    cut = data.draw(st.integers(1, rows - 1))
    whole = dropout_mask((rows, *sample), 0.5, seed=9, layer=1, step=7)
    parts = [
        dropout_mask((cut, *sample), 0.5, seed=9, layer=1, step=7),
        dropout_mask((rows - cut, *sample), 0.5, seed=9, layer=1, step=7, first_row=cut),
    ]
    assert torch.equal(whole, torch.cat(parts))


def test_the_counter_is_position_row_step_layer_and_every_word_is_used():
    mask = dropout_mask((3, 10), 0.3, seed=5, layer=11, step=13, first_row=40)
    for row in range(3):
        for position in range(10):
            counter = (position // 4, 40 + row, 13, 11)
            word = philox(tuple(torch.tensor([c]) for c in counter), key(5, Purpose.DROPOUT))[position % 4]
            assert bool(mask[row, position]) == (word.item() / 2**32 >= 0.3)


def test_seeds_layers_and_steps_draw_different_masks():
    draws = [{"seed": s, "layer": n, "step": t} for s in (0, 1) for n in (0, 1) for t in (0, 1)]
    masks = {tuple(dropout_mask((2, 64), 0.5, **draw).flatten().tolist()) for draw in draws}
    assert len(masks) == 8


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_the_share_kept_is_one_minus_p(p):
    mask = dropout_mask((100, 3, 20, 20), p, seed=0, layer=0, step=0).double()
    assert abs(mask.mean().item() - (1 - p)) < 5 * (p * (1 - p) / mask.numel()) ** 0.5
    neighbours = torch.corrcoef(torch.stack([mask.flatten()[:-1], mask.flatten()[1:]]))[0, 1]
    assert abs(neighbours.item()) < 5 / mask.numel() ** 0.5


def test_the_ends_keep_all_and_nothing():
    assert dropout_mask((2, 9), 0.0, seed=0, layer=0, step=0).all()
    assert not dropout_mask((2, 9), 1.0, seed=0, layer=0, step=0).any()


@pytest.mark.parametrize("p", [-0.1, 1.5, float("nan")])
def test_a_p_that_is_no_probability_names_the_fix(p):
    with pytest.raises(ConfigError, match=r"a probability in \[0, 1\], got .*\n  Fix: p is the share dropped"):
        dropout_mask((2, 2), p, seed=0, layer=0, step=0)


def test_the_demonstration_doubles_what_is_kept():
    lines = {line.split()[0]: line.split()[1:9] for line in demonstrate().splitlines()[1:]}
    assert [float(v) for v in lines["y"]] == [2 * float(m) for m in lines["m"]]
    assert [float(v) for v in lines["dL/dx"]] == [2 * i * float(m) for i, m in enumerate(lines["m"], 1)]
