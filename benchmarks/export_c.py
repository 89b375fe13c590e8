"""LeNet-5, one picture at a time on one thread: the compiled C file beside onnxruntime and torch.

    python benchmarks/export_c.py [--turns 40] [--calls 200] [--compiler cc]

All three get the same 28 x 28 bytes and give ten probabilities: normalising, border and softmax included.  The C file
is compiled with -O3 -march=native -ffp-contract=fast into a library and called from Python by ctypes, onnxruntime runs
the ONNX export of the very module by `session.run`, torch the module itself under `inference_mode`; so each pays for
being called from Python.  Turns of all are interleaved, in another order each time.  Printed are the median over the
turns in microseconds a picture, the fastest turn, and the ratio of the medians to the float32 C file; the largest
difference of a probability from torch's is printed first.  Without onnxruntime (or onnx, which writes its file) a line
says so.
"""

import argparse
import ctypes
import importlib.util
import random
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from machine import heading
from striate.data.picture import Picture
from striate.data.preprocess import Preprocess
from striate.models.catalogue import build
from striate.models.traced import traced
from striate.native.c_source import Subject, source
from striate.native.pixels import Pixels

FLAGS = "-std=c99 -O3 -march=native -ffp-contract=fast -shared -fPIC".split()
MEAN, STD = 0.13, 0.31
Predict = Callable[[], np.ndarray]  # ten probabilities of the one picture


def picture() -> np.ndarray:
    """Bytes, (1, 1, 28, 28)."""
    return np.random.default_rng(0).integers(0, 256, (1, 1, 28, 28), dtype=np.uint8)


def network() -> nn.Module:
    """Bytes to probabilities, as the bundle has it."""
    torch.manual_seed(0)
    front = Preprocess(Picture(1, 28, 28, pad=2), (MEAN,), (STD,)).module()
    return nn.Sequential(front, build("lenet5"), nn.Softmax(1)).eval()


def compiled(module: nn.Module, folder: Path, *, precision: str, compiler: str) -> Predict:
    """The C file as a library."""
    seen = traced(module[1], (1, 32, 32))
    made = source(
        Subject(
            name=f"lenet5_{precision}",
            network=seen.network,
            tensors={name: tensor.detach().double().numpy() for name, tensor in seen.tensors.items()},
            names=seen.names,
            pixels=Pixels(pad=2, shift=(255 * MEAN,), scale=(1 / (255 * STD),)),
            classes=tuple(map(str, range(10))),
            precision=precision,
        )
    )
    path = folder / f"{made.symbol}.c"
    path.write_text(made.code)
    path.with_suffix(".h").write_text(made.header)
    subprocess.run([compiler, *FLAGS, "-o", str(path.with_suffix(".so")), str(path), "-lm"], check=True)
    function = getattr(ctypes.CDLL(str(path.with_suffix(".so"))), f"{made.symbol}_predict")
    image, out = picture(), np.zeros(10, np.float32)
    given, taken = image.ctypes.data_as(ctypes.c_void_p), out.ctypes.data_as(ctypes.c_void_p)

    def predict() -> np.ndarray:
        function(given, taken)
        return out

    return predict


def by_onnxruntime(module: nn.Module, folder: Path) -> Predict | None:
    """The ONNX export, on one thread; None, with a line, where something for it is not installed."""
    missing = [name for name in ("onnxruntime", "onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if missing:
        print(f"onnxruntime left out: {', '.join(missing)} not installed")
        return None
    import onnxruntime

    path = folder / "lenet5.onnx"
    torch.onnx.export(module, (torch.from_numpy(picture()),), path, verbose=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    given = {session.get_inputs()[0].name: picture()}
    return lambda: session.run(None, given)[0][0]


def by_torch(module: nn.Module) -> Predict:
    """The module itself."""
    image = torch.from_numpy(picture())

    def predict() -> np.ndarray:
        with torch.inference_mode():
            return module(image)[0].numpy()

    return predict


def measure(contestants: dict[str, Predict], turns: int, calls: int) -> dict[str, list[float]]:
    """Seconds a picture of every turn, interleaved."""
    found: dict[str, list[float]] = {name: [] for name in contestants}
    order = random.Random(0)
    for turn in range(turns + 1):
        for name in order.sample(list(contestants), len(contestants)):
            predict = contestants[name]
            start = time.perf_counter()
            for _ in range(calls):
                predict()
            if turn:  # the first warms up
                found[name].append((time.perf_counter() - start) / calls)
    return found


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=40)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--compiler", default="cc")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    asked = arguments()
    torch.set_num_threads(1)
    print(heading(("torch", "onnxruntime", "numpy")), flush=True)
    version = subprocess.run([asked.compiler, "--version"], capture_output=True, text=True, check=True).stdout
    print(f"compiler: {version.splitlines()[0]}")
    module = network()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        contestants: dict[str, Predict] = {
            f"C, {kind}": compiled(module, folder, precision=kind, compiler=asked.compiler)
            for kind in ("float32", "int8")
        }
        contestants["torch"] = by_torch(module)
        other = by_onnxruntime(module, folder)
        contestants |= {"onnxruntime": other} if other else {}
        expected = contestants["torch"]().copy()
        for who, predict in contestants.items():
            print(
                f"  {who:<12} largest difference of a probability from torch's: {abs(predict() - expected).max():.1e}"
            )
        found = measure(contestants, asked.turns, asked.calls)
    base = statistics.median(found["C, float32"])
    for who, seconds in found.items():
        median = statistics.median(seconds)
        print(
            f"  {who:<12} {median * 1e6:8.1f} us a picture, fastest {min(seconds) * 1e6:8.1f}, {median / base:5.2f} x"
        )


if __name__ == "__main__":
    main()
