import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.cli.main import main

PROGRAM = Path(sys.executable).parent / "striate"


@pytest.fixture
def striate(capsys, monkeypatch, tmp_path):
    """Run a command line in an empty folder: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # the test runner keeps its own handlers

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", [str(PROGRAM), *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        output = capsys.readouterr()
        code = ended.value.code
        return (code if code is not None else 0), output.out, output.err

    return run


def draw(kind, number):
    """A bright bar, lying or standing, on a dim ground."""
    rng = np.random.default_rng(number)
    pixels = rng.integers(0, 70, (30 + number % 7, 40, 3)).astype(np.uint8)
    at = 8 + number % 12
    if kind == "lying":
        pixels[at : at + 4, 5:35] = 230
    else:
        pixels[4:28, at : at + 4] = 230
    return Image.fromarray(pixels)


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """A folder of two class folders with 20 PNG and JPEG files each, of several sizes."""
    root = tmp_path_factory.mktemp("data") / "photos"
    for kind in ("lying", "standing"):
        (root / kind).mkdir(parents=True)
        for number in range(20):
            draw(kind, number).save(root / kind / f"{number:02d}.{'png' if number % 2 else 'jpg'}")
    return root


@pytest.fixture(scope="session")
def run(photos, tmp_path_factory):
    """A finished run on the photos."""
    from striate.experiment.recipe import parse_recipe
    from striate.experiment.train import train

    path = tmp_path_factory.mktemp("runs") / "bars"
    recipe = parse_recipe({"data": str(photos), "epochs": 12, "batch_size": 8, "augment": {"flip": True}})
    train(recipe, run=path)
    return path
