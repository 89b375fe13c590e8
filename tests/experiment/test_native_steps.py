"""The native engine in a run: when it is taken, and that its runs are those of torch but for rounding."""

from dataclasses import replace

import pytest
import torch
from tests.faults.runs import alike, rows, same, train
from tests.native.conftest import RUNNABLE

from striate.base.errors import ConfigError
from striate.experiment import native_steps
from striate.experiment.events import EpochEnded, Started
from striate.experiment.native_steps import followed, native_plan
from striate.experiment.network import network_of
from striate.experiment.recipe import parse_recipe
from striate.experiment.train import go_on, start
from striate.experiment.verify import verify
from striate.models.card import Given
from striate.native.engine import Engine
from striate.native.library import VARIABLE, absence, library
from striate.training.checkpoint import newest
from striate.training.plan import Asked, by_engine, machine
from striate.training.processes import ALONE, Processes

pytestmark = pytest.mark.skipif(library() is None, reason=absence())

MIXED = "conv 8 5x5, relu, maxpool 2, flatten, dropout 0.2, linear 3"


@pytest.fixture
def asked(shapes):
    return {
        "data": str(shapes),
        "epochs": 2,
        "batch_size": 16,
        "lr": 0.01,
        "augment": {"shift": 2, "flip": True},
        "regularise": {"dropout": 0.2},
        "loss": {"label_smoothing": 0.1, "class_weights": "balanced"},
    }


def run(asked, path, **execution):
    train(start(parse_recipe({**asked, "execution": execution}), run=path))
    return path


def told(asked, path):
    events = start(parse_recipe(asked), run=path)
    started = next(event for event in events if isinstance(event, Started))
    events.close()
    return started.headline


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"optimizer": "adamw", "weight_decay": 0.1},
        {"optimizer": "adam", "lr": 0.001, "update": {"clip_norm": 0.5}},
        {
            "model": "conv 8 3x3 same, batch_norm, relu, maxpool 2, flatten, dropout 0.2, linear 3",
            "update": {"ema_decay": 0.9},
        },
        {"update": {"nesterov": True, "clip_value": 0.01}, "regularise": {"l1": 1e-3}, "weight_decay": 1e-2},
        {"augment": {"mixup": 0.4, "flip": True}, "model": MIXED},
        {"augment": {"cutmix": 1.0}, "update": {"clip_norm": 1.0}},
    ],
    ids=["sgd", "adamw", "adam", "batch norm and a running mean", "penalties", "mixup", "cutmix"],
)
def test_a_run_is_that_of_torch_to_rounding(asked, more, tmp_path):
    """Mixed without tiles: where a picture is flat a pooling has equal numbers, and in tiles rounding chooses one."""
    compare({**asked, **more}, tmp_path)


@pytest.mark.parametrize(
    "more",
    [
        {"model": "linear 16, tanh, linear 1"},
        {"model": "linear 16, batch_norm, relu, linear 1", "update": {"clip_norm": 0.1}},
        {"loss": {"name": "mse"}, "model": "linear 16, relu, linear 1", "optimizer": "adamw", "weight_decay": 0.1},
    ],
)
def test_numbers_are_told_as_by_torch_to_rounding(more, tmp_path):
    compare({"task": "regress", "data": "curve", "epochs": 2, "batch_size": 16, "lr": 0.01, **more}, tmp_path)


def compare(asked, tmp_path):
    """Two runs that differ in the engine alone."""
    native = run(asked, tmp_path / "native", engine="native")
    torchs = run(asked, tmp_path / "torch", engine="torch", precision="float32", memory_format="contiguous")
    alike(native, torchs)


@pytest.mark.slow
def test_over_ten_seeds_both_engines_learn_alike(tmp_path):
    losses = {"native": [], "torch": []}
    for seed in range(10):
        for engine, column in losses.items():
            asked = {"data": "digits", "model": "lenet5", "epochs": 4, "seed": seed, "regularise": {"dropout": 0.1}}
            table = rows(run(asked, tmp_path / f"{engine}{seed}", engine=engine))
            place = table[0].index("validation_loss")
            column.append([float(row[place]) for row in table[1:]])
    ours, theirs = (torch.tensor(column) for column in losses.values())  # seeds by epochs
    difference = ours - theirs
    error = difference.std(0) / len(difference) ** 0.5
    assert (difference.mean(0).abs() <= 3 * error + 0.01 * theirs.mean(0)).all()
    assert (ours[:, -1] < 0.5 * ours[:, 0]).all()  # they have learnt something to compare


def test_stopped_in_the_middle_of_an_epoch_it_goes_on_to_the_same_bits(asked, tmp_path):
    whole = run(asked, tmp_path / "whole", engine="native")
    events = start(
        parse_recipe({**asked, "execution": {"engine": "native", "checkpoint_seconds": 1e-9}}), run=tmp_path / "cut"
    )
    for _ in range(5):
        next(events)
    events.close()
    train(go_on(tmp_path / "cut"))
    assert same(whole, tmp_path / "cut")


NORMED = "conv 4 3x3, lrn 3, relu, flatten, linear 3"


def stopped(asked, path):
    execution = {"checkpoint_seconds": 1e-9, **asked.get("execution", {})}
    events = start(parse_recipe({**asked, "execution": execution}), run=path)
    for _ in range(4):
        next(events)
    events.close()


def notes(path):
    events = go_on(path)
    said = next(event for event in events if isinstance(event, Started)).notes
    events.close()
    return " ".join(said)


@pytest.mark.parametrize("network", [{}, {"model": NORMED, "regularise": {}}], ids=["native", "a native layer"])
@pytest.mark.skipif("avx2" not in RUNNABLE, reason="one instruction set alone")
def test_on_another_instruction_set_a_run_that_goes_on_says_so(asked, network, tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, "portable")
    stopped({**asked, **network}, tmp_path / "run")
    assert notes(tmp_path / "run") == ""
    monkeypatch.setenv(VARIABLE, "avx2")
    assert "(instructions portable -> avx2): equal up to rounding" in notes(tmp_path / "run")


@pytest.mark.skipif("avx2" not in RUNNABLE, reason="one instruction set alone")
def test_where_the_library_makes_no_sums_its_instruction_set_says_nothing(asked, tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, "portable")
    stopped({**asked, "execution": {"engine": "torch"}}, tmp_path / "run")
    monkeypatch.setenv(VARIABLE, "avx2")
    assert notes(tmp_path / "run") == ""


def test_a_small_row_of_layers_takes_it_and_says_so(asked, tmp_path):
    assert "native engine" in told(asked, tmp_path / "run")


def test_so_does_a_network_of_as_many_channels_as_were_measured(asked, tmp_path):
    wide = {"model": "conv 128 3x3, relu, flatten, linear 3", "regularise": {}}
    headline = told({**asked, **wide}, tmp_path / "run")
    assert "native engine" in headline
    assert "torch engine" not in headline


def test_a_network_of_more_channels_is_not_run_to_see_its_layers(monkeypatch):
    monkeypatch.delattr(native_steps, "described_in_a_row")  # to call it is an error
    recipe = parse_recipe({"model": "conv 129 3x3, relu, flatten, linear 3"})
    built = network_of(recipe, Given(num_classes=3, in_channels=1, image_size=8, dropout=None))
    assert "129 channels" in native_plan(recipe, built, machine(Asked(device="cpu")))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"model": "conv 4 3x3 same, add(conv 4 3x3 same | ), flatten, linear 3", "regularise": {}}, "within branches"),
        ({"optimizer": "rmsprop"}, "optimizer = rmsprop"),
        ({"update": {"accumulate": 2}}, "update.accumulate = 2"),
        ({"loss": {"name": "hinge"}}, "loss.name = hinge"),
        ({"regularise": {"max_norm": 1.0}}, "regularise.max_norm = 1.0"),
        ({"model": "conv 129 3x3, relu, flatten, linear 3", "regularise": {}}, "convolutions of 129 channels"),
        ({"model": "conv 4 3x3, gelu, flatten, linear 3", "regularise": {}}, "got gelu"),
    ],
)
def test_torch_takes_the_rest_and_says_why_not(asked, change, why, tmp_path):
    headline = told({**asked, **change}, tmp_path / "run")
    assert "torch engine" in headline
    assert why in headline


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"task": "regress", "data": "curve", "loss": {"name": "huber"}}, "loss.name = huber"),
        ({"task": "multilabel", "data": "shape-labels"}, "task = multilabel"),
    ],
)
def test_torch_takes_other_losses_and_tasks(asked, why, tmp_path):
    outputs = 1 if asked["task"] == "regress" else 5
    headline = told({**asked, "model": f"flatten, linear {outputs}", "epochs": 1, "batch_size": 64}, tmp_path / "run")
    assert "torch engine" in headline
    assert why in headline


OWN = """
from torch import nn

def net():
    return nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(16, 3))
"""


@pytest.mark.parametrize("engine", ["native", "calculus"])
def test_a_network_from_a_file_is_left_to_torch_for_what_it_is(asked, engine, tmp_path):
    (tmp_path / "net.py").write_text(OWN)
    wanted = {**asked, "model": f"{tmp_path / 'net.py'}:net", "regularise": {}, "execution": {"engine": engine}}
    with pytest.raises(ConfigError, match=f"{engine}, but a network from a file"):
        told(wanted, tmp_path / "run")


@pytest.mark.parametrize("engine", ["native", "calculus"])
@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"model": "lenet5-1998", "regularise": {}}, "a loss or heads of its own in lenet5-1998"),
        ({"loss": {"focal_gamma": 2.0}}, "loss.focal_gamma = 2.0"),
        ({"transfer": {"freeze": ["features.0"]}}, "transfer.freeze"),
    ],
)
def test_what_torch_alone_does_is_refused_by_both_the_other_engines(asked, change, why, engine, tmp_path):
    with pytest.raises(ConfigError, match=f"{engine}, but {why}"):
        told({**asked, "loss": {}, **change, "execution": {"engine": engine}}, tmp_path / "run")


def test_memory_is_taken_for_the_samples_that_there_are(asked, tmp_path, monkeypatch):
    sizes = []

    class Watched(Engine):
        def step(self, *given):
            sizes.append(self.largest)
            return super().step(*given)

    monkeypatch.setattr(native_steps, "Engine", Watched)
    run({**asked, "epochs": 1, "batch_size": 100_000}, tmp_path / "run", engine="native")
    assert sizes
    assert max(sizes) < 1000


@pytest.mark.parametrize(
    ("more", "dtype"),
    [
        ({}, torch.uint8),
        ({"augment": {"mixup": 0.4}}, torch.float32),
        ({"augment": {"rotate": 5}}, torch.float32),
        ({"preprocess": {"normalise": "zca"}}, torch.float32),
    ],
    ids=["moved", "mixed", "turned", "whitened"],
)
def test_pictures_that_are_only_moved_come_as_bytes(asked, more, dtype, tmp_path, monkeypatch):
    seen = set()

    class Watched(Engine):
        def step(self, x, *given):
            seen.add(x.dtype)
            return super().step(x, *given)

    monkeypatch.setattr(native_steps, "Engine", Watched)
    run({**asked, **more, "model": MIXED, "epochs": 1}, tmp_path / "run", engine="native")
    assert seen == {dtype}


def test_asked_for_where_it_cannot_train_it_is_refused_with_the_reason(asked, tmp_path):
    wanted = {**asked, "optimizer": "rmsprop", "execution": {"engine": "native"}}
    with pytest.raises(ConfigError, match="native, but optimizer = rmsprop"):
        told(wanted, tmp_path / "run")


def test_without_the_library_a_run_goes_on_with_torch_and_says_so_until_it_is_there_again(asked, tmp_path, monkeypatch):
    stopped({**asked, "execution": {"engine": "native"}}, tmp_path / "run")
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv(VARIABLE, "off")
        for _ in range(2):  # stopped a second time, too
            assert "torch engine" in (headline := gone_on(tmp_path / "run"))
            assert "(the run began on the native engine; STRIATE_NATIVE=off)" in headline
    assert "native engine" in (headline := gone_on(tmp_path / "run"))
    assert f"(as the run began; {library()})" in headline


def test_a_run_that_ended_on_torch_is_verified_by_the_engine_of_its_beginning(asked, tmp_path, monkeypatch):
    events = start(parse_recipe(asked), run=tmp_path / "run")
    next(event for event in events if isinstance(event, EpochEnded))
    next(events)
    events.close()
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv(VARIABLE, "off")
        train(go_on(tmp_path / "run"))
    assert list(verify(tmp_path / "run"))[-1].epochs == 1


def gone_on(path):
    """Go on for some steps; what is said at first."""
    events = go_on(path)
    headline = next(event for event in events if isinstance(event, Started)).headline
    for _ in range(2):
        next(events)
    events.close()
    return headline


@pytest.mark.skipif("avx2" not in RUNNABLE, reason="one instruction set alone")
def test_the_plan_names_the_instruction_set_that_goes_on(asked, tmp_path, monkeypatch):
    stopped({**asked, "execution": {"engine": "native"}}, tmp_path / "run")
    monkeypatch.setenv(VARIABLE, "portable")
    assert f"(as the run began; {library()})" in gone_on(tmp_path / "run")
    assert newest(tmp_path / "run" / "checkpoints")[0].record["plan"]["reason"] == f"as the run began; {library()}"


def test_several_processes_are_told_before_they_begin_that_it_is_not_for_them(asked):
    recipe = parse_recipe({**asked, "execution": {"engine": "native"}})
    built = network_of(recipe, Given(num_classes=3, in_channels=1, image_size=32, dropout=None))
    here = machine(Asked(device="cpu"))
    assert native_plan(recipe, built, here).engine == "native"
    with pytest.raises(ConfigError, match="native, but 2 processes"):
        native_plan(recipe, built, here, Processes(rank=0, world=2))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_on_another_device_torch_goes_on(device):
    plan = replace(by_engine("native", machine(Asked(device="cpu")), "as asked"), device=device)
    assert followed(plan, ALONE).engine == {"cpu": "native", "cuda": "torch"}[device]
    assert ("the device cuda" in followed(plan, ALONE).reason) == (device == "cuda")
