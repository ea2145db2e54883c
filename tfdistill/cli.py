"""The `tfdistill` command: each subcommand reads its options and calls one function."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console

from tfdistill.commands import movielens, own_data, serving
from tfdistill.version import __version__

__all__ = ["app", "main"]

app = typer.Typer(
    name="tfdistill",
    help="Train small recommenders under big teachers, for recall, coarse and fine "
    "ranking, and export them for TensorFlow Serving.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            help="Print the version and exit.",
        ),
    ] = False,
) -> None:
    pass


for command in (
    movielens.quickstart,
    movielens.cascade,
    own_data.distill,
    own_data.train_teacher,
    own_data.score_teacher,
    own_data.evaluate,
    serving.serve,
    serving.bench,
):
    app.command()(command)


def main() -> None:
    """Runs the command; an error of the user is one sentence, not a traceback."""
    try:
        app()
    except (ValueError, FileNotFoundError) as error:
        Console(stderr=True).print(f"Error: {error}", style="red", markup=False)
        sys.exit(2)
