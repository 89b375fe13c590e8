"""LeNet-5 as published: trainable subsampling, a connection table, squashing everywhere, and codes for the classes.

    C1  conv 6@5x5          156 parameters    122,304 connections
    S2  subsample 2x2        12                 5,880
    C3  conv 16@5x5, table 1,516              151,600
    S4  subsample 2x2        32                 2,000
    C5  conv 120@5x5     48,120                48,120
    F6  linear 84        10,164                10,164
    output  RBF               0                   840    (the distance to a code of 84 numbers for each class)

LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition", Proc. IEEE 86(11), 1998,
section II.B: 60,000 trainable parameters and 340,908 connections at 1x32x32 with 10 classes.  C1 to F6 are each
followed by the squashing 1.7159 tanh(2a / 3).

    y_i = sum_j (x_j - code_ij)^2                         equation 7: the smallest is the answer
    E   = y_D + log(e^-j + sum_i e^-y_i)                  equation 9: D is the right class

The network gives the logits -y, so that the largest is the answer, and E is their cross-entropy with one more logit,
-j: a class for rubbish, which is never the right one and keeps classes that are far already from being pushed further.

What the paper leaves open, or prints as a picture:

- j: see `RUBBISH`.
- The codes: the paper's figure 3 shows characters of 7x12 pixels; the digits below are drawn for this file in their
  spirit.  Other than ten classes have no pictures there: they get random codes.
- The rate: the paper divides it, weight by weight, by the second derivative of E.  Without that, E is divided as a
  whole: see `SHARE`.
- Unlike the paper, the coefficients of S2 and S4 are not drawn: they start at 1/4, as the mean of their four inputs.
"""

from collections import OrderedDict

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.base.errors import ConfigError
from striate.base.random import Purpose, key, philox
from striate.layers.initialise import initialise_lecun_1998
from striate.layers.rbf import RBF
from striate.layers.scaled_tanh import ScaledTanh
from striate.layers.subsample import Subsample2d
from striate.layers.table_conv import LENET5_C3, TableConv2d
from striate.models.card import Card, Criterion, Options

SMALLEST = 16  # pixels: below it nothing is left of S4
FEATURES = 84  # units of F6: a character of 7x12 pixels

# j.  The paper asks for j > 0 and gives no number.  Far from all other codes E is log(1 + e^(y_D - j)): an input is
# drawn to its code until the squared distance falls below j.  Balls of that size around the nearest codes, of 0 and 8,
# which differ in 10 pixels and are 40 apart, touch in the middle, 10 from each.
RUBBISH = 10.0

# Of E, what is trained with.  It moves no minimum, only the unit of the learning rate: y / 8 is half the squared
# distance with ink counted from 0 to 1, which the usual rates fit.  Undivided, they drive the units into saturation.
SHARE = 1 / 8

DIGITS = """
.#####.  ...#...  .#####.  .#####.  ....##.  #######  ..####.  #######  .#####.  .#####.
##...##  ..##...  ##...##  ##...##  ...###.  #######  .##....  #######  ##...##  ##...##
##...##  .###...  ##...##  .....##  ..####.  ##.....  ##.....  .....##  ##...##  ##...##
##...##  ####...  .....##  .....##  .##.##.  ##.....  ##.....  ....##.  ##...##  ##...##
##...##  ..##...  ....##.  .....##  ##..##.  ##.....  ##.....  ....##.  ##...##  ##...##
##...##  ..##...  ...##..  ..####.  ##..##.  ######.  ######.  ...##..  .#####.  .######
##...##  ..##...  ..##...  ..####.  #######  .....##  ##...##  ...##..  .#####.  .....##
##...##  ..##...  .##....  .....##  #######  .....##  ##...##  ..##...  ##...##  .....##
##...##  ..##...  ##.....  .....##  ....##.  .....##  ##...##  ..##...  ##...##  .....##
##...##  ..##...  ##.....  .....##  ....##.  .....##  ##...##  .##....  ##...##  .....##
##...##  ..##...  #######  ##...##  ....##.  ##...##  ##...##  .##....  ##...##  ....##.
.#####.  ######.  #######  .#####.  ....##.  .#####.  .#####.  .##....  .#####.  .####..
"""


def digit_codes() -> Float[Tensor, "10 84"]:
    """The ten digits of `DIGITS`, ink 1 and paper -1, each read row by row."""
    rows = [line.split() for line in DIGITS.split("\n") if line]
    ink = [[mark == "#" for row in rows for mark in row[digit]] for digit in range(10)]
    return torch.tensor(ink, device="cpu").float() * 2 - 1


def random_codes(classes: int) -> Float[Tensor, "classes 84"]:
    """Codes of fair coins, the same ones always: two differ in 42 of 84 places on average, with deviation 4.6."""
    row, place = torch.arange(classes, device="cpu")[:, None], torch.arange(FEATURES, device="cpu")[None]
    zero = torch.zeros_like(row)
    words = philox((place, row, zero, zero), key(1998, Purpose.INITIALISE))[0]
    return (words & 1).float() * 2 - 1


class LeNet5Of1998(nn.Module):
    """LeNet-5 as published.

    Args:
        num_classes: how many classes or numbers, >= 1; ten get the digits' pictures as codes, others random codes.
        in_channels: 1 for grey as published, or any other number: C1 sees them all.
        image_size: side of the square picture in pixels, >= 16; the kernels of C5 are as large as what S4 leaves.

    Shape: (B, in_channels, image_size, image_size) -> (B, num_classes), the logits: squared distances with a minus.
    State: as named in the paper; `output.codes` are fixed.

    Raises:
        ConfigError: a picture that is too small.

    >>> LeNet5Of1998()(torch.zeros(2, 1, 32, 32)).shape
    torch.Size([2, 10])
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 1, image_size: int = 32) -> None:
        super().__init__()
        if image_size < SMALLEST:
            raise ConfigError("lenet5-1998", "image_size", f">= {SMALLEST} pixels", got=image_size, fix="ask for 32")
        left = ((image_size - 4) // 2 - 4) // 2
        self.features = nn.Sequential(
            OrderedDict(
                c1=nn.Conv2d(in_channels, 6, 5),  # B 6 S-4 S-4
                c1_squash=ScaledTanh(),
                s2=Subsample2d(6),
                s2_squash=ScaledTanh(),
                c3=TableConv2d(LENET5_C3, 5),
                c3_squash=ScaledTanh(),
                s4=Subsample2d(16),  # B 16 left left
                s4_squash=ScaledTanh(),
                c5=nn.Conv2d(16, 120, left),  # B 120 1 1
                c5_squash=ScaledTanh(),
                flatten=nn.Flatten(),
                f6=nn.Linear(120, FEATURES),
                f6_squash=ScaledTanh(),
            )
        )
        codes = digit_codes() if num_classes == 10 else random_codes(num_classes)
        self.output = RBF(codes.to(next(self.parameters()).device))

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B classes"]:
        """The logits."""
        return -self.output(self.features(x))


def equation_9(plain: Criterion) -> Criterion:
    """An eighth of the paper's criterion: a loss of (logits, labels), given one more logit, -j, that no label names."""

    def criterion(logits: Tensor, labels: Tensor) -> Tensor:
        rubbish = logits.new_full((len(logits), 1), -RUBBISH)
        return plain(torch.cat([logits, rubbish], dim=1), labels) * SHARE

    return criterion


LENET5_1998 = Card(
    builder=lambda o: LeNet5Of1998(o.classes, o.in_channels, o.image_size),
    usual=Options(num_classes=10, in_channels=1, image_size=32),
    source="LeCun, Bottou, Bengio and Haffner 1998, Gradient-based learning applied to document recognition",
    faithful="as published; codes drawn anew, j (left open by the paper) 10, the criterion divided by 8, plain descent",
    published={"parameters": 60_000, "connections": 340_908},
    start=initialise_lecun_1998,
    loss=equation_9,
)
