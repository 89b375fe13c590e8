"""What becomes one stage, and what the engine does not have."""

import pytest

from striate.base.errors import ConfigError
from striate.base.network import Network
from striate.base.operations import Activation, Dropout, Flatten, Linear, PReLU
from striate.base.windowed import Conv, ConvTranspose, MaxPool
from striate.models.notation import parse
from striate.native.stages import fuse

LENET = "conv 6 5x5 pad 2, relu, maxpool 2, conv 16 5x5, maxpool 2, relu, flatten, linear 120, tanh, linear 10"


def test_a_convolution_takes_activation_and_pooling_with_it_in_either_order():
    stages = fuse(parse(LENET, (1, 28, 28)))
    assert [stage.place for stage in stages] == ["0", "3", "7", "9"]
    assert [stage.pooled for stage in stages] == [True, True, False, False]
    assert [stage.activation.name for stage in stages] == ["relu", "relu", "tanh", "linear"]
    assert stages[0].inner == (28, 28)
    assert stages[0].output == (6, 14, 14)
    assert stages[0].border == ((2, 2), (2, 2))
    assert str(stages[0]).split() == "0 conv + max 2x2 + relu 1x28x28 -> 6x14x14".split()


@pytest.mark.parametrize("pool", [MaxPool(3), MaxPool(2, 1), MaxPool(2, padding=1), MaxPool(2, ceil_mode=True)])
def test_other_poolings_are_stages_of_their_own(pool):
    stages = fuse(Network((1, 9, 9), (Conv(2, 3), pool)))
    assert [stage.pooled for stage in stages] == [False] * 2


def test_dropout_of_nothing_is_no_stage_but_counts_among_the_layers_that_draw():
    (first, second) = fuse(Network((4,), (Dropout(0), Linear(3), Dropout(0.5))))
    assert (first.place, second.place, second.stream) == ("1", "2", 1)


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (parse("conv 2 3x3 same, add(conv 2 3x3 same | )", (2, 8, 8)), "operation 1.0.0 must be"),
        (Network((1, 8, 8), (ConvTranspose(2, 3),)), "got conv_transpose"),
        (Network((1, 4, 8, 8), (Conv(2, 3),)), "of two axes at most, got 1x4x8x8"),
        (Network((1, 8, 8), (Conv(2, 3, padding=1, padding_mode="reflect"),)), "zeros, got reflect"),
        (Network((1, 8, 8), (Conv(2, 3, flip_kernel=True),)), "a true convolution"),
        (Network((4,), (Activation("gelu"),)), "which rise with x, got gelu"),
        (Network((4,), (Activation("leaky_relu", negative_slope=-1),)), "got leaky_relu"),
        (Network((4,), (PReLU(),)), "got prelu"),
        (Network((4,), (Flatten(),)), "an operation, got none"),
    ],
)
def test_what_the_engine_lacks_is_named_by_its_place(network, said):
    with pytest.raises(ConfigError, match="native engine") as told:
        fuse(network)
    assert said in str(told.value)
    assert "the torch engine runs every network" in str(told.value)


@pytest.mark.parametrize(
    ("text", "shape", "side"),
    [
        ("conv 64 3x3 same", (64, 32, 32), 4),
        ("conv 16 5x5, maxpool 2", (6, 14, 14), 2),
        ("conv 6 5x5", (1, 32, 32), 0),  # the way to the points costs more than it saves
        ("conv 64 3x3", (64, 3, 3), 0),  # one output of a tile of sixteen
        ("conv 64 3x3 stride 2", (64, 32, 32), 0),
        ("conv 64 3x3 dilation 2", (64, 32, 32), 0),
        ("conv 64 3x3 groups 2", (64, 32, 32), 0),
        ("conv 64 3x5", (64, 32, 32), 0),
        ("conv 64 7x7", (64, 32, 32), 0),
        ("conv 64 3", (64, 32), 0),
        ("linear 64", (64,), 0),
    ],
)
def test_outputs_are_made_in_tiles_where_that_saves_multiplications(text, shape, side):
    (stage,) = fuse(parse(text, shape))
    assert stage.tile == side
