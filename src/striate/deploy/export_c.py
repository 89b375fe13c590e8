"""A trained network as C: NAME.c and NAME.h, NAME_test.c and a Makefile.

bundle -> description -> C99, with pictures and the bundle's own probabilities as its test.  What the description
computes is compared with the bundle on these pictures before anything is written.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from striate.base.errors import ConfigError
from striate.base.files import make_folder, write
from striate.base.network import Network
from striate.base.operations import one_of
from striate.data.decode import DecodeFault
from striate.data.kinds import WHITE
from striate.data.picture import Picture
from striate.data.preprocess import Preprocess
from striate.deploy.predictor import Predictor, load
from striate.models.described import described
from striate.models.traced import Traced, traced
from striate.native.c_check import TOLERANCE, Vectors, check_program, makefile
from striate.native.c_fold import fold
from striate.native.c_quantise import PRECISIONS, as_kept
from striate.native.c_source import Source, Subject, rows_of, source
from striate.native.c_text import identifier
from striate.native.pixels import Pixels

MARK = b"ritten by Striate"  # in the first line of every file that is written here
MOST = 1 << 20  # bytes of the test pictures, but for the first
REAL = 8  # pictures of the run


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What was written.

    Args:
        files: the C file first.
        symbol: what its public names begin with.
        precision: of the weights in the file.
        weight_bytes: constants of the layers.
        static_bytes: the array that all values between the layers share.
        stack_bytes: about what a call takes.
        pictures: in the test program.
        real: how many of them are pictures of the run; the others are noise.
        largest_difference: of a probability, between the weights of the file and the trained network's, on the test
            pictures and computed here.
        same_class: on how many test pictures both name the same class.
    """

    files: tuple[Path, ...]
    symbol: str
    precision: str
    weight_bytes: int
    static_bytes: int
    stack_bytes: int
    pictures: int
    real: int
    largest_difference: float
    same_class: int

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {**values, "files": [str(path) for path in self.files]}


def export_c(
    location: Path,
    *,
    out: Path | None = None,
    precision: str = "float32",
    overwrite: bool = False,
    model: str | None = None,
) -> Exported:
    """Write a trained network as C.

    Args:
        location: a run folder or a bundle.
        out: the C file; its header, test program and Makefile go beside it.  None: a folder here, called as the run.
        precision: of the weights, "float32" or "int8".
        overwrite: whether files that were written here before may be replaced.
        model: FILE.py:NAME of the network, which is run, for a model that was trained from such a file.

    Raises:
        ConfigError: a network or preprocessing that has no C yet, a name that is no C name, or files that are there.
        ModelFileError: no model there.
        ResourceError: they cannot be written.
    """
    one_of("export", "precision", precision, tuple(PRECISIONS))
    path = _target(location, out)
    files = path, path.with_suffix(".h"), path.with_name(f"{path.stem}_test.c"), path.with_name("Makefile")
    _refuse_others(files, overwrite=overwrite)
    predictor = load(location, model=model)
    seen, real = traced(predictor.bundle.model, _input_shape(predictor.preprocess)), _samples(predictor, location)
    written = source(_subject(path.stem, predictor, seen, precision))
    images = _few([*real, *_noise(predictor.preprocess.picture)])
    trained = predictor.probabilities(torch.from_numpy(np.stack(images))).numpy()
    _check_description(seen, predictor, images, trained)
    kept = trained if precision == "float32" else _probabilities(seen, predictor, images, precision)
    vectors = Vectors(
        images=rows_of(images), expected=list(kept), trained=None if precision == "float32" else list(trained)
    )
    make_folder(path.parent)
    texts = written.code, written.header, check_program(written.symbol, vectors), makefile(written.symbol)
    for file, text in reversed(list(zip(files, texts, strict=True))):  # the C file last: where it is, all are
        write(file, text)
    return _told(written, files, precision, (kept, trained), min(len(real), len(images)))


def _told(
    written: Source, files: tuple[Path, ...], precision: str, both: tuple[np.ndarray, np.ndarray], real: int
) -> Exported:
    kept, trained = both
    return Exported(
        files=files,
        symbol=written.symbol,
        precision=precision,
        weight_bytes=written.weight_bytes,
        static_bytes=written.static_bytes,
        stack_bytes=written.stack_bytes,
        pictures=len(trained),
        real=real,
        largest_difference=float(np.abs(kept - trained).max()),
        same_class=int((kept.argmax(1) == trained.argmax(1)).sum()),
    )


def _target(location: Path, out: Path | None) -> Path:
    """The C file."""
    if out is None:
        whole = location.absolute()
        name = identifier(whole.parent.name if whole.name == "model" and whole.is_dir() else whole.stem)
        return Path(name) / f"{name}.c"
    if out.suffix != ".c" or identifier(out.stem) != out.stem:
        must = "a file that ends in .c and is called as a C name"
        fix = f"for example --out {out.with_name(f'{identifier(out.stem)}.c')}"
        raise ConfigError("export", "--out", must, got=repr(str(out)), fix=fix)
    return out


def _refuse_others(files: Sequence[Path], *, overwrite: bool) -> None:
    """Refuse what would replace anything: files of ours with --overwrite alone, others never."""
    there = [path for path in files if path.exists() or path.is_symlink()]
    if there and not overwrite:
        fix = "name another file with --out, or add --overwrite"
        raise ConfigError("export", "the files", "new", got=f"{there[0]}, which is there", fix=fix)
    for path in there:
        if not path.is_file() or MARK not in _beginning(path):
            fix = "name a file in another folder with --out"
            raise ConfigError("export", str(path), "one that was written here", got="another", fix=fix)


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(300)


def _input_shape(preprocess: Preprocess) -> tuple[int, int, int]:
    """(C, H, W) of what the network reads; refuses what the C code could not make of bytes."""
    picture = preprocess.picture
    if preprocess.whiten is not None:
        fix = "train without preprocess.whiten"
        raise ConfigError("export", "preprocessing", "without whitening", got=preprocess.whiten.method, fix=fix)
    if picture.kind != "uint8":
        fix = "train on pictures of 8 bits: preprocess.kind=uint8"
        raise ConfigError("export", "the pictures", "of 8 bits", got=picture.kind, fix=fix)
    return picture.channels, picture.height + 2 * picture.pad, picture.width + 2 * picture.pad


def _subject(name: str, predictor: Predictor, seen: Traced, precision: str) -> Subject:
    preprocess, white = predictor.preprocess, WHITE["uint8"]
    pixels = Pixels(
        pad=preprocess.picture.pad,
        shift=tuple(white * mean for mean in preprocess.mean),
        scale=tuple(1 / (white * std) for std in preprocess.std),
    )
    return Subject(
        name=name,
        network=seen.network,
        tensors=_arrays(seen.tensors),
        names=seen.names,
        pixels=pixels,
        classes=predictor.classes,
        temperature=getattr(predictor.bundle.config, "temperature", None) or 1.0,
        precision=precision,
    )


def _arrays(tensors: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: tensor.detach().double().numpy() for name, tensor in tensors.items()}


def _samples(predictor: Predictor, location: Path) -> list[np.ndarray]:
    """Pictures that the run kept, at the network's size; a bundle has none."""
    found = []
    for path in sorted((location / "samples").glob("*")) if location.is_dir() else []:
        try:
            found.append(predictor.fit(path))
        except DecodeFault:
            continue
    return found[:REAL]


def _noise(picture: Picture) -> list[np.ndarray]:
    """Pictures for which nothing is needed: noise, and a ramp from black to white."""
    noise = np.random.default_rng(0).integers(0, 256, picture.shape, dtype=np.uint8)
    ramp = np.linspace(0, 255, noise.size).round().astype(np.uint8).reshape(picture.shape)
    return [noise, ramp]


def _few(images: Sequence[np.ndarray]) -> list[np.ndarray]:
    """As many as a test program can hold."""
    return list(images[: max(1, MOST // images[0].size)])


def _probabilities(seen: Traced, predictor: Predictor, images: Sequence[np.ndarray], precision: str) -> np.ndarray:
    """What the weights of the file give, in float64."""
    network, tensors = fold(seen.network, _arrays(seen.tensors))
    return _computed(network, as_kept(network, tensors, precision), predictor, images)


def _computed(
    network: Network, tensors: Mapping[str, np.ndarray], predictor: Predictor, images: Sequence[np.ndarray]
) -> np.ndarray:
    module = described(network).double().eval()
    module.load_state_dict({name: torch.from_numpy(np.array(values)) for name, values in tensors.items()}, strict=False)
    with torch.inference_mode():
        x = predictor.preprocess.to_input(torch.from_numpy(np.stack(images)))
        return module(x.double()).softmax(1).numpy()


def _check_description(seen: Traced, predictor: Predictor, images: Sequence[np.ndarray], trained: np.ndarray) -> None:
    """Refuse a network that does something else than what was seen of it."""
    found = _computed(seen.network, _arrays(seen.tensors), predictor, images)
    apart = float(np.abs(found - trained).max())
    if not apart <= TOLERANCE:
        got = f"{apart:.2g} apart in a probability from what it did for a picture of zeros"
        fix = "let the network take no decisions by its numbers"
        raise ConfigError("export", "the network", "one that does the same for every picture", got=got, fix=fix)
