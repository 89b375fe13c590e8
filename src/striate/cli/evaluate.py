"""`striate evaluate`."""

import json
from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    location: Annotated[Path, typer.Argument(metavar="RUN|BUNDLE", help="A finished run, or its model folder.")],
    data: Annotated[str | None, typer.Option(help="Other pictures than those of the run.")] = None,
    split: Annotated[
        str | None, typer.Option(help="train, validation or test; left out: test, or all of --data without splits.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="FILE.py:NAME", help="The file of a network that was trained from one; it is run."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")] = False,
) -> None:
    """Judge a trained model: accuracy with its 95 % interval, each class, what is confused with what.

    \b
    Examples:
      striate evaluate runs/digits-lenet5
      striate evaluate runs/digits-lenet5 --split validation --json
      striate evaluate runs/digits-lenet5/model --data more-photos/
    """  # noqa: D301 - \b is click's mark for text that is not rewrapped
    from striate.experiment.judge import judge

    result = judge(location, data=data, split=split, model=model)
    if as_json:
        typer.echo(json.dumps(result.as_dict()))
        return
    from striate.cli.text import result_text

    typer.echo(result_text(result))
