"""The bundle: one folder that cannot disagree with its training.

    config.json             architecture, preprocessing, classes, data fingerprint, versions
    model.safetensors       weights
    whitening.safetensors   numbers of the preprocessing, where it whitens
    README.md               model card
    SHA256SUMS              digests of all others, checked before anything is used

A .zip of the folder is a bundle too.  Nothing in it is code: the loader builds only what the catalogue of networks
names or a text in the notation says, and compares names, types and shapes of all tensors with the network before it
reads one.  A model of the user's own file names the file and its digest; the file is run only if the user names it.
"""

import json
import os
import shlex
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from striate.base.errors import ConfigError, ModelFileError, StriateError
from striate.base.files import digest, replace_folder, resource_errors, write, write_json
from striate.base.tensors import apart
from striate.data.preprocess import Preprocess
from striate.data.sample_input import SampleInput
from striate.data.whiten import layout
from striate.models.card import Given
from striate.models.catalogue import drawn, options, skeleton, title
from striate.models.own_file import file_card, is_file, read_file

FILES = ("config.json", "model.safetensors", "README.md")
WHITENING = "whitening.safetensors"
SUMS = "SHA256SUMS"
LARGEST_FILE = 8 << 30  # bytes that one file of an archive may unpack to


class Architecture(BaseModel):
    """The arguments of `striate.build`, and the SHA-256 of the user's file where a file of his builds it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    num_classes: int | None = Field(ge=1, le=1_000_000)
    in_channels: int = Field(ge=1, le=2**26)  # of tokens, how many there are
    image_size: int = Field(ge=1, le=2**26)  # of signals, their samples
    shape: tuple[Annotated[int, Field(ge=1)], ...] | None = None
    source_sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")

    @model_validator(mode="after")
    def _names_a_file_with_its_digest(self) -> "Architecture":
        if is_file(self.name) != (self.source_sha256 is not None):
            raise ValueError("a file and its digest belong together")
        if is_file(self.name) and ("/" in self.name or not self.name.isprintable()):
            raise ValueError("a file is named without its folder")
        return self

    def skeleton(self) -> nn.Module:
        """The network without numbers: names and shapes are known, no memory is taken.

        Raises:
            StriateError: no such network, or sizes that do not fit it.
        """
        if is_file(self.name):  # it would be run
            raise ConfigError("bundle", "the network", "no file", got=self.name, fix="name the file yourself")
        with torch.device("meta"):
            return skeleton(
                self.name,
                options(
                    self.name,
                    num_classes=self.num_classes,
                    in_channels=self.in_channels,
                    image_size=self.image_size,
                    shape=self.shape,
                ),
            )


class Config(BaseModel):
    """What config.json holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    format: Literal[1] = 1
    task: Literal["classify", "multilabel", "regress", "segment", "reconstruct"] = "classify"
    architecture: Architecture
    preprocess: dict[str, Any]
    classes: tuple[str, ...]
    data_fingerprint: str
    versions: dict[str, str]

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> "Config":
        expected = self.architecture
        if "samples" in self.preprocess:
            self._agrees_with_samples(SampleInput.from_dict(self.preprocess))
        else:
            picture = Preprocess.without_tensors(self.preprocess).picture
            size = (picture.height + 2 * picture.pad, picture.width + 2 * picture.pad)
            if (picture.channels, *size) != (expected.in_channels, expected.image_size, expected.image_size):
                raise ValueError("preprocess does not lead to the network's input")
        if self.task in ("classify", "multilabel", "regress") and len(self.classes) != expected.num_classes:
            raise ValueError(f"{len(self.classes)} classes for {expected.num_classes} outputs")
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("two classes of one name")
        return self

    def _agrees_with_samples(self, reading: SampleInput) -> None:
        """A regression tells as many numbers as it has means for."""
        if len(reading.target_mean) != (len(self.classes) if self.task == "regress" else 0):
            raise ValueError("other numbers than there are names")


@dataclass(frozen=True, slots=True)
class Bundle:
    """A network with everything that prediction needs.

    Args:
        model: in evaluation mode, on the CPU.
        preprocess: decoded picture -> input, or what reads samples of other kinds.
        config: what config.json says.
    """

    model: nn.Module
    preprocess: Preprocess | SampleInput
    config: Config


def save_bundle(folder: Path, bundle: Bundle, card: str) -> None:
    """Write a bundle; an older one in its place is kept until the new one is complete.

    Raises:
        ResourceError: it could not be written.
    """
    temporary = folder.with_name(f".{folder.name}.tmp-{os.getpid()}")
    tensors, whitening = apart(bundle.model.state_dict()), bundle.preprocess.tensors()
    names = (*FILES, WHITENING) if whitening else FILES
    with resource_errors(folder, sum(tensor.nbytes for tensor in (*tensors.values(), *whitening.values()))):
        try:
            temporary.mkdir(parents=True)
            write_json(temporary / "config.json", bundle.config.model_dump(mode="json"))
            write(temporary / "model.safetensors", save(tensors, metadata={"format": "pt"}))
            if whitening:
                write(temporary / WHITENING, save(whitening))
            write(temporary / "README.md", card)
            write(temporary / SUMS, "".join(f"{digest(temporary / name)}  {name}\n" for name in names))
            replace_folder(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def load_bundle(location: Path, model: str | None = None) -> Bundle:
    """Read a bundle, a folder or a .zip of one, after comparing it with its digests.

    Args:
        location: the folder or archive.
        model: FILE.py:NAME of the network, which is run, for a bundle that was trained from such a file.

    Raises:
        ModelFileError: missing, altered, or not a bundle; or another file than the one it was trained with.
        ConfigError: a file that is needed and not named, or named and not needed.
    """
    if not zipfile.is_zipfile(location):
        return _load_folder(location, model)
    with tempfile.TemporaryDirectory() as unpacked:
        _unpack(location, Path(unpacked))
        return _load_folder(Path(unpacked), model)


def _unpack(path: Path, folder: Path) -> None:
    """Copy the bundle's files out of an archive, and no others, wherever in it they lie together."""
    try:
        with zipfile.ZipFile(path) as archive:
            (config,) = [name for name in archive.namelist() if name.rpartition("/")[2] == FILES[0]]
            inside = config.removesuffix(FILES[0])
            present = [WHITENING] if inside + WHITENING in archive.namelist() else []
            for name in (*FILES, *present, SUMS):
                if archive.getinfo(inside + name).file_size > LARGEST_FILE:
                    raise _not_ours(path, f"a {name} of more than {LARGEST_FILE >> 30} GiB")
                with archive.open(inside + name) as source, (folder / name).open("wb") as target:
                    shutil.copyfileobj(source, target)
    except (zipfile.BadZipFile, zlib.error, KeyError, ValueError, NotImplementedError, RuntimeError) as error:
        if isinstance(error, StriateError):
            raise
        raise _not_ours(path, f"an archive without a whole bundle ({error})") from error


def _load_folder(folder: Path, model: str | None) -> Bundle:
    _check_digests(folder)
    try:
        config = Config.model_validate(json.loads((folder / "config.json").read_bytes()))  # it knows every name
        preprocess = _preprocess(config, folder)
        network = None if config.architecture.source_sha256 else config.architecture.skeleton()
    except ValidationError as error:
        raise _not_ours(folder / "config.json", error.errors()[0]["msg"]) from error
    except StriateError as error:
        raise _not_ours(folder / "config.json", f"{error.where}: {error.what} = {error.got}") from error
    except (ValueError, RecursionError) as error:
        raise _not_ours(folder / "config.json", f"no JSON ({error})") from error
    if network is None:
        network = _of_own_file(config.architecture, model)
    elif model is not None:
        fix = f"leave it out: this model is {title(config.architecture.name)}, which needs no file"
        raise ConfigError("load", "model", "left out", got=model, fix=fix)
    _load_weights(network, folder / "model.safetensors")
    return Bundle(model=_placed(network.eval()), preprocess=preprocess, config=config)


def _placed(network: nn.Module) -> nn.Module:
    """Channels-last, where there are weights of two dimensions of space."""
    for tensor in [*network.parameters(), *network.buffers()]:
        if tensor.ndim == 4:
            tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)
    return network


def _of_own_file(architecture: Architecture, model: str | None) -> nn.Module:
    """The network of a file that the user has named: it is run if it is the very file of the training."""
    name = architecture.name
    if model is None or not is_file(model):
        fix = f"if you trust that file, add --model {shlex.quote(name)}; in Python, load(location, model={name!r})"
        got = "nothing" if model is None else repr(model)
        raise ConfigError("load", "model", f"given, for a Python file builds this network ({name})", got=got, fix=fix)
    own = read_file(model)
    if own.digest != architecture.source_sha256:
        raise ModelFileError(
            "load",
            str(own.path),
            f"the file that the model was trained with (SHA-256 {str(architecture.source_sha256)[:16]}...)",
            got=f"another (SHA-256 {own.digest[:16]}...)",
            fix="name the file as it was then",
        )
    meant = name.rpartition(":")[2]
    if own.name != meant:
        raise ConfigError("load", "the name", f"{meant}, as in training", got=own.name, fix=f"--model FILE.py:{meant}")
    chosen = file_card(own)
    given = Given(
        num_classes=architecture.num_classes,
        in_channels=architecture.in_channels,
        image_size=architecture.image_size,
        shape=architecture.shape,
    )
    return drawn(chosen, chosen.settle(own.name, chosen.usual, given), seed=0)


def _check_digests(folder: Path) -> None:
    sums = folder / SUMS
    try:
        pairs = [line.split("  ", 1) for line in sums.read_text().splitlines()]
        known = {name: value for value, name in pairs}
    except (OSError, ValueError, UnicodeDecodeError) as error:
        raise _not_ours(sums, "missing or unreadable") from error
    whitening = WHITENING in known or (folder / WHITENING).exists()
    for name in (*FILES, WHITENING) if whitening else FILES:
        path = folder / name
        if not path.is_file():
            raise _not_ours(path, "missing")
        if digest(path) != known.get(name):
            raise ModelFileError(
                "bundle",
                str(path),
                "whole and unaltered",
                got="a checksum that does not match",
                fix="copy the bundle again, or make it anew from its run with `striate resume`",
            )


def _preprocess(config: Config, folder: Path) -> Preprocess | SampleInput:
    """As the configuration says, with the numbers of a whitening where it names one."""
    if "samples" in config.preprocess:
        return SampleInput.from_dict(config.preprocess)
    plain = Preprocess.without_tensors(config.preprocess)
    if "whiten" not in config.preprocess:
        return plain
    path = folder / WHITENING
    if not path.is_file():
        raise _not_ours(path, "missing")
    return Preprocess.from_dict(config.preprocess, _tensors(path, layout(plain.picture)))


def _load_weights(model: nn.Module, path: Path) -> None:
    expected = {name: (tuple(t.shape), t.dtype) for name, t in model.state_dict().items()}
    model.load_state_dict(_tensors(path, expected), assign=True)  # the network had no numbers of its own


def _tensors(path: Path, expected: Mapping[str, tuple[tuple[int, ...], torch.dtype]]) -> dict[str, Tensor]:
    """The tensors of a file, compared by name and shape before one of them is read."""
    try:
        with safe_open(path, framework="pt") as file:
            found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - no dict
            if found != {name: shape for name, (shape, _) in expected.items()}:
                raise _not_ours(path, "tensors of another network")
            tensors = {name: file.get_tensor(name) for name in found}
    except SafetensorError as error:
        raise _not_ours(path, str(error)) from error
    if any(tensors[name].dtype != dtype for name, (_, dtype) in expected.items()):
        raise _not_ours(path, "numbers of another type")
    if spoiled := [name for name, t in tensors.items() if t.is_floating_point() and t.isnan().any()]:
        raise _not_ours(path, f"NaN in {spoiled[0]}")  # training never keeps one
    return tensors


def _not_ours(path: Path, found: str) -> ModelFileError:
    return ModelFileError(
        "bundle",
        str(path),
        "part of a model of this program",
        got=found,
        fix="give a run folder or its `model` folder, as `striate train` writes them",
    )
