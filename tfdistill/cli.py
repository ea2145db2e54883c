"""The `tfdistill` command: each subcommand reads its options and calls one function."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Optional

import typer
from rich.console import Console

from tfdistill.commands import own_data, serving
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


@app.command()
def quickstart(
    out: Annotated[
        Path, typer.Option(help="Folder of checkpoints, exports and the report.")
    ] = Path("runs/quickstart"),
    data_dir: Annotated[
        Optional[Path],
        typer.Option(
            help="Folder with MovieLens-100K or MovieLens-1M. Left out, MovieLens-100K "
            "is fetched once and kept in the user's cache folder."
        ),
    ] = None,
    seeds: Annotated[
        int, typer.Option(min=1, help="How many seeds to train, from 0 on.")
    ] = 1,
    tiny: Annotated[
        bool, typer.Option("--tiny", help="Few users and epochs: a minute.")
    ] = False,
) -> None:
    """Train a teacher and three students on MovieLens; compare, export, report.

    The teacher (DCN-v2) and the students of recall, coarse and fine ranking are
    trained jointly; each student also alone, for comparison. Run again, it goes on
    where it stopped.
    """
    from tfdistill.data.movielens import load_movielens
    from tfdistill.zoo.quickstart import make_problem
    from tfdistill.zoo.quickstart import quickstart as run

    problem = make_problem(load_movielens(data_dir), tiny=tiny)
    run(problem, out, seeds=range(seeds), tiny=tiny, console=Console())


for command in (
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
