import numpy as np
import pytest

from striate.experiment.recipe import parse_recipe

SHAPES = ("bar", "cross", "ring")


def picture(kind, rng):
    image = rng.integers(0, 60, (28, 28)).astype(np.uint8)
    y, x = rng.integers(8, 20, 2)
    if kind in (0, 1):
        image[y - 1 : y + 2, x - 7 : x + 7] = 220
    if kind == 1:
        image[y - 7 : y + 7, x - 1 : x + 2] = 220
    if kind == 2:
        rows, columns = np.mgrid[:28, :28]
        image[abs(np.hypot(rows - y, columns - x) - 6) < 1.5] = 220
    return image


@pytest.fixture(scope="session")
def shapes(tmp_path_factory):
    """An .npz of 120 drawn pictures of 28x28 in three classes."""
    rng = np.random.default_rng(0)
    y = np.arange(120) % 3
    path = tmp_path_factory.mktemp("shapes") / "shapes.npz"
    np.savez(path, x=np.stack([picture(kind, rng) for kind in y]), y=y, class_names=np.array(SHAPES))
    return path


@pytest.fixture(scope="session")
def recipe(shapes):
    """A run of a second: three epochs with everything that draws."""
    return parse_recipe(
        {
            "data": str(shapes),
            "epochs": 3,
            "batch_size": 16,
            "lr": 0.01,
            "augment": {"shift": 2, "flip": True},
            "regularise": {"dropout": 0.2},
            "loss": {"label_smoothing": 0.05},
        }
    )
