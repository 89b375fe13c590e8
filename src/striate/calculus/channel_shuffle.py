"""Channel shuffle: between grouped convolutions, channels change groups, as cards are dealt.

    y[:, k G + g] = x[:, g (C/G) + k]        0 <= g < G groups, 0 <= k < C/G channels of a group

Write the channels row by row into a table of G rows and read it column by column.  The transpose of that
table is undone by the transpose of a table of C/G rows, so the pullback is a shuffle again.
Zhang, Zhou, Lin and Sun, "ShuffleNet", CVPR 2018, section 3.1.
"""

from jaxtyping import Float
from torch import Tensor

from striate.base.errors import ConfigError
from striate.base.operations import divisors


def channel_shuffle(x: Float[Tensor, "B C *spatial"], groups: int) -> Float[Tensor, "B C *spatial"]:
    """Deal the channels of every group out over all groups.

    Raises:
        ConfigError: the channels do not divide into the groups.

    >>> import torch
    >>> channel_shuffle(torch.arange(6.0)[None], groups=2)
    tensor([[0., 3., 1., 4., 2., 5.]])
    """
    C = x.shape[1]
    if groups < 1 or C % groups:
        raise ConfigError("channel_shuffle", "groups", f"a divisor of the {C} channels", got=groups, fix=_fix(C))
    table = x.reshape(x.shape[0], groups, C // groups, *x.shape[2:])  # B G C/G …
    return table.transpose(1, 2).flatten(1, 2)


def channel_shuffle_pullback(dy: Float[Tensor, "B C *spatial"], groups: int) -> Float[Tensor, "B C *spatial"]:
    """dL/dx from dL/dy: the inverse shuffle, which is the shuffle with C/G groups."""
    return channel_shuffle(dy, dy.shape[1] // groups)


def _fix(C: int) -> str:
    return f"take one of {', '.join(map(str, divisors(C)))}"


def demonstrate() -> str:
    """Six channels in two groups, dealt and gathered again."""
    import torch

    x = torch.arange(6.0)[None]
    y = channel_shuffle(x, groups=2)
    back = channel_shuffle_pullback(y, groups=2)

    def row(t: Tensor) -> str:
        return " ".join(f"{value:g}" for value in t.flatten().tolist())

    return "\n".join(
        [
            "Channel shuffle of 6 channels in 2 groups",
            f"  channels in        {row(x)}",
            f"  table, 2 rows      {row(x[0, :3])}",
            f"                     {row(x[0, 3:])}",
            f"  read by columns    {row(y)}",
            f"  pullback of that   {row(back)}     (a shuffle with 6/2 = 3 groups: all are home again)",
        ]
    )


if __name__ == "__main__":
    print(demonstrate())
