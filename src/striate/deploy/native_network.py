"""A bundle's network on the native engine, where that has it: small networks of layers in a row."""

import torch
from torch import nn

from striate.base.errors import StriateError
from striate.data.preprocess import Preprocess
from striate.models.traced import Traced, traced
from striate.native.forward import Forward
from striate.native.library import Library, library
from striate.native.pixels import Pixels

WIDE = 64  # channels; torch's kernels are made for convolutions of more
KNOWN = ("torch", "striate")  # whose modules take no decisions by the numbers that come
NEAR = 1e-3  # of the largest logit: what rounding never comes to


def native_network(module: nn.Module, preprocess: Preprocess) -> Forward | None:
    """The network from pictures to probabilities; None where torch is to run it.

    It takes the numbers that the network has now.  A module of a class of the user's own, which may do with one picture
    what it does not do with another, is left to torch, as is one whose outputs on a few pictures of noise differ.

    Args:
        module: in evaluation mode, on the CPU.
        preprocess: what comes before it.

    Raises:
        ConfigError: `STRIATE_NATIVE` is none of its values, or names what the processor lacks.
    """
    found = library()
    if found is None or preprocess.whiten is not None or not _plain(module):
        return None
    picture = preprocess.picture
    shape = (picture.channels, picture.height + 2 * picture.pad, picture.width + 2 * picture.pad)
    try:
        made = _forward(found, traced(module, shape), preprocess)
    except StriateError:  # branches, or an operation that the engine does not have
        return None
    return made if _agrees(made, module, preprocess) else None


def _plain(module: nn.Module) -> bool:
    """Whether it is small, of layers whose classes are known, and numbers that the engine reads."""
    parameters = list(module.parameters())
    wide = any(p.ndim > 2 and p.shape[0] > WIDE for p in parameters)
    known = all(type(part).__module__.partition(".")[0] in KNOWN for part in module.modules())
    return known and not wide and all(p.dtype == torch.float32 and p.device.type == "cpu" for p in parameters)


def _forward(found: Library, seen: Traced, preprocess: Preprocess) -> Forward:
    tensors = {name: tensor.detach().contiguous() for name, tensor in seen.tensors.items()}
    return Forward(found, seen.network, tensors, pixels=pixels_of(preprocess), threads=torch.get_num_threads())


def pixels_of(preprocess: Preprocess) -> Pixels:
    """What the engine is told of a preprocessing without whitening."""
    assert preprocess.whiten is None
    shift, scale = (tuple(values.tolist()) for values in preprocess.steps())
    return Pixels(pad=preprocess.picture.pad, shift=shift, scale=scale)


def _agrees(made: Forward, module: nn.Module, preprocess: Preprocess) -> bool:
    shift, scale = (values[:, None, None] for values in preprocess.steps())
    noise = torch.randn(2, *preprocess.picture.shape, generator=torch.Generator().manual_seed(0))
    images = shift + noise / scale  # float32, in units of the picture's kind
    with torch.inference_mode():
        expected = module(preprocess.to_input(images))
    found = made.logits(images)
    if found.ndim != 2 or found.shape != expected.shape:
        return False
    bound = NEAR * float(expected.abs().nan_to_num(0, 0, 0).max())
    return torch.allclose(found, expected, rtol=0, atol=bound, equal_nan=True)
