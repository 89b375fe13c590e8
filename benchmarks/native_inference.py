"""Small networks, evaluated: the native engine beside onnxruntime and torch, one picture at a time and 32.

    python benchmarks/native_inference.py [--turns 100] [--seconds 0.002] [--threads 1 2]

All get the same decoded bytes, a uint8 array, and give ten probabilities a picture: normalising, border and softmax
included.  The native engine is asked by `Forward.probabilities` (float64), onnxruntime runs the ONNX export of the very
module by `session.run`, made for the batch that is measured, torch the module itself under `inference_mode`; so each
pays for being called from Python.  Everything is in one process; short turns of all are interleaved, in another order
each time; where there are several threads, each comes after a rest in which those of whoever came before go to sleep.
Printed are the median over the turns in microseconds a call, the fastest turn, pictures/s and how many times the native
engine's speed is that of each; the largest difference of a probability from torch's comes first.  Without onnxruntime
(or onnx, which writes its file) a line says so.
"""

import argparse
import importlib.util
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from machine import heading
from striate.data.picture import Picture
from striate.data.preprocess import Preprocess
from striate.deploy.native_network import native_network
from striate.models.catalogue import build
from striate.native.library import absence, library

REST = 0.01  # seconds in which other threads go to sleep
BATCHES = 1, 32
OURS = "Striate"
Predict = Callable[[], np.ndarray]  # probabilities, (B, 10)


@dataclass(frozen=True, slots=True)
class Subject:
    """A network, and the pictures that it is for.

    Args:
        title: printed.
        model: its name in the catalogue, or its layers.
        picture: size, channels and border.
    """

    title: str
    model: str
    picture: Picture

    def preprocess(self) -> Preprocess:
        """What comes before the network."""
        return Preprocess(self.picture, (0.13,) * self.picture.channels, (0.31,) * self.picture.channels)

    def network(self) -> nn.Module:
        """Weights by chance."""
        size = self.picture.height + 2 * self.picture.pad
        return build(self.model, num_classes=10, in_channels=self.picture.channels, image_size=size).eval()

    def pictures(self, count: int) -> np.ndarray:
        """Bytes, (count, C, h, w)."""
        return np.random.default_rng(0).integers(0, 256, (count, *self.picture.shape), dtype=np.uint8)


SUBJECTS = (
    Subject("LeNet-5, 1x28x28", "lenet5", Picture(1, 28, 28, pad=2)),
    Subject("perceptron with 256 hidden units, 1x28x28", "mlp", Picture(1, 28, 28)),
    Subject(
        "three convolutions of 16, 32 and 64 channels with batch normalisation, 3x32x32",
        "conv 16 3x3 same, bn, relu, maxpool 2, conv 32 3x3 same, bn, relu, maxpool 2, "
        "conv 64 3x3 same, bn, relu, globalavgpool, flatten, linear 10",
        Picture(3, 32, 32),
    ),
)


def by_striate(network: nn.Module, subject: Subject, images: np.ndarray) -> Predict:
    """The native engine."""
    made = native_network(network, subject.preprocess())
    assert made is not None
    return lambda: made.probabilities(torch.from_numpy(images)).numpy()


def by_torch(whole: nn.Module, images: np.ndarray) -> Predict:
    """The module itself."""

    def predict() -> np.ndarray:
        with torch.inference_mode():
            return whole(torch.from_numpy(images)).numpy()

    return predict


def by_onnxruntime(whole: nn.Module, images: np.ndarray, threads: int, folder: Path) -> Predict:
    """The ONNX export."""
    import onnxruntime

    path = folder / "network.onnx"
    torch.onnx.export(whole, (torch.from_numpy(images),), path, verbose=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    given = {session.get_inputs()[0].name: images}
    return lambda: session.run(None, given)[0]


def contestants(subject: Subject, count: int, threads: int, folder: Path, *, others: bool) -> dict[str, Predict]:
    """All, for batches of this size."""
    network, images = subject.network(), subject.pictures(count)
    whole = nn.Sequential(subject.preprocess().module(), network, nn.Softmax(1)).eval()
    made = {OURS: by_striate(network, subject, images), "torch": by_torch(whole, images)}
    return made | ({"onnxruntime": by_onnxruntime(whole, images, threads, folder)} if others else {})


def measure(predicts: dict[str, Predict], turns: int, seconds: float, rest: float) -> dict[str, list[float]]:
    """Seconds a call of every turn, interleaved."""
    calls = {name: max(1, int(seconds / timed(predict, 5))) for name, predict in predicts.items()}
    found: dict[str, list[float]] = {name: [] for name in predicts}
    order = random.Random(0)
    for _ in range(turns):
        for name in order.sample(list(predicts), len(predicts)):
            time.sleep(rest)
            predicts[name]()  # threads wake up, caches fill
            found[name].append(timed(predicts[name], calls[name]))
    return found


def timed(predict: Predict, calls: int) -> float:
    """Seconds a call."""
    start = time.perf_counter()
    for _ in range(calls):
        predict()
    return (time.perf_counter() - start) / calls


def tell(found: dict[str, list[float]], count: int) -> None:
    """A line for each."""
    ours = statistics.median(found[OURS])
    for who, seconds in found.items():
        median = statistics.median(seconds)
        print(
            f"    {who:<12} {median * 1e6:9.1f} us a call, fastest {min(seconds) * 1e6:9.1f}, "
            f"{count / median:9,.0f} pictures/s, Striate's speed is x {median / ours:.2f}"
        )


def has_onnxruntime() -> bool:
    """Whether it can take part; if not, a line says why."""
    missing = [name for name in ("onnxruntime", "onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if missing:
        print(f"onnxruntime left out: {', '.join(missing)} not installed")
    return not missing


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=0.002, help="that a turn takes, about")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    asked = arguments()
    torch.set_num_threads(asked.threads[0])
    print(heading(("torch", "onnxruntime", "numpy")))
    print(f"native library: {library() or absence()}", flush=True)
    others = has_onnxruntime()
    for subject in SUBJECTS:
        print(f"\n{subject.title}")
        for count in BATCHES:
            for threads in asked.threads:
                torch.set_num_threads(threads)
                with tempfile.TemporaryDirectory() as folder:
                    made = contestants(subject, count, threads, Path(folder), others=others)
                    expected = made["torch"]()
                    apart = max(float(abs(predict() - expected).max()) for predict in made.values())
                    pictures = "1 picture" if count == 1 else f"{count} pictures"
                    print(f"  {pictures} a call, threads: {threads}, probabilities at most {apart:.1e} from torch's")
                    rest = REST if threads > 1 else 0.0
                    tell(measure(made, asked.turns, asked.seconds, rest), count)


if __name__ == "__main__":
    main()
