"""Every option of a recipe changes the run: none is taken and ignored."""

import numpy as np
import pytest
import torch

from striate.base.errors import ConfigError, DataError
from striate.experiment.events import EpochEnded
from striate.experiment.recipe import Recipe, known_keys, parse_recipe
from striate.experiment.recipe_file import read_recipe
from striate.experiment.train import start
from striate.training.checkpoint import newest

# key -> another value; None where another test shows its effect, and why.
OTHER = {
    "task": None,  # other data: tests of the tasks
    "data": None,  # other pictures: test_train.py
    "model": "resnet20",
    "epochs": 2,
    "batch_size": 8,
    "lr": 0.03,
    "optimizer": "adamw",
    "momentum": 0.5,
    "weight_decay": 0.1,
    "seed": 1,
    "split.validation_fraction": 0.3,
    "split.test_fraction": 0.4,
    "split.folds": 3,
    "split.fold": None,  # with folds: below
    "split.skip_bad": None,  # needs a bad file: below
    "preprocess.image_size": 40,
    "preprocess.channels": 3,
    "preprocess.resize": None,  # needs pictures that are not square: below
    "preprocess.normalise": "none",
    "preprocess.mean": None,  # with std, below
    "preprocess.std": None,
    "augment.shift": 0,
    "augment.flip": True,
    "augment.crop_scale": 0.5,
    "augment.vertical_flip": True,
    "augment.rotate": 10.0,
    "augment.shear": 10.0,
    "augment.translate": 0.1,
    "augment.zoom": 0.1,
    "augment.brightness": 0.3,
    "augment.contrast": 0.3,
    "augment.saturation": None,  # need colour: below
    "augment.hue": None,
    "augment.colour_noise": 0.1,
    "augment.erase": 0.5,
    "augment.policy": "trivialaugment",
    "augment.policy_magnitude": None,  # with randaugment, below
    "augment.policy_operations": None,
    "augment.elastic": 2.0,
    "augment.elastic_sigma": None,  # with elastic, below
    "augment.mixup": 0.2,
    "augment.cutmix": 1.0,
    "sampling.balanced": None,  # needs classes of unequal size: below
    "loss.name": "hinge",
    "loss.label_smoothing": 0.1,
    "loss.class_weights": (1.0, 2.0, 0.5),
    "loss.focal_gamma": 2.0,
    "loss.huber_delta": None,  # of numbers: below
    "regularise.dropout": 0.3,
    "regularise.l1": 0.01,
    "regularise.max_norm": 0.5,
    "update.nesterov": True,
    "update.alpha": None,  # of other optimisers: below
    "update.beta1": None,
    "update.beta2": None,
    "update.clip_norm": 0.1,
    "update.clip_value": 0.01,
    "update.accumulate": 2,
    "update.ema_decay": None,  # of the weights that are kept: below
    "schedule.name": "constant",
    "schedule.warmup_epochs": 1.0,
    "schedule.step_epochs": None,  # of other schedules: below
    "schedule.gamma": None,
    "schedule.power": None,
    "schedule.patience": None,
    "stopping.patience": None,  # over several epochs: below
    "stopping.min_delta": None,
    "transfer.weights": None,  # needs a finished run: test_transfer.py
    "transfer.freeze": ("features",),
    "transfer.lr_factors": {"features": 0.1},
    # Execution must not change results beyond precision.
    "execution.engine": None,
    "execution.device": None,
    "execution.threads": None,
    "execution.precision": None,
    "execution.memory_format": None,
    "execution.allocator": None,
    "execution.cache": None,
    "execution.cache_gb": None,
    "execution.workers": None,
    "execution.checkpoint_seconds": None,
    # Observers.
    "track.tensorboard": None,
    "track.mlflow": None,
}


def weights(recipe: Recipe, run):
    events = start(recipe, run=run)
    for event in events:
        if isinstance(event, EpochEnded) and event.row.epoch == event.epochs:
            events.close()
    return newest(run / "checkpoints")[0].tensors


@pytest.fixture(scope="module")
def base(shapes):
    return {"data": str(shapes), "epochs": 1, "batch_size": 16}


@pytest.fixture(scope="module")
def reference(base, tmp_path_factory):
    return weights(parse_recipe(base), tmp_path_factory.mktemp("r") / "run")


def test_the_table_knows_every_key():
    assert list(OTHER) == known_keys()


@pytest.mark.parametrize("key", [key for key, value in OTHER.items() if value is not None])
def test_each_option_changes_the_weights(key, base, reference, tmp_path):
    other = read_recipe(None, [*base.items(), (key, OTHER[key])])
    found = weights(other, tmp_path / "run")
    same = found.keys() == reference.keys() and all(
        found[name].shape == tensor.shape and torch.equal(found[name], tensor) for name, tensor in reference.items()
    )
    assert not same


DEPENDENT = [  # (what it goes with, its key, two values)
    ({"optimizer": "rmsprop"}, "momentum", (0.0, 0.5)),
    ({"optimizer": "rmsprop"}, "update.alpha", (0.99, 0.5)),
    ({"optimizer": "adam"}, "update.beta1", (0.9, 0.5)),
    ({"optimizer": "adamw"}, "update.beta2", (0.999, 0.5)),
    ({"optimizer": "adagrad"}, "lr", (0.01, 0.02)),
    ({"schedule.name": "step", "schedule.warmup_epochs": 0}, "schedule.step_epochs", (1.0, 0.5)),
    ({"schedule.name": "step", "schedule.step_epochs": 0.5}, "schedule.gamma", (0.1, 0.5)),
    ({"schedule.name": "polynomial"}, "schedule.power", (1.0, 2.0)),
    ({"schedule.name": "plateau", "epochs": 4, "lr": 1e-9}, "schedule.patience", (0, 3)),
    ({"stopping.min_delta": 9.0, "epochs": 4}, "stopping.patience", (1, 2)),
    ({"stopping.patience": 1, "epochs": 4}, "stopping.min_delta", (0.0, 9.0)),
]


@pytest.mark.parametrize(("beside", "key", "values"), DEPENDENT, ids=[f"{key}" for _, key, _ in DEPENDENT])
def test_an_option_changes_the_weights_beside_what_it_goes_with(beside, key, values, base, tmp_path):
    one, other = (
        weights(read_recipe(None, [*base.items(), *beside.items(), (key, value)]), tmp_path / str(i))
        for i, value in enumerate(values)
    )
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_the_mean_of_the_weights_is_what_is_kept(base, reference, tmp_path):
    found = weights(read_recipe(None, [*base.items(), ("update.ema_decay", 0.9)]), tmp_path / "run")
    assert all(torch.equal(found[name], tensor) for name, tensor in reference.items())
    assert not torch.equal(found["average.features.0.weight"], found["model.features.0.weight"])


@pytest.mark.parametrize(("key", "value"), [("execution.checkpoint_seconds", 1e-4), ("execution.threads", 1)])
def test_execution_changes_nothing(key, value, base, reference, tmp_path):
    found = weights(read_recipe(None, [*base.items(), (key, value)]), tmp_path / "run")
    assert all(torch.equal(found[name], tensor) for name, tensor in reference.items())


@pytest.mark.parametrize(
    ("with_this", "key", "values"),
    [
        ({"preprocess": {"channels": 1}}, "preprocess.normalise", ["measured", "pca", "zca"]),
        ({"preprocess": {"normalise": "given", "std": [0.2] * 3}}, "preprocess.mean", [[0.3] * 3, [0.4] * 3]),
        ({"preprocess": {"normalise": "given", "mean": [0.3] * 3}}, "preprocess.std", [[0.2] * 3, [0.3] * 3]),
        ({"preprocess": {"channels": 3}}, "augment.saturation", [0.0, 0.5]),
        ({"preprocess": {"channels": 3}}, "augment.hue", [0.0, 0.2]),
        ({"augment": {"policy": "randaugment"}}, "augment.policy_magnitude", [9.0, 20.0]),
        ({"augment": {"policy": "randaugment"}}, "augment.policy_operations", [1, 3]),
        ({"augment": {"elastic": 2.0}}, "augment.elastic_sigma", [4.0, 8.0]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_options_that_need_others_change_the_weights(with_this, key, values, colour, tmp_path):
    found = []
    for number, value in enumerate(values):
        recipe = read_recipe(None, [("data", str(colour)), ("epochs", 1), *flat(with_this), (key, value)])
        found.append(weights(recipe, tmp_path / f"run{number}"))
    for other in found[1:]:
        assert not all(torch.equal(found[0][name], other[name]) for name in other if other[name].is_floating_point())


def flat(tables):
    return [(f"{table}.{key}", value) for table, entries in tables.items() for key, value in entries.items()]


@pytest.fixture(scope="module")
def colour(tmp_path_factory):
    """An .npz of 40 small coloured pictures."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (40, 1, 1, 3)) // 2 + rng.integers(0, 128, (40, 12, 12, 3))
    path = tmp_path_factory.mktemp("colour") / "colour.npz"
    np.savez(path, x=x.astype(np.uint8), y=np.arange(40) % 2)
    return path


def test_resizing_in_another_way_changes_the_weights(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "wide.npz", x=rng.integers(0, 256, (40, 12, 20), dtype=np.uint8), y=np.arange(40) % 2)
    found = []
    for way in ("squash", "crop", "letterbox"):
        recipe = parse_recipe({"data": str(tmp_path / "wide.npz"), "epochs": 1, "preprocess": {"resize": way}})
        found.append(next(iter(weights(recipe, tmp_path / way).values())))
    assert not torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert not torch.equal(found[1], found[2])


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ({"preprocess": {"mean": [0.5]}}, "both there with normalise"),
        ({"preprocess": {"normalise": "given"}}, "both there with normalise"),
        ({"augment": {"policy_magnitude": 5.0}}, "left out where it means nothing"),
        ({"augment": {"elastic_sigma": 5.0}}, "left out where it means nothing"),
        ({"augment": {"rotate": 200.0}}, r"rotate must be in \[0, 180\]"),
    ],
    ids=["mean", "given", "magnitude", "sigma", "range"],
)
def test_an_option_that_means_nothing_is_refused(entries, told):
    with pytest.raises(ConfigError, match=told):
        parse_recipe(entries)


@pytest.mark.parametrize(
    ("mean", "std", "told"),
    [
        (
            [124.0],
            [0.2],
            r"mean must be 1 numbers in \[0, 1\], one a channel, got \[124",
        ),
        ([0.5], [58.0], "std must be 1 numbers"),
        ([0.5] * 3, [0.2] * 3, "mean must be 1 numbers"),
    ],
    ids=["bytes", "std", "channels"],
)
def test_given_numbers_in_other_units_are_refused(mean, std, told, shapes, tmp_path):
    entries = {"data": str(shapes), "preprocess": {"normalise": "given", "mean": mean, "std": std}}
    with pytest.raises(ConfigError, match=told):
        list(start(parse_recipe(entries), run=tmp_path / "run"))


def test_balanced_sampling_changes_a_run_on_classes_of_unequal_size(shapes, tmp_path):
    with np.load(shapes) as given:
        kept = np.flatnonzero((given["y"] != 2) | (np.arange(120) < 30))
        np.savez(tmp_path / "some.npz", x=given["x"][kept], y=given["y"][kept])
    base = {"data": str(tmp_path / "some.npz"), "epochs": 1, "batch_size": 16}
    found = [
        weights(parse_recipe({**base, "sampling": {"balanced": balanced}}), tmp_path / f"run{balanced}")
        for balanced in (False, True)
    ]
    assert not all(torch.equal(found[0][name], found[1][name]) for name in found[0])


@pytest.mark.parametrize("fold", [0, 1])
def test_every_fold_is_a_run_of_its_own(fold, base, reference, tmp_path):
    found = weights(read_recipe(None, [*base.items(), ("split.folds", 4), ("split.fold", fold)]), tmp_path / "run")
    assert not all(torch.equal(found[name], tensor) for name, tensor in reference.items())
    if fold:
        first = weights(read_recipe(None, [*base.items(), ("split.folds", 4)]), tmp_path / "first")
        assert not all(torch.equal(found[name], tensor) for name, tensor in first.items())


@pytest.mark.parametrize(("key", "value"), [("cache", "disk"), ("cache", "memory"), ("cache_gb", 1e-9)])
def test_where_decoded_pictures_are_kept_changes_nothing(key, value, tmp_path):
    from PIL import Image

    rng = np.random.default_rng(0)
    for number in range(24):
        path = tmp_path / "photos" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (30, 30), dtype=np.uint8)).save(path)
    base = {"data": str(tmp_path / "photos"), "epochs": 1}
    expected = weights(parse_recipe(base), tmp_path / "expected")
    found = weights(parse_recipe({**base, "execution": {key: value}}), tmp_path / "found")
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_bad_files_are_refused_or_left_out_as_asked(tmp_path):
    from PIL import Image

    for name, level in (("dark", 30), ("light", 220)):
        folder = tmp_path / "photos" / name
        folder.mkdir(parents=True)
        for number in range(8):
            Image.new("L", (28, 28), level + number).save(folder / f"{number}.png")
    (tmp_path / "photos" / "dark" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    base = {"data": str(tmp_path / "photos"), "epochs": 1}
    with pytest.raises(DataError, match=r"dark/broken\.png"):
        weights(parse_recipe(base), tmp_path / "refused")
    assert not (tmp_path / "refused").exists()
    assert weights(parse_recipe({**base, "split": {"skip_bad": True}}), tmp_path / "run")
    assert "broken.png" in (tmp_path / "run" / "data.json").read_text()
