import pytest
import torch
import torch.nn.functional as F
from torch import nn
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


def test_a_state_of_torchs_conv_is_loaded_and_the_table_kept():
    dense, layer = nn.Conv2d(6, 16, 5), TableConv2d(LENET5_C3, 5)
    before = {name: value.clone() for name, value in dense.state_dict().items()}
    nn.Sequential(layer).load_state_dict(nn.Sequential(dense).state_dict())
    table = torch.tensor(LENET5_C3)[:, :, None, None]
    assert torch.equal(layer.table, table)
    assert torch.equal(layer.weight, dense.weight * table)
    assert_close(layer(X), F.conv2d(X, dense.weight * table, dense.bias))
    for name, value in dense.state_dict().items():
        assert torch.equal(value, before[name])


def test_a_state_of_another_shape_or_without_a_weight_is_torchs_error():
    with pytest.raises(RuntimeError, match="size mismatch for weight"):
        TableConv2d(LENET5_C3, 5).load_state_dict(nn.Conv2d(6, 16, 3).state_dict())
    with pytest.raises(RuntimeError, match=r"Missing key\(s\) in state_dict: \"weight\""):
        TableConv2d(LENET5_C3, 5).load_state_dict({"bias": torch.zeros(16)})


def test_a_layer_made_without_numbers_takes_the_table_from_the_state():
    with torch.device("meta"):
        bare = TableConv2d(LENET5_C3, 5)
    with pytest.raises(RuntimeError, match='"table"'):
        bare.load_state_dict(nn.Conv2d(6, 16, 5).state_dict(), assign=True)
    full = TableConv2d(LENET5_C3, 5)
    bare.load_state_dict(full.state_dict(), assign=True)
    assert_close(bare(X), full(X))
