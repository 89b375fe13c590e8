"""Results as text for people."""

import json
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from striate.base.files import shell_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from striate.evaluate.classification import Classification
    from striate.evaluate.result import Result
    from striate.experiment.outcome import Outcome

MATRIX_CLASSES = 20  # with more, a confusion matrix does not fit a terminal


def program() -> str:
    """What to type for this program: `striate` where the shell finds it, else the way in which it was called."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return "python -m striate"
    found = shutil.which(called.name)
    return called.name if found and called.exists() and Path(found).samefile(called) else shell_name(called)


def tell(outcome: "Outcome", *, as_json: bool) -> None:
    """Print what a run came to, on stdout; of several processes the first does."""
    from striate.training.joining import of_environment

    if of_environment().first:
        typer.echo(json.dumps(outcome.summary()) if as_json else summary(outcome))


def summary(outcome: "Outcome") -> str:
    """What `striate train` ends with: how good it is, and what to try next."""
    run, test = shell_name(outcome.path), outcome.test
    sample = next(iter(sorted((outcome.path / "samples").glob("*.png"))), None)
    own = f" --model {shlex.quote(outcome.own_file)}" if outcome.own_file else ""
    predict = ""  # the command says classes of pictures
    if outcome.task == "classify" and sample:
        predict = f"  {program()} predict {run} {shell_name(sample)}{own}\n"
    return (
        f"test {test.told()} on {test.count:,} samples it never saw\n"
        f"validation {test.metric} {outcome.validation_score:.4f}, {outcome.parameters:,} parameters, "
        f"{outcome.epochs} epochs in {outcome.train_seconds:.1f} s\n"
        f"report: {outcome.path / 'report.html'}\n\n"
        f"Next:\n"
        f"{predict}"
        f"  {program()} evaluate {run}{own}\n"
        f"  {program()} train {shell_name(outcome.path / 'recipe.toml')} epochs={2 * outcome.epochs}"
    )


def result_text(result: "Result") -> str:
    """The figures of any task, and a line for each class, label or number."""
    from striate.evaluate.classification import Classification

    if isinstance(result, Classification):
        return classification_text(result)
    lines = [f"{result.told()} on {result.count:,} samples, loss {result.loss:.4f}"]
    for name in ("per_class", "per_label", "per_number"):
        entries = result.as_dict().get(name, ())
        if entries:
            lines += ["", *_columns(entries)]
    return "\n".join(lines)


def _columns(entries: "Sequence[Mapping[str, object]]") -> list[str]:
    """A line for each entry, under the names of what it holds."""
    rows = [tuple(entries[0]), *(tuple(map(_cell, entry.values())) for entry in entries)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    aligned = [
        (f"{row[0]:<{widths[0]}}", *(f"{c:>{w}}" for c, w in zip(row[1:], widths[1:], strict=True))) for row in rows
    ]
    return ["  ".join(row) for row in aligned]


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def classification_text(result: "Classification") -> str:
    """Accuracy, a line a class, and the confusion matrix where it fits."""
    low, high = result.interval
    width = max(5, *(len(entry.name) for entry in result.per_class))
    lines = [
        f"accuracy {result.accuracy:.4f} (95 % interval {low:.4f} to {high:.4f}) on {result.count:,} pictures, "
        f"loss {result.loss:.4f}",
        "",
        f"{'class':<{width}}  precision  recall      F1  pictures",
    ]
    lines += [
        f"{entry.name:<{width}}  {_share(entry.precision):>9}  {_share(entry.recall):>6}  "
        f"{_share(entry.f1):>6}  {entry.count:>8,}"
        for entry in result.per_class
    ]
    if len(result.per_class) <= MATRIX_CLASSES:
        lines += ["", "confusion: a row is the class, a column what it was taken for", *_matrix(result, width)]
    return "\n".join(lines)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _matrix(result: "Classification", width: int) -> list[str]:
    cell = max(4, *(len(str(count)) + 1 for row in result.confusion for count in row))
    head = " " * width + "".join(f"{entry.name[: cell - 1]:>{cell}}" for entry in result.per_class)
    rows = zip(result.per_class, result.confusion, strict=True)
    return [
        head,
        *(f"{entry.name:<{width}}" + "".join(f"{count or '.':>{cell}}" for count in row) for entry, row in rows),
    ]
