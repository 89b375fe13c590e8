import numpy as np
import pytest
import torch
from PIL import Image

from striate.base.errors import ConfigError
from striate.data.doctor.sheet import sheet
from striate.data.source import open_source
from striate.experiment.picture_material import settled
from striate.experiment.preview import EPOCHS, preview
from striate.experiment.recipe import parse_recipe
from striate.experiment.train import start


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root = tmp_path_factory.mktemp("preview")
    rng = np.random.default_rng(0)
    for number in range(24):
        path = root / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40 + number, 50, 3), dtype=np.uint8)).save(path)
    return root


def recipe(photos, **augment):
    return parse_recipe(
        {
            "data": str(photos),
            "preprocess": {"normalise": "none"},
            "augment": augment,
            "epochs": 1,
            "execution": {"engine": "torch"},  # whose modules can be listened to
        }
    )


def spied(monkeypatch, wanted, count):
    """What was laid on the sheet."""
    laid = []

    def spy(images, titles, columns=None):
        laid.append((images, titles))
        return sheet(images, titles, columns)

    monkeypatch.setattr("striate.experiment.preview.sheet", spy)
    preview(wanted, count)
    return laid


def test_the_sheet_shows_what_training_feeds_the_network(photos, monkeypatch, tmp_path):
    """The first pictures on the sheet are, pixel for pixel, the first inputs of a run with the same recipe."""
    ((images, titles),) = spied(monkeypatch, recipe(photos), 5)
    assert len(images) == len(titles) == 5 * EPOCHS
    fed = []
    real = torch.nn.Module.__call__
    monkeypatch.setattr(
        torch.nn.Module, "__call__", lambda module, *x, **o: (fed.append(x[0].clone()), real(module, *x, **o))[1]
    )
    events = start(recipe(photos), run=tmp_path / "run")
    next(events)
    next(events)
    events.close()
    first = next(x for x in fed if x.ndim == 4 and x.shape[1:] == (3, 32, 32) and len(x) > 2)
    for i in range(5):
        np.testing.assert_array_equal(images[EPOCHS * i], (255 * first[i]).round().to(torch.uint8).numpy())
        assert not np.array_equal(images[EPOCHS * i], images[EPOCHS * i + 1])


def test_a_mixture_names_its_parts(photos, monkeypatch):
    ((_, titles),) = spied(monkeypatch, recipe(photos, mixup=1.0), 14)
    assert any("% a + " in title or "% b + " in title for title in titles)


def test_a_sheet_is_a_picture_and_a_count_below_one_is_refused(photos):
    assert preview(recipe(photos, colour_noise=0.1), 3).size[0] > 4 * 100
    with pytest.raises(ConfigError, match="--count must be >= 1"):
        preview(recipe(photos), 0)


@pytest.mark.parametrize(
    ("count", "epochs", "batch", "warmup"), [(10, 200, 16, 10.0), (195, 128, 16, 6.4), (1294, 20, 64, 0.5)]
)
def test_what_is_left_open_follows_from_the_number_of_pictures(count, epochs, batch, warmup, tmp_path):
    total = round(count / 0.72) + 2
    np.savez(tmp_path / "x.npz", x=np.zeros((total, 8, 8), np.uint8), y=np.arange(total) % 2)
    found = settled(parse_recipe({"data": str(tmp_path / "x.npz")}), open_source(str(tmp_path / "x.npz")))
    assert (found.epochs, found.batch_size) == pytest.approx((epochs, batch), rel=0.05)
    assert found.schedule.warmup_epochs == pytest.approx(warmup, rel=0.05)
    assert (found.augment.shift, found.augment.flip, found.augment.crop_scale) == (2, False, 1.0)
    assert found.loss.label_smoothing == 0.0
    assert settled(found, open_source(str(tmp_path / "x.npz"))) == found


def test_photographs_are_cropped_and_mirrored_and_what_was_asked_for_stays(photos):
    source = open_source(str(photos))
    found = settled(recipe(photos), source)
    assert (found.augment.shift, found.augment.flip, found.augment.crop_scale) == (0, True, 0.25)
    assert found.loss.label_smoothing == 0.1
    asked = settled(recipe(photos, flip=False, crop_scale=1.0), source)
    assert (asked.augment.shift, asked.augment.flip, asked.augment.crop_scale) == (0, False, 1.0)
    assert asked.epochs == 1


def test_numbers_without_a_range_are_shown_from_the_least_to_the_greatest(monkeypatch, tmp_path):
    x = np.random.default_rng(0).normal(5, 3, (20, 32, 32)).astype(np.float32)
    x[3] = 7.0  # constant
    np.savez(tmp_path / "x.npz", x=x, y=np.arange(20) % 2)
    wanted = parse_recipe({"data": str(tmp_path / "x.npz"), "augment": {"shift": 0}})
    ((images, _),) = spied(monkeypatch, wanted, 14)
    assert {image.dtype for image in images} == {np.dtype(np.uint8)}
    assert max(int(image.max()) for image in images) == 255
