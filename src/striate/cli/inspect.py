"""`striate inspect`."""

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from striate.base.errors import ConfigError
from striate.base.files import write


def inspect(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL|NOTATION|FILE.py:NAME|RUN",
            help="A network by name, as a text, from your file, or a run or bundle.",
        ),
    ],
    size: Annotated[
        str | None, typer.Option("--input", metavar="CxHxW", help="One sample's shape; left out: the network's own.")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Samples at once, for the peaks of memory.")] = 1,
    classes: Annotated[int | None, typer.Option(help="How many classes; left out: the network's own.")] = None,
    equations: Annotated[bool, typer.Option("--equations", help="Each row's equation with its own numbers.")] = False,
    every: Annotated[bool, typer.Option("--all", help="Every row and every column.")] = False,
    graph: Annotated[
        Path | None, typer.Option(metavar="FILE.svg", help="Write the computational graph as a picture.")
    ] = None,
    backward: Annotated[bool, typer.Option("--backward", help="With --graph: the gradients' way back, too.")] = False,
    drawing: Annotated[
        Path | None, typer.Option(metavar="FILE.svg", help="Write a picture of the network to scale.")
    ] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE.html", help="Write it all as one page.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")] = False,
) -> None:
    """Say what a network is before it is trained: shapes, parameters, MACs, memory, receptive field.

    No data is needed and no number is computed.

    \b
    Examples:
      striate inspect lenet5
      striate inspect resnet50 --input 3x160x160 --batch-size 32
      striate inspect lenet5 --equations
      striate inspect "conv 6 5x5, relu, maxpool 2, flatten, linear 10" --input 1x28x28
      striate inspect googlenet --graph googlenet.svg --html googlenet.html
      striate inspect runs/digits-lenet5 --json
    """  # noqa: D301 - \b is click's mark for text that is not rewrapped
    _check_files({"--graph": graph, "--drawing": drawing}, (".svg",))
    _check_files({"--html": html}, (".html", ".htm"))
    _check_together(backward=backward and graph is None, in_words=as_json and (equations or every))
    from striate.cli.subject import subject

    chosen = subject(model, size, classes)
    summary = chosen.summary(batch_size)
    if graph is not None:
        write(graph, summary.graph_with_gradients() if backward else summary.graph())
    if drawing is not None:
        write(drawing, summary.drawing())
    if html is not None:
        summary.save_html(html, chosen.facts)
    if as_json:
        typer.echo(json.dumps(summary.as_dict() | {"facts": dict(chosen.facts)}))
        return
    texts = [chosen.head(), summary.in_full() if every else str(summary), summary.equations() if equations else ""]
    typer.echo("\n\n".join(filter(None, texts)))


def _check_files(files: dict[str, Path | None], endings: tuple[str, ...]) -> None:
    """Refuse early what could not be written, or what would replace something of another kind."""
    for option, path in files.items():
        if path is None:
            continue
        if path.suffix.lower() not in endings:
            must = f"a file that ends in {endings[0]}"
            raise ConfigError("inspect", option, must, got=repr(str(path)), fix=f"for example network{endings[0]}")
        if not path.parent.is_dir():
            raise ConfigError("inspect", option, "in a folder that exists", got=path, fix=f"make {path.parent} first")
        if not os.access(path.parent, os.W_OK):
            raise ConfigError("inspect", option, "in a folder that can be written", got=path, fix="choose another")


def _check_together(*, backward: bool, in_words: bool) -> None:
    """Refuse options that would do nothing."""
    if backward:
        fix = "add --graph FILE.svg, or leave --backward out"
        raise ConfigError("inspect", "--backward", "used with --graph", got="no --graph", fix=fix)
    if in_words:
        fix = "leave them out: the object has all rows and columns; equations are for people"
        raise ConfigError("inspect", "--json", "used without --equations and --all", got="both", fix=fix)
