"""`striate`: the commands together, and how errors leave the program.

Exit codes: 0 done, 2 usage or configuration, 3 data, 4 checkpoint or model file, 5 numeric, 6 resources,
130 SIGINT, 143 SIGTERM; 1 is a fault of ours.
"""

import io
import signal
import sys
from types import FrameType
from typing import Annotated

import typer

from striate import __version__
from striate.base.errors import Stopped, StriateError
from striate.base.memory import is_out_of_memory
from striate.cli.data import app as data
from striate.cli.evaluate import evaluate
from striate.cli.export import export
from striate.cli.inspect import inspect
from striate.cli.predict import predict
from striate.cli.resume import resume
from striate.cli.train import train
from striate.cli.verify import verify
from striate.cli.watch import watch

COMMANDS = (train, resume, watch, evaluate, predict, inspect, export, verify)

app = typer.Typer(
    name="striate",
    help="A convolutional-network system that you can see through: train, judge and use image classifiers.",
    no_args_is_help=True,
    rich_markup_mode=None,  # half of the start-up time of --help otherwise
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in COMMANDS:
    app.command()(command)
app.add_typer(data)


def _version(asked: bool) -> bool:
    if asked:
        typer.echo(f"striate {__version__}")
        raise typer.Exit
    return asked


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback with an error.")] = False,
) -> None:
    """Options of every command; `main` reads --debug itself, since it matters when all else has failed."""


def main() -> None:
    """Run the command line; every error is a sentence and an exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)  # the training loop puts its own in place while it runs
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name may be no UTF-8; stderr does so by itself
    try:
        app()
    except Exception as error:
        if "--debug" in sys.argv:
            raise
        sys.exit(_explain(error))


def _stop(number: int, _frame: FrameType | None) -> None:
    raise Stopped(f"stopped by {signal.Signals(number).name}; nothing was lost", number)


def _explain(error: Exception) -> int:
    match error:
        case StriateError():
            _say(f"{type(error).__name__}: {error}")
            return error.exit_code
        case Stopped():
            _say(str(error))
            return error.exit_code
        case BrokenPipeError():
            sys.stderr.close()  # whoever read our output has gone: nobody is left to tell
            return 0
    if is_out_of_memory(error):
        _say("ResourceError: out of memory.\n  Fix: try a smaller batch_size, or smaller pictures")
        return 6
    if isinstance(error, OSError):
        _say(f"ResourceError: {error}.\n  Fix: free space, or choose another place")
        return 6
    from striate.models.run_file import own_fault

    if (own := own_fault(error)) is not None:
        return _explain(own)
    _say(f"InternalError: {type(error).__name__}: {error}\n  Fix: this is a fault of Striate; --debug shows where")
    return 1


def _say(text: str) -> None:
    print(text, file=sys.stderr)
