"""The contract of the calculus: what every operation must come with.  A fault names the file.

An operation is `src/striate/calculus/x.py` with an equation and a source in its docstring, a `x_pullback` for every
forward, no help from autograd or torch's kernels, a worked example that `python -m striate.calculus.x` prints and
`tests/calculus/test_x.py` checks, a shape rule in the network description, a step in the explicit network and its
arithmetic.  The tables say what is exempt, and why.
"""

import ast
import importlib
import re
import shutil
from pathlib import Path

import pytest

from striate.base.network import KINDS
from striate.base.operations import Operation
from striate.calculus.arithmetic import ARITHMETIC
from striate.calculus.steps import STEPS

ROOT = Path(__file__).resolve().parents[2]
CALCULUS, TESTS = ROOT / "src/striate/calculus", ROOT / "tests/calculus"

NO_OPERATION = {  # files without a forward that an error flows back through
    "arithmetic": "takes numbers apart",
    "arithmetic_channels": "the same",
    "arithmetic_conv": "the same",
    "arithmetic_pool": "the same",
    "conv_matrix": "convolution seen as a matrix, whose pullback is its transpose",
    "initialise": "draws first weights",
    "kernels": "fixed numbers",
    "moments": "statistics of data, fitted before training",
    "network": "the four phases; backward is one of them",
    "pencil": "prints",
    "perceptron": "learns without a derivative",
    "steps": "pairs each forward with its pullback",
    "terms": "takes numbers apart",
    "updates": "what happens after the way back",
}
NO_FORWARD = {  # public functions that are not forwards
    "batch_norm": {"batch_statistics": "in the pullback of batch_norm", "update_running": "no error flows into it"},
    "conv": {
        "geometry": "whole numbers",
        "correlate_weight_pullback": "part of conv_pullback",
        "correlate": "has correlate_weight_pullback and wide_convolution",
        "wide_convolution": "is a pullback",
        "rotate": "its own inverse",
        "swap_channels": "reorders weights",
        "split": "a view",
    },
    "cross_entropy": {"attractions": "weights and targets in one"},
    "dropout": {
        "check_probability": "a check",
        "dropout_mask": "a draw",
        "sample_words": "a draw",
    },
    "local_response_norm": {"alpha_of_sum": "an option", "band": "a constant"},
    "normalise": {
        "subtract_mean": "the error passes unchanged",
        "add_mean": "the same",
        "denormalise": "the way out of the data",
        "standard_deviations": "fitted before training",
    },
    "padding": {"sources": "whole numbers"},
    "penalties": {"penalised": "chooses parameters"},
    "reduction": {"check_same_shape": "a check"},
    "pool_windows": {"pool_windows": "whole numbers", "route": "is a pullback", "show": "prints"},
    "whitening": {
        "principal_axes": "fitted before training",
        "decorrelation": "the same",
        "pca_whitening": "the same",
        "zca_whitening": "the same",
        "unwhiten": "the way out of the data",
        "colour_noise": "augmentation",
    },
    "winograd": {"transforms": "fixed numbers"},
    "windows": {"windows": "its adjoint is fold", "fold": "its adjoint is windows", "spread": "its adjoint is a slice"},
}
SHAPE_RULES = {  # file -> the kinds of the network description that it computes
    "activations": ("activation", "prelu"),
    "adaptive_pool": ("adaptive_mean_pool", "adaptive_max_pool"),
    "batch_norm": ("batch_norm",),
    "branches": ("branches",),
    "channel_shuffle": ("channel_shuffle",),
    "conv": ("conv",),
    "conv_transpose": ("conv_transpose",),
    "dropout": ("dropout",),
    "flatten": ("flatten",),
    "linear": ("linear",),
    "local_response_norm": ("local_response_norm",),
    "lp_pool": ("lp_pool",),
    "max_pool": ("max_pool",),
    "maxout": ("maxout",),
    "mean_pool": ("mean_pool",),
    "softmax": ("softmax",),
    "stochastic_pool": ("stochastic_pool",),
}
NO_SHAPE_RULE = {  # operations that the network description does not hold
    "binary_cross_entropy": "a loss",
    "cross_entropy": "a loss",
    "focal": "a loss",
    "hinge": "a loss",
    "mean_squared_error": "a loss",
    "reduction": "of losses",
    "penalties": "a cost of weights",
    "normalise": "preprocessing",
    "whitening": "preprocessing",
    "padding": "part of conv",
    "windows": "part of conv",
    "winograd": "conv in another way",
    "pool_windows": "part of the poolings",
    "rbf": "a layer of LeNet-5's own",
    "unpool": "for looking back, not for networks",
}
SAME_SHAPE = {"activation", "softmax", "dropout", "batch_norm", "local_response_norm"}  # Operation.shape is their rule
TESTED_IN = {"steps": "network", "terms": "arithmetic"} | dict.fromkeys(
    ("arithmetic_channels", "arithmetic_conv", "arithmetic_pool"), "arithmetic"
)
TESTED_BY_TABLE = {"activations": "ACTIVATIONS"}  # the test goes through all pairs of a dict
NO_EQUATION = {"pencil", "steps", "arithmetic_channels", "arithmetic"}
NO_SOURCE = {  # nobody's invention
    "pencil",
    "pool_windows",
    "reduction",
    "steps",
    "arithmetic_channels",
}
NOT_DEMONSTRATED = {  # helpers, which the files that use them show
    "arithmetic_channels": "arithmetic shows it",
    "arithmetic_conv": "the same",
    "arithmetic_pool": "the same",
    "pencil": "prints what the others show",
    "pool_windows": "every pooling shows its windows",
    "reduction": "every loss shows its mean",
    "steps": "network shows it",
    "terms": "arithmetic shows it",
}
DEMONSTRATED = sorted(path.stem for path in CALCULUS.glob("*.py") if path.stem not in {"__init__", *NOT_DEMONSTRATED})
TORCHS = re.compile(r"autograd|requires_grad_?|nn|functional|(conv(_transpose)?|(max|avg|lp|adaptive_\w+)_pool)\d?d?")


def faults(folder=CALCULUS, tests=TESTS):
    """Everything that a file of the calculus lacks."""
    found = []
    for path in sorted(folder.glob("*.py")):
        if path.stem != "__init__":
            tree = ast.parse(path.read_text())
            every = (_docstring(path.stem, tree), _pullbacks(path.stem, tree), _own_work(tree))
            every = (*every, _demonstration(path.stem, tree), _test(path.stem, tree, tests))
            found += [f"{path.name}: {fault}" for row in every for fault in row]
    return found


def _public(tree):
    return {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef) and not n.name.startswith("_")}


def _docstring(stem, tree):
    text = ast.get_docstring(tree) or ""
    if not re.search(r"^ {4}.*[=<→>]", text, re.M) and stem not in NO_EQUATION:
        yield "the docstring of the file has no equation"
    if not re.search(r"\b(1[89]|20)\d\d\b|[Ss]ources?:? ", text) and stem not in NO_SOURCE:
        yield "the docstring of the file names no source"
    for name, node in _public(tree).items():
        if not ast.get_docstring(node):
            yield f"{name} has no docstring"


def _pullbacks(stem, tree):
    names = set(_public(tree))
    exempt = set(NO_FORWARD.get(stem, {})) | {"demonstrate"}
    if stem in NO_OPERATION:
        return
    for name in sorted(names - exempt):
        if not name.endswith("_pullback") and f"{name}_pullback" not in names:
            yield f"{name} has no {name}_pullback"


def _own_work(tree):
    """No autograd, no modules, none of torch's convolutions and poolings: looked for in names, not in text."""
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = getattr(node, "module", "") or ""
            names = [*module.split("."), *(part for alias in node.names for part in alias.name.split("."))]
            names = [] if module.startswith("striate") else names
        elif isinstance(node, ast.Attribute):
            inside = getattr(node.value, "id", "")
            names = [node.attr] if inside in ("torch", "F", "nn") or "grad" in node.attr else []
        for name in names:
            if TORCHS.fullmatch(name):
                yield f"line {node.lineno} uses torch's {name}"


def _demonstration(stem, tree):
    if stem in NOT_DEMONSTRATED:
        return
    if "demonstrate" not in _public(tree):
        yield "has no demonstrate()"
    if not any(isinstance(n, ast.If) and "__main__" in ast.unparse(n.test) for n in tree.body):
        yield "cannot be run as python -m"


def _test(stem, tree, tests):
    path = tests / f"test_{TESTED_IN.get(stem, stem)}.py"
    if not path.exists():
        yield f"has no {path.name}"
        return
    text = path.read_text()
    for name in set(_public(tree)) - set(NO_FORWARD.get(stem, {})):
        by_table = TESTED_BY_TABLE.get(stem, name) in text
        wanted = name.endswith("_pullback") or name == "demonstrate"
        if wanted and name not in text and not by_table:
            yield f"{name} is in no test of {path.name}"


def table_faults(kinds=KINDS, steps=STEPS, explained=ARITHMETIC, folder=CALCULUS):
    """What the tables of the network description, the explicit network and the arithmetic lack."""
    found = []
    for path in sorted(folder.glob("*.py")):
        stem = path.stem
        if stem in NO_OPERATION or stem in NO_SHAPE_RULE or stem == "__init__":
            continue
        if stem not in SHAPE_RULES:
            found.append(f"{path.name}: is in neither of SHAPE_RULES, NO_SHAPE_RULE, NO_OPERATION")
        for kind in SHAPE_RULES.get(stem, ()):
            operation = kinds.get(kind)
            if operation is None or (operation.shape is Operation.shape and kind not in SAME_SHAPE):
                found.append(f"{path.name}: {kind} has no shape rule in base")
                continue
            if operation not in steps and kind != "branches":
                found.append(f"{path.name}: {kind} has no step in the explicit network")
            if operation not in explained:
                found.append(f"{path.name}: {kind} has no arithmetic")
    return found


def test_every_file_of_the_calculus_keeps_the_contract():
    assert faults() == []


def test_every_operation_has_its_shape_rule_step_and_arithmetic():
    assert table_faults() == []


def test_the_tables_name_only_what_there_is():
    stems = {path.stem for path in CALCULUS.glob("*.py")}
    named = {*NO_OPERATION, *NO_FORWARD, *SHAPE_RULES, *NO_SHAPE_RULE, *TESTED_IN, *NO_EQUATION, *NO_SOURCE}
    assert named | set(NOT_DEMONSTRATED) <= stems
    assert {kind for kinds in SHAPE_RULES.values() for kind in kinds} == set(KINDS)
    for stem, functions in NO_FORWARD.items():
        assert set(functions) <= set(_public(ast.parse((CALCULUS / f"{stem}.py").read_text()))), stem


@pytest.mark.parametrize("stem", DEMONSTRATED)
def test_every_demonstration_has_something_to_show(stem):
    assert len(importlib.import_module(f"striate.calculus.{stem}").demonstrate().splitlines()) > 3


@pytest.mark.parametrize(
    ("file", "old", "new", "fault"),
    [
        ("max_pool.py", "def max_pool_pullback(", "def _gone(", "max_pool.py: max_pool has no max_pool_pullback"),
        ("conv.py", "", "", ""),
        ("softmax.py", "def softmax(", "def softmax2(", "softmax.py: softmax2 has no softmax2_pullback"),
        (
            "rbf.py",
            '    """The squared distance of every input to every code."""\n',
            "",
            "rbf.py: rbf has no docstring",
        ),
        ("rbf.py", "    y_i = sum_j", "y_i is sum_j", "rbf.py: the docstring of the file has no equation"),
        ("flatten.py", "(Harris et al. 2020, arXiv:2006.10256) ", "", "flatten.py: the docstring of the file names no"),
        ("linear.py", "import torch\n", "import torch\nimport torch.nn.functional as F\n", "linear.py: line"),
        ("linear.py", "y = torch.einsum(", "y = torch.conv1d(", "uses torch's conv1d"),
        ("linear.py", "y = torch.einsum(", "y = torch.autograd.grad(", "uses torch's autograd"),
        ("linear.py", "def demonstrate(", "def show(", "linear.py: has no demonstrate()"),
        ("rbf.py", 'if __name__ == "__main__":', "if False:", "rbf.py: cannot be run as python -m"),
    ],
)
def test_taking_something_away_is_noticed_by_the_name_of_the_file(tmp_path, file, old, new, fault):
    shutil.copytree(CALCULUS, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    text = (tmp_path / file).read_text()
    if not fault:
        assert faults(tmp_path) == []  # the copy itself is without fault
        return
    assert old in text
    (tmp_path / file).write_text(text.replace(old, new, 1))
    assert any(fault in found for found in faults(tmp_path)), faults(tmp_path)


def test_a_missing_test_file_is_noticed_by_the_name_of_the_file(tmp_path):
    assert "conv.py: has no test_conv.py" in faults(tests=tmp_path)


def test_a_missing_rule_is_noticed_by_the_name_of_the_file(tmp_path):
    def without(table, key):
        return {name: value for name, value in table.items() if name != key}

    pool, unruled = KINDS["max_pool"], type("Unruled", (Operation,), {})
    assert table_faults(without(KINDS, "max_pool")) == ["max_pool.py: max_pool has no shape rule in base"]
    assert table_faults({**KINDS, "max_pool": unruled}) == ["max_pool.py: max_pool has no shape rule in base"]
    assert table_faults(steps=without(STEPS, pool)) == ["max_pool.py: max_pool has no step in the explicit network"]
    assert table_faults(explained=without(ARITHMETIC, pool)) == ["max_pool.py: max_pool has no arithmetic"]
    (tmp_path / "new.py").touch()
    assert table_faults(folder=tmp_path)[0].startswith("new.py: is in neither")
