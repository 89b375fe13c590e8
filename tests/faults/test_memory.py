"""Memory that runs out: the batch size to try, and the checkpoint as it was."""

import subprocess
import sys

import pytest
import torch
from tests.faults.runs import same, train

from striate.base.errors import ResourceError
from striate.experiment import wiring
from striate.experiment.recipe import parse_recipe
from striate.experiment.train import go_on, start
from striate.training.checkpoint import newest


def failing(real, error, at):
    """The engine, running out of memory in one update."""

    def fit(state, batches, **options):
        def until():
            for batch in batches:
                if state.step == at:
                    raise error
                yield batch

        return real(state, until(), **options)

    return fit


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried"),
    ],
)
def test_out_of_memory_in_step_3_names_the_batch_size_to_try(recipe, tmp_path, monkeypatch, error):
    run = tmp_path / "run"
    train(start(recipe, run=tmp_path / "unbroken"))
    monkeypatch.setattr(wiring, "fit", failing(wiring.fit, error, 4))
    with pytest.raises(ResourceError, match="out of memory at batch size 16, in epoch 2 at step 4") as told:
        train(start(recipe, run=run))
    assert told.value.exit_code == 6
    assert "--batch-size 8" in str(told.value)
    assert newest(run / "checkpoints")[0].step == 3
    monkeypatch.undo()
    train(go_on(run))
    assert same(run, tmp_path / "unbroken")


def test_another_error_stays_what_it_is(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(wiring, "fit", failing(wiring.fit, RuntimeError("shapes differ"), 1))
    with pytest.raises(RuntimeError, match="shapes differ"):
        train(start(recipe, run=tmp_path / "run"))


LIMITED = """
import re
import resource
import sys
from pathlib import Path

import striate.deploy.bundle, striate.experiment.train, torch
from striate.cli.main import main

torch.nn.Conv2d(1, 8, 3)(torch.ones(8, 1, 9, 9)).sum().backward()  # what torch loads when it is first used
size = int(re.search("VmSize:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (size + 400 * 2**20,) * 2)
main()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the address space")
def test_a_process_that_may_not_have_the_memory_names_the_batch_size_to_try(recipe, tmp_path):
    run = tmp_path / "run"
    large = {"model": "resnet20", "batch_size": 1000, "preprocess": {"image_size": 128}, "regularise": {}}
    (tmp_path / "recipe.toml").write_text(parse_recipe({**recipe.model_dump(), **large}).as_toml())
    wide = [tmp_path / "recipe.toml", "--run", run]
    done = subprocess.run([sys.executable, "-c", LIMITED, "train", *wide], capture_output=True, text=True, timeout=120)
    assert done.returncode == 6, done.stderr
    assert "out of memory at batch size" in done.stderr
    assert "Traceback" not in done.stderr
    assert newest(run / "checkpoints")[0].step == 0
