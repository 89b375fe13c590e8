"""Layers that know their own cost better than their operations show it: one visible dict from class to rule.

A connection table is carried by a dense kernel with zeros, a subsampling by an average, a distance by a difference of
broadcast arrays; counted by its operations each would cost something else than its paper says.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from torch import nn

from striate.base.operations import Shape
from striate.layers.local_response_norm import LocalResponseNorm
from striate.layers.rbf import RBF
from striate.layers.subsample import Subsample2d
from striate.layers.table_conv import TableConv2d

Count = Callable[[Any, Shape], int]  # layer and output shape with the batch -> a count


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What a layer says of itself; what is None is left to its operations.

    Args:
        macs: multiply-accumulates for the output's batch.
        connections: weights and biases, each as often as it is used.
        parameters: what is learnt, where not every number of the parameters is.
        pointwise: whether an output sees just what the input in its place sees, as far as places go.
    """

    macs: Count | None = None
    connections: Count | None = None
    parameters: Callable[[Any], int] | None = None
    pointwise: bool = False


def _places(output: Shape) -> int:
    """Windows in all: of every sample, not of every map."""
    return output[0] * prod(output[2:])


def _table_macs(layer: TableConv2d, output: Shape) -> int:
    """A MAC for every entry of every kernel that the table connects."""
    return layer.connected * prod(layer.weight.shape[2:]) * _places(output)


def _table_connections(layer: TableConv2d, output: Shape) -> int:
    return layer.parameter_count * _places(output)


def _rbf(layer: RBF, output: Shape) -> int:
    return output[0] * layer.codes.numel()


RULES: Mapping[type[nn.Module], Rule] = {
    TableConv2d: Rule(
        macs=_table_macs,
        connections=_table_connections,
        parameters=lambda layer: layer.parameter_count,
    ),
    # The inputs of a window are added, the sum multiplied once; each input is a connection, and so is the bias.
    Subsample2d: Rule(
        macs=lambda _, output: prod(output),
        connections=lambda layer, output: (layer.window + 1) * prod(output),
    ),
    RBF: Rule(macs=_rbf, connections=_rbf),
    LocalResponseNorm: Rule(pointwise=True),
}


def rule_of(layer: nn.Module) -> Rule | None:
    """The rule of a layer's class or of one it is derived from."""
    return next((RULES[kind] for kind in type(layer).__mro__ if kind in RULES), None)


def parameters_of(model: nn.Module) -> int:
    """How many parameters a network has: shared ones once, those that a connection table masks not at all."""
    return sum(p.numel() for p in model.parameters()) - sum(map(_masked, model.modules()))


def trainable_parameters(model: nn.Module) -> int:
    """The same of those that training moves."""
    moved = [layer for layer in model.modules() if any(p.requires_grad for p in layer.parameters(recurse=False))]
    return sum(p.numel() for p in model.parameters() if p.requires_grad) - sum(map(_masked, moved))


def _masked(layer: nn.Module) -> int:
    """Numbers of a layer's own parameters that its rule does not count."""
    rule = rule_of(layer)
    if rule is None or rule.parameters is None:
        return 0
    return sum(p.numel() for p in layer.parameters(recurse=False)) - rule.parameters(layer)
