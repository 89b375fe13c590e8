"""From a picture to a class: the same decode, resize and normalise as in training."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from striate.base.errors import ConfigError, DataError, ModelFileError
from striate.base.files import shell_name
from striate.data.decode import DecodeFault, Fault, decoded, pillow_raster, read_file
from striate.data.formats import SUPPORTED
from striate.data.kinds import Planes, kind_of
from striate.data.picture import Picture as Wanted
from striate.data.picture import fit
from striate.data.preprocess import Preprocess
from striate.data.scan import Aside, pictures_in
from striate.data.tensor_kinds import Images
from striate.deploy.bundle import Bundle, load_bundle
from striate.deploy.native_network import native_network

Picture = Path | str | bytes | Image.Image | np.ndarray
BATCH = 256


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a picture is taken for.

    Args:
        path: the file, or "" for a picture given as such.
        class_name: the most probable class.
        probability: of that class, in [0, 1].
        top: the most probable classes with their probabilities, best first.
    """

    path: str
    class_name: str
    probability: float
    top: tuple[tuple[str, float], ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "path": self.path,
            "class": self.class_name,
            "probability": self.probability,
            "top": [{"class": name, "probability": probability} for name, probability in self.top],
        }


class Predictor:
    """A trained network that takes picture files.

    Small networks run on the native engine, as they are now; others on torch.  Several threads may ask at once.

    Args:
        bundle: network, preprocessing and classes.
    """

    def __init__(self, bundle: Bundle) -> None:
        assert isinstance(bundle.preprocess, Preprocess)
        self.bundle = bundle
        self.preprocess = bundle.preprocess
        self.classes = bundle.config.classes
        self._native = native_network(bundle.model, bundle.preprocess)

    def predict(self, picture: Picture, top: int = 5) -> Prediction:
        """Classify one picture: a path, a file's bytes, a Pillow image or an array (H W or H W C).

        Arrays are uint8 or uint16, or floating point where the network was trained on such pictures.

        Raises:
            DataError: it does not decode, or cannot be brought to the network's picture.
        """
        try:
            (prediction,) = self._predict([(picture, self.fit(picture))], top)
        except DecodeFault as fault:
            raise DataError(
                "predict", "picture", "a picture", got=fault, fix="give a JPEG or PNG file that other programs can open"
            ) from fault
        return prediction

    def sort_out(self, paths: Iterable[Path], top: int = 5) -> tuple[list[Prediction], list[Fault]]:
        """Classify files, in order, and list those that do not decode; nothing is substituted."""
        faults: list[Fault] = []

        def readable() -> Iterator[tuple[Path, np.ndarray]]:
            for path in paths:
                try:
                    yield path, self.fit(path)
                except DecodeFault as fault:
                    faults.append(fault.fault)

        return list(self._predict(readable(), top)), faults

    def _predict(self, fitted: Iterable[tuple[Picture, np.ndarray]], top: int) -> Iterator[Prediction]:
        if top < 1:
            raise ConfigError("predict", "top", ">= 1", got=top, fix="3 is usual")
        remaining = iter(fitted)
        while batch := list(islice(remaining, BATCH)):
            images = torch.from_numpy(np.stack([image for _, image in batch]))
            for (picture, _), row in zip(batch, self.probabilities(images), strict=True):
                yield self._prediction(picture, row, top)

    def probabilities(self, images: Images) -> Float[Tensor, "B classes"]:
        """Softmax of the logits for pictures that are fitted to the network's size."""
        if self._native is not None:
            assert images.dtype in (torch.float32, getattr(torch, self.preprocess.picture.kind))
            return self._native.probabilities(images)
        with torch.inference_mode():
            return self.bundle.model(self.preprocess.to_input(images)).double().softmax(1)

    @property
    def engine(self) -> str:
        """What computes the probabilities: "native" or "torch"."""
        return "torch" if self._native is None else "native"

    def __reduce__(self) -> tuple[type["Predictor"], tuple[Bundle]]:
        """A copy, or one in another process, makes an engine of its own."""
        return type(self), (self.bundle,)

    def fit(self, picture: Picture) -> Planes:
        """Decode one picture and bring it to the network's kind, channels and size.

        A file and the Pillow image of it give the same numbers, but for what only a file tells: the low bytes of
        16-bit colour, and a JPEG's fractions of its size.

        Raises:
            DecodeFault: a file that does not decode or does not fit.
            DataError: an array of another type or shape, or an array or image whose channels do not fit.
        """
        return fitted(picture, self.preprocess.picture)

    def _prediction(self, picture: Picture, row: Tensor, top: int) -> Prediction:
        values, numbers = row.topk(min(top, len(self.classes)))
        ranked = tuple(
            (self.classes[number], value) for number, value in zip(numbers.tolist(), values.tolist(), strict=True)
        )
        path = str(picture) if isinstance(picture, str | Path) else ""
        return Prediction(path=path, class_name=ranked[0][0], probability=ranked[0][1], top=ranked)


def fitted(picture: object, wanted: Wanted) -> Planes:
    """One picture, brought to the kind, channels and size that are wanted.

    Raises:
        DecodeFault: a file that does not decode or does not fit.
        DataError: an array of another type or shape, or an array or image whose channels do not fit.
    """
    match picture:
        case str() | Path():
            return decoded(read_file(Path(picture)), wanted, str(picture))
        case bytes():
            return decoded(picture, wanted)
        case Image.Image():
            return fit(pillow_raster(picture), wanted)
        case np.ndarray() if _is_picture(picture, wanted):
            return fit(picture, wanted)
    numbers = "uint8 or uint16"
    fix = "an array of numbers in [0, 1] becomes one by (255 * array).round().astype('uint8')"
    if wanted.kind == "float32":
        numbers, fix = "uint8, uint16 or floating-point", "convert it: array.astype('float32')"
    must = f"a path, a file's bytes, a Pillow image, or a {numbers} array of shape (H, W) or (H, W, C)"
    got = f"{picture.dtype} {picture.shape}" if isinstance(picture, np.ndarray) else type(picture).__name__
    raise DataError("predict", "picture", must, got=got, fix=fix)


def _is_picture(array: np.ndarray, wanted: Wanted) -> bool:
    kind = kind_of(array.dtype)
    return kind in ("uint8", "uint16", wanted.kind) and array.ndim in (2, 3) and array.size > 0


def load(location: str | Path, *, model: str | None = None) -> Predictor:
    """The predictor of a run folder or of a bundle, a folder or a .zip of it.

    Args:
        location: the folder or archive.
        model: FILE.py:NAME of the network, for a model that was trained from such a file.  It is run, if it is the very
            file of the training; no file is run that is not named here.

    Raises:
        ModelFileError: no bundle there, or it is damaged; another file than that of the training.
        ConfigError: a file that is needed and not named, or named and not needed; a network for something else.
    """
    bundle = bundle_at(location, model)
    if bundle.config.task == "classify" and isinstance(bundle.preprocess, Preprocess):
        return Predictor(bundle)
    kind = "pictures" if isinstance(bundle.preprocess, Preprocess) else "samples"
    fix = "in Python: striate.load(location).predict(sample); docs/tasks.md tells what it gives"
    must, got = "a network that sorts pictures into classes", f"one that was trained to {bundle.config.task} {kind}"
    raise ConfigError("load", str(location), must, got=got, fix=fix)


def bundle_at(location: str | Path, model: str | None = None) -> Bundle:
    """The bundle of a run folder, or the bundle itself.

    Raises:
        ModelFileError, ConfigError: as `load`.
    """
    folder = Path(location)
    if (folder / "config.json").is_file() or folder.is_file():
        return load_bundle(folder, model)
    if (folder / "model" / "config.json").is_file():
        return load_bundle(folder / "model", model)
    unfinished = (folder / "recipe.toml").is_file()
    raise ModelFileError(
        "load",
        str(folder),
        "a finished run or a bundle",
        got="a run without a model yet" if unfinished else "no model there",
        fix=f"finish it with `striate resume {shell_name(folder)}`" if unfinished else "train one with `striate train`",
    )


def pictures_below(paths: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """The files named and every picture below the folders named, and what of those folders was left aside.

    A folder is read as training reads one: hidden files are skipped, links are not followed.

    Raises:
        DataError: a path does not exist, or nothing is found.
    """
    found: list[Path] = []
    aside = Aside()
    for path in paths:
        if path.is_dir():
            found += pictures_in(path, aside)
        elif path.exists():
            found.append(path)
        else:
            raise DataError("predict", "path", "an existing file or folder", got=path, fix="check the spelling")
    if not found:
        raise DataError(
            "predict", "folder", "one with pictures", got="none found", fix=f"pictures are {', '.join(SUPPORTED)}"
        )
    return found, aside.strangers + aside.links
