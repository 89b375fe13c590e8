"""The folder of a run: where everything is, how it is named, what it was made with.

recipe.toml   environment.json   data.json   metrics.csv   checkpoints/   model/   result.json
curves.png   confusion.png   samples/   report.html
"""

import errno
import itertools
import json
import os
import platform
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from striate import __version__
from striate.base.errors import ConfigError, ModelFileError
from striate.base.files import (
    clean_temporaries,
    locked,
    make_folder,
    resource_errors,
    shell_name,
    write,
    write_json,
)
from striate.experiment.recipe import Recipe
from striate.experiment.recipe_file import read_recipe

RUNS = Path("runs")  # where a run goes that is given no folder


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A run's paths.

    Args:
        path: the folder.
    """

    path: Path

    @property
    def checkpoints(self) -> Path:
        """Where the checkpoints are."""
        return self.path / "checkpoints"

    @property
    def model(self) -> Path:
        """Where the bundle is."""
        return self.path / "model"

    @property
    def recipe_file(self) -> Path:
        """The recipe, as TOML."""
        return self.path / "recipe.toml"

    def recipe(self) -> Recipe:
        """The recipe the run was started with.

        Raises:
            ModelFileError: there is no run here.
        """
        if not self.recipe_file.is_file():
            raise ModelFileError(
                "run", "folder", "a run of `striate train`", got=self.path, fix="name a folder that holds a recipe.toml"
            )
        return read_recipe(self.recipe_file)

    def read_json(self, name: str) -> dict[str, Any] | None:
        """One of the run's JSON files, None where it is missing or damaged."""
        try:
            value = json.loads((self.path / name).read_bytes())
        except (OSError, ValueError):
            return None
        return value if isinstance(value, dict) else None

    def data_location(self, recipe: Recipe) -> str:
        """Where the data lay when the run was started, from whatever folder we look."""
        location = (self.read_json("data.json") or {}).get("location")
        return location if isinstance(location, str) else recipe.data

    def made_by(self, launch: str) -> bool:
        """Whether this start of torchrun made the run, with the command of this process."""
        told = self.read_json("environment.json") or {}
        return told.get("launch") == launch and told.get("command") == command()

    def write_json(self, name: str, value: object) -> None:
        """Write one of the run's JSON files."""
        write_json(self.path / name, value)

    def write(self, name: str, content: bytes | str) -> None:
        """Write one of the run's files."""
        write(self.path / name, content)

    def tidy(self) -> None:
        """Remove what killed processes left half-written."""
        for folder in (self.path, self.checkpoints, self.path / "samples"):
            clean_temporaries(folder)


def check_free(path: Path, *, overwrite: bool) -> None:
    """Refuse early, before data is read, what `create` would refuse.

    Raises:
        ConfigError: the folder exists and `overwrite` is not given, or it holds something else than a run.
        ResourceError: it cannot be written.
    """
    check_writable(path)
    if not path.exists() or (path.is_dir() and all(_is_trace(entry) for entry in path.iterdir())):
        return
    if not (path / "recipe.toml").is_file():
        raise ConfigError(
            "train",
            "run folder",
            "new, or a run",
            got=f"{path}, which holds something else",
            fix="name another folder with --run: this one is left alone",
        )
    if not overwrite:
        name = shell_name(path)
        raise ConfigError(
            "train",
            "run folder",
            "new, or a run with --overwrite",
            got=f"{path}, which exists",
            fix=f"go on with `striate resume {name}`, start it anew with --overwrite, or name another --run",
        )


def check_writable(path: Path) -> None:
    """Refuse early a folder that could not be made or written.

    Raises:
        ResourceError: no permission, a read-only disk, or a file in the way.
    """
    with resource_errors(path, 0):  # looking at what a closed folder holds is refused as well
        nearest = next((place for place in (path, *path.parents) if place.exists()), Path("/"))
        if not nearest.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"{nearest} is no folder")
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _is_trace(entry: Path) -> bool:
    """Whether it is what a run leaves that was killed before its first file."""
    return entry.name == ".lock" or (entry.name == "checkpoints" and entry.is_dir() and not any(entry.iterdir()))


def create(path: Path | None, stem: str, *, overwrite: bool) -> RunFolder:
    """Create the folder of a new run.

    Args:
        path: the folder asked for; None takes the first free one of runs/<stem>, runs/<stem>-002, ...
        stem: data and model, for the name.
        overwrite: remove a run that is there already.

    Raises:
        ConfigError: as `check_free`, or the run that is there is in use.
        ResourceError: it cannot be written.
    """
    if path is None:
        path = _first_free(RUNS, stem)
    else:
        check_free(path, overwrite=overwrite)
        if (path / "recipe.toml").is_file():
            with locked(path):
                shutil.rmtree(path)
    folder = RunFolder(path)
    make_folder(folder.checkpoints)
    return folder


def _first_free(root: Path, stem: str) -> Path:
    make_folder(root)
    for number in itertools.count(1):
        path = root / (stem if number == 1 else f"{stem}-{number:03d}")
        try:
            path.mkdir()  # fails where another run has just taken the name
        except FileExistsError:
            continue
        return path
    raise AssertionError


def environment() -> dict[str, Any]:
    """What the run was made with."""
    import numpy
    import PIL
    import torch

    return {
        "striate": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "pillow": PIL.__version__,
        "platform": platform.platform(),
        "processor": platform.machine(),
        "threads": torch.get_num_threads(),
        "command": command(),
    }


def command() -> str:
    """What to type to start this process again."""
    return shlex.join(["striate", *sys.argv[1:]])
