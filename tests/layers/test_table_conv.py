import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from striate.base.errors import ConfigError
from striate.layers.table_conv import LENET5_C3, TableConv2d

X = torch.randn(2, 6, 14, 14, generator=torch.Generator().manual_seed(0))


def test_c3_of_1998_has_60_connections_and_1516_parameters():
    layer = TableConv2d(LENET5_C3, 5)
    assert sum(map(sum, LENET5_C3)) == 60
    assert layer.parameter_count == 1516
    assert layer(X).shape == (2, 16, 10, 10)


def test_the_table_is_as_the_paper_describes_it():
    inputs = [{i for i, connected in enumerate(row) if connected} for row in LENET5_C3]
    assert inputs[:6] == [{i, (i + 1) % 6, (i + 2) % 6} for i in range(6)]  # every run of three
    assert inputs[6:12] == [{(i + j) % 6 for j in range(4)} for i in range(6)]  # every run of four
    assert inputs[12:15] == [{0, 1, 3, 4}, {1, 2, 4, 5}, {0, 2, 3, 5}]  # four, with gaps
    assert inputs[15] == set(range(6))


def test_each_map_is_a_convolution_of_its_own_inputs():
    layer = TableConv2d(LENET5_C3, 5)
    y = layer(X)
    for o, row in enumerate(LENET5_C3):
        inputs = [i for i, connected in enumerate(row) if connected]
        alone = F.conv2d(X[:, inputs], layer.weight[o : o + 1, inputs], layer.bias[o : o + 1])
        assert_close(y[:, o : o + 1], alone, rtol=1e-4, atol=1e-5)


def test_weights_without_a_connection_are_0_and_get_no_gradient():
    layer = TableConv2d(LENET5_C3, 5)
    absent = ~torch.tensor(LENET5_C3)
    assert layer.weight[absent].count_nonzero() == 0
    layer(X).sum().backward()
    assert layer.weight.grad[absent].count_nonzero() == 0
    assert layer.weight.grad[~absent].count_nonzero() == 1500


def test_each_map_starts_in_the_range_of_its_own_fan_in():
    layer = TableConv2d([[True] * 64, [True] * 4 + [False] * 60], 9, dtype=torch.float64)
    for row, inputs in ((0, 64), (1, 4)):
        bound = (inputs * 81) ** -0.5
        assert 0.9 * bound < layer.weight[row].abs().max() <= bound


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([[True, False], [True]], r"rows of one length, got \[1, 2\]"),
        ([[True, False], [False, False]], r"at least one input an output map, got none in \[1\]"),
        ([], "rows of one length"),
    ],
)
def test_a_table_that_cannot_be_names_the_fix(table, message):
    with pytest.raises(ConfigError, match=message):
        TableConv2d(table, 3)
