"""`striate resume`."""

from pathlib import Path
from typing import Annotated

import typer


def resume(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")] = False,
) -> None:
    """Continue a run exactly where it stopped: the weights come out as if it had never stopped.

    \b
    Examples:
      striate resume runs/digits-lenet5
      striate resume runs/digits-lenet5 --json
    """  # noqa: D301 - \b is click's mark for text that is not rewrapped
    from striate.experiment.train import resume as go_on

    outcome = go_on(run)
    from striate.cli.text import tell

    tell(outcome, as_json=as_json)
