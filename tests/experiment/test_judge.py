import numpy as np
import pytest

from striate.base.errors import ConfigError, DataError
from striate.experiment.judge import judge
from striate.experiment.train import train


@pytest.fixture(scope="module")
def run(recipe, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "shapes"
    train(recipe.model_copy(update={"epochs": 12, "lr": 0.02}), run=path)
    return path


def test_other_data_are_judged_by_class_name_not_by_number(run, shapes, tmp_path):
    whole = np.load(shapes)
    chosen = whole["y"] > 0
    path = tmp_path / "two.npz"
    np.savez(path, x=whole["x"][chosen], y=whole["y"][chosen] - 1, class_names=whole["class_names"][1:])
    result = judge(run / "model", data=str(path))
    assert [entry.name for entry in result.per_class] == ["bar", "cross", "ring"]
    assert [entry.count for entry in result.per_class] == [0, 40, 40]
    assert result.accuracy > 0.9


def test_a_split_of_other_data_is_taken_by_name(run, shapes, tmp_path):
    whole = np.load(shapes)
    path = tmp_path / "parts.npz"
    arrays = {
        "x_train": whole["x"][:90],
        "y_train": whole["y"][:90],
        "x_test": whole["x"][90:],
        "y_test": whole["y"][90:],
    }
    np.savez(path, **arrays, class_names=whole["class_names"])
    assert judge(run, data=str(path)).count == 30
    assert judge(run, data=str(path), split="train").count == 90
    with pytest.raises(ConfigError, match="one of train, test, got validation"):
        judge(run, data=str(path), split="validation")


def test_every_split_of_the_run_can_be_judged_and_they_share_no_picture(run):
    assert [judge(run, split=split).count for split in ("train", "validation", "test")] == [87, 9, 24]


def test_data_that_were_changed_since_are_refused(recipe, shapes, tmp_path):
    copy = tmp_path / "copy.npz"
    arrays = dict(np.load(shapes))
    np.savez(copy, **arrays)
    train(recipe.model_copy(update={"data": str(copy), "epochs": 1}), run=tmp_path / "run")
    arrays["x"][5] = 0
    np.savez(copy, **arrays)
    with pytest.raises(DataError, match="other samples or labels"):
        judge(tmp_path / "run")
    assert judge(tmp_path / "run", data=str(copy)).count == 120
