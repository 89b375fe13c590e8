from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from striate.base.errors import ConfigError, DataError
from striate.data.decode import decode
from striate.data.doctor.show import chosen, show, split_of, usual_picture
from striate.data.doctor.stats import measure, moments
from striate.data.doctor.text import statistics_text
from striate.data.picture import Picture, fit
from striate.data.source import open_source
from striate.data.statistics import mean_std


def rgb(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def in_float64(paths):
    """The reference: all pixels of all pictures side by side, (pixels, 3) in [0, 1]."""
    pixels = [rgb(path).astype(np.float64).reshape(-1, 3) / 255 for path in paths]
    return np.concatenate(pixels)


def test_mean_and_std_are_those_of_all_pixels_in_float64(tmp_path, draw_picture):
    for i in range(30):
        mode = "L" if i % 3 == 0 else "RGB"  # grey pictures among coloured ones count in each channel
        draw_picture(tmp_path / "ab"[i % 2] / f"{i:02}.png", seed=i, size=(5 + i, 40 - i), mode=mode)
    found = measure(open_source(str(tmp_path)), "all")
    reference = in_float64(sorted(tmp_path.rglob("*.png")))
    np.testing.assert_allclose(found.mean, reference.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.std, reference.std(0), rtol=1e-12)
    assert found.pictures == 30
    assert found.sizes == {f"{5 + i}x{40 - i}": 1 for i in range(30)}
    assert found.bytes == sum(path.stat().st_size for path in tmp_path.rglob("*.png"))
    assert found.classes == {"a": {"all": 15}, "b": {"all": 15}}


def test_arrays_are_measured_as_training_measures_them():
    found = measure(open_source("digits"), "all")
    images = torch.from_numpy(open_source("digits").parts["all"].items.array)[:, None]
    assert (found.mean, found.std) == mean_std(images)
    assert found.sizes == {"8x8": 1797}
    assert found.bytes == 1797 * 64


def test_coloured_arrays_have_a_mean_a_channel(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (3000, 8, 9, 3), dtype=np.uint8)
    np.savez(tmp_path / "x.npz", x=x, y=np.arange(3000) % 2)
    found = measure(open_source(str(tmp_path / "x.npz")), "all")
    np.testing.assert_allclose(found.mean, (x / 255).mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(found.std, (x / 255).std((0, 1, 2)), rtol=1e-12)


@pytest.mark.parametrize(("dtype", "white"), [(np.uint16, 65_535), (np.float32, 1)])
def test_arrays_of_other_kinds_are_measured_in_their_own_units(tmp_path, dtype, white):
    x = np.random.default_rng(0).random((3000, 8, 9, 3)) * [1, 0.5, 0.001] + [0, 0, 0.9]
    x = (x * white / 2).astype(dtype)
    np.savez(tmp_path / "x.npz", x=x, y=np.arange(3000) % 2)
    found = measure(open_source(str(tmp_path / "x.npz")), "all")
    wide = x.astype(np.float64) / white
    np.testing.assert_allclose(found.mean, wide.mean((0, 1, 2)), rtol=1e-10)
    np.testing.assert_allclose(found.std, wide.std((0, 1, 2)), rtol=1e-9)


def test_sums_too_large_for_64_bits_are_exact():
    counts = np.zeros((1, 256), dtype=np.int64)
    counts[0, 254], counts[0, 255] = 2**60, 2**60
    assert moments(counts) == ((254.5 / 255,), (0.5 / 255,))


def test_a_constant_channel_has_no_spread():
    assert moments(np.eye(256, dtype=np.int64)[[7]] * 10) == ((7 / 255,), (0.0,))


def test_unreadable_pictures_are_left_out_and_listed(class_folders):
    (class_folders / "ants" / "00.png").write_bytes(b"")
    found = measure(open_source(str(class_folders)), "all")
    assert (found.pictures, [fault.path for fault in found.faults]) == (23, ["ants/00.png"])
    reference = in_float64([path for path in class_folders.rglob("*.png") if path.stat().st_size])
    np.testing.assert_allclose(found.mean, reference.mean(0), rtol=1e-12)


def test_no_readable_picture_is_no_division_by_zero(class_folders):
    for path in class_folders.rglob("*.png"):
        path.write_bytes(b"")
    found = measure(open_source(str(class_folders)), "all")
    assert (found.pictures, found.mean) == (0, (0.0, 0.0, 0.0))
    assert "0 pictures" in statistics_text(found)


def test_real_photographs_measure_as_float64_does(real_data):
    source = open_source(str(real_data / "photos-hymenoptera"))
    source = replace(source, parts={"validation": source.parts["validation"].pick(np.arange(0, 153, 8))})
    found = measure(source, "validation")
    reference = in_float64(source.parts["validation"].items.paths)
    np.testing.assert_allclose(found.mean, reference.mean(0), rtol=1e-9)
    np.testing.assert_allclose(found.std, reference.std(0), rtol=1e-9)


def test_the_text_has_a_bar_for_each_doubling(class_folders, draw_picture):
    for i in range(6):
        draw_picture(class_folders / "ants" / f"x{i}.png", seed=50 + i, size=(16 << i, 10))
    lines = statistics_text(measure(open_source(str(class_folders)), "all")).splitlines()
    bars = lines[lines.index("longer side in pixels") + 1 :]
    assert [bar.split()[-1] for bar in bars] == ["24", "1", "1", "1", "1", "1", "1"]
    assert bars[0].split()[:4] == ["8", "to", "15", "#" * 40]


def test_the_chosen_pictures_are_those_that_training_meets_first(class_folders):
    from striate.data.batches import epoch_order

    source = open_source(str(class_folders))
    samples = source.parts["all"]
    found = chosen(source, samples, None, 5, seed=3)
    assert found.names == tuple(samples.names[i] for i in epoch_order(24, 3, 0)[:5].tolist())
    assert set(chosen(source, samples, "bees", 50, seed=3).labels.tolist()) == {1}
    assert chosen(source, samples, None, 5, seed=4).names != found.names


def test_training_is_all_of_data_without_splits(class_folders):
    source = open_source(str(class_folders))
    assert split_of(source, None)[0] == split_of(source, "train")[0] == split_of(source, "all")[0] == "all"


def test_what_cannot_be_chosen_is_told(class_folders):
    source = open_source(str(class_folders))
    with pytest.raises(ConfigError, match="one of 'ants', 'bees', got 'wasps'"):
        chosen(source, source.parts["all"], "wasps", 5, 0)
    with pytest.raises(ConfigError, match="--count must be >= 1"):
        chosen(source, source.parts["all"], None, 0, 0)
    with pytest.raises(ConfigError, match="it brings all; other splits are made when a run starts"):
        split_of(source, "test")
    with pytest.raises(DataError, match="pictures of 'ants' must be in this split"):
        chosen(source, source.parts["all"].pick(np.arange(12, 24)), "ants", 5, 0)


def test_pictures_are_shown_as_the_network_gets_them(class_folders):
    source = open_source(str(class_folders))
    samples = source.parts["all"].pick(np.array([0, 13]))
    drawn, faults = show(source, samples, Picture(3, 140, 150))  # larger than a cell: as it is
    assert faults == ()
    for i, name in enumerate(("ants/00.png", "bees/01.png")):
        expected = fit(decode(class_folders / name), Picture(3, 140, 150)).transpose(1, 2, 0)
        left = 8 + i * 158
        np.testing.assert_array_equal(np.asarray(drawn)[8:148, left : left + 150], expected)
    assert usual_picture(source) == Picture(3, 12, 10)


def test_a_picture_that_cannot_be_read_leaves_its_place_crossed_out(class_folders):
    source = open_source(str(class_folders))
    (class_folders / "ants" / "00.png").unlink()
    samples = source.parts["all"].pick(np.array([0, 13]))
    drawn, faults = show(source, samples, Picture(3, 112, 112))
    assert faults == ("ants/00.png: no such file",)
    crossed = np.full((112, 112, 3), 200, dtype=np.uint8)
    crossed[np.arange(112), np.arange(112)] = crossed[np.arange(112), np.arange(112)[::-1]] = 120
    np.testing.assert_array_equal(np.asarray(drawn)[8:120, 8:120], crossed)


def test_a_sheet_takes_pictures_of_any_size_and_one_or_three_channels():
    from striate.data.doctor.sheet import sheet

    pictures = [np.full((c, h, w), 7, dtype=np.uint8) for c, h, w in ((1, 1, 1), (3, 200, 10), (3, 28, 300))]
    drawn = sheet(pictures, ["a", "b" * 500, "\x1b[2J\n"])
    assert drawn.mode == "RGB"
    assert drawn.size == (8 + 3 * 308, 8 + 1 * (200 + 14 + 8))
    with pytest.raises(ConfigError, match="of 1 or 3 channels, got 4"):
        sheet([np.zeros((4, 5, 5), dtype=np.uint8)], ["x"])


def test_a_sheet_of_a_class_shows_all_of_it_evenly(class_folders, tmp_path):
    from striate.data.doctor.look import look
    from striate.data.doctor.sheet import class_sheets, sheet, thumbnail

    files = class_sheets(look(str(class_folders)), tmp_path / "sheets")
    assert [path.name for path in files] == ["000-ants.png", "001-bees.png"]
    paths = sorted((class_folders / "ants").iterdir())
    expected = sheet([thumbnail(path.read_bytes(), path.name) for path in paths], [path.name for path in paths])
    with Image.open(files[0]) as found:
        np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))
