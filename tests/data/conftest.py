import hashlib
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Draw = Callable[..., Path]


@pytest.fixture
def draw_picture() -> Draw:
    """Writes a picture file of random pixels, the same for the same seed."""

    def write(path: Path, *, seed: int = 0, size: tuple[int, int] = (12, 10), mode: str = "RGB", **options) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = size if mode == "L" else (*size, 3)
        pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
        Image.fromarray(pixels).save(path, **options)
        return path

    return write


@pytest.fixture
def class_folders(tmp_path: Path, draw_picture: Draw) -> Path:
    """Two classes, ants and bees, of twelve coloured PNG pictures each."""
    root = tmp_path / "insects"
    for number, name in enumerate(("ants", "bees")):
        for i in range(12):
            draw_picture(root / name / f"{i:02}.png", seed=100 * number + i)
    return root


@pytest.fixture
def tree_hash() -> Callable[[Path], str]:
    """One digest for all names and bytes below a folder."""

    def digest(root: Path) -> str:
        total = hashlib.sha256()
        for path in sorted(p for p in root.rglob("*") if p.is_file()):
            total.update(path.relative_to(root).as_posix().encode("utf-8", "surrogateescape") + path.read_bytes())
        return total.hexdigest()

    return digest


@pytest.fixture(scope="session")
def pack() -> Callable[..., Path]:
    """Writes a tar file: pack(path, (name, content), ...)."""

    def write(path: Path, *members: tuple[str, bytes]) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(path, "w") as archive:
            for name, content in members:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        return path

    return write
