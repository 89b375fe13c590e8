import csv
import re

import numpy as np
import pytest
import torch
from PIL import Image

from striate.base.errors import ConfigError, DataError
from striate.data.batches import epoch_order
from striate.data.picture import Picture
from striate.data.record_texts import texts_of, tokenised
from striate.data.records import divide_records, open_records, record_batches, records_in_order
from striate.data.splits import stratified
from striate.data.tokenizer import fit_tokenizer
from striate.models.catalogue import build

RNG = np.random.default_rng(0)
SIGNALS = RNG.normal(size=(30, 2, 16)).astype(np.float32)
VOLUMES = RNG.integers(0, 100, (30, 1, 3, 4, 5), dtype=np.int16)
Y = np.arange(30) % 3


def saved(folder, as_folder=False, **arrays):
    if not as_folder:
        np.savez(folder / "data.npz", **arrays)
        return folder / "data.npz"
    (folder / "data").mkdir(exist_ok=True)
    for name, array in arrays.items():
        np.save(folder / "data" / f"{name}.npy", array)
    return folder / "data"


@pytest.mark.parametrize("as_folder", [False, True], ids=["npz", "npy"])
@pytest.mark.parametrize("x", [SIGNALS, SIGNALS.astype(">f8"), VOLUMES], ids=["signals", "other bytes", "volumes"])
def test_signals_and_volumes_keep_their_shape(tmp_path, as_folder, x):
    records = open_records(saved(tmp_path, as_folder, x=x, y=Y), "classify")
    assert (records.name, records.kind, records.classes, len(records)) == ("data", "classes", ("0", "1", "2"), 30)
    np.testing.assert_array_equal(records.inputs, x)
    assert records.targets.tolist() == Y.tolist()
    assert isinstance(records.inputs, np.memmap) == as_folder
    part = divide_records(records, seed=0, validation_fraction=0.1, test_fraction=0.2)[0]
    inputs, targets = next(record_batches(part, seed=0, epoch=0, batch_size=4))
    assert (inputs.shape, inputs.dtype, targets.dtype) == ((4, *x.shape[1:]), torch.float32, torch.int64)


def test_a_batch_is_the_rows_of_the_order_of_the_epoch(tmp_path):
    part, *_ = divide_records(
        open_records(saved(tmp_path, True, x=SIGNALS, y=Y), "classify"),
        seed=3,
        validation_fraction=0.1,
        test_fraction=0.2,
    )
    batches = [*record_batches(part, seed=3, epoch=2, batch_size=5)]
    rows = part.rows[epoch_order(len(part), 3, 2).numpy()]
    np.testing.assert_array_equal(torch.cat([x for x, _ in batches]), SIGNALS[rows])
    assert torch.cat([y for _, y in batches]).tolist() == Y[rows].tolist()
    for resumed, unbroken in zip(
        record_batches(part, seed=3, epoch=2, batch_size=5, first=2), batches[2:], strict=True
    ):
        assert torch.equal(resumed[0], unbroken[0])
    np.testing.assert_array_equal(torch.cat([x for x, _ in records_in_order(part, 5)]), SIGNALS[part.rows])


def test_classes_are_split_in_proportion_and_others_by_chance_alone(tmp_path):
    records = open_records(saved(tmp_path, x=SIGNALS, y=Y), "classify")
    train, validation, test = divide_records(records, seed=1, validation_fraction=0.25, test_fraction=0.2)
    assert np.bincount(Y[test.rows]).tolist() == [2, 2, 2]
    assert np.bincount(Y[validation.rows]).tolist() == [2, 2, 2]
    assert sorted([*train.rows, *validation.rows, *test.rows]) == list(range(30))
    _, taken = stratified(Y, 0.2, 1)
    assert test.rows.tolist() == taken.tolist()
    numbers = open_records(saved(tmp_path, x=SIGNALS, y=Y / 2), "regress")
    assert divide_records(numbers, seed=1, validation_fraction=0.1, test_fraction=0.2)[2].rows.tolist() == [
        *stratified(Y * 0, 0.2, 1)[1]
    ]


def test_parts_of_an_archive_stay_what_they_are(tmp_path):
    arrays = {"x_train": SIGNALS[:20], "y_train": Y[:20], "x_test": SIGNALS[20:], "y_test": Y[20:]}
    records = open_records(saved(tmp_path, **arrays, class_names=["c", "a", "b"]), "classify")
    train, validation, test = divide_records(records, seed=0, validation_fraction=0.2, test_fraction=0.5)
    assert test.rows.tolist() == list(range(20, 30))
    assert len(train) + len(validation) == 20
    assert [records.classes[c] for c in records.targets[:3]] == ["c", "a", "b"]
    assert open_records(saved(tmp_path, **arrays), "reconstruct").parts["test"].tolist() == list(range(20, 30))


def test_numbers_are_float32_and_have_names(tmp_path):
    for y, names in ((Y / 7, ("y",)), (np.stack([Y, -Y], 1), ("y0", "y1"))):
        records = open_records(saved(tmp_path, x=SIGNALS, y=y), "regress")
        assert (records.classes, records.targets.shape) == (names, (30, len(names)))
        part = divide_records(records, seed=0, validation_fraction=0.1, test_fraction=0.1)[0]
        target = next(record_batches(part, seed=0, epoch=0, batch_size=2))[1]
        assert (target.dtype, target.shape) == (torch.float32, (2, len(names)))


def test_where_nothing_else_is_learnt_the_input_comes_back(tmp_path):
    for path in (saved(tmp_path, x=SIGNALS), saved(tmp_path, True, x=SIGNALS)):
        part = divide_records(open_records(path, "reconstruct"), seed=0, validation_fraction=0.1, test_fraction=0.1)[0]
        x, y = next(record_batches(part, seed=0, epoch=0, batch_size=2))
        assert torch.equal(x, y)


def test_masks_in_an_archive_have_the_size_of_their_pictures(tmp_path):
    y = (RNG.integers(0, 2, (30, 3, 4, 5)) * 255).astype(np.uint8)
    records = open_records(saved(tmp_path, x=VOLUMES, y=y), "segment")
    assert records.classes == ("0", "255")
    np.testing.assert_array_equal(records.targets, y // 255)


@pytest.mark.parametrize("as_folder", [False, True], ids=["npz", "npy"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_a_number_that_is_none_is_named_by_its_row(tmp_path, as_folder, value):
    x = SIGNALS.astype(np.float64)
    x[17, 1, 3] = value
    with pytest.raises(
        DataError, match=rf"x of row 17 must be finite as float32, got {re.escape(str(value))}\.\n  Fix: repair"
    ):
        open_records(saved(tmp_path, as_folder, x=x, y=Y), "classify")
    y = Y / 1
    y[9] = value
    with pytest.raises(DataError, match=r"y of row 9 must be finite"):
        open_records(saved(tmp_path, as_folder, x=SIGNALS, y=y), "regress")


@pytest.mark.parametrize("bytes_at_once", [1, 300, 10**9])
def test_numbers_are_looked_at_in_pieces_and_every_one(tmp_path, monkeypatch, bytes_at_once):
    monkeypatch.setattr("striate.data.record_set._PIECE", bytes_at_once)
    open_records(saved(tmp_path, x=SIGNALS, y=Y), "classify")
    for row in range(30):
        x = SIGNALS.copy()
        x[row, 0, 0] = np.nan
        with pytest.raises(DataError, match=rf"x of row {row} must be finite"):
            open_records(saved(tmp_path, x=x, y=Y), "classify")


@pytest.mark.parametrize(
    ("task", "arrays", "message"),
    [
        ("classify", {"y": Y}, r"x must be among the arrays, got y\.\n  Fix: x is the samples"),
        ("classify", {"x": SIGNALS}, r"y must be among the arrays, got x"),
        ("classify", {"x": SIGNALS, "y": Y[:-1]}, r"x and y must be equally many, got 30 and 29"),
        (
            "classify",
            {"x": SIGNALS[:, 0], "y": Y},
            r"x must be numbers of 3 to 5 axes, got float32 of shape \(30, 16",
        ),
        ("classify", {"x": SIGNALS > 0, "y": Y}, r"x must be numbers of 3 to 5 axes, got bool"),
        ("classify", {"x": SIGNALS[:0], "y": Y[:0]}, r"x must be numbers of 3 to 5 axes, got .*\(0, 2, 16\)"),
        ("classify", {"x": SIGNALS * 1j, "y": Y}, r"x must be numbers of 3 to 5 axes, got complex64"),
        (
            "classify",
            {"x": SIGNALS, "y": Y / 2},
            r"y must be classes, \(N,\), got float64 .*\n  Fix: .* is regress",
        ),
        ("classify", {"x": SIGNALS, "y": Y - 1}, r"y must be classes, \(N,\), got int64 of shape \(30,\) with -1"),
        ("classify", {"x": SIGNALS, "y": Y * 0}, r"number of classes must be at least 2, got 1 \('0'\)"),
        (
            "classify",
            {"x": SIGNALS, "y": Y, "class_names": ["a", "b"]},
            r"got 2 names \(2 different\) for",
        ),
        ("regress", {"x": SIGNALS, "y": Y > 1}, r"y must be numbers, \(N,\) or \(N, K\), got bool"),
        ("regress", {"x": SIGNALS, "y": SIGNALS}, r"y must be numbers, .* got float32 of shape \(30, 2, 16\)"),
        (
            "segment",
            {"x": SIGNALS, "y": Y},
            r"y must be whole numbers \(N, \.\.\.\), got int64 of shape \(30,\) for",
        ),
        (
            "segment",
            {"x": SIGNALS, "y": np.zeros((30, 16), int)},
            r"at least 2, got 0 alone",
        ),
        (
            "classify",
            {"x_train": SIGNALS, "y_train": Y, "x_test": SIGNALS[:, :1], "y_test": Y},
            r"the parts of x must be of one shape, got \{'train': \(2, 16\), 'test': \(1, 16\)\}",
        ),
        (
            "classify",
            {"x_train": SIGNALS, "y_train": Y, "x_test": SIGNALS, "y_test": Y[:3]},
            r"x_test and y_test must be equally many, got 30 and 3",
        ),
        (
            "classify",
            {"x_train": SIGNALS, "y_train": Y, "x_test": SIGNALS, "y_test": Y + 1},
            r"every class of test must be a class of training too, got '3', which training lacks",
        ),
    ],
    ids=range(18),
)
def test_arrays_that_do_not_fit_say_what_to_do(tmp_path, task, arrays, message):
    with pytest.raises(DataError, match=message):
        open_records(saved(tmp_path, **arrays), task)


def test_labels_are_0_and_1_and_have_names(tmp_path):
    y = (RNG.random((30, 3)) < 0.5).astype(int)
    records = open_records(saved(tmp_path, x=SIGNALS, y=y, class_names=["a", "b", "c"]), "multilabel")
    assert (records.kind, records.classes) == ("labels", ("a", "b", "c"))
    inputs, targets = next(
        records_in_order(divide_records(records, seed=0, validation_fraction=0.1, test_fraction=0.2)[0], 4)
    )
    assert (inputs.dtype, targets.dtype, targets.shape) == (torch.float32, torch.float32, (4, 3))
    y[3, 1] = 2
    with pytest.raises(DataError, match=r"every label must be 0 or 1, got 2 in column 1 of row 3\.\n  Fix: 1 is yes"):
        open_records(saved(tmp_path, x=SIGNALS, y=y), "multilabel")
    with pytest.raises(DataError, match=r"class_names must be 3 different names, .* got 2 names \(1 different\)"):
        open_records(saved(tmp_path, x=SIGNALS, y=y / 2, class_names=["a", "a"]), "regress")


def test_a_row_of_features_may_have_numbers_and_labels(tmp_path):
    records = open_records(saved(tmp_path, x=SIGNALS[:, 0], y=Y / 2), "regress")
    np.testing.assert_array_equal(records.inputs, SIGNALS[:, 0])


@pytest.fixture
def measured(tmp_path, draw_picture):
    """Pictures and a table with two numbers for each."""
    for i in range(10):
        draw_picture(tmp_path / "p" / f"{i}.png", seed=i)
    rows = [f"p/{i}.png,{i / 4},{-i}" for i in range(10)]
    (tmp_path / "table.csv").write_text("\n".join(["File,age,height", *rows]))
    return tmp_path / "table.csv"


def test_a_table_gives_numbers_to_pictures(measured):
    records = open_records(measured, "regress")
    assert (records.classes, records.inputs.shape, records.inputs.dtype) == (
        ("age", "height"),
        (10, 3, 12, 10),
        "uint8",
    )
    np.testing.assert_array_equal(records.targets, [[i / 4, -i] for i in range(10)])
    with Image.open(measured.parent / "p" / "3.png") as image:
        np.testing.assert_array_equal(records.inputs[3].transpose(1, 2, 0), np.asarray(image))
    assert open_records(measured, "regress", Picture(1, 8, 8)).inputs.shape == (10, 1, 8, 8)


def test_a_table_gives_labels_to_pictures(measured):
    rows = [f"p/{i}.png,{i % 2},{int(i > 4)}" for i in range(10)]
    measured.write_text("\n".join(["path,day,sea", *rows]))
    records = open_records(measured, "multilabel")
    assert (records.kind, records.classes) == ("labels", ("day", "sea"))
    assert records.targets.tolist() == [[i % 2, i > 4] for i in range(10)]
    measured.write_text("path,day\np/1.png,0.5\n")
    with pytest.raises(DataError, match=r"every label must be 0 or 1, got 0\.5 in column 0 of row 0"):
        open_records(measured, "multilabel")


def changed(table, old, new):
    table.write_text(table.read_text().replace(old, new))
    return table


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("File", "name", r"the columns must be path and numbers, each once, got name, age, height"),
        ("age", "height", r"the columns must be path and numbers, each once"),
        ("p/3.png,0.75", "p/3.png,nan", r"age in line 5 must be a finite number, got 'nan'"),
        ("p/3.png,0.75", "p/3.png,", r"age in line 5 must be a finite number, got ''"),
        ("p/3.png,0.75", "p/3.png,1e40", r"age in line 5 must be a finite number, got '1e40'"),
        ("p/3.png", "../3.png", r"the path in line 5 must be inside the table's folder"),
        ("p/3.png", "p/none.png", r"every picture must be .*got 1 that are not:\n    p/none\.png: no such file"),
        ("height", "split", r"the split in line 2 must be train, val or test, got '0'"),
    ],
    ids=range(8),
)
def test_a_table_of_numbers_that_is_unclear_says_where(measured, old, new, message):
    with pytest.raises(DataError, match=message):
        open_records(changed(measured, old, new), "regress")


def test_pictures_of_several_sizes_need_one_to_be_brought_to(measured, draw_picture):
    draw_picture(measured.parent / "p" / "4.png", size=(9, 9))
    with pytest.raises(DataError, match=r"must be of one size, got \(C, H, W\) = \(3, 12, 10\) and, in p/4\.png"):
        open_records(measured, "regress")
    assert len(open_records(measured, "regress", Picture(3, 8, 8))) == 10


@pytest.fixture
def masked(tmp_path, draw_picture):
    """Pictures with masks of every kind that PNG has: indexed, grey, 1 bit, 16 bit."""
    root = tmp_path / "cells"
    (root / "masks" / "more").mkdir(parents=True)
    values = RNG.integers(0, 2, (4, 12, 10)).astype(np.uint8)
    for i, name in enumerate(("a", "b", "c", "more/d")):
        draw_picture(root / "images" / f"{name}.jpg", seed=i, format="JPEG")
        mask = Image.fromarray(values[i])
        if name == "a":
            mask = Image.fromarray(values[i]).convert("P")
            mask.putdata(values[i].ravel().tolist())
            mask.putpalette([255, 0, 0, 0, 255, 0])
        mask = {
            "c": mask.point(lambda v: 255 * v).convert("1"),
            "more/d": Image.fromarray(values[i].astype("uint16")),
        }.get(name, mask)
        mask.save(root / "masks" / f"{name}.png")
    return root, values


def test_masks_hold_class_numbers_whatever_their_kind(masked):
    root, values = masked
    records = open_records(root, "segment")
    assert (records.name, records.classes, records.inputs.shape) == ("cells", ("0", "1"), (4, 3, 12, 10))
    np.testing.assert_array_equal(records.targets, values)
    part = divide_records(records, seed=0, validation_fraction=0.25, test_fraction=0.25)[0]
    x, y = next(record_batches(part, seed=0, epoch=0, batch_size=2))
    assert (x.shape, x.dtype, y.shape, y.dtype) == ((2, 3, 12, 10), torch.float32, (2, 12, 10), torch.int64)


def test_masks_are_brought_to_a_size_without_new_numbers(masked):
    root, values = masked
    records = open_records(root, "segment", Picture(3, 6, 5))
    assert (records.inputs.shape, records.targets.shape) == ((4, 3, 6, 5), (4, 6, 5))
    np.testing.assert_array_equal(records.targets, values[:, 1::2, 1::2])


def test_missing_and_misfit_masks_are_listed(masked, draw_picture):
    root, _ = masked
    (root / "masks" / "b.png").unlink()
    (root / "masks" / "c.png").unlink()
    with pytest.raises(DataError, match=r"a mask for every picture must be in masks/, got none for b\.jpg, c\.jpg\.\n"):
        open_records(root, "segment")
    draw_picture(root / "masks" / "b.png")
    draw_picture(root / "masks" / "c.png", size=(5, 5), mode="L")
    text = (
        r"got 2 that are not:\n    b\.png: a mask must be indexed or grey, not of mode RGB"
        r"\n    c\.png: \(5, 5\) where its picture is \(12, 10\)"
    )
    with pytest.raises(DataError, match=text):
        open_records(root, "segment")


def test_a_mask_that_is_a_jpeg_and_a_name_twice_are_refused(masked, draw_picture):
    root, _ = masked
    draw_picture(root / "masks" / "b.png", mode="L", format="JPEG")
    with pytest.raises(DataError, match=r"b\.png: a mask must be PNG, which keeps every number, not JPEG"):
        open_records(root, "segment")
    draw_picture(root / "images" / "a.png")
    with pytest.raises(DataError, match=r"the files called a must be one, got a\.jpg and a\.png"):
        open_records(root, "segment")


def test_a_mask_without_a_picture_is_noted(masked):
    root, _ = masked
    (root / "images" / "c.jpg").unlink()
    assert open_records(root, "segment").notes == ("1 masks have no picture, first c",)


SENTENCES = [("a good, good film", "good"), ("bad", "bad"), ("so bad a film", "bad"), ("good", "good")] * 5


def text_table(path, header=("text", "label"), rows=SENTENCES):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",").writerows([header, *rows])
    return path


@pytest.mark.parametrize("name", ["films.csv", "films.tsv"])
def test_texts_of_a_table_train_textcnn(tmp_path, name):
    records = open_records(text_table(tmp_path / name), "classify")
    assert (records.name, records.classes, records.tokens) == ("films", ("bad", "good"), 0)
    assert records.inputs.tolist() == [text for text, _ in SENTENCES]
    parts = divide_records(records, seed=0, validation_fraction=0.2, test_fraction=0.2)
    tokenizer = fit_tokenizer(texts_of(parts[0]), length=6)
    train, _, test = tokenised(parts, tokenizer)
    assert train.records.tokens == tokenizer.tokens == 8
    x, y = next(record_batches(train, seed=0, epoch=0, batch_size=4))
    assert (x.dtype, x.shape, y.dtype) == (torch.int64, (4, 6), torch.int64)
    assert build("textcnn", num_classes=2, in_channels=tokenizer.tokens, image_size=6)(x).shape == (4, 2)
    assert tokenizer.decode(next(records_in_order(test, 1))[0][0].numpy())[0] in ("a", "bad", "so", "good")


def test_words_of_the_test_part_alone_are_unknown(tmp_path):
    rows = [(text, label, "train") for text, label in SENTENCES] + [("a superb film", "good", "test")]
    parts = divide_records(
        open_records(text_table(tmp_path / "x.csv", ("sentence", "class", "split"), rows), "classify"),
        seed=0,
        validation_fraction=0.2,
        test_fraction=0.2,
    )
    tokenizer = fit_tokenizer(texts_of(parts[0]), length=3)
    (x, _), *_ = records_in_order(tokenised(parts, tokenizer)[2], 8)
    assert tokenizer.decode(x[0].numpy()) == ["a", "?", "film"]


def test_texts_may_have_numbers(tmp_path):
    records = open_records(text_table(tmp_path / "x.csv", rows=[("a", "1.5"), ("b", "-2")]), "regress")
    np.testing.assert_array_equal(records.targets, [[1.5], [-2]])


def test_texts_of_folders_are_read(tmp_path):
    for name, text in (("good/1", "fine"), ("good/more/2", "naïve\n"), ("bad/1", "poor")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{name}.txt").write_text(text, encoding="utf-8")
    (tmp_path / "bad" / "notes.md").write_text("x")
    records = open_records(tmp_path, "classify")
    assert (records.classes, records.inputs.tolist()) == (("bad", "good"), ["poor", "fine", "naïve\n"])
    assert records.targets.tolist() == [0, 1, 1]
    (tmp_path / "bad" / "2.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match=r"every text must be readable as UTF-8, got 1 that are not:\n    .*2\.txt"):
        open_records(tmp_path, "classify")


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        (("text", "x"), ("a", "b"), r"the columns must be text and label, got text"),
        (("text", "label"), ("", "b"), r"the text in line 2 must be given"),
        (("text", "label"), ("a", " "), r"the label in line 2 must be given"),
        (("text", "label", "split"), ("a", "b", "c"), r"the split in line 2 must be train, val or test, got 'c'"),
        (("text", "label", "split"), ("a", "b", "test"), r"training samples must be there, got only test"),
        (("text", "label"), ("a", "b"), r"number of classes must be at least 2, got 1 \('b'\)"),
        (("text", "label"), ("a" * 200_000, "b"), r"must be a CSV or TSV in UTF-8, got field larger than field limit"),
    ],
    ids=range(7),
)
def test_a_table_of_texts_that_is_unclear_says_where(tmp_path, header, row, message):
    with pytest.raises(DataError, match=message):
        open_records(text_table(tmp_path / "x.csv", header, [row]), "classify")


def test_other_tasks_and_data_say_what_is_read(tmp_path):
    with pytest.raises(ConfigError, match=r"task must be one of classify, multilabel, .*reconstruct, got 'x'"):
        open_records(tmp_path, "x")
    with pytest.raises(DataError, match=r"must be a folder with images/ and masks/, .* got a folder without these"):
        open_records(tmp_path, "segment")
    with pytest.raises(DataError, match=r"the data to regress must be an \.npz .*, got nothing there"):
        open_records(tmp_path / "none", "regress")
    (tmp_path / "x.tar").write_bytes(b"")
    with pytest.raises(DataError, match=r"the data to classify must be an \.npz .*, got a \.tar file"):
        open_records(tmp_path / "x.tar", "classify")
