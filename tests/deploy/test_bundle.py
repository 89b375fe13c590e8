import json
import os
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import striate
from striate.base.errors import ConfigError, DataError, ModelFileError
from striate.base.files import digest
from striate.data.augment import Augment
from striate.data.batches import Feed, evaluation_batches, training_batches
from striate.data.picture import Picture
from striate.data.preprocess import Preprocess
from striate.data.source import open_source
from striate.deploy.bundle import FILES, WHITENING, Architecture, Bundle, Config, load_bundle, save_bundle
from striate.experiment.picture_material import prepare_data


@pytest.fixture
def bundle(tmp_path):
    architecture = Architecture(name="lenet5", num_classes=3, in_channels=1, image_size=32)
    config = Config(
        architecture=architecture,
        preprocess=Preprocess(Picture(1, 28, 28, pad=2), (0.2,), (0.3,)).as_dict(),
        classes=("bar", "cross", "ring"),
        data_fingerprint="0" * 64,
        versions={},
    )
    model = striate.build("lenet5", num_classes=3)
    save_bundle(tmp_path / "model", Bundle(model, Preprocess.from_dict(config.preprocess), config), "# card\n")
    return tmp_path / "model"


def seal(folder):
    """Checksums that agree with what was changed: an attacker can make them, too."""
    (folder / "SHA256SUMS").write_text("".join(f"{digest(folder / name)}  {name}\n" for name in FILES))


def test_a_bundle_comes_back_as_it_was(bundle):
    first, again = load_bundle(bundle), load_bundle(shutil.copytree(bundle, bundle.with_name("elsewhere")))
    assert first.config == again.config
    for a, b in zip(first.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(a, b)
    assert not first.model.training


def test_it_is_in_the_hugging_face_layout_and_sha256sum_agrees(bundle):
    assert {path.name for path in bundle.iterdir()} == {*FILES, "SHA256SUMS"}
    assert os.system(f"cd {bundle} && sha256sum --check --quiet SHA256SUMS") == 0


@pytest.mark.parametrize(
    "change",
    [
        {"architecture": {"name": "os.system", "num_classes": 3, "in_channels": 1, "image_size": 32}},
        {"architecture": {"name": "lenet5", "num_classes": 3, "in_channels": 1, "image_size": 32, "code": "x"}},
        {"architecture": {"name": "lenet5", "num_classes": -1, "in_channels": 1, "image_size": 32}},
        {"architecture": {"name": "lenet5", "num_classes": 3, "in_channels": 1, "image_size": 10**9}},
        {"architecture": {"name": "lenet5", "num_classes": 4, "in_channels": 1, "image_size": 32}},
        {"preprocess": {"picture": {"channels": 1, "height": 28, "width": 28, "pad": 2}, "mean": [0], "std": [0]}},
        {"preprocess": {"resize": "eval"}},
        {"classes": ["bar"]},
        {"format": 2},
        {"more": 1},
    ],
)
def test_a_config_that_does_not_fit_is_refused(bundle, change):
    config = json.loads((bundle / "config.json").read_text())
    (bundle / "config.json").write_text(json.dumps({**config, **change}))
    seal(bundle)
    with pytest.raises(ModelFileError, match=r"part of a model of this program"):
        load_bundle(bundle)


class Code:
    def __reduce__(self):
        return os.system, ("touch executed",)


def test_a_pickle_for_weights_is_refused_and_not_run(bundle, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (bundle / "model.safetensors").write_bytes(pickle.dumps(Code()))
    seal(bundle)
    with pytest.raises(ModelFileError):
        load_bundle(bundle)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("change", ["shape", "type", "name", "missing", "extra"])
def test_tensors_that_do_not_fit_are_refused(bundle, change):
    tensors = load_file(bundle / "model.safetensors")
    name = "classifier.7.bias"
    match change:
        case "shape":
            tensors[name] = torch.zeros(4)
        case "type":
            tensors[name] = torch.zeros(3, dtype=torch.float64)
        case "name":
            tensors["x"] = tensors.pop(name)
        case "missing":
            del tensors[name]
        case "extra":
            tensors["x"] = torch.zeros(1)
    save_file(tensors, bundle / "model.safetensors")
    seal(bundle)
    with pytest.raises(ModelFileError, match="another"):
        load_bundle(bundle)


def test_weights_that_are_not_numbers_are_refused(bundle):
    tensors = load_file(bundle / "model.safetensors")
    tensors["classifier.7.bias"][1] = torch.nan
    save_file(tensors, bundle / "model.safetensors")
    seal(bundle)
    with pytest.raises(ModelFileError, match=r"NaN in classifier\.7\.bias"):
        load_bundle(bundle)


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory):
    return striate.train(striate.Recipe(data="digits", epochs=3), run=tmp_path_factory.mktemp("runs") / "digits")


@pytest.fixture(scope="module")
def digits(digits_run):
    picture = load_bundle(digits_run.path / "model").preprocess.picture
    return prepare_data(striate.Recipe(data="digits"), open_source("digits"), picture=picture)


def test_prediction_equals_the_evaluation_in_training_picture_by_picture(digits_run, digits):
    predictor = striate.load(digits_run.path)
    raw = open_source("digits").parts["all"]
    place = {name: number for number, name in enumerate(raw.names)}
    expected = digits_run.test.confusion
    found = np.zeros((10, 10), int)
    (batch, _), *rest = evaluation_batches(digits.test, predictor.bundle.preprocess, 512)
    assert not rest
    logits = predictor.bundle.model(batch).double().softmax(1)
    for number, (name, label) in enumerate(zip(digits.test.names, digits.test.labels.tolist(), strict=True)):
        alone = predictor.predict(raw.items.array[place[name]], top=10)  # the 8x8 array, as it came
        found[label, int(alone.class_name)] += 1
        values = dict(alone.top)
        assert [values[str(k)] for k in range(10)] == pytest.approx(logits[number].tolist(), abs=2e-6)
    assert found.tolist() == [list(row) for row in expected]


def test_one_path_leads_from_a_picture_to_the_input(digits_run, digits, tmp_path):
    """Training, evaluation and prediction from array, file, bytes and Pillow image: the same bits."""
    predictor = striate.load(digits_run.path)
    preprocess = predictor.bundle.preprocess
    raw = open_source("digits").parts["all"]
    pixels = raw.items.array[raw.names.index(digits.train.names[5])]
    Image.fromarray(pixels).save(tmp_path / "a.png")
    ways = [pixels, tmp_path / "a.png", (tmp_path / "a.png").read_bytes(), Image.open(tmp_path / "a.png")]
    inputs = [preprocess.to_input(torch.from_numpy(predictor.fit(way))[None])[0] for way in ways]
    trained, evaluated = (
        torch.cat([x for x, _ in batches])
        for batches in (
            training_batches(Feed(digits.train, preprocess, Augment(), seed=0, batch_size=64, num_classes=10), 0),
            evaluation_batches(digits.train, preprocess, 512),
        )
    )
    inputs.append(evaluated[5])
    assert all(torch.equal(inputs[0], other) for other in inputs)
    assert any(torch.equal(inputs[0], other) for other in trained)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_pillow_images_and_their_files_are_predicted_alike(digits_run, tmp_path, mode):
    rng = np.random.default_rng(0)
    grey = Image.fromarray(rng.integers(0, 256, (20, 20)).astype(np.uint8))
    wide = Image.fromarray(rng.integers(0, 2**16, (20, 20)).astype(np.uint16))
    image = wide if mode == "I;16" else grey.convert("RGB").convert(mode) if mode != "L" else grey
    file = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    image.save(file)
    assert digits_run.predict(image).top == digits_run.predict(file).top


def test_what_is_no_picture_is_said(digits_run, tmp_path):
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(DataError, match=r"a\.png: not a picture"):
        digits_run.predict(tmp_path / "a.png")
    with pytest.raises(DataError, match="float64"):
        digits_run.predict(np.zeros((8, 8)))


@pytest.mark.parametrize(
    "picture",
    [np.zeros((8, 8), bool), np.zeros((8, 8), np.int8), np.zeros(8, np.uint8), np.zeros((0, 0), np.uint8)],
)
def test_what_could_be_read_in_two_ways_is_refused(digits_run, picture):
    with pytest.raises(DataError, match="uint8 or uint16 array"):
        digits_run.predict(picture)


def test_a_turned_photograph_is_turned_whichever_way_it_comes(digits_run, tmp_path):
    turned = Image.open(digits_run.path / "samples" / "07-7.png").transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(tmp_path / "a.jpg", exif=exif, quality=100)
    with Image.open(tmp_path / "a.jpg") as image:
        assert digits_run.predict(image).top == digits_run.predict(tmp_path / "a.jpg").top
    assert digits_run.predict(tmp_path / "a.jpg").class_name == "7"


@pytest.mark.parametrize(
    "change",
    [
        {"picture": {"channels": 1, "height": 10**9, "width": 28, "pad": 2}},
        {"picture": {"channels": 1, "height": 28, "width": 28, "pad": 10**6}},
        {"mean": [10**400]},
        {"std": [1e-320]},
    ],
)
def test_preprocessing_that_would_take_all_memory_or_give_no_numbers_is_refused(bundle, change):
    config = json.loads((bundle / "config.json").read_text())
    config["preprocess"] |= change
    (bundle / "config.json").write_text(json.dumps(config))
    seal(bundle)
    with pytest.raises(ModelFileError):
        load_bundle(bundle)


@pytest.mark.parametrize("inside", [".", "model"])
def test_a_zip_of_a_bundle_is_one(bundle, tmp_path, inside):
    archive = shutil.make_archive(tmp_path / "packed", "zip", bundle.parent if inside == "model" else bundle, inside)
    assert striate.load(archive).bundle.config == load_bundle(bundle).config
    again = load_bundle(Path(archive)).model
    for a, b in zip(load_bundle(bundle).model.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("fault", ["cut", "flipped", "no bundle", "no archive"])
def test_a_zip_that_is_none_is_refused(bundle, tmp_path, fault):
    path = tmp_path / "packed.zip"
    shutil.make_archive(path.with_suffix(""), "zip", bundle)
    content = bytearray(path.read_bytes())
    match fault:
        case "cut":
            content = content[: len(content) // 2]
        case "flipped":
            content[len(content) // 2] ^= 1
        case "no archive":
            content = bytearray(b"text")
    path.write_bytes(content)
    if fault == "no bundle":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.txt", "b")
    with pytest.raises(ModelFileError):
        striate.load(path)


TEXT = "input 1x32x32, conv 4 5x5, bn, relu, maxpool 4, dropout 0.5, flatten, linear 3"
FILE = """
from pathlib import Path
from torch import nn

Path(__file__).with_name("run").touch()

def net(num_classes):
    first = nn.Linear(1024, 8)
    again = nn.Linear(8, 8)
    tied = nn.Linear(8, 8)
    tied.weight = again.weight  # which safetensors refuses by itself
    return nn.Sequential(nn.Flatten(), first, again, nn.ReLU(), tied, nn.Linear(8, num_classes))
"""


def saved(folder, model, **architecture):
    """A bundle of another network."""
    chosen = Architecture(num_classes=3, in_channels=1, image_size=32, **architecture)
    preprocess = Preprocess(Picture(1, 28, 28, pad=2), (0.2,), (0.3,))
    values = {"preprocess": preprocess.as_dict(), "classes": ("bar", "cross", "ring"), "data_fingerprint": "0" * 64}
    save_bundle(folder, Bundle(model, preprocess, Config(architecture=chosen, versions={}, **values)), "# card\n")
    return folder


@pytest.fixture
def own(tmp_path):
    """A bundle of the user's own file, and that file."""
    (tmp_path / "own.py").write_text(FILE)
    name = f"{tmp_path}/own.py:net"
    model = striate.build(name, num_classes=3)
    (tmp_path / "run").unlink()
    read_again = FILE.replace("8, 8", " 8, 8", 1)  # the same network, another file: this process has run none of it
    (tmp_path / "own.py").write_text(read_again)
    sha256 = digest(tmp_path / "own.py")
    return saved(tmp_path / "own-model", model, name="own.py:net", source_sha256=sha256), name, model


def test_a_text_comes_back_as_it_was(tmp_path):
    model = striate.build(TEXT, seed=3)
    again = load_bundle(saved(tmp_path / "model", model, name=TEXT)).model
    assert again.state_dict().keys() == model.state_dict().keys()
    x = torch.rand(2, 1, 32, 32)
    assert torch.equal(again(x), model.eval()(x))


@pytest.mark.parametrize(
    "name",
    [
        "conv 4 5x5, rleu",
        "flatten, linear 4",
        "input 3x32x32, flatten, linear 3",
        "flatten, linear 2147483648, linear 2147483648, linear 3",
        "9999999999x(relu), flatten, linear 3",
        "(" * 10**6,
        "add(" * 100 + ")" * 100,
    ],
)
def test_a_text_that_does_not_fit_or_has_no_end_is_refused(bundle, name):
    config = json.loads((bundle / "config.json").read_text())
    config["architecture"]["name"] = name
    (bundle / "config.json").write_text(json.dumps(config))
    seal(bundle)
    with pytest.raises(ModelFileError, match="part of a model of this program"):
        load_bundle(bundle)


def test_a_file_is_run_only_if_the_user_names_it_and_it_is_the_very_one(own):
    folder, name, model = own
    mark = folder.with_name("run")
    with pytest.raises(ConfigError, match=r"builds this network \(own\.py:net\).*\n  Fix: .*add --model own\.py:net;"):
        load_bundle(folder)
    with pytest.raises(ConfigError, match=r"got 'lenet5'"):
        load_bundle(folder, "lenet5")
    with pytest.raises(ConfigError, match="the name must be net, as in training, got other"):
        load_bundle(folder, name.replace(":net", ":other"))
    assert not mark.exists()
    again = striate.load(folder, model=name).bundle.model
    assert mark.exists()
    x = torch.rand(2, 1, 32, 32)
    assert torch.equal(again(x), model.eval()(x))


def test_another_file_is_refused_before_it_is_run(own):
    folder, name, _ = own
    file = folder.with_name("own.py")
    file.write_text(file.read_text() + "# changed\n")
    with pytest.raises(ModelFileError, match=r"own\.py must be the file that .*SHA-256 \w{16}.*got another \(SHA-256"):
        load_bundle(folder, name)
    assert not folder.with_name("run").exists()


@pytest.mark.parametrize("given", [{}, {"source_sha256": "0" * 64}, {"source_sha256": None}, {"source_sha256": "x"}])
@pytest.mark.parametrize("place", ["own.py:net", "{}/own.py:net", "../own.py:net", "./own.py:net", "own.py"])
def test_a_hostile_bundle_runs_no_file(bundle, own, given, place, monkeypatch):
    folder = own[0].parent
    monkeypatch.chdir(folder)
    shutil.copy(folder / "own.py", bundle)  # one that it brings along
    config = json.loads((bundle / "config.json").read_text())
    config["architecture"] |= {"name": place.format(folder), **given}
    (bundle / "config.json").write_text(json.dumps(config))
    seal(bundle)
    for path in (bundle, shutil.make_archive(folder / "packed", "zip", bundle)):
        with pytest.raises((ModelFileError, ConfigError)):
            striate.load(path)
    assert not (folder / "run").exists()
    assert not (bundle / "run").exists()


def test_a_file_and_its_digest_belong_together():
    sizes = {"num_classes": 3, "in_channels": 1, "image_size": 32}
    for name, sha256 in (("own.py:net", None), ("lenet5", "0" * 64), ("a/own.py:net", "0" * 64)):
        with pytest.raises(ValueError, match=r"belong together|without its folder"):
            Architecture(name=name, source_sha256=sha256, **sizes)


def test_no_file_builds_an_architecture_by_itself(own):
    with pytest.raises(ConfigError, match="the network must be no file"):
        load_bundle_config(own[0]).architecture.skeleton()
    assert not own[0].with_name("run").exists()


def load_bundle_config(folder):
    return Config.model_validate_json((folder / "config.json").read_bytes())


def test_a_file_that_is_not_needed_is_refused(bundle, own):
    with pytest.raises(ConfigError, match="leave it out: this model is lenet5"):
        load_bundle(bundle, own[1])
    assert not own[0].with_name("run").exists()


@pytest.fixture
def white(tmp_path):
    """A bundle that whitens, with pictures to try it on."""
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (300, 1, 28, 28), dtype=np.uint8))
    preprocess = Preprocess(Picture(1, 28, 28, pad=2), (0.5,), (0.3,)).whitened(images, "zca", 0.1)
    config = Config(
        architecture=Architecture(name="lenet5", num_classes=3, in_channels=1, image_size=32),
        preprocess=preprocess.as_dict(),
        classes=("bar", "cross", "ring"),
        data_fingerprint="0" * 64,
        versions={},
    )
    save_bundle(tmp_path / "white", Bundle(striate.build("lenet5", num_classes=3), preprocess, config), "# card\n")
    return tmp_path / "white", preprocess, images[:5]


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
def test_a_whitening_travels_with_its_bundle(white, packed, tmp_path):
    folder, preprocess, images = white
    assert {path.name for path in folder.iterdir()} == {*FILES, WHITENING, "SHA256SUMS"}
    assert os.system(f"cd {folder} && sha256sum --check --quiet SHA256SUMS") == 0
    place = Path(shutil.make_archive(tmp_path / "packed", "zip", folder)) if packed else folder
    again = load_bundle(place).preprocess
    assert torch.equal(again.to_input(images), preprocess.to_input(images))


@pytest.mark.parametrize(
    "change", ["missing", "unlisted", "flipped", "shape", "name", "type", "nan", "text", "too large"]
)
def test_a_whitening_that_does_not_fit_is_refused(white, change):
    folder, preprocess, _ = white
    path, tensors = folder / WHITENING, preprocess.tensors()
    listed = (*FILES, WHITENING)
    if change == "missing":
        path.unlink()
        listed = FILES
    elif change == "unlisted":
        listed = FILES
    elif change == "flipped":
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        listed = None
    elif change == "text":
        path.write_text("no tensors")
    elif change == "too large":
        config = json.loads((folder / "config.json").read_text())
        config["preprocess"]["picture"] |= {"height": 128, "width": 128, "pad": 0}
        config["architecture"]["image_size"] = 128
        (folder / "config.json").write_text(json.dumps(config))
    else:
        bad = {
            "shape": {"matrix": tensors["matrix"][:3].clone()},
            "name": {"other": tensors["offset"].clone()},
            "type": {"offset": tensors["offset"].float()},
            "nan": {"offset": tensors["offset"] * float("nan")},
        }[change]
        save_file(tensors | bad, path)
    if listed is not None:
        (folder / "SHA256SUMS").write_text("".join(f"{digest(folder / name)}  {name}\n" for name in listed))
    with pytest.raises(ModelFileError):
        load_bundle(folder)


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32"])
def test_arrays_of_every_kind_are_predicted_or_told_what_to_do(tmp_path, kind):
    config = Config(
        architecture=Architecture(name="lenet5", num_classes=3, in_channels=1, image_size=32),
        preprocess=Preprocess.plain(Picture(1, 32, 32, kind=kind)).as_dict(),
        classes=("bar", "cross", "ring"),
        data_fingerprint="0" * 64,
        versions={},
    )
    save_bundle(
        tmp_path / "m",
        Bundle(striate.build("lenet5", num_classes=3), Preprocess.from_dict(config.preprocess), config),
        "# card\n",
    )
    predictor = striate.load(tmp_path / "m")
    grey = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    deep = grey.astype(np.uint16) * np.uint16(257)
    assert predictor.predict(grey).top == predictor.predict(deep).top
    for dtype in (np.float16, np.float32, np.float64):
        if kind == "float32":
            assert predictor.predict((grey / 255).astype(dtype)).top[0][1] == pytest.approx(
                predictor.predict(grey).top[0][1], abs=1e-3
            )
        else:
            with pytest.raises(DataError, match=r"uint8 or uint16 array .*got float\d+ \(32, 32\)"):
                predictor.predict((grey / 255).astype(dtype))
    with pytest.raises(DataError, match="of 1 channels, got 5"):
        predictor.predict(np.zeros((32, 32, 5), np.uint8))
    if kind == "float32":
        with pytest.raises(DataError, match="finite number, got 1024 that are not"):
            predictor.predict(np.full((32, 32), np.nan))
