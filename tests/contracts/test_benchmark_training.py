import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from striate.data.pictures import Held
from striate.data.split import Split
from striate.experiment.recipe_file import parse_override, read_recipe
from striate.layers.dropout import Dropout
from striate.layers.local_response_norm import LocalResponseNorm
from striate.models.alexnet import WithinTowers
from striate.models.catalogue import build
from striate.training.forms import Form

ROW = re.compile(r"^  (.+?) +(\S+) s a step .+? +(\S+) pictures/s +x (\S+) .+? +(\S+) GFLOP/s, +(\d+)% of peak", re.M)
BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module


@pytest.mark.slow
def test_the_training_benchmark_prints_ratio_share_of_the_peak_and_whether_it_is_what_was_to_be_shown():
    command = [sys.executable, str(BENCHMARKS / "training.py"), "resnet-20", "--rounds", "1", "--batch", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert "ResNet-20, 32 px, batch 2, rounds: 1" in done.stdout
    ours, theirs = ROW.findall(done.stdout)
    assert (ours[0], theirs[0], theirs[3]) == ("Striate", "plain PyTorch", "1.00")
    assert float(ours[3]) == pytest.approx(float(ours[2]) / float(theirs[2]), rel=0.05, abs=0.01)
    macs = 40_551_040  # of ResNet-20
    assert float(theirs[4]) == pytest.approx(6 * macs * float(theirs[2]) / 1e9, rel=0.05, abs=0.1)
    peak = max(map(float, re.findall(r"float32 (\S+) GFLOP/s, bfloat16 (\S+) GFLOP/s", done.stdout)[0]))
    assert float(theirs[5]) == pytest.approx(100 * float(theirs[4]) / peak, rel=0.05, abs=1)
    shown = "reached" if float(ours[3]) >= 2.5 else "not reached"
    assert f"to be shown: x 2.5: {shown}" in done.stdout


@pytest.mark.parametrize("name", ["alexnet", "googlenet", "resnet20"])
def test_plain_pytorch_is_the_same_network_of_torchs_layers(benchmark, name):
    model = build(name, num_classes=3, image_size=64 if name != "resnet20" else 32).eval()
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    x = x if name != "resnet20" else x[..., :32, :32]
    with torch.inference_mode():
        wanted = model(x)
        plain = benchmark("training").of_torch(model)
        towers = name == "alexnet"  # there torch normalises over both towers, at the same cost
        assert_close(plain(x), wanted, rtol=1e-4 if not towers else 0.1, atol=1e-5 if not towers else 0.1)
    kinds = {type(layer) for layer in plain.modules()}
    assert not kinds & {Dropout, LocalResponseNorm, WithinTowers}
    assert all(layer.inplace for layer in plain.modules() if isinstance(layer, nn.ReLU))


def stripes(count: int) -> Split:
    """Pictures whose class is how bright they are."""
    labels = torch.arange(count) % 10
    images = (np.arange(count) % 10 * 25).astype(np.uint8)[:, None, None, None] * np.ones((1, 32, 32, 3), np.uint8)
    return Split(Held(images), labels, tuple(map(str, range(count))))


@pytest.mark.slow
def test_in_the_same_arithmetic_equal_accuracy_is_equal_to_the_last_picture(benchmark):
    module = benchmark("equal_accuracy")
    task = module.Task("resnet18", stripes(96), stripes(50), epochs=2, seed=3)
    said = "\n".join(module.compare("ResNet-18", [task], Form("float32", "contiguous")))
    assert "ResNet-18, 32 px, 96 pictures, epochs: 2, seeds: 1" in said
    assert "difference +0.0000" in said


@pytest.mark.slow
def test_the_example_of_mnist_stops_with_the_first_epoch_that_is_good_enough(benchmark, idx_folder):
    module = benchmark("time_to_accuracy")
    run = module.example(idx_folder, seed=1, accuracy=0.0)
    assert 0 < run.accuracy < 0.5  # noise, after one epoch
    assert sum(p.numel() for p in benchmark("mnist_example").Net().parameters()) == 1_199_882
    said = module.summary("PyTorch's example", [run, module.Run(2.0, 0.995)], 0.99)
    assert "below 0.99: 1 of 2" in said


def test_the_recipe_of_the_race_to_099_is_one(benchmark):
    changes = [parse_override(entry) for entry in benchmark("time_to_accuracy").RECIPE]
    recipe = read_recipe(None, changes)
    assert build(recipe.model.replace("conv 8", "input 1x28x28, conv 8", 1)) is not None


@pytest.mark.slow
def test_a_peer_is_trained_until_it_is_good_enough_or_its_epochs_are_over(benchmark, idx_folder):
    module, peers = benchmark("to_accuracy"), benchmark("peers")
    peer = peers.EXAMPLE[0]
    once = module.trained(peer, idx_folder, module.Aim(accuracy=0.001, epochs=3), seed=1, pictures=64)
    assert len(once.seconds) == len(once.accuracies) == 1
    assert (
        once.told(module.Aim(0.001, 3)) == f"{once.seconds[0]:.2f} s of training   epochs: 1   {once.accuracies[0]:.4f}"
    )
    never = module.trained(peer, idx_folder, module.Aim(accuracy=1.1, epochs=2), seed=1, pictures=64)
    assert len(never.seconds) == 2
    assert "not within 2 epochs" in never.told(module.Aim(1.1, 2))
