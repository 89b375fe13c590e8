import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from striate.base.errors import ConfigError
from striate.calculus.padding import demonstrate, pad, pad_pullback, resolve
from striate.calculus.windows import output_size

TORCH = {"zeros": "constant", "reflect": "reflect", "replicate": "replicate", "circular": "circular"}


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


pairs_2d = st.tuples(*(st.tuples(st.integers(0, 3), st.integers(0, 3)),) * 2)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.sampled_from(sorted(TORCH)), pairs_2d)
def test_borders_are_torchs(border, pairs):
    x = draw(2, 3, 4, 5)
    reference = F.pad(x, (*pairs[1], *pairs[0]), mode=TORCH[border])
    assert torch.equal(pad(x, pairs, border), reference)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.sampled_from([*sorted(TORCH), 2.5]), pairs_2d)
def test_pullback_folds_every_padded_pixel_onto_its_source(border, pairs):
    x = draw(2, 3, 4, 5).requires_grad_()
    y = pad(x, pairs, border)
    dy = draw(*y.shape, seed=1)
    assert_close(pad_pullback(dy, pairs, border), torch.autograd.grad(y, x, dy)[0], rtol=1e-10, atol=1e-12)


def test_a_number_surrounds_the_picture():
    y = pad(torch.zeros(1, 1, 2), ((1, 2),), float("-inf"))
    assert y[0, 0].tolist() == [float("-inf"), 0, 0, float("-inf"), float("-inf")]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(1, 20), st.integers(1, 6), st.integers(1, 4), st.integers(1, 3))
def test_same_gives_the_size_over_the_stride_rounded_up(n, kernel, stride, dilation):
    ((before, after),) = resolve("same", (n,), (kernel,), (stride,), (dilation,))
    assert output_size(n, kernel, stride, before, after, dilation) == -(-n // stride)
    assert 0 <= after - before <= 1


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")  # torch copies, as we do
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("dilation", [1, 2, 3])
def test_same_at_stride_1_pads_where_torch_does(kernel, dilation):
    x, w = draw(1, 1, 9), draw(1, 1, kernel)
    padded = pad(x, resolve("same", (9,), (kernel,), (1,), (dilation,)))
    assert_close(torch.conv1d(padded, w, dilation=dilation), F.conv1d(x, w, padding="same", dilation=dilation))


def test_tensorflows_published_example_of_strided_same():
    # tf.nn's notes: 13 pixels, kernel 6, stride 5 are padded by 1 before and 2 after
    assert resolve("same", (13,), (6,), (5,), (1,)) == ((1, 2),)


def test_full_lets_every_window_touch_a_pixel():
    assert resolve("full", (4, 4), (3, 2), (1, 1), (1, 3)) == ((2, 2), (3, 3))


def test_numbers_axes_and_pairs():
    given_ = ((5, 5), (3, 3), (1, 1), (1, 1))
    assert resolve(1, *given_) == ((1, 1), (1, 1))
    assert resolve((1, 2), *given_) == ((1, 1), (2, 2))
    assert resolve(((0, 1), (2, 3)), *given_) == ((0, 1), (2, 3))


@pytest.mark.parametrize("padding", ["sane", (1, 2, 3), -1, ((0, 1), (2, -3))])
def test_a_bad_padding_names_the_forms(padding):
    with pytest.raises(ConfigError, match=r"\(before, after\)"):
        resolve(padding, (5, 5), (3, 3), (1, 1), (1, 1))


@pytest.mark.parametrize(("border", "most"), [("reflect", 3), ("circular", 4)])
def test_copying_more_pixels_than_there_are_names_the_most_that_fits(border, most):
    x = draw(1, 1, 4, 9)
    assert pad(x, ((most, most), (0, 0)), border).shape[2] == 4 + 2 * most
    with pytest.raises(ConfigError, match=f"pad {most} or less along H"):
        pad(x, ((most + 1, 0), (0, 0)), border)


def test_an_unknown_border_names_the_known():
    with pytest.raises(ConfigError, match="zeros, reflect, replicate, circular, got 'mirror'"):
        pad(draw(1, 1, 4), ((1, 1),), "mirror")


def test_the_demonstration_can_be_checked_by_hand():
    rows = {line.split()[0]: line.split()[1:] for line in demonstrate().splitlines() if line}
    x = np.arange(1, 5)
    for name, mode in (("zeros", "constant"), ("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap")):
        padded = np.pad(x, 2, mode=mode)
        copied = [(padded == value).sum() for value in x]
        assert rows[name] == [str(v) for v in [*padded, *copied]]
    assert "1  2  0      6  0\n3  0  0  ->  0  5\n0  0  5" in demonstrate()
