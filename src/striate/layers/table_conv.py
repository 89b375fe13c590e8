"""TableConv2d: a convolution whose output maps each see only the input maps that a table names."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from striate.base.errors import ConfigError
from striate.calculus.conv import PerAxis
from striate.calculus.padding import Padding
from striate.layers.conv import Conv2d

# LeCun et al. 1998, "Gradient-based learning applied to document recognition", Table I:
# a row for each map of S2, a column for each map of C3.
_TABLE_I = """
X...XXX..XXXX.XX
XX...XXX..XXXX.X
XXX...XXX..X.XXX
.XXX..XXXX..X.XX
..XXX..XXXX.XX.X
...XXX..XXXX.XXX
"""
LENET5_C3 = tuple(tuple(mark == "X" for mark in column) for column in zip(*_TABLE_I.split(), strict=True))


class TableConv2d(Conv2d):
    """A dense kernel masked by a connection table, so that it runs at a convolution's speed.

    Weights without a connection are 0, stay 0 and count for nothing (`parameter_count`); the rest start with
    the range that their map's own number of inputs asks for.  With `LENET5_C3` it is layer C3 of LeNet-5.

    Args:
        table: a row for each output map, saying for each input map whether it is connected.
        kernel_size: entries along H and W.
        stride: pixels from window to window.
        padding: as `Conv2d`.
        dilation: pixels from entry to entry.
        bias: whether to add a learnt number to each output map.
        device: where the weights are made.
        dtype: their kind.

    Shape: (B, I, H, W) -> (B, O, H', W') for a table of O rows and I columns.
    Parameters: K^2 a connection, and O biases.

    State: as torch's Conv2d, and `table`.  A state without a table, such as a Conv2d's, can be loaded: the layer keeps
    its own, and the weights without a connection become 0.

    Raises:
        ConfigError: a table that is no rectangle, or an output map without an input.

    >>> c3 = TableConv2d(LENET5_C3, 5)
    >>> c3(torch.ones(1, 6, 14, 14)).shape, c3.parameter_count
    (torch.Size([1, 16, 10, 10]), 1516)
    """

    table: Tensor

    def __init__(
        self,
        table: Sequence[Sequence[bool]],
        kernel_size: PerAxis,
        stride: PerAxis = 1,
        padding: Padding = 0,
        dilation: PerAxis = 1,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        connected = _checked(table)
        out_channels, in_channels = connected.shape
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, bias=bias, device=device, dtype=dtype
        )
        self._drawn = int(connected.sum())  # known also where the table is made without numbers
        self.register_buffer("table", connected.view(out_channels, in_channels, 1, 1).to(self.weight.device))
        self.restrict_()

    @torch.no_grad()
    def restrict_(self) -> None:
        """Cut a fresh draw for all input maps to the table, and widen it as 1 / sqrt(an output map's own inputs)."""
        if self.weight.is_meta:  # no numbers to cut
            return
        share = self.table.sum((1, 2, 3), keepdim=True) / self.in_channels
        self.weight.mul_(self.table / share.sqrt())

    @property
    def connected(self) -> int:
        """Pairs of an input map and an output map that are connected."""
        return self._drawn if self.table.is_meta else int(self.table.sum())

    @property
    def parameter_count(self) -> int:
        """Weights that are connected, and biases."""
        entries = self.weight[0, 0].numel()
        return self.connected * entries + (0 if self.bias is None else self.out_channels)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        name, weight = f"{prefix}table", state_dict.get(f"{prefix}weight")
        if name not in state_dict and not self.table.is_meta:  # made without numbers, there is no table to keep
            state_dict[name] = self.table
            if weight is not None and weight.shape == self.weight.shape:  # else torch says what is wrong
                state_dict[f"{prefix}weight"] = weight * self.table.to(weight.device)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return super()._conv_forward(x, weight * self.table, bias)


def _checked(table: Sequence[Sequence[bool]]) -> Tensor:
    lengths = {len(row) for row in table}
    if len(lengths) != 1 or lengths == {0}:
        fix = "give a row for each output map, each as long as there are input maps"
        raise ConfigError("TableConv2d", "table", "rows of one length", got=sorted(lengths), fix=fix)
    connected = torch.tensor([[bool(mark) for mark in row] for row in table], device="cpu")  # to be read, not "meta"
    alone = (~connected.any(1)).nonzero().flatten().tolist()
    if alone:
        fix = "connect each output map to an input map, or leave its row out"
        raise ConfigError("TableConv2d", "table", "at least one input an output map", got=f"none in {alone}", fix=fix)
    return connected
