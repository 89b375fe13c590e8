"""Every command and every snippet of README and docs runs, in the order in which they stand."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[2]
DOCUMENTS = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.M | re.S)
THE_TEST_COMMAND = "make test"
LONG = ("many-machines.md", "networks.md", "notation.md")  # their commands train for half a minute


def blocks():
    for document in DOCUMENTS:
        for match in BLOCK.finditer(document.read_text()):
            slow = (document.name in LONG and "train" in match[2]) or "striate verify" in match[2]
            yield pytest.param(document.name, match[1], match[2], marks=pytest.mark.slow if slow else ())


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder that looks like a clone that is set up, with a folder of photos in it."""
    folder = tmp_path_factory.mktemp("desk")
    shutil.copy(REPOSITORY / "Makefile", folder)
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(REPOSITORY / name, folder)
        os.utime(folder / name, (0, 0))  # older than the set-up, so that make has none to do
    (folder / ".venv" / "bin").mkdir(parents=True)
    for name in ("python", "striate"):
        (folder / ".venv" / "bin" / name).symlink_to(Path(sys.executable).parent / name)
    (folder / ".venv" / ".installed").touch()
    (folder / ".venv" / ".installed-dev").touch()
    rng = np.random.default_rng(0)
    for name, level in (("ants", 90), ("bees", 160)):
        (folder / "photos" / name).mkdir(parents=True)
        for number in range(12):
            pixels = rng.integers(level - 60, level + 60, (48 + number, 64, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "photos" / name / f"{number:02d}.jpg")
    return folder


@pytest.mark.parametrize(("document", "kind", "text"), list(blocks()))
def test_it_runs(desk, document, kind, text):
    if text.startswith("make -C") and shutil.which("cc") is None:
        pytest.skip("no C compiler")
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    if kind == "python":
        command = [sys.executable, "-W", "error", "-c", text]
    else:
        kept = [line for line in text.splitlines() if not line.startswith(THE_TEST_COMMAND)]
        command = ["bash", "-euo", "pipefail", "-c", "\n".join(kept)]
    result = subprocess.run(command, cwd=desk, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{document}:\n{text}\n{result.stdout}\n{result.stderr}"


def test_every_link_inside_the_documents_leads_somewhere():
    for document in [*DOCUMENTS, REPOSITORY / "CONTRIBUTING.md"]:
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
            assert "://" in target or (document.parent / target).exists(), f"{document.name}: {target}"


def test_the_recipes_page_knows_every_key_and_its_default():
    from striate.experiment.recipe import Recipe, known_keys

    page = (REPOSITORY / "docs" / "recipes.md").read_text()
    rows = dict(re.findall(r"^\| `([\w.]+)` \| ([^|]+) \|", page, re.M))
    assert list(rows) == known_keys()
    recipe = Recipe()
    for key, told in rows.items():
        value = recipe
        for part in key.split("."):
            value = getattr(value, part)
        value = list(value) if isinstance(value, tuple) else value
        expected = {True: "true", False: "false"}.get(value) if isinstance(value, bool) else None
        expected = expected or (f'"{value}"' if isinstance(value, str) else f"{value}")
        assert value is None or f"`{expected}`" in told, key


def test_the_calculus_page_names_every_file_of_the_calculus_and_every_layer():
    page = (REPOSITORY / "docs" / "calculus.md").read_text()
    assert unnamed(page) == []
    for gone in ("`unpool.py`", "`rbf.py`", "`Conv3d`"):
        assert unnamed(page.replace(gone, "")), gone


def unnamed(page):
    """What the calculus page does not name: files by their rows in the tables of their room, layers by class."""
    calculus, layers = page.split("\n## The layers\n")
    lacking = []
    for room, text in (("calculus", calculus), ("layers", layers)):
        for path in sorted((REPOSITORY / "src" / "striate" / room).glob("[!_]*.py")):
            classes = re.findall(r"^class ([A-Z]\w*)\(", path.read_text(), re.M) if room == "layers" else []
            has_row = room == "calculus" or bool(classes)  # a file of layers/ without a class is no layer
            lacking += [f"{room}/{path.name}"] if has_row and f"\n| `{path.name}` |" not in text else []
            lacking += [f"{room}/{path.name}: {name}" for name in classes if f"`{name}`" not in text]
    return lacking


def test_the_networks_page_knows_every_network_and_its_figures():
    import torch

    from striate.analysis.inspect import inspect
    from striate.models.card import tokens
    from striate.models.catalogue import MODELS, skeleton

    page = (REPOSITORY / "docs" / "networks.md").read_text()
    rows = re.findall(r"^\| `([\w-]+)` \| ([\dx]+) \| ([\d,]+) \| ([\d,]+) \| (.+) \|$", page, re.M)
    assert [row[0] for row in rows] == list(MODELS)
    for name, sample, parameters, macs, told in rows:
        card = MODELS[name]
        shape = card.sample(card.usual)
        with torch.device("meta"):
            model = skeleton(name, card.usual)
        totals = inspect(model, shape, dtype=torch.int64 if card.sample is tokens else torch.float32).totals
        assert sample == "x".join(map(str, shape)), name
        assert (parameters, macs) == (f"{totals.parameters:,}", f"{totals.macs:,}"), name
        assert told == f"{card.source}; {card.faithful}", name


def test_the_notations_page_names_every_operation_and_option():
    from striate.models.vocabulary import ALIASES, JOINS, OPTION_ALIASES, RESIDUAL, WORDS

    page = (REPOSITORY / "docs" / "notation.md").read_text()
    rows = {name: line for line in page.splitlines() for name in re.findall(r"`(\w+)`", line.split(" | ")[0])}
    for name, word in WORDS.items():
        for option in (*word.options, *word.flags):
            assert f"`{option}`" in rows[name], f"{name}: {option}"
    assert {*JOINS, RESIDUAL} <= rows.keys()
    for also, name in ALIASES.items():
        assert f"`{also}`" in rows[name], also
    assert all(f"`{torchs}`" in page for torchs in OPTION_ALIASES)


def test_the_errors_of_the_notations_page_are_the_real_ones():
    from striate.models.notation import parse
    from striate.models.syntax import NotationError

    page = (REPOSITORY / "docs" / "notation.md").read_text()
    shown = re.findall(r"^```text\n(NotationError: .*?)\n```$", page, re.M | re.S)
    assert shown
    for error in shown:
        with pytest.raises(NotationError) as caught:
            parse(error.split("\n")[1].strip(), (1, 28, 28))
        assert f"NotationError: {caught.value}" == error
