"""The tensors that hold pictures of any kind; apart from `kinds`, so that looking at files does not load torch."""

from jaxtyping import Float32, UInt8, UInt16
from torch import Tensor

Part = UInt8[Tensor, "B C h w"] | UInt16[Tensor, "B C h w"] | Float32[Tensor, "B C h w"]
Images = UInt8[Tensor, "N C h w"] | UInt16[Tensor, "N C h w"] | Float32[Tensor, "N C h w"]
