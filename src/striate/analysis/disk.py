"""How large a network's weights are as a file."""

import json
from collections.abc import Mapping

import torch
from torch import Tensor, nn

_KINDS = {  # in the order in which the file holds them
    torch.uint64: "U64",
    torch.int64: "I64",
    torch.float64: "F64",
    torch.complex64: "C64",
    torch.float32: "F32",
    torch.uint32: "U32",
    torch.int32: "I32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.uint16: "U16",
    torch.int16: "I16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_ORDER = {kind: place for place, kind in enumerate(_KINDS)}
LENGTH, BOUNDARY = 8, 8  # bytes that tell the header's length, and what the header is filled up to


def disk_bytes(model: nn.Module) -> int:
    """Bytes of `model.safetensors`: all tensors of the state, and the header that names them.

    Header: 8 bytes of length, then JSON with name, type, shape and place of every tensor, filled up with spaces to a
    multiple of 8.  Source: the description of the format at github.com/huggingface/safetensors.

    >>> disk_bytes(nn.Linear(3, 2, bias=False))
    128
    """
    tensors = {name: tensor for name, tensor in model.state_dict().items() if isinstance(tensor, Tensor)}
    header = len(json.dumps(_header(tensors), separators=(",", ":"), ensure_ascii=False).encode())
    return LENGTH + header + -header % BOUNDARY + sum(tensor.nbytes for tensor in tensors.values())


def _header(tensors: Mapping[str, Tensor]) -> dict[str, object]:
    """The tensors by kind, those of one kind by name."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    place = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: (_ORDER.get(item[1].dtype, len(_ORDER)), item[0])):
        kind = _KINDS.get(tensor.dtype, str(tensor.dtype))
        header[name] = {
            "dtype": kind,
            "shape": list(tensor.shape),
            "data_offsets": [place, place + tensor.nbytes],
        }
        place += tensor.nbytes
    return header
