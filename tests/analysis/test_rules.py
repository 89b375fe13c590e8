"""Layers that know their own cost, against their papers and against what their operations come to."""

import pytest
import torch
from torch import nn

from striate.analysis.inspect import inspect
from striate.analysis.rules import RULES, parameters_of, rule_of, trainable_parameters
from striate.layers.local_response_norm import LocalResponseNorm
from striate.layers.rbf import RBF
from striate.layers.subsample import Subsample2d
from striate.layers.table_conv import LENET5_C3, TableConv2d


def row(layer, shape):
    (only,) = inspect(layer, shape)
    return only


@pytest.mark.parametrize("build_on", ["cpu", "meta"])
def test_the_layers_of_lenet5_count_as_its_paper_says(build_on):
    """LeCun et al. 1998, section II.B: trainable parameters and connections of S2, C3, S4 and the output."""
    with torch.device(build_on):
        layers = [Subsample2d(6), TableConv2d(LENET5_C3, 5), Subsample2d(16), RBF(torch.ones(10, 84))]
    shapes = [(6, 28, 28), (6, 14, 14), (16, 10, 10), (84,)]
    rows = [row(layer, shape) for layer, shape in zip(layers, shapes, strict=True)]
    assert [one.parameters for one in rows] == [12, 1516, 32, 0]
    assert [one.connections for one in rows] == [5880, 151_600, 2000, 840]
    assert rows[1].macs == 150_000


def test_totals_count_a_table_by_its_connections():
    totals = inspect(nn.Sequential(TableConv2d(LENET5_C3, 5), nn.Flatten(), nn.Linear(1600, 2)), (6, 14, 14)).totals
    assert (totals.parameters, totals.trainable, totals.unused) == (1516 + 3202, 1516 + 3202, 0)


def test_frozen_parameters_and_those_without_a_connection_are_not_trainable():
    model = nn.Sequential(TableConv2d(LENET5_C3, 5), nn.Flatten(), nn.Linear(1600, 2))
    assert trainable_parameters(model) == 1516 + 3202
    model[0].requires_grad_(False)
    assert (trainable_parameters(model), parameters_of(model)) == (3202, 1516 + 3202)
    totals = inspect(model, (6, 14, 14)).totals
    assert (totals.trainable, totals.parameters) == (3202, 1516 + 3202)


def test_a_full_table_costs_what_its_dense_kernel_costs():
    own = row(TableConv2d([[True] * 3] * 4, (5, 3), stride=2), (3, 9, 9))
    dense = row(nn.Conv2d(3, 4, (5, 3), stride=2), (3, 9, 9))
    assert (own.macs, own.connections, own.parameters) == (dense.macs, dense.connections, dense.parameters)


def test_an_rbf_of_distances_costs_what_a_linear_layer_without_bias_costs():
    own, linear = row(RBF(torch.ones(10, 84)), (84,)), row(nn.Linear(84, 10, bias=False), (84,))
    assert (own.macs, own.connections) == (linear.macs, linear.connections)


def test_a_subsampling_sees_what_a_pooling_sees():
    assert row(Subsample2d(3), (3, 8, 8)).sights == row(nn.AvgPool2d(2), (3, 8, 8)).sights


def test_normalisation_across_channels_sees_its_own_place():
    sights = row(LocalResponseNorm(5), (8, 6, 6)).sights
    assert [(one.receptive_field, one.jump, one.status) for one in sights] == [(1, 1, "exact")] * 2


def test_a_derived_class_has_the_rule_of_its_parent():
    class Own(RBF):
        pass

    assert rule_of(Own(torch.ones(2, 2))) is RULES[RBF]
    assert rule_of(nn.Linear(2, 2)) is None
