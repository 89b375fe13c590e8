"""The pictures of a split that is larger than memory: decoded when they are asked for, batch by batch."""

from dataclasses import dataclass

import numpy as np
import torch

from striate.base.errors import DataError
from striate.data.decoders import Decoders
from striate.data.pictures import Batch, Rows
from striate.data.samples import Samples

_SHOWN = 5  # faults in the text


@dataclass(frozen=True, slots=True, eq=False)
class Streamed:
    """Pictures that stay where they lie.

    Args:
        samples: of one split.
        decoders: what reads and decodes; several splits may share it.
    """

    samples: Samples
    decoders: Decoders

    def __len__(self) -> int:
        return len(self.samples)

    def close(self) -> None:
        """End the workers; what is asked for afterwards is an error."""
        self.decoders.close()

    def gather(self, rows: Rows) -> Batch:
        """The pictures at these positions, in this order, channels last in memory.

        Raises:
            DataError: one cannot be decoded now, such as a file that was deleted or changed since it was found.
            ResourceError: as `Decoders.gather`.
        """
        chosen = np.ascontiguousarray(rows)
        pixels, faults = self.decoders.gather(self.samples.items, self.samples.names, chosen)
        if faults:
            shown = "".join(f"\n    {fault}" for fault in faults[:_SHOWN])
            got = f"{len(faults)} of {len(chosen)} that are not:{shown}"
            fix = "leave the data as it is while a run reads it; put these files back, or start the run anew"
            raise DataError("decoding", "every picture of a batch", "readable still", got=got, fix=fix)
        return torch.from_numpy(pixels).permute(0, 3, 1, 2)
