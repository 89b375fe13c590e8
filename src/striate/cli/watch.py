"""`striate watch`."""

from pathlib import Path
from typing import Annotated

import typer

from striate.base.errors import Stopped


def watch(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run, also one yet to begin.")],
) -> None:
    """Follow a run that another process trains, from its first epoch until it ends; it does not notice.

    Exit code: that of the run. 0 if it has finished, 130 or 143 if it was stopped, 137 if it was killed.

    \b
    Examples:
      striate watch runs/digits-lenet5
      striate watch runs/digits-lenet5 && striate predict runs/digits-lenet5 seven.png
    """  # noqa: D301 - \b is click's mark for text that is not rewrapped
    from striate.experiment.progress import display
    from striate.experiment.watch import Ended, follow

    end: Ended | None = None
    try:
        with display() as shown:
            for event in follow(run):
                if isinstance(event, Ended):
                    end = event
                else:
                    shown.show(event)
    except Stopped as stop:
        raise Stopped("no longer watching; the run goes on", stop.exit_code - 128) from None
    assert end is not None
    typer.echo(end.message)
    raise typer.Exit(end.exit_code)
