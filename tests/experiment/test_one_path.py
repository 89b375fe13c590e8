"""One way leads from a picture to the network's input, in training, evaluation and prediction: the same bits."""

from itertools import product

import numpy as np
import pytest
import torch
from tests.data.odd_pictures import Odd, encoded, odd_pictures

import striate
from striate.data.augment import Augment
from striate.data.batches import Feed, evaluation_batches, training_batches
from striate.data.decode import DecodeFault, decoded
from striate.data.picture import Picture
from striate.data.preprocess import Preprocess
from striate.data.source import open_source
from striate.data.statistics import mean_std
from striate.deploy.bundle import Architecture, Bundle, Config, save_bundle
from striate.experiment import judge as judging

LARGE = np.random.default_rng(0).integers(0, 256, (300, 420, 3), dtype=np.uint8)  # decoded at a fraction of its size
ODD = [*odd_pictures(), Odd("large.jpg", encoded(LARGE, "JPEG"), LARGE)]
CHANNELS, KINDS, RESIZES = (1, 3, 4), ("uint8", "uint16", "float32"), ("squash", "crop", "letterbox")
SQUARE = [(c, k, RESIZES[(i + j) % 3], "measured") for i, c in enumerate(CHANNELS) for j, k in enumerate(KINDS)]
REST = [case for case in product(CHANNELS, KINDS, RESIZES, ("measured",)) if case not in SQUARE]
CASES = [
    *SQUARE,  # each of the channels with each kind, and either with each way to resize
    *(pytest.param(case, marks=pytest.mark.slow) for case in REST),
    (2, "uint16", "crop", "measured"),
    (5, "float32", "letterbox", "measured"),
    (1, "uint8", "crop", "zca"),
    (1, "uint16", "squash", "pca"),
]


def folder_of(odd, picture, root):
    """Two classes with every picture that can be brought to this one, and what was left out."""
    left = []
    for one in odd:
        try:
            decoded(one.content, picture, one.name)
        except DecodeFault:
            left.append(one.name)
            continue
        for name in ("a", "b"):
            (root / name).mkdir(parents=True, exist_ok=True)
            (root / name / one.name).write_bytes(one.content)
    return left


def bundle_of(folder, preprocess):
    network = striate.build("lenet5", num_classes=2, in_channels=preprocess.picture.channels)
    config = Config(
        architecture=Architecture(name="lenet5", num_classes=2, in_channels=preprocess.picture.channels, image_size=32),
        preprocess=preprocess.as_dict(),
        classes=("a", "b"),
        data_fingerprint="0" * 64,
        versions={},
    )
    save_bundle(folder, Bundle(network, preprocess, config), "# card\n")


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case)))
def test_training_evaluation_and_prediction_see_the_same_bits(case, tmp_path, monkeypatch, prepare_in_memory):
    channels, kind, resize, normalise = case
    picture = Picture(channels, 28, 28, pad=2, kind=kind, resize=resize)
    left = folder_of(ODD, picture, tmp_path / "data")
    assert len(left) < len(ODD) / 2 or channels == 5
    source = open_source(str(tmp_path / "data"))
    data = prepare_in_memory(source, picture, 0.2)
    preprocess = Preprocess(picture, *mean_std(data.train.images))
    if normalise != "measured":
        preprocess = preprocess.whitened(data.train.images, normalise)

    trained = {}
    for split in (part for part in (data.train, data.validation, data.test) if len(part)):
        batches = training_batches(Feed(split, preprocess, Augment(), seed=0, batch_size=7, num_classes=2), 0)
        rows = torch.cat([x for x, _ in batches])
        again = torch.cat([x for x, _ in evaluation_batches(split, preprocess, 512)])
        assert sorted(map(hash_of, rows)) == sorted(map(hash_of, again))
        trained |= dict(zip(split.names, again, strict=True))

    bundle_of(tmp_path / "bundle", preprocess)
    predictor = striate.load(tmp_path / "bundle")
    for name, expected in trained.items():
        path = tmp_path / "data" / name
        for given in (path, path.read_bytes()):
            fitted = torch.from_numpy(predictor.fit(given))[None]
            assert torch.equal(predictor.bundle.preprocess.to_input(fitted)[0], expected), name
    alone = predictor.predict(path).top

    seen = []
    monkeypatch.setattr(judging, "collect", lambda model, batches: collected(model, batches, seen))
    judging.judge(tmp_path / "bundle", data=str(tmp_path / "data"))
    names = source.parts["all"].names
    for name, found in zip(names, torch.cat(seen), strict=True):
        assert torch.equal(found, trained[name]), name
    assert sum(probability for _, probability in alone) == pytest.approx(1)


def hash_of(row):
    return row.numpy().tobytes()


def collected(model, batches, seen):
    logits, labels = [], []
    for x, y in batches:
        seen.append(x)
        logits.append(model(x).detach())
        labels.append(y)
    return torch.cat(logits), torch.cat(labels)
