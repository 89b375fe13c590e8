"""`striate inspect`."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from striate.base.errors import ConfigError
from striate.base.files import write

if TYPE_CHECKING:
    from striate.analysis.summary import Summary
    from striate.cli.native_plan import NativePlan
    from striate.cli.subject import Subject

SVG, HTML = (".svg",), (".html", ".htm")  # the endings of what is written


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
    native: Annotated[
        bool, typer.Option("--native", help="What the native engine does with it: stages, memory, order of a step.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")] = False,
) -> None:
    """Say what a network is before it is trained: shapes, parameters, MACs, memory, receptive field.

    No data is needed and no number is computed; --native runs once what is no nn.Sequential and no text.

    \b
    Examples:
      striate inspect lenet5
      striate inspect resnet50 --input 3x160x160 --batch-size 32
      striate inspect lenet5 --equations
      striate inspect lenet5 --native
      striate inspect "conv 6 5x5, relu, maxpool 2, flatten, linear 10" --input 1x28x28
      striate inspect googlenet --graph googlenet.svg --html googlenet.html
      striate inspect runs/digits-lenet5 --json
    """  # noqa: D301 - \b is click's mark for text that is not rewrapped
    _check_files(graph, drawing, html)
    _check_together(backward=backward and graph is None, in_words=as_json and (equations or every))
    from striate.cli.subject import subject

    chosen = subject(model, size, classes)
    summary = chosen.summary(batch_size)
    _draw(chosen, summary, graph, drawing, html, backward=backward)
    plan = _plan(chosen) if native else None
    if as_json:
        more = {"native": plan.as_dict()} if plan else {}
        typer.echo(json.dumps(summary.as_dict() | {"facts": dict(chosen.facts)} | more))
        return
    texts = [chosen.head(), summary.in_full() if every else str(summary), summary.equations() if equations else ""]
    typer.echo("\n\n".join(filter(None, [*texts, str(plan or "")])))


def _draw(
    chosen: "Subject",
    summary: "Summary",
    graph: Path | None,
    drawing: Path | None,
    html: Path | None,
    *,
    backward: bool,
) -> None:
    """Write the files that are asked for."""
    if graph is not None:
        write(_led_to(graph), summary.graph_with_gradients() if backward else summary.graph())
    if drawing is not None:
        write(_led_to(drawing), summary.drawing())
    if html is not None:
        summary.save_html(_led_to(html), chosen.facts)


def _plan(chosen: "Subject") -> "NativePlan":
    """What the native engine does with it."""
    from striate.cli.native_plan import native_plan

    return native_plan(chosen)


def _led_to(path: Path) -> Path:
    """Where a link leads: it is the user's own and stays one."""
    return Path(os.path.realpath(path))


def _check_files(graph: Path | None, drawing: Path | None, html: Path | None) -> None:
    """Refuse early files that cannot be written, and two in one place."""
    for option, path, endings in (("--graph", graph, SVG), ("--drawing", drawing, SVG), ("--html", html, HTML)):
        if path is not None:
            _check_file(option, path, endings)
    if graph is not None and drawing is not None and os.path.realpath(graph) == os.path.realpath(drawing):
        fix = "give each a name of its own"
        raise ConfigError("inspect", "--drawing", "another file than --graph", got=drawing, fix=fix)


def _check_file(option: str, path: Path, endings: tuple[str, ...]) -> None:
    """Refuse early what could not be written, or what would replace something that is no picture and no page."""
    if path.suffix.lower() not in endings:
        must, got = f"a file that ends in {endings[0]}", repr(str(path)) if path.name else "no name"
        raise ConfigError("inspect", option, must, got=got, fix=f"for example network{endings[0]}")
    folder = Path(os.path.realpath(path)).parent  # a link is followed
    if not folder.is_dir():
        raise ConfigError("inspect", option, "in a folder that exists", got=path, fix=f"make {folder} first")
    if not os.access(folder, os.W_OK):
        raise ConfigError("inspect", option, "in a folder that can be written", got=path, fix="choose another")
    if path.exists() and not path.is_file():
        got = f"the folder {path}" if path.is_dir() else f"{path}, which is none"
        raise ConfigError("inspect", option, "a file", got=got, fix="choose another name")
    if path.is_file() and not _is_markup(path):
        must, fix = "a new file, or one that holds markup", "choose another name, or remove that file"
        raise ConfigError("inspect", option, must, got=f"{path}, which holds something else", fix=fix)


def _is_markup(path: Path) -> bool:
    """Whether a file is empty, or begins as SVG and HTML do."""
    with path.open("rb") as file:
        head = file.read(256).removeprefix(b"\xef\xbb\xbf").lstrip()
    return head.startswith(b"<") or not head


def _check_together(*, backward: bool, in_words: bool) -> None:
    """Refuse options that would do nothing."""
    if backward:
        fix = "add --graph FILE.svg, or leave --backward out"
        raise ConfigError("inspect", "--backward", "used with --graph", got="no --graph", fix=fix)
    if in_words:
        fix = "leave them out: the object has all rows and columns; equations are for people"
        raise ConfigError("inspect", "--json", "used without --equations and --all", got="both", fix=fix)
