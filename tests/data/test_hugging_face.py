"""Against the real library where it is installed, as it is with the extra `data`."""

import io
import sys

import numpy as np
import pytest
from PIL import Image

from striate.base.errors import DataError
from striate.data.from_python import source_of
from striate.data.picture import Picture
from striate.data.source import open_source

RNG = np.random.default_rng(0)
PICTURES = RNG.integers(0, 256, (12, 6, 5, 3), dtype=np.uint8)
Y = [i % 3 for i in range(12)]


@pytest.fixture(scope="module")
def hf():
    return pytest.importorskip("datasets", reason="install striate[data]")


def as_png(array):
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def make(hf):
    """A dataset of these rows; features by name."""

    def build(rows=range(12), label=None, **columns):
        features = {"image": hf.Image(), "label": label or hf.ClassLabel(names=["cat", "ant", "bee"])}
        data = {"image": [Image.fromarray(PICTURES[i]) for i in rows], "label": [Y[i] for i in rows]}
        for name, (feature, values) in columns.items():
            features[name], data[name] = feature, values
        return hf.Dataset.from_dict(data, features=hf.Features(features))

    return build


def names(samples, source):
    return [source.classes[label] for label in samples.labels]


def test_a_dataset_brings_pictures_and_named_classes(make):
    source = source_of(make())
    samples = source.parts["all"]
    assert (source.classes, source.channels, source.size) == (("ant", "bee", "cat"), 3, (6, 5))
    assert names(samples, source)[:3] == ["cat", "ant", "bee"]
    assert samples.items.content(4, "") == as_png(PICTURES[4])
    picked = samples.pick(np.array([5, 1])).pick(np.array([1]))
    assert picked.items.content(0, "") == as_png(PICTURES[1])


def test_parts_are_those_of_a_dict(hf, make):
    source = source_of(hf.DatasetDict({"train": make(), "test": make(range(3, 6))}))
    assert {part: len(samples) for part, samples in source.parts.items()} == {"train": 12, "test": 3}
    with pytest.raises(DataError, match=r"got 'unsupervised'\.\n  Fix: leave other parts out"):
        source_of(hf.DatasetDict({"train": make(), "unsupervised": make()}))


@pytest.mark.parametrize("several", [False, True])
def test_a_saved_folder_is_opened_as_a_path(hf, make, tmp_path, several, prepare_in_memory):
    data = hf.DatasetDict({"train": make(), "validation": make(range(3))}) if several else make()
    data.save_to_disk(str(tmp_path / "saved"))
    source = open_source(str(tmp_path / "saved"))
    assert (source.name, source.location) == ("saved", str(tmp_path / "saved"))
    assert list(source.parts) == (["train", "validation"] if several else ["all"])
    ready = prepare_in_memory(source, Picture(3, 6, 5), 0.3)
    shown = {
        name: image.permute(1, 2, 0).numpy() for name, image in zip(ready.train.names, ready.train.images, strict=True)
    }
    for name, image in shown.items():
        np.testing.assert_array_equal(image, PICTURES[int(name.split("/")[1])])


def test_transforms_formats_and_files_elsewhere_do_not_matter(hf, make, tmp_path):
    plain = source_of(make()).parts["all"].items
    for data in (make().with_format("torch"), make().with_transform(lambda _: {"image": [0], "label": [0]})):
        assert source_of(data).parts["all"].items.content(3, "") == plain.content(3, "")
    for i in range(4):
        (tmp_path / f"{i}.png").write_bytes(as_png(PICTURES[i]))
    columns = {"image": [str(tmp_path / f"{i}.png") for i in range(4)], "label": ["x", "y", "x", "y"]}
    source = source_of(hf.Dataset.from_dict(columns).cast_column("image", hf.Image()))
    assert (source.classes, source.size) == (("x", "y"), (6, 5))
    assert source.parts["all"].items.content(2, "") == as_png(PICTURES[2])


def test_of_two_class_columns_the_one_called_label_counts(hf, make):
    coarse = (hf.ClassLabel(names=["animal", "thing"]), [0] * 12)
    assert source_of(make(coarse=coarse)).classes == ("ant", "bee", "cat")
    with pytest.raises(DataError, match=r"must be one, or one called label, got fine, coarse\.\n  Fix: rename the one"):
        source_of(make(coarse=coarse).rename_column("label", "fine"))


def test_what_is_unclear_says_what_to_do(hf, make):
    with pytest.raises(DataError, match=r"the Image columns must be one, got none among label"):
        source_of(make().remove_columns("image"))
    more = (hf.Image(), [Image.fromarray(PICTURES[0])] * 12)
    with pytest.raises(DataError, match=r"the Image columns must be one, got 2 \(image, mask\)"):
        source_of(make(mask=more))
    with pytest.raises(DataError, match=r"the class column must be one, or one called label, got image"):
        source_of(make().remove_columns("label"))
    with pytest.raises(DataError, match=r"one with a length, got IterableDataset\.\n  Fix: load it without streaming"):
        source_of(make().to_iterable_dataset())
    unlabelled = make(range(3), hidden=(hf.ClassLabel(names=["a", "b"]), [0, -1, 1])).remove_columns("label")
    with pytest.raises(DataError, match=r"hidden of row 1 must be a class, got (-1|None)\.\n  Fix: leave out rows"):
        source_of(unlabelled)


def test_a_damaged_folder_is_told(hf, make, tmp_path):
    make().save_to_disk(str(tmp_path))
    (tmp_path / "data-00000-of-00001.arrow").write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"the folder must be a whole saved dataset, got "):
        open_source(str(tmp_path))


def test_without_the_library_the_extra_is_named(tmp_path, monkeypatch):
    (tmp_path / "dataset_info.json").write_text("{}")
    (tmp_path / "state.json").write_text("{}")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match=r"that library is not installed\.\n  Fix: pip install 'striate\[data\]'"):
        open_source(str(tmp_path))
