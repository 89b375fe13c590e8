import os
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.base.errors import ConfigError
from striate.experiment.recipe import known_keys, parse_recipe
from striate.experiment.recipe_file import parse_override, read_recipe
from striate.experiment.settle import settle


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "data": st.text(min_size=1),
            "epochs": st.integers(1, 10**6),
            "lr": st.floats(1e-12, 1e3, exclude_min=True),
            "optimizer": st.sampled_from(["sgd", "adamw"]),
            "seed": st.integers(0, 2**56 - 1),
            "augment": st.fixed_dictionaries({}, optional={"shift": st.integers(0, 30), "flip": st.booleans()}),
            "preprocess": st.fixed_dictionaries({}, optional={"image_size": st.integers(20, 500)}),
        },
    )
)
def test_toml_out_is_the_recipe_that_toml_in_gives(values):
    recipe = parse_recipe(values)
    assert parse_recipe(tomllib.loads(recipe.as_toml())) == recipe


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epoch": 3}, r"key must be a known one, got epoch\.\n  Fix: did you mean epochs\?"),
        ({"schedule": {"warmup": 1}}, r"got schedule\.warmup\.\n  Fix: did you mean schedule\.warmup_epochs\?"),
        ({"lr": -1}, "lr must be greater than 0 or 'auto', got -1"),
        ({"lr": float("nan")}, "lr must be a finite number or 'auto', got nan"),
        ({"epochs": 0}, "epochs must be greater than or equal to 1, got 0"),
        ({"epochs": "many"}, "epochs must be a valid integer"),
        ({"optimizer": "sgdm"}, "optimizer must be 'sgd', 'adagrad', 'rmsprop', 'adam' or 'adamw', got sgdm"),
        ({"optimizer": "adamw", "momentum": 0.9}, "momentum must be left out where it means nothing, got 0.9 with"),
        (
            {"optimizer": "adam", "update": {"nesterov": True}},
            "update.nesterov must be left out where it means nothing",
        ),
        ({"update": {"beta1": 0.5}}, r"beta1 must be left out .* got 0\.5 without optimizer adam or adamw"),
        ({"schedule": {"gamma": 0.5}}, "schedule.gamma must be left out where it means nothing"),
        ({"stopping": {"min_delta": 0.0}}, "got 0.0 without stopping.patience"),
        ({"loss": {"name": "bce"}}, "loss.name of task classify must be cross_entropy or hinge or mse, got bce"),
        ({"loss": {"name": "hinge", "focal_gamma": 1.0}}, "focal_gamma must be left out"),
        (
            {"task": "regress", "augment": {"shift": 2}},
            "augment.shift must be left out .* got 2 without task classify",
        ),
        ({"task": "multilabel", "split": {"folds": 3}}, "split.folds must be left out"),
        ({"augment": 3}, "augment must be"),
        ({"task": "paint"}, "task must be 'classify', 'multilabel', 'regress', 'segment' or 'reconstruct', got paint"),
    ],
)
def test_what_cannot_be_is_refused_with_the_way_out(values, message):
    with pytest.raises(ConfigError, match=message):
        parse_recipe(values)


def test_the_rate_is_open_until_it_is_settled_and_momentum_is_the_optimizers():
    assert parse_recipe({}).lr is None
    assert "lr" not in tomllib.loads(parse_recipe({}).as_toml())
    assert (parse_recipe({}).momentum, parse_recipe({"optimizer": "adamw"}).momentum) == (0.9, None)


@pytest.mark.parametrize(
    ("change", "lr"),
    [
        ("optimizer=adamw", None),
        ("model=vgg11", None),
        ("model=lenet5", 0.02),
        ("optimizer=sgd", 0.02),
        ("seed=1", 0.02),
    ],
)
def test_another_optimizer_or_network_than_the_files_opens_the_rate_again(change, lr, tmp_path):
    file = tmp_path / "r.toml"
    file.write_text(parse_recipe({"lr": 0.02}).as_toml())
    assert read_recipe(file, [parse_override(change)]).lr == lr
    assert read_recipe(file, [parse_override(change), ("lr", 0.5)]).lr == 0.5


@pytest.mark.parametrize("schedule", ["one_cycle", "step", "cosine"])
@pytest.mark.parametrize(("before", "after"), [(6, 60), (60, 6)])
def test_other_epochs_than_the_files_stretch_the_schedule_as_if_begun_with_them(tmp_path, schedule, before, after):
    path = tmp_path / "recipe.toml"
    first, whole = (
        settle(parse_recipe({"epochs": n, "schedule": {"name": schedule}}), 100, {}) for n in (before, after)
    )
    path.write_text(first.as_toml())
    changed = read_recipe(path, [("epochs", after)])
    assert settle(changed, 100, {}) == whole


def test_a_warm_up_that_somebody_chose_stays_with_other_epochs(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text("epochs = 30\n[schedule]\nwarmup_epochs = 3\n")
    assert read_recipe(path, [("epochs", 60)]).schedule.warmup_epochs == 3


def test_changes_come_after_the_file(tmp_path):
    file = tmp_path / "r.toml"
    file.write_text("epochs = 3\n[augment]\nshift = 1\nflip = true\n")
    recipe = read_recipe(file, [parse_override("augment.shift=4"), ("epochs", 5)])
    assert (recipe.epochs, recipe.augment.shift, recipe.augment.flip) == (5, 4, True)


@pytest.mark.parametrize("change", [("model", "vgg16"), ("optimizer", "adamw")])
def test_a_rate_that_somebody_chose_stays_where_the_usual_one_is_settled_anew(tmp_path, change):
    file = tmp_path / "r.toml"
    for lr, after in ((0.05, 0.05), (0.02, None)):
        file.write_text(f'lr = {lr}\nmodel = "lenet5"\n')
        assert read_recipe(file, [change]).lr == after


def test_one_name_needs_no_list():
    assert parse_recipe({"transfer": {"freeze": "features"}}).transfer.freeze == ("features",)


@pytest.mark.parametrize(
    ("content", "message"), [(None, "a readable file"), ("epochs = = 3", "must be TOML"), (b"\xff\xfe", "must be TOML")]
)
def test_a_file_that_is_no_recipe_is_named(tmp_path, content, message):
    file = tmp_path / "r.toml"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError, match=message):
        read_recipe(file)


def test_every_key_can_be_set_from_the_command_line():
    for key in known_keys():
        assert parse_override(f"{key}=1") == (key, 1)
    with pytest.raises(ConfigError, match=r"got augment is not a table|got epochs is not a table"):
        read_recipe(None, [("epochs", 3), ("epochs.x", 1)])


@pytest.mark.parametrize("key", ["data", "model"])
def test_a_path_that_is_no_utf_8_is_refused_since_toml_cannot_hold_it(key):
    with pytest.raises(ConfigError, match=f"{key} must be a valid string, unable to parse raw data as a unicode"):
        parse_recipe({key: os.fsdecode(b"caf\xe9")})


def test_an_entry_of_a_union_is_named_by_its_own_key():
    with pytest.raises(ConfigError) as caught:
        parse_recipe({"loss": {"class_weights": [0, 2]}})
    assert caught.value.what == "loss.class_weights"
    assert caught.value.must == "'none' or 'balanced' or greater than 0"
    assert "more after this one" not in caught.value.fix
