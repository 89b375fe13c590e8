import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, IterableDataset, Subset, TensorDataset, random_split

from striate.base.errors import DataError
from striate.data.dataset import UnreadablePicturesError
from striate.data.from_python import source_of
from striate.data.items import Items
from striate.data.picture import Picture
from striate.data.raster import Raster

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (12, 6, 5, 3), dtype=np.uint8)
GREY = RNG.integers(0, 256, (12, 6, 5), dtype=np.uint8)
Y = [i % 3 for i in range(12)]


class Pairs(Dataset):
    """A dataset as people write them; it counts what is read."""

    def __init__(self, pictures, labels=Y, classes=None):
        self.pictures, self.labels, self.read = pictures, labels, []
        if classes:
            self.classes = classes

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        self.read.append(i)
        return self.pictures[i], self.labels[i]


def pixels(source, part="all"):
    samples = source.parts[part]
    contents = (samples.items.content(row, name) for row, name in enumerate(samples.names))
    found = np.stack([content.pixels if isinstance(content, Raster) else content for content in contents])
    return found[..., 0] if found.shape[-1] == 1 else found


def as_png(array):
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    return stream.getvalue()


FORMS = {
    "Pillow": Image.fromarray,
    "H W C": lambda a: a,
    "C H W": lambda a: a.transpose(2, 0, 1),
    "tensor H W C": torch.from_numpy,
    "tensor C H W": lambda a: torch.from_numpy(a).permute(2, 0, 1),
    "float32 C H W": lambda a: torch.from_numpy(a).permute(2, 0, 1).float() / 255,
    "float32 multiplied": lambda a: torch.from_numpy(a).permute(2, 0, 1) * np.float32(1 / 255),
    "float64 H W C": lambda a: a / 255,
    "float16 C H W": lambda a: torch.from_numpy(a).permute(2, 0, 1).half() / 255,
}


@pytest.mark.parametrize("form", FORMS)
def test_a_picture_in_any_form_is_the_same_bytes(form):
    source = source_of(Pairs([FORMS[form](array) for array in COLOUR]))
    assert (source.name, source.classes, source.channels, source.size) == ("python", ("0", "1", "2"), 3, (6, 5))
    np.testing.assert_array_equal(pixels(source), COLOUR)
    assert source.parts["all"].labels.tolist() == Y
    assert isinstance(source.parts["all"].items, Items)


def test_bytes_are_those_of_a_file():
    source = source_of(Pairs([as_png(array) for array in COLOUR]))
    assert source.parts["all"].items.content(3, "") == as_png(COLOUR[3])
    assert (source.channels, source.size) == (3, (6, 5))


@pytest.mark.parametrize("some", [False, True])
def test_floats_that_are_no_bytes_stay_floats_and_bytes_beside_them_become_parts_of_255(some, prepare_in_memory):
    x = COLOUR / 100
    source = source_of(Pairs([COLOUR[0] / 255, *x[1:]] if some else x))
    assert source.kind == "float32"
    data = prepare_in_memory(source, Picture(3, 6, 5, kind="float32"), 0.3)
    for name, image in zip(data.train.names, data.train.images, strict=True):
        row = int(name.split("/")[1])
        expected = COLOUR[0] / 255 if some and row == 0 else x[row]
        np.testing.assert_allclose(image.permute(1, 2, 0).numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("form", ["Pillow", "H W", "1 H W", "float"])
def test_grey_pictures_make_a_grey_source(form):
    make = {
        "Pillow": Image.fromarray,
        "H W": lambda a: a,
        "1 H W": lambda a: torch.from_numpy(a)[None],
        "float": lambda a: torch.from_numpy(a)[None] / 255,
    }[form]
    source = source_of(Pairs([make(array) for array in GREY]))
    assert (source.channels, source.size) == (1, (6, 5))
    np.testing.assert_array_equal(pixels(source).reshape(GREY.shape), GREY)


def test_pictures_of_several_sizes_and_channels_have_none_in_common():
    mixed = [GREY[0], COLOUR[0][:4], *COLOUR[2:]]
    source = source_of(Pairs(mixed))
    assert (source.channels, source.size) == (3, None)


def test_arrays_are_a_dataset_too():
    for x, y in ((COLOUR, np.array(Y)), (torch.from_numpy(COLOUR).permute(0, 3, 1, 2) / 255, torch.tensor(Y))):
        source = source_of((x, y), classes=["c", "a", "b"])
        np.testing.assert_array_equal(source.parts["all"].items.array, COLOUR)
        assert [source.classes[label] for label in source.parts["all"].labels[:3]] == ["c", "a", "b"]
    named = source_of((GREY, np.array(["ant", "bee"] * 6)))
    assert (named.classes, named.channels) == (("ant", "bee"), 1)


def test_parts_go_by_their_names_and_classes_by_theirs():
    data = {
        "train": Pairs(COLOUR, classes=["cat", "ant", "bee"]),
        "Valid": Pairs(COLOUR[:3], ["ant", "cat", "bee"]),
        "test": (COLOUR[:2], np.array(["bee", "cat"])),
    }
    source = source_of(data, name="mine")
    assert (source.name, source.classes) == ("mine", ("ant", "bee", "cat"))
    assert {part: samples.labels[:3].tolist() for part, samples in source.parts.items()} == {
        "train": [2, 0, 1],
        "validation": [0, 2, 1],
        "test": [1, 2],
    }
    assert source.parts["validation"].names == ("validation/0", "validation/1", "validation/2")


def test_what_torch_makes_of_datasets_is_taken():
    whole = Pairs(COLOUR, classes=["x", "y", "z"])
    first, rest = random_split(whole, [8, 4], generator=torch.Generator().manual_seed(0))
    source = source_of({"train": first, "test": Subset(rest, [1, 0])})
    assert source.classes == ("x", "y", "z")
    np.testing.assert_array_equal(pixels(source, "train"), COLOUR[first.indices])
    tensors = TensorDataset(torch.from_numpy(COLOUR).permute(0, 3, 1, 2), torch.tensor(Y))
    np.testing.assert_array_equal(pixels(source_of(tensors)), COLOUR)
    assert source_of([*zip(GREY, Y, strict=True)]).classes == ("0", "1", "2")


def test_pictures_are_read_lazily_and_picked_by_position():
    data = Pairs(COLOUR)
    samples = source_of(data).parts["all"]
    data.read.clear()
    picked = samples.pick(np.array([7, 2])).pick(np.array([1]))
    assert data.read == []
    np.testing.assert_array_equal(picked.items.content(0, ""), COLOUR[2])
    assert (data.read, picked.names) == ([2], ("all/2",))


def test_it_is_prepared_as_the_same_pictures_from_a_file_are(tmp_path, prepare_in_memory):
    from striate.data.source import open_source

    np.savez(tmp_path / "x.npz", x=COLOUR, y=Y)
    picture = Picture(3, 8, 8)
    datasets = [
        prepare_in_memory(source, picture, 0.3)
        for source in (open_source(str(tmp_path / "x.npz")), source_of(Pairs([Image.fromarray(a) for a in COLOUR])))
    ]
    assert datasets[0].fingerprint == datasets[1].fingerprint
    assert torch.equal(datasets[0].train.images, datasets[1].train.images)


def test_a_sample_that_fails_later_is_a_fault_and_not_a_crash(prepare_in_memory):
    data = Pairs([Image.fromarray(a) for a in COLOUR])
    source = source_of(data)
    data.pictures[4] = "no picture"
    del data.pictures[11]
    with pytest.raises(UnreadablePicturesError) as caught:
        prepare_in_memory(source, Picture(3, 6, 5), 0.3)
    assert sorted(str(fault) for fault in caught.value.faults) == [
        "all/11: its dataset raised IndexError: list index out of range",
        "all/4: a str, not a picture",
    ]


def test_a_dataset_is_never_read_by_two_threads_at_once(prepare_in_memory):
    import threading
    import time

    class Fragile(Pairs):
        def __getitem__(self, i):
            assert not self.busy.locked()
            with self.busy:
                time.sleep(0.001)
                return self.pictures[i], self.labels[i]

    data = Fragile(COLOUR)
    data.busy = threading.Lock()
    prepare_in_memory(source_of(data), Picture(3, 6, 5), 0.3)


class Stream(IterableDataset):
    def __iter__(self):
        yield from ()


class Noise(Pairs):
    def __getitem__(self, i):
        return torch.randint(0, 256, (3, 6, 5), dtype=torch.uint8), self.labels[i]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (Noise(COLOUR), r"every picture must be the same each time it is read, .*\n  Fix: .*without its random trans"),
        (Stream(), r"must be a dataset of \(picture, class\), got Stream\.\n  Fix: give a dataset with a length"),
        (7, r"must be a dataset of \(picture, class\), got int"),
        ("digits", r"must be a dataset of \(picture, class\), got str"),
        (Pairs(COLOUR.astype(np.int64)), r"must be of dtype uint8, uint16 or floating point, got int64"),
        (Pairs(np.full((12, 3, 6, 5), np.nan)), r"must be finite in float32, got other numbers in 1 pictures"),
        (Pairs(COLOUR[:, 0, 0]), r"must be a non-empty array of 3 or 4 axes, got shape \(1, 3\)"),
        (Pairs(COLOUR[:, :, :, [0] * 6]), r"must be clear about its channels, got shape \(1, 6, 5, 6\)"),
        (Pairs([None] * 12), r"sample 0 must be a picture, got a NoneType, not a picture"),
        (Pairs([b"x"] * 12), r"sample 0 must be a picture, got not a picture \(its bytes begin"),
        (Pairs(COLOUR[:2]), r"sample 2 must be given by the dataset, got IndexError"),
        ([(COLOUR[0],)] * 3, r"sample 0 must be a pair \(picture, class\), got tuple of 1"),
        ([{"image": 1, "label": 2}], r"sample 0 must be a pair \(picture, class\), got dict of 2"),
        (Pairs(COLOUR, [-1] * 12), r"the class of sample 0 must be a whole number >= 0 or a text, got -1"),
        (Pairs(COLOUR, [1.5] * 12), r"must be a whole number >= 0 or a text, got 1\.5"),
        (Pairs(COLOUR, [torch.tensor([0, 1])] * 12), r"must be a whole number >= 0 or a text, got tensor"),
        (Pairs(COLOUR, [True] * 12), r"must be a whole number >= 0 or a text, got True"),
        (
            Pairs(COLOUR, classes=["a", "b"]),
            r"one different name a label, got 2 names \(2 different\) for",
        ),
        (Pairs(COLOUR, [0] * 12), r"number of classes must be at least 2, got 1 \('0'\)"),
        (Pairs(COLOUR, []), r"number of classes must be at least 2, got none"),
        ((COLOUR, np.array(Y)[:3]), r"y must be one label a picture, got 12 pictures and 3 labels"),
        ((COLOUR, np.array(["a"])), r"y must be one label a picture, got 12 pictures and labels of shape \(1,\)"),
        ({"test": Pairs(COLOUR)}, r"must be train with or without others, got test"),
        ({}, r"must be train with or without others, got none"),
        (
            {"train": Pairs(COLOUR), "extra": 1},
            r"must be each one of all, train, .*, got 'extra'",
        ),
        ({"train": Pairs(COLOUR), "training": 1}, r"got train twice"),
    ],
    ids=range(26),
)
def test_what_cannot_be_trusted_says_what_to_do(data, message):
    with pytest.raises(DataError, match=message):
        source_of(data)
