import numpy as np
import pytest
from PIL import Image
from tests.faults.runs import PLAIN

from striate.experiment.recipe import parse_recipe


def drawn(kind, number):
    """A bright bar, lying or standing, on a dim ground."""
    rng = np.random.default_rng(2 * number + kind)
    pixels = rng.integers(0, 60, (28, 28)).astype(np.uint8)
    at = 4 + number % 20
    pixels[(slice(at, at + 3), slice(3, 25)) if kind else (slice(3, 25), slice(at, at + 3))] = 220
    return pixels


@pytest.fixture(scope="session")
def bars(tmp_path_factory):
    """An .npz of 60 grey pictures of 28x28 in two classes."""
    y = np.arange(60) % 2
    path = tmp_path_factory.mktemp("bars") / "bars.npz"
    np.savez(path, x=np.stack([drawn(kind, n) for n, kind in enumerate(y)]), y=y, class_names=["lying", "standing"])
    return path


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """A folder of two class folders with 24 PNG files each."""
    root = tmp_path_factory.mktemp("photos") / "photos"
    for kind, name in enumerate(("standing", "lying")):
        (root / name).mkdir(parents=True)
        for number in range(24):
            Image.fromarray(drawn(kind, number)).save(root / name / f"{number:02d}.png")
    return root


@pytest.fixture(scope="session")
def recipe(bars):
    """A run of a second: two epochs of three updates, with everything that draws."""
    return parse_recipe(
        {
            "data": str(bars),
            "epochs": 2,
            "batch_size": 16,
            "lr": 0.01,
            "augment": {"shift": 2, "flip": True},
            "regularise": {"dropout": 0.2},
            "execution": PLAIN,
        }
    )
