"""A trained network that takes samples of any shape, or pictures that are not sorted into classes.

task          a prediction                  shape
classify      a probability for each class  (N, classes)
multilabel    a probability for each label  (N, labels)
regress       numbers in the data's units   (N, numbers)
segment       class numbers                 (N, ...) of the sample without its channels
reconstruct   samples in the data's units   (N, ...) as the sample; pixels of pictures in [0, 1]
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from striate.base.errors import DataError
from striate.data.decode import DecodeFault
from striate.data.preprocess import Preprocess
from striate.data.sample_input import SampleInput
from striate.deploy.bundle import Bundle
from striate.deploy.predictor import Picture, Predictor, bundle_at, fitted


class SamplePredictor:
    """A trained network for samples.

    Args:
        bundle: network, what reads its samples, names.
    """

    def __init__(self, bundle: Bundle) -> None:
        assert isinstance(bundle.preprocess, SampleInput)
        self.bundle = bundle
        self.reading = bundle.preprocess
        self.classes = bundle.config.classes

    def predict(self, samples: object) -> np.ndarray:
        """What the network tells of samples: see the table above.

        Args:
            samples: one or several, as the data held them: an array (..., *shape), a text or a list of texts.

        Raises:
            DataError: of another shape, or not numbers.
        """
        x = torch.from_numpy(self.reading.arrays(samples))
        with torch.inference_mode():
            outputs = self.bundle.model(self.reading.to_input(x))
        return READ[self.bundle.config.task](outputs, self.reading).numpy()


READ: dict[str, Callable[[Tensor, SampleInput], Tensor]] = {
    "classify": lambda outputs, _: outputs.double().softmax(1),
    "multilabel": lambda outputs, _: outputs.double().sigmoid(),
    "regress": lambda outputs, reading: reading.to_numbers(outputs),
    "segment": lambda outputs, _: outputs.argmax(1),
    "reconstruct": lambda outputs, reading: reading.to_samples(outputs),
}


class PictureRebuilder:
    """A trained network that gives pictures back.

    Args:
        bundle: network and preprocessing.
    """

    def __init__(self, bundle: Bundle) -> None:
        assert isinstance(bundle.preprocess, Preprocess)
        self.bundle = bundle
        self.preprocess = bundle.preprocess

    def predict(self, picture: Picture) -> np.ndarray:
        """What comes back of one picture: (C, H, W) in units of white, border included.

        Raises:
            DataError: it does not decode, or cannot be brought to the network's picture.
        """
        try:
            planes = fitted(picture, self.preprocess.picture)
        except DecodeFault as fault:
            fix = "give a JPEG or PNG file that other programs can open"
            raise DataError("predict", "picture", "a picture", got=fault, fix=fix) from fault
        with torch.inference_mode():
            (y,) = self.bundle.model(self.preprocess.to_input(torch.from_numpy(planes[None])))
        mean, std = (torch.tensor(v).reshape(-1, 1, 1) for v in (self.preprocess.mean, self.preprocess.std))
        return (y * std + mean).numpy()


def load(location: str | Path, *, model: str | None = None) -> Predictor | SamplePredictor | PictureRebuilder:
    """What predicts with a run folder or bundle, whatever it was trained for.

    Args:
        location: the folder or archive.
        model: FILE.py:NAME of the network, for a model that was trained from such a file; it is run.

    Raises:
        ModelFileError: no bundle there, or it is damaged; another file than that of the training.
        ConfigError: a file that is needed and not named, or named and not needed.
    """
    bundle = bundle_at(location, model)
    if isinstance(bundle.preprocess, SampleInput):
        return SamplePredictor(bundle)
    return Predictor(bundle) if bundle.config.task == "classify" else PictureRebuilder(bundle)
