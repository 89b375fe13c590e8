"""What does not fit, and what would: from the call that failed to an error that a person can act on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from traceback import extract_tb
from typing import Any

import torch
from torch import Tensor

import striate
from striate.analysis.units import tensors_of
from striate.base.errors import ConfigError
from striate.base.operations import Shape, written
from striate.base.windowed import Conv, ConvTranspose, MaxPool, MeanPool


@dataclass(frozen=True, slots=True)
class Failure:
    """A call that raised.

    Args:
        path: of the module that it ran in, or of the layer.
        name: of the function.
        arguments: by position; of tensors the shapes.
        options: by name.
        types: of the numbers in its tensors, whole numbers apart.
    """

    path: str
    name: str
    arguments: tuple[Any, ...]
    options: Mapping[str, Any]
    types: tuple[torch.dtype, ...] = ()


class MisfitError(ConfigError):
    """A shape that does not fit, with the rows of the network up to there.

    Args:
        cause: the error itself.
        so_far: a table of what did fit.
    """

    def __init__(self, cause: ConfigError, so_far: str) -> None:
        super().__init__(cause.where, cause.what, cause.must, got=cause.got, fix=cause.fix)
        self.args = (f"{self.args[0]}\n\n{so_far}" if so_far else self.args[0],)


def failure(path: str, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Failure:
    """A failed call, without its tensors."""
    options = {key: _plain(value) for key, value in kwargs.items()}
    numbers = [tensor for tensor in tensors_of((args, kwargs)) if tensor.is_floating_point() or tensor.is_complex()]
    types = tuple(dict.fromkeys(tensor.dtype for tensor in numbers))
    return Failure(path, name, tuple(map(_plain, args)), options, types)


def _plain(value: Any) -> Any:
    if isinstance(value, Tensor):
        return tuple(value.shape)
    return [_plain(entry) for entry in value] if isinstance(value, list | tuple) else value


def explained(failed: Failure | None, error: Exception, title: str) -> ConfigError:
    """The error as one that says what would fit."""
    if isinstance(error, ConfigError):
        return error
    if failed is None:
        several = isinstance(error, TypeError) and "required positional argument" in str(error)
        fix = "wrap it in a module of one input" if several else _GENERAL
        got = f"{type(error).__name__}: {first_line(error)}{_place(error)}"
        return ConfigError(title, "the network", "one that runs on such an input", got=got, fix=fix)
    where = f"{failed.path} ({failed.name})" if failed.path else failed.name
    if len(failed.types) > 1:
        got = " and ".join(map(str, failed.types))
        fix = f"give the input in the weights' own type, such as dtype={failed.types[-1]}"
        return ConfigError(where, "what goes in", "of one type of number", got=got, fix=fix)
    rule = _RULES.get(failed.name)
    if rule is not None:
        try:
            known = rule(where, failed)
        except (TypeError, ValueError, IndexError, AttributeError):  # an unusual call: torch's words are as good
            known = None
        if known is not None:
            return known
    shapes = [one for one in failed.arguments if isinstance(one, tuple)] or [
        tuple(one) for entry in failed.arguments if isinstance(entry, list) for one in entry if isinstance(one, tuple)
    ]
    if not shapes:
        return ConfigError(
            where, "the call", "one that torch takes", got=f"{first_line(error)}{_place(error)}", fix=_GENERAL
        )
    got = " and ".join(map(written, shapes))
    return ConfigError(where, "what goes in", "of shapes that fit together", got=got, fix=first_line(error))


_GENERAL = "give another input shape, or see the message of the network itself"


def first_line(error: Exception) -> str:
    """Of what it says; its class where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _place(error: Exception) -> str:
    """Where in somebody's own code an error came up, in brackets; nothing where that is not known."""
    ours = tuple(str(Path(module.__file__ or "").parent) for module in (torch, striate))
    frames = [frame for frame in extract_tb(error.__traceback__) if not frame.filename.startswith((*ours, "<"))]
    return f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""


def _linear(where: str, failed: Failure) -> ConfigError | None:
    x, weight = failed.arguments[0], failed.arguments[1]
    needs, features = weight[1], prod(x[1:])
    if x[-1] == needs:
        return None
    if len(x) > 2 and features == needs:
        fix = f"flatten before it, which makes {written(x[1:])} a vector of {needs}"
    else:
        flat = f", after flatten {features}" if len(x) > 2 else ""
        fix = f"build it with in_features={x[-1]}{flat}, or change the layers before it"
    return ConfigError(where, "the last axis of the input", f"{needs} features", got=written(x[1:]), fix=fix)


def _conv(where: str, failed: Failure) -> ConfigError | None:
    x, weight, _, stride, padding, dilation, groups = (*failed.arguments, *[None] * 7)[:7]
    inside = weight[1] * (groups or 1)
    sample = x[1:] if len(x) == len(weight) else x
    if sample[0] != inside:
        fix = f"build it with in_channels={sample[0]}, or give {inside} channels"
        return ConfigError(where, "the channels of the input", str(inside), got=written(sample), fix=fix)
    axes = len(weight) - 2
    conv = Conv(weight[0], weight[2:], _axes(stride, axes), _axes(padding, axes, 0), _axes(dilation, axes), groups or 1)
    return _described(where, conv, sample)


def _conv_transpose(where: str, failed: Failure) -> ConfigError | None:
    x, weight = failed.arguments[:2]
    sample = x[1:] if len(x) == len(weight) else x
    if sample[0] == weight[0]:
        return None
    fix = f"build it with in_channels={sample[0]}, or give {weight[0]} channels"
    return ConfigError(where, "the channels of the input", str(weight[0]), got=written(sample), fix=fix)


def _pool(kind: type[MaxPool | MeanPool]) -> Callable[[str, Failure], ConfigError | None]:
    def rule(where: str, failed: Failure) -> ConfigError | None:
        x, kernel, stride, padding = (*failed.arguments, *[None] * 4)[:4]
        size = kernel if kernel is not None else failed.options["kernel_size"]
        stride = failed.options.get("stride", stride)
        padding = failed.options.get("padding", padding)
        axes = int(failed.name[-2])
        sample = x[len(x) - axes - 1 :]
        pool = kind(_axes(size, axes), _axes(stride, axes, None), _axes(padding, axes, 0))
        return _described(where, pool, sample)

    return rule


def _axes(value: Any, axes: int, default: int | None = 1) -> Any:
    """An option of torch's as this description has it."""
    if value is None or value == []:
        return default
    if isinstance(value, int | str):
        return value
    return tuple(value) * axes if len(value) == 1 else tuple(value)


def _described(where: str, operation: Conv | ConvTranspose | MaxPool | MeanPool, sample: Shape) -> ConfigError | None:
    """What the description's own rule says of a shape."""
    try:
        operation.shape(sample)
    except ConfigError as error:
        return ConfigError(where, error.what, error.must, got=error.got, fix=error.fix)
    return None


def _batch_norm(where: str, failed: Failure) -> ConfigError | None:
    x, mean = failed.arguments[:2]
    if mean is None or x[1] == mean[0]:
        return None
    fix = f"build it with num_features={x[1]}, or give {mean[0]} channels"
    return ConfigError(where, "the channels of the input", str(mean[0]), got=written(x[1:]), fix=fix)


def _together(where: str, failed: Failure) -> ConfigError | None:
    shapes = [one for one in failed.arguments if isinstance(one, tuple)]
    if len(shapes) != 2:
        return None
    a, b = shapes
    alike = len(a) == len(b) and a[2:] == b[2:]
    fix = f"a 1x1 convolution to {a[1]} channels makes them alike" if alike else 'padding "same" and equal strides do'
    return ConfigError(where, "the two inputs", "of one shape", got=f"{written(a)} and {written(b)}", fix=fix)


def _cat(where: str, failed: Failure) -> ConfigError | None:
    shapes = [tuple(one) for one in failed.arguments[0]]
    got = " and ".join(map(written, shapes))
    fix = 'stride all branches alike and keep the size within them, with padding "same"'
    return ConfigError(where, "the inputs", "alike but for the axis they are joined along", got=got, fix=fix)


def _matmul(where: str, failed: Failure) -> ConfigError | None:
    a, b = failed.arguments[:2]
    fix = f"the last axis of the first, {a[-1]}, has to be the last but one of the second"
    return ConfigError(where, "the two factors", "of shapes that fit", got=f"{written(a)} and {written(b)}", fix=fix)


_RULES: Mapping[str, Callable[[str, Failure], ConfigError | None]] = {
    "linear": _linear,
    "batch_norm": _batch_norm,
    "cat": _cat,
    "matmul": _matmul,
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _conv),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), _conv_transpose),
    **{f"max_pool{n}d": _pool(MaxPool) for n in (1, 2, 3)},
    **{f"avg_pool{n}d": _pool(MeanPool) for n in (1, 2, 3)},
    **dict.fromkeys(("add", "sub", "mul", "div"), _together),
}
