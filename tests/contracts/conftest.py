import struct
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def idx_folder(tmp_path: Path) -> Path:
    """640 pictures of noise to train on and 64 to test with, in MNIST's files."""
    draw = np.random.default_rng(0)
    for part, count in (("train", 640), ("t10k", 64)):
        images = draw.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        for array, kind in ((images, "images-idx3"), (labels, "labels-idx1")):
            header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
            (tmp_path / f"{part}-{kind}-ubyte").write_bytes(header + array.tobytes())
    return tmp_path
