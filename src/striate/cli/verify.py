"""`striate verify`."""

import json
from pathlib import Path
from typing import Annotated

import typer


def verify(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run with a finished epoch.")],
    epochs: Annotated[int, typer.Option(min=1, help="How many of its epochs to train again, twice.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")] = False,
) -> None:
    """Show that a run can be repeated and stopped anywhere: its first epochs, trained anew, come out bit for bit.

    The run is only read.

    \b
    Examples:
      striate verify runs/digits-lenet5
      striate verify runs/digits-lenet5 --epochs 3 --json
    """  # noqa: D301 - \b is click's mark for text that is not rewrapped
    from striate.experiment.progress import display
    from striate.experiment.verify import Verified
    from striate.experiment.verify import verify as verified

    with display() as shown:
        for event in verified(run, epochs):
            if isinstance(event, Verified):
                found = event
            else:
                shown.show(event)
    if as_json:
        typer.echo(json.dumps(found.as_dict()))
        return
    typer.echo(
        f"whole: {found.checkpoints} checkpoints agree with their checksums\n"
        f"repeated: {found.epochs} of its epochs, trained anew, gave the same numbers to the last digit\n"
        f"resumed: stopped after step {found.stopped_at} of {found.steps} and gone on with, all "
        f"{found.tensors} tensors are equal bit for bit"
    )
