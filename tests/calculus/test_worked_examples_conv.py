"""The worked examples of the textbooks, on convolution."""

import pytest
import torch
from torch.testing import assert_close

from striate.calculus.conv import conv
from striate.calculus.conv_matrix import usage
from striate.calculus.padding import resolve
from striate.calculus.windows import output_size, reach

F64 = torch.float64


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


def test_a_32x32x3_picture_under_two_5x5x3_kernels_gives_28x28x2():
    assert conv(draw(1, 3, 32, 32), draw(2, 3, 5, 5)).shape == (1, 2, 28, 28)


def test_6x6x3_under_3x3_with_two_outputs_has_56_parameters():
    weight, bias = draw(2, 3, 3, 3), draw(2)
    assert conv(draw(1, 3, 6, 6), weight, bias).shape == (1, 2, 4, 4)
    assert weight.numel() + bias.numel() == 56


def test_3x3_from_1_to_16_channels_has_160_parameters_and_3136000_operations():
    weight, bias = draw(16, 1, 3, 3), draw(16)
    y = conv(torch.zeros(100, 1, 14, 14, dtype=F64), weight, bias, padding="same")
    assert weight.numel() + bias.numel() == 160
    # for every output number: a multiply-accumulate an entry, and one addition of the bias
    assert y.numel() * (weight[0].numel() + 1) == 3_136_000


def test_three_5x5x1_kernels_without_bias_have_75_weights():
    weight = draw(3, 1, 5, 5)
    assert conv(draw(1, 1, 28, 28), weight).shape == (1, 3, 24, 24)
    assert weight.numel() == 75


def test_a_3x3_kernel_of_dilation_2_sees_5x5_with_9_weights():
    assert reach(3, dilation=2) == 5
    seen = usage((5, 5), 3, dilation=2)
    assert int(seen.sum()) == 9
    assert seen.sum() / seen.numel() == pytest.approx(0.36)


@pytest.mark.parametrize(
    ("n", "f", "p", "s", "size"), [(32, 5, 0, 1, 28), (32, 5, 2, 1, 32), (7, 3, 1, 2, 4), (227, 11, 0, 4, 55)]
)
def test_the_size_is_n_plus_2p_minus_f_over_s_plus_1(n, f, p, s, size):
    assert (n + 2 * p - f) // s + 1 == size
    assert output_size(n, f, s, p, p) == size
    assert conv(draw(1, 1, n), draw(1, 1, f), stride=s, padding=p).shape[-1] == size


@pytest.mark.parametrize("f", [1, 3, 5, 7])
def test_same_padding_of_an_odd_kernel_is_f_minus_1_over_2(f):
    p = (f - 1) // 2
    assert resolve("same", (9,), (f,), (1,), (1,)) == ((p, p),)
    assert_close(conv(draw(1, 1, 9), draw(1, 1, f), padding="same"), conv(draw(1, 1, 9), draw(1, 1, f), padding=p))


@pytest.mark.parametrize(("layers", "field"), [([(3, 2)], 3), ([(3, 2), (2, 1)], 5)])
def test_a_3x3_kernel_with_stride_2_then_a_2x2_one_have_receptive_fields_3_and_5(layers, field):
    x = torch.zeros(1, 1, 9, 9, dtype=F64, requires_grad=True)
    y = x
    for kernel, stride in layers:
        y = conv(y, torch.ones(1, 1, kernel, kernel, dtype=F64), stride=stride)
    (seen,) = torch.autograd.grad(y[0, 0, 0, 0], x)
    rows, columns = seen[0, 0].nonzero().T
    assert (int(rows.max()) + 1, int(columns.max()) + 1) == (field, field)


def test_the_binary_picture_under_both_diagonals_starts_with_4():
    picture = [[1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1], [0, 0, 1, 1, 0], [0, 1, 1, 0, 0]]
    kernel = [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
    y = conv(torch.tensor([[picture]], dtype=F64), torch.tensor([[kernel]], dtype=F64))
    assert y[0, 0].tolist() == [[4, 3, 4], [2, 4, 3], [2, 3, 4]]


def test_a_curve_detector_answers_with_a_large_number_on_its_curve_and_0_elsewhere():
    # 30 along the curve in the kernel, 50 in the picture: six products of 1500
    kernel, picture = torch.zeros(7, 7, dtype=F64), torch.zeros(7, 20, dtype=F64)
    for row, column in enumerate([5, 4, 3, 3, 3, 3], start=1):
        kernel[row, column] = 30
        picture[row, column] = 50
    picture[:3, 15:] = 50  # something else, in a corner that the kernel's curve does not pass
    answer = conv(picture[None, None], kernel[None, None])[0, 0, 0]
    assert answer[0] == 6 * 50 * 30
    assert answer[0] == answer.max()
    assert answer[8] == 0  # columns 8 to 14 are empty


def test_a_decaying_filter_accumulates_the_delays_of_a_signal():
    decay = 0.5
    impulses = torch.tensor([1.0, 0.0, 0.0, 1.0, 0.0, 0.0], dtype=F64)
    fading = decay ** torch.arange(6, dtype=F64)
    accumulated, state = [], 0.0
    for pulse in impulses.tolist():  # the recursion that it unrolls
        state = decay * state + pulse
        accumulated.append(state)
    y = conv(impulses[None, None], fading[None, None], padding="full", flip_kernel=True)[0, 0, :6]
    assert_close(y, torch.tensor(accumulated, dtype=F64))


@pytest.mark.parametrize("shape", [((5,), (3,)), ((4, 5), (3, 2)), ((3, 4, 2), (2, 2, 3))])
def test_wide_convolution_commutes(shape):
    a, b = draw(*shape[0])[None, None], draw(*shape[1], seed=1)[None, None]
    assert_close(conv(a, b, padding="full", flip_kernel=True), conv(b, a, padding="full", flip_kernel=True))
    if len(shape[0]) == 1:  # and narrow cross-correlation does not
        assert not torch.equal(conv(a, b, padding="full"), conv(b, a, padding="full"))
