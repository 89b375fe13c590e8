"""Sizes as one writes them, brought into one form."""

from inspect import unwrap

import numpy as np
import pytest

from striate.base.errors import ConfigError
from striate.base.padding import explicit
from striate.base.shapes import per_axis


@pytest.mark.parametrize("number", [3.0, "3", None, (1, 2.5)])
def test_a_size_that_is_no_integer_is_refused(number):
    with pytest.raises(ConfigError, match="kernel_size must be 1 or 2 integers"):
        unwrap(per_axis)("kernel_size", number, 2, where="conv")  # without the tests' own check of types
    with pytest.raises(ConfigError, match=r"padding: .* must be"):
        unwrap(explicit)(number, 2)


def test_sizes_of_other_integer_types_become_plain_ones():
    sizes = unwrap(per_axis)("kernel_size", np.int64(3), 2, where="conv")
    assert sizes == (3, 3)
    assert {type(size) for size in sizes} == {int}
    assert unwrap(explicit)(np.int64(1), 2) == ((1, 1), (1, 1))
