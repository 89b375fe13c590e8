"""`striate export`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from striate.base.errors import ConfigError

if TYPE_CHECKING:
    from striate.deploy.export_c import Exported

TARGETS = ("c",)


def export(
    location: Annotated[Path, typer.Argument(metavar="RUN|BUNDLE", help="A finished run, or its model folder.")],
    to: Annotated[str, typer.Option("--to", metavar="|".join(TARGETS), help="What to write; so far C alone.")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The C file; left out: NAME/NAME.c here, NAME as the run is called."),
    ] = None,
    precision: Annotated[
        str,
        typer.Option(
            metavar="float32|int8",
            help="Of the weights in the file.  int8: weights alone, a scale for each output channel; they are turned "
            "back in the innermost loop and all sums stay float32, so that the file is a quarter as large.",
        ),
    ] = "float32",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what was exported there before.")] = False,
    model: Annotated[
        str | None,
        typer.Option(metavar="FILE.py:NAME", help="The file of a network that was trained from one; it is run."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")] = False,
) -> None:
    """Write a trained classifier of pictures as one C99 file, with header, test program and Makefile.

    \b
    Examples:
      striate export runs/digits-lenet5 --to c
      striate export runs/digits-lenet5/model --to c --out firmware/digits.c --precision int8
    """  # noqa: D301 - \b is click's mark for text that is not rewrapped
    if to not in TARGETS:
        must = f"{', '.join(TARGETS)}: nothing else is there yet"
        raise ConfigError("export", "--to", must, got=repr(to), fix=f"use --to {TARGETS[0]}")
    from striate.deploy.export_c import export_c

    exported = export_c(location, out=out, precision=precision, overwrite=overwrite, model=model)
    typer.echo(json.dumps(exported.as_dict()) if as_json else _text(exported))


def _text(exported: "Exported") -> str:
    from striate.base.files import shell_name

    told = [
        *(f"wrote {path}" for path in exported.files),
        f"weights     {exported.weight_bytes:>11,} bytes, {exported.precision}",
        f"static RAM  {exported.static_bytes:>11,} bytes",
        f"stack       {exported.stack_bytes:>11,} bytes at most, about",
        f"test        {exported.pictures:>11,} pictures, {exported.real} of the run and the rest noise",
    ]
    if exported.precision != "float32":
        told.append(
            f"{exported.precision}: on these a probability differs by {exported.largest_difference:.4f} at most from "
            f"the trained network's; {exported.same_class} of {exported.pictures} are taken for the same class"
        )
    return "\n".join([*told, "Next:", f"  make -C {shell_name(exported.files[0].parent)} test"])
