"""From a bundle to C that gives the bundle's probabilities, on this processor and another."""

import dataclasses
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.native.compiled import COMPILER, SANITISED, STRICT, needs_compiler
from torch import nn

import striate
from striate.base.errors import ConfigError, ResourceError
from striate.data.picture import Picture
from striate.data.preprocess import Preprocess
from striate.deploy import export_c as module
from striate.deploy.bundle import Architecture, Bundle, Config, save_bundle
from striate.deploy.export_c import export_c
from striate.deploy.predictor import Predictor, load

CLASSES = ('dog"', "cat\\", "größe??/")
ARM = shutil.which("arm-linux-gnueabihf-gcc"), shutil.which("qemu-arm")
MAIN = """\
#include <stdio.h>
#include "net.h"

int main(void)
{
    static uint8_t image[NET_HEIGHT * NET_WIDTH * NET_CHANNELS];
    float p[NET_CLASSES];
    if (fread(image, 1, sizeof image, stdin) != sizeof image)
        return 1;
    net_predict(image, p);
    for (int n = 0; n < NET_CLASSES; ++n)
        printf("%s %.9g\\n", net_classes[n], (double)p[n]);
    return 0;
}
"""


def saved(folder, *, name="lenet5", picture=None, whiten=False):
    """A bundle of a network that has not learnt."""
    picture = picture or Picture(1, 28, 28, pad=2)
    C, size = picture.channels, picture.height + 2 * picture.pad
    preprocess = Preprocess(picture, (0.2,) * C, (0.3,) * C)
    if whiten:
        images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (9, *picture.shape)).astype(np.uint8))
        preprocess = preprocess.whitened(images, "pca")
    config = Config(
        architecture=Architecture(name=name, num_classes=3, in_channels=C, image_size=size),
        preprocess=preprocess.as_dict(),
        classes=CLASSES,
        data_fingerprint="0" * 64,
        versions={},
    )
    torch.manual_seed(0)
    model = striate.build(name, num_classes=3, in_channels=C, image_size=size).eval()
    save_bundle(folder, Bundle(model, preprocess, config), "# card\n")
    return folder


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("here") / "model")


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """LeNet-5 after an epoch of the digits."""
    path = tmp_path_factory.mktemp("runs") / "digits-lenet5"
    striate.train(striate.Recipe(data="digits", epochs=1), run=path)
    return path


def make_test(exported, *arguments):
    command = ["make", "-s", "-C", str(exported.files[0].parent), "test", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@needs_compiler
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_a_trained_network_gives_its_probabilities_in_c(digits, tmp_path, precision):
    exported = export_c(digits, out=tmp_path / "net.c", precision=precision)
    assert [path.name for path in exported.files] == ["net.c", "net.h", "net_test.c", "Makefile"]
    result = make_test(exported, f"CC={COMPILER}", f"CFLAGS={' '.join(STRICT)} -O2")
    assert result.returncode == 0, result.stdout + result.stderr
    assert (exported.pictures, exported.real) == (10, 8)
    if precision == "float32":
        assert exported.largest_difference == 0
        assert "trained" not in result.stdout
    else:
        assert 1e-5 < exported.largest_difference < 0.05
        assert exported.same_class >= 9
        told = float(re.search(r"from the trained network: (\S+)", result.stdout)[1])
        assert told == pytest.approx(exported.largest_difference, rel=0.05)


@needs_compiler
def test_it_reads_and_writes_only_what_is_its_own(digits, tmp_path):
    exported = export_c(digits, out=tmp_path / "net.c")
    result = make_test(exported, f"CC={COMPILER}", f"CFLAGS={' '.join(STRICT + SANITISED)} -O1")
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.skipif(None in ARM, reason="no ARM cross compiler, or no qemu-arm")
def test_a_32_bit_arm_gives_the_same(digits, tmp_path):
    exported = export_c(digits, out=tmp_path / "net.c")
    flags = f"{' '.join(STRICT)} -O2 -mfpu=neon -static"
    result = make_test(exported, f"CC={ARM[0]}", f"CFLAGS={flags}", f"RUNNER={ARM[1]}")
    assert result.returncode == 0, result.stdout + result.stderr


@needs_compiler
def test_the_probabilities_are_those_of_the_predictor_on_a_picture_of_its_own(digits, tmp_path):
    exported = export_c(digits, out=tmp_path / "net.c")
    (tmp_path / "main.c").write_text(MAIN)
    command = [COMPILER, *STRICT, "-O2", "-o", "main", "main.c", exported.files[0].name, "-lm"]
    subprocess.run(command, cwd=tmp_path, check=True)
    predictor = load(digits)
    path = sorted((digits / "samples").iterdir())[-1]
    image = np.ascontiguousarray(predictor.fit(path).transpose(1, 2, 0)).tobytes()
    printed = subprocess.run([tmp_path / "main"], input=image, capture_output=True, check=True).stdout.decode()
    found = {name: float(probability) for name, probability in map(str.split, printed.splitlines())}
    expected = predictor.predict(path, top=10)
    assert found == pytest.approx(dict(expected.top), abs=1e-5)


@needs_compiler
@pytest.mark.parametrize(("name", "pad"), [("shufflenet", 0), ("lenet5", 3)])
def test_colour_and_branches_and_borders_and_names_that_are_hostile(tmp_path, name, pad):
    side = 32 - 2 * pad
    folder = saved(tmp_path / "model", name=name, picture=Picture(3, side, side, pad=pad))
    exported = export_c(folder, out=tmp_path / "c" / "net.c")
    result = make_test(exported, f"CC={COMPILER}", f"CFLAGS={' '.join(STRICT)} -O1")
    assert result.returncode == 0, result.stdout + result.stderr
    assert exported.real == 0


def test_left_out_the_name_is_that_of_the_run(digits, bundle, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert export_c(digits).files[0] == Path("digits_lenet5/digits_lenet5.c")
    assert export_c(digits / "model", out=Path("again.c")).symbol == "again"
    odd = shutil.copytree(bundle, tmp_path / "1 größer *") and tmp_path / "1 größer *"
    assert export_c(odd).files[0] == Path("model_1_grosser/model_1_grosser.c")
    shutil.make_archive(str(tmp_path / "int"), "zip", bundle)
    assert export_c(tmp_path / "int.zip").symbol == "int_model"


def test_what_is_there_is_replaced_only_if_it_was_written_here_and_asked_for(bundle, tmp_path):
    out = tmp_path / "net.c"
    export_c(bundle, out=out)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ConfigError, match=r"must be new, got .*net\.c, which is there\.\n.*--overwrite"):
        export_c(bundle, out=out, precision="int8")
    (tmp_path / "Makefile").write_text("all:\n\techo mine\n")
    with pytest.raises(ConfigError, match="Makefile must be one that was written here"):
        export_c(bundle, out=out, precision="int8", overwrite=True)
    assert out.read_bytes() == before[out]
    (tmp_path / "Makefile").unlink()
    export_c(bundle, out=out, precision="int8", overwrite=True)
    assert out.read_bytes() != before[out]
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in before}


@pytest.mark.parametrize("name", ["net", "net.cpp", "my-net.c", "3.c", "int.c", ".c"])
def test_a_file_that_is_no_c_name_is_refused_with_one_that_is(bundle, tmp_path, name):
    with pytest.raises(ConfigError, match=r"Fix: for example --out .*/[A-Za-z]\w*\.c$"):
        export_c(bundle, out=tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_named(bundle, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError, match="cannot write"):
        export_c(bundle, out=tmp_path / "file" / "net.c")


def test_what_c_would_not_make_of_bytes_is_refused(tmp_path):
    deep = saved(tmp_path / "deep", picture=Picture(1, 28, 28, pad=2, kind="uint16"))
    with pytest.raises(ConfigError, match="the pictures must be of 8 bits, got uint16"):
        export_c(deep, out=tmp_path / "net.c")
    white = saved(tmp_path / "white", picture=Picture(1, 20, 20), whiten=True)
    with pytest.raises(ConfigError, match="without whitening, got pca"):
        export_c(white, out=tmp_path / "net.c")
    with pytest.raises(ConfigError, match="precision must be one of float32, int8, got 'int4'"):
        export_c(white, out=tmp_path / "net.c", precision="int4")


def test_a_layer_without_c_is_named(tmp_path):
    folder = saved(tmp_path / "model", name="lenet5-1998", picture=Picture(1, 28, 28, pad=2))
    with pytest.raises(ConfigError, match=r"module \S+ \(\w+\): what it computes must be layers"):
        export_c(folder, out=tmp_path / "net.c")
    assert not (tmp_path / "net.c").exists()


def test_a_network_for_no_pictures_is_refused(bundle, tmp_path, monkeypatch):
    loaded = load(bundle).bundle
    config = loaded.config.model_copy(update={"task": "reconstruct"})
    monkeypatch.setattr("striate.deploy.predictor.load_bundle", lambda *_: dataclasses.replace(loaded, config=config))
    with pytest.raises(ConfigError, match="a network that sorts pictures into classes"):
        export_c(bundle, out=tmp_path / "net.c")


class Bright(nn.Module):
    """Two networks in one: which is taken depends on the picture."""

    def __init__(self):
        super().__init__()
        self.dark, self.bright = (nn.Sequential(nn.Flatten(), nn.Linear(1024, 3)) for _ in range(2))

    def forward(self, x):
        return self.bright(x) if x.numpy().mean() > 0.5 else self.dark(x)


def test_a_network_that_decides_by_the_picture_is_found_out(bundle, tmp_path, monkeypatch):
    loaded = load(bundle).bundle
    torch.manual_seed(0)
    both = Predictor(dataclasses.replace(loaded, model=Bright()))
    monkeypatch.setattr(module, "load", lambda *_, **__: both)
    with pytest.raises(ConfigError, match=r"one that does the same for every picture, got \S+ apart"):
        export_c(bundle, out=tmp_path / "net.c")
    assert not (tmp_path / "net.c").exists()
