import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import r2_score

import striate
from striate.base.errors import ConfigError, DataError
from striate.data.records import open_records
from striate.deploy.predictor import load as load_classifier
from striate.deploy.samples import PictureRebuilder, SamplePredictor, load
from striate.experiment.finish import outcome_of
from striate.experiment.judge import judge
from striate.experiment.recipe import Recipe
from striate.experiment.recipe_file import read_recipe
from striate.experiment.run_folder import RunFolder
from striate.experiment.train import start

RECIPES = Path(__file__).resolve().parents[2] / "examples" / "recipes"
PICTURES = {  # of each recipe, beside curves.png
    "curve": {"predicted.png", "curve.png"},
    "curve-by-heart": {"predicted.png", "curve.png"},
    "shape-labels": {"labels.png"},
    "shape-masks": {"masks.png"},
    "digits-back": {"reconstructions.png"},
    "vibrations": {"confusion.png"},
    "sentences": {"confusion.png"},
    "clips": {"confusion.png"},
}
REACHED = {  # score after all epochs
    "curve": 0.86,
    "curve-by-heart": 0.5,
    "shape-labels": 0.65,
    "shape-masks": 0.78,
    "digits-back": 0.9,
    "vibrations": 0.88,
    "sentences": 0.95,
    "clips": 0.8,
}
QUICK = ["curve", "shape-labels", "shape-masks", "digits-back", "sentences"]
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("vibrations", "clips")]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A recipe's name -> what one epoch of it comes to, made once."""
    made = {}

    def run(name):
        if name not in made:
            recipe = read_recipe(RECIPES / f"{name}.toml", [("epochs", 1)])
            made[name] = striate.train(recipe, run=tmp_path_factory.mktemp("runs") / name)
        return made[name]

    return run


def test_every_recipe_is_tested():
    assert {path.stem for path in RECIPES.glob("*.toml")} == set(PICTURES)


@pytest.mark.parametrize("name", [*QUICK, *SLOW])
def test_a_recipe_trains_and_its_run_is_whole(trained, name):
    outcome = trained(name)
    there = {path.name for path in outcome.path.iterdir()}
    assert PICTURES[name] | {"curves.png", "report.html", "result.json", "metrics.csv", "data.json"} <= there
    page = (outcome.path / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 1 + len(PICTURES[name])
    assert f"validation_{outcome.test.metric}" in (outcome.path / "metrics.csv").read_text()
    card = (outcome.path / "model" / "README.md").read_text()
    assert outcome.test.told() in card or outcome.task == "classify"
    assert "{" not in card.replace("{0", "")
    assert any((outcome.path / "samples").iterdir())
    assert json.dumps(outcome.summary(), allow_nan=False)


@pytest.mark.parametrize("name", ["curve", "shape-masks", "digits-back", "sentences"])
def test_a_run_is_judged_again_as_it_was_at_its_end_and_reads_back(trained, name):
    outcome = trained(name)
    again = judge(outcome.path)
    assert again.score == pytest.approx(outcome.test.score, abs=1e-6)
    assert again.as_dict().keys() == outcome.test.as_dict().keys()
    read = outcome_of(RunFolder(outcome.path))
    assert read is not None
    assert read.test == outcome.test
    assert judge(outcome.path, split="validation").score == pytest.approx(outcome.validation_score, abs=2e-3)


def test_a_run_of_samples_is_loaded_and_predicts_as_it_was_judged(trained):
    outcome = trained("curve")
    model = striate.load(outcome.path)
    assert isinstance(model, SamplePredictor)
    records = open_records("curve", "regress")
    split = json.loads((outcome.path / "data.json").read_text())["splits"]["test"]["count"]
    lines = (outcome.path / "manifest.csv").read_text().splitlines()
    rows = [int(line.split(",")[2]) for line in lines if line.startswith("test,")]
    assert len(rows) == split
    told = model.predict(records.inputs[rows])
    assert outcome.test.score == pytest.approx(r2_score(records.targets[rows], told), abs=1e-6)
    with pytest.raises(ConfigError, match=r"sorts pictures into classes, got one that was trained to regress samples"):
        load_classifier(outcome.path)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        pytest.param("vibrations", (1, 4), marks=pytest.mark.slow),
        ("sentences", (1, 2)),
        ("shape-labels", (1, 5)),
        ("shape-masks", (1, 48, 48)),
    ],
)
def test_a_sample_file_of_the_run_is_predicted(trained, name, shape):
    outcome = trained(name)
    model = load(outcome.path)
    file = sorted((outcome.path / "samples").iterdir())[0]
    sample = np.load(file) if file.suffix == ".npy" else file.read_text()
    told = model.predict(sample)
    assert told.shape == shape
    if outcome.task == "classify":
        assert told.sum() == pytest.approx(1)
    assert np.array_equal(told, load(outcome.path / "model").predict(sample))


def test_a_picture_comes_back_through_a_loaded_autoencoder(trained):
    outcome = trained("digits-back")
    model = striate.load(outcome.path)
    assert isinstance(model, PictureRebuilder)
    picture = sorted((outcome.path / "samples").glob("*.png"))[0]
    assert model.predict(picture).shape == (1, 28, 28)
    clusters = outcome.test.clusters
    assert clusters.count == outcome.test.count
    assert clusters.purity > clusters.chance
    assert "Clusters of the features" in (outcome.path / "report.html").read_text()


def test_a_run_of_samples_stopped_in_an_epoch_goes_on_to_the_same_bits(trained, tmp_path):
    whole = trained("curve")
    recipe = read_recipe(RECIPES / "curve.toml", [("epochs", 1), ("execution.checkpoint_seconds", 1e-9)])
    events = start(recipe, run=tmp_path / "run")
    for _ in range(8):
        next(events)
    events.close()
    resumed = striate.resume(tmp_path / "run")
    first, second = ((run.path / "model" / "model.safetensors").read_bytes() for run in (whole, resumed))
    assert first == second


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"data": "curve"},
            r"samples of the data must be such as 1x32x32, which lenet5 takes, got 1\.\n  Fix: take textcnn for",
        ),
        ({"data": "curve", "model": "linear 2"}, r"the output must be a vector of 1 numbers"),
        ({"data": "curve", "model": "linear 1", "preprocess": {"normalise": "zca"}}, r"normalise must be left out"),
        ({"data": "curve", "model": "linear 1", "preprocess": {"image_size": 3}}, r"image_size must be 1, as in the"),
        (
            {"data": "vibrations", "task": "classify", "augment": {"shift": 2}},
            r"augment must be left out for such data",
        ),
        ({"data": "shape-masks", "task": "segment", "model": "conv 3 3x3"}, r"the output must be 4x48x48: a logit for"),
    ],
    ids=range(6),
)
def test_what_does_not_fit_is_refused_before_a_folder_is_made(tmp_path, changes, message):
    recipe = Recipe(**{"task": "regress", "epochs": 1, **changes})
    with pytest.raises(ConfigError, match=message):
        striate.train(recipe, run=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_data_of_another_kind_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"labels, got samples with numbers\.\n  Fix: made to multilabel: shape-labels"):
        striate.train(Recipe(task="multilabel", data="curve"), run=tmp_path / "run")


def test_a_run_is_not_judged_on_other_data_than_its_own(trained):
    with pytest.raises(ConfigError, match=r"data must be the run's own, .* trained to regress, got curve-few"):
        judge(trained("curve").path, data="curve-few")
    with pytest.raises(ConfigError, match="got a bundle without its run"):
        judge(trained("curve").path / "model")


@pytest.mark.slow
@pytest.mark.parametrize("name", PICTURES)
def test_a_recipe_reaches_what_the_documents_say(tmp_path, name):
    torch.set_num_threads(1)
    outcome = striate.train(read_recipe(RECIPES / f"{name}.toml"), run=tmp_path / "run")
    assert outcome.test.score > REACHED[name]


@pytest.mark.slow
def test_many_units_learn_few_points_by_heart(tmp_path):
    striate.train(read_recipe(RECIPES / "curve-by-heart.toml"), run=tmp_path / "run")
    rows = [line.split(",") for line in (tmp_path / "run" / "metrics.csv").read_text().splitlines()]
    train, validation = (
        [float(row[rows[0].index(name)]) for row in rows[1:]] for name in ("train_loss", "validation_loss")
    )
    assert train[-1] < 0.01 * train[0]
    assert validation[-1] > 1.2 * min(validation)
