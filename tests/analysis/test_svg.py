import pytest

from striate.analysis.svg import BOLD, width_of

# Widths in DejaVu Sans at 2048 units an em, from the font's own table (hmtx).
DEJAVU = {"relu": 3924, "maxpool": 8837, "add": 3855, "64x112x112": 12848, "BatchNorm2d": 14076}

BOLD_DEJAVU = {"relu": 4559, "maxpool": 9819, "64x112x112": 14042, "layer1.0.downsample.1": 26879}


@pytest.mark.parametrize(("text", "units"), DEJAVU.items())
def test_no_text_is_wider_than_thought_and_none_by_much(text, units):
    assert units / 2048 <= width_of(text, 1) <= 1.2 * units / 2048


@pytest.mark.parametrize(("text", "units"), BOLD_DEJAVU.items())
def test_bold_text_is_wider(text, units):
    assert units / 2048 <= BOLD * width_of(text, 1) <= 1.2 * units / 2048
