import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from striate.base.errors import DataError
from striate.base.random import Purpose, key, philox
from striate.data.generated import GENERATED
from striate.data.generated.curve import LOUD, NOISE, truth
from striate.data.generated.draws import Chance
from striate.data.generated.figures import FIGURES
from striate.data.generated.sentences import BAD, TURNING
from striate.data.records import divide_records, open_records, records_in_order

TASKS = {"classes": "classify", "labels": "multilabel", "numbers": "regress", "masks": "segment"}


@pytest.fixture(scope="module")
def made():
    return {name: entry.make() for name, entry in GENERATED.items()}


@pytest.mark.parametrize("name", GENERATED)
def test_a_set_is_opened_by_name_for_its_task_and_is_always_the_same(made, name):
    records = open_records(name, TASKS[GENERATED[name].kind])
    assert (records.name, records.kind) == (name, GENERATED[name].kind)
    assert records.inputs.tolist() == made[name].inputs.tolist()
    assert records.targets.tolist() == made[name].targets.tolist()
    for part in divide_records(records, seed=0, validation_fraction=0.1, test_fraction=0.2):
        assert len(part) >= 16
    if records.kind == "classes":
        assert np.bincount(records.targets).min() >= 60
        assert len(np.bincount(records.targets)) == len(records.classes)


def test_a_draw_is_a_word_of_philox_that_no_other_call_has():
    chance = Chance(9, samples=3)
    first, second = chance.uniform(0, 1, 5), chance.uniform(0, 1, 2)
    places = np.array([[p] for p in range(5)])
    words = philox((places // 4, np.array([[0, 1, 2]]), 9, 0), key(0, Purpose.GENERATE))
    expected = np.array([[words[p % 4][p, n] for p in range(5)] for n in range(3)]) / 2**32
    np.testing.assert_array_equal(first, expected)
    later = philox((2, np.arange(3), 9, 0), key(0, Purpose.GENERATE))
    np.testing.assert_array_equal(second, np.stack(later[:2], 1) / 2**32)


def test_draws_have_the_distributions_that_they_say():
    chance = Chance(10, samples=1)
    normal, grain, whole = chance.normal(2.0, 40_000), chance.grain(3.0, 40_000), chance.whole(5, 40_000)
    assert normal.mean() == pytest.approx(0, abs=0.03)
    assert normal.std() == pytest.approx(2.0, rel=0.02)
    assert (abs(normal) < 2).mean() == pytest.approx(0.6827, abs=0.01)
    assert (grain.min(), grain.max()) == (-3, 3)
    assert grain.std() == pytest.approx(3 / 3**0.5, rel=0.02)
    assert np.bincount(whole[0]) / 40_000 == pytest.approx([0.2] * 5, abs=0.01)


@pytest.mark.parametrize(("name", "noise"), [("curve", NOISE), ("curve-few", LOUD)])
def test_the_points_of_a_curve_lie_about_it(made, name, noise):
    records = made[name]
    x = records.inputs[:, 0].astype(float)
    rest = records.targets[:, 0] - truth(x)
    assert (abs(x) <= 1).all()
    assert rest.std() == pytest.approx(noise, rel=0.12)
    assert rest.mean() == pytest.approx(0, abs=0.06)
    assert np.corrcoef(x, rest)[0, 1] == pytest.approx(0, abs=0.1)


def test_few_points_are_to_be_learnt_by_heart_and_many_to_see_it(made):
    assert {part: len(rows) for part, rows in made["curve-few"].parts.items()} == {
        "train": 16,
        "validation": 200,
        "test": 200,
    }


def test_the_speed_of_a_signal_is_not_its_class_but_its_spectrum_is(made):
    records = made["vibrations"]
    x, y = records.inputs[:, 0].astype(float), records.targets
    single = [DecisionTreeClassifier(max_depth=3).fit(x[:450, i : i + 1], y[:450]) for i in (0, 128)]
    assert max(tree.score(x[450:, i : i + 1], y[450:]) for tree, i in zip(single, (0, 128), strict=True)) < 0.55
    spectrum = abs(np.fft.rfft(x * np.hanning(256)))
    model = LogisticRegression(max_iter=2000).fit(spectrum[:450], y[:450])
    assert model.score(spectrum[450:], y[450:]) > 0.9


def test_a_mask_tells_where_its_picture_is_lit(made):
    records = made["shape-masks"]
    assert records.classes == ("background", "disc", "square", "triangle")
    shares = np.bincount(records.targets.ravel()) / records.targets.size
    assert 0.6 < shares[0] < 0.95
    assert min(shares[1:]) > 0.02
    colour = records.inputs.astype(float)
    for image, mask in zip(colour[:50], records.targets[:50], strict=True):
        for number in np.unique(mask):  # one colour, and grain
            assert image[:, mask == number].std(1).max() < 22


def test_labels_are_independent_and_every_figure_is_drawn_where_it_is_said(made):
    records = made["shape-labels"]
    assert records.classes == FIGURES
    assert records.targets.mean(0) == pytest.approx([0.4] * 5, abs=0.06)
    assert abs(np.corrcoef(records.targets.T) - np.eye(5)).max() < 0.06
    empty = records.inputs[records.targets.sum(1) == 0].astype(float)
    full = records.inputs[records.targets.sum(1) == 1].astype(float)
    assert empty.std((1, 2, 3)).max() < 17 < np.quantile(full.std((1, 2, 3)), 0.1)


def test_no_frame_of_a_clip_tells_its_motion_but_the_centre_of_mass_does(made):
    clips = made["clips"].inputs[:, 0].astype(float)
    y, names = made["clips"].targets, made["clips"].classes
    light = np.clip(clips - np.median(clips, (2, 3), keepdims=True) - 40, 0, None)
    total = light.sum((2, 3))
    grid = np.arange(32)
    left = (light.sum(2) * grid).sum(2) / total
    top = (light.sum(3) * grid).sum(2) / total
    change = {
        "right": left[:, -1] - left[:, 0],
        "left": left[:, 0] - left[:, -1],
        "down": top[:, -1] - top[:, 0],
        "up": top[:, 0] - top[:, -1],
        "grow": 4 * np.log(total[:, -1] / total[:, 0]),
        "shrink": 4 * np.log(total[:, 0] / total[:, -1]),
    }
    told = np.argmax([change[name] for name in names], axis=0)
    assert (told == y).mean() > 0.97
    frame = np.stack([left[:, 8], top[:, 8], total[:, 8]], 1)
    assert DecisionTreeClassifier(max_depth=4).fit(frame[:180], y[:180]).score(frame[180:], y[180:]) < 0.35


def test_no_word_of_a_sentence_tells_its_class_but_two_do(made):
    records = made["sentences"]
    texts, y = records.inputs, records.targets
    for word in sorted({word for text in texts for word in text.split()}):
        has = np.array([word in text.split() for text in texts])
        assert has.sum() < 40 or 0.3 < y[has].mean() < 0.7, word
    rule = [(any(w in text.split() for w in BAD)) == any(w in text.split() for w in TURNING) for text in texts]
    assert (np.array(rule) == y).all()


def test_samples_without_targets_come_back(made):
    records = open_records("clips", "reconstruct")
    (x, target), *_ = records_in_order(
        divide_records(records, seed=0, validation_fraction=0.1, test_fraction=0.2)[0], 2
    )
    assert torch.equal(x, target)


def test_a_set_for_another_task_names_those_that_do(made):

    with pytest.raises(
        DataError, match=r"samples with masks, got samples with numbers\.\n  Fix: made to segment: shape-m"
    ):
        open_records("curve", "segment")
    with pytest.raises(DataError, match=r"Fix: made to reconstruct: curve, curve-few, vibrations, clips, shape-masks"):
        open_records("sentences", "reconstruct")
