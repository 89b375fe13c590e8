"""The house keeps its own rules: rooms, sizes, words that do not belong."""

import ast
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCE = REPOSITORY / "src" / "striate"
BUILT_IN = ("ValueError", "TypeError", "RuntimeError", "KeyError", "Exception")
FILES = sorted(SOURCE.rglob("*.py"))


def test_every_room_has_its_import_rule():
    contracts = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    ruled = {contract["source_modules"][0].removeprefix("striate.") for contract in contracts}
    rooms = {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    assert ruled == rooms - {"cli"}  # the command line may import every room
    for contract in contracts:
        source = contract["source_modules"][0].removeprefix("striate.")
        allowed = contract["name"].split(" imports ")[1].split(", ")
        forbidden = {name.removeprefix("striate.") for name in contract["forbidden_modules"]}
        assert forbidden == rooms - {source} - set(allowed), source


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_files_and_functions_are_short(path):
    text = path.read_text()
    assert text.count("\n") <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno <= 60, f"{node.name} is long"
            assert node.args.kwarg is None, f"{node.name} takes anything"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_raised_message_is_one_text(path):
    """A comma between two strings would make the message of a built-in error a tuple."""
    for node in ast.walk(ast.parse(path.read_text())):
        call = node.exc if isinstance(node, ast.Raise) else None
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") in BUILT_IN:
            assert len(call.args) <= 1, ast.unparse(node)
