"""The picture of a receptive field where the map is turned round."""

from xml.etree import ElementTree

import pytest
from torch import nn

from striate.analysis.field_picture import LARGEST, field_picture
from striate.analysis.inspect import inspect


class TurnedRound(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 3, stride=2, padding=1)

    def forward(self, x):
        return self.conv(x).flip(2)


def test_the_neighbour_lies_before_the_first_and_the_last_in_the_padding_before_the_input():
    """Outputs of 9 pixels begin at -1, 1, 3, 5 and 7; turned round, the first begins at 7 and ends in the padding."""
    row = inspect(TurnedRound(), (1, 9)).rows[-1]
    found = {
        one.get("class"): (float(one.get("x")), float(one.get("width")))
        for one in ElementTree.fromstring(field_picture(row, (1, 9))).iter("{http://www.w3.org/2000/svg}rect")
    }
    unit = LARGEST / 11  # 9 pixels and 1 of padding at either end
    expected = {"pad": (0, 11), "paper": (1, 9), "first": (8, 3), "next": (6, 3), "last": (0, 3)}
    for kind, (first, count) in expected.items():
        assert found[kind] == pytest.approx((unit * first, unit * count), abs=0.06), kind
