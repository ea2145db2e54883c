"""The `tfdistill` command: each subcommand reads its options and calls one function."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Optional

import typer
from rich.console import Console

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


@app.command()
def distill(
    table: Annotated[
        Path, typer.Argument(help="Parquet or CSV file, one row per impression.")
    ],
    spec: Annotated[Path, typer.Option(help="JSON file of the feature spec.")],
    request: Annotated[str, typer.Option(help="Column that names the request.")],
    label: Annotated[str, typer.Option(help="Column of the labels, 0 or 1.")],
    user: Annotated[
        Optional[str],
        typer.Option(help="Column of the user, for GAUC; else each request counts."),
    ] = None,
    time: Annotated[
        Optional[str],
        typer.Option(
            help="Column of the time: the last tenth of the requests is then the test "
            "part and the one before it validation. Left out, the split is random."
        ),
    ] = None,
    without: Annotated[
        Optional[list[str]],
        typer.Option(help="A feature that the student does without; may be repeated."),
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            help="How both are trained: joint (soft labels and a hint), rocket (Rocket "
            "Launching) or dual-dnn (one input representation, hidden layers taught)."
        ),
    ] = "joint",
    out: Annotated[
        Path, typer.Option(help="Folder of checkpoints, exports and the report.")
    ] = Path("runs/distill"),
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the requests.")] = 10,
    seeds: Annotated[
        int, typer.Option(min=1, help="How many seeds to train, from 0 on.")
    ] = 1,
) -> None:
    """Distil a small ranker from your own impressions; compare, export, report.

    A DCN-v2 teacher reads all features of the spec, the student none that is
    privileged. Run again, it goes on where it stopped.
    """
    from tfdistill.data.spec import FeatureSpec
    from tfdistill.zoo.own_data import distill as run

    run(
        table,
        FeatureSpec.load(spec),
        out,
        request=request,
        label=label,
        user=user,
        time=time,
        without=without or (),
        method=method,
        epochs=epochs,
        seeds=range(seeds),
        console=Console(),
    )


def main() -> None:
    """Runs the command; an error of the user is one sentence, not a traceback."""
    try:
        app()
    except (ValueError, FileNotFoundError) as error:
        Console(stderr=True).print(f"Error: {error}", style="red", markup=False)
        sys.exit(2)
