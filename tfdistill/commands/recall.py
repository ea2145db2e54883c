"""The subcommand on interactions alone: who took what."""

# ruff: noqa: UP007, UP045 - typer reads annotations when it runs, on Python 3.9 too

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer
from rich.console import Console

from tfdistill.commands.places import new_folder
from tfdistill.files import locked

__all__ = ["recall"]


def recall(
    table: Annotated[
        Path, typer.Argument(help="Parquet or CSV file, one row per interaction.")
    ],
    user: Annotated[str, typer.Option(help="Column of the user.")],
    item: Annotated[str, typer.Option(help="Column of the item.")],
    time: Annotated[
        Optional[str],
        typer.Option(
            help="Column of the time: each user's last tenth is then test, and the one "
            "before it validation. Left out, they are drawn."
        ),
    ] = None,
    time_format: Annotated[
        Optional[str],
        typer.Option(help="Format of a time that is text but not ISO 8601."),
    ] = None,
    separator: Annotated[
        Optional[str],
        typer.Option(help="Stands between the fields of a CSV file; else found out."),
    ] = None,
    teacher: Annotated[
        str,
        typer.Option(
            help="auto (the best on validation), popular, EASE, 'EASE of the newest' "
            "or candidates (trees over what several of them find; needs LightGBM)."
        ),
    ] = "auto",
    form: Annotated[
        str, typer.Option(help="How the student learns from a list, such as RRD.")
    ] = "RRD",
    dim: Annotated[int, typer.Option(min=1, help="Width of the student.")] = 32,
    core: Annotated[
        int,
        typer.Option(
            min=1, help="Users and items with fewer interactions are left out."
        ),
    ] = 5,
    out: Annotated[
        Path, new_folder("Folder of checkpoints, exports and the report.")
    ] = Path("runs/recall"),
    epochs: Annotated[
        Optional[int], typer.Option(min=1, help="Of training; else the recipe's.")
    ] = None,
    seeds: Annotated[
        int, typer.Option(min=1, help="How many seeds to train, from 0 on.")
    ] = 1,
) -> None:
    """Train a small recall model under the best simple teacher; compare, export.

    From interactions alone. The student is two towers and a product, exported with an
    index of the items; popularity and EASE stand beside it. Run again, it goes on
    where it stopped.
    """
    from tfdistill.jobs.recall import recall as run
    from tfdistill.study import Problem

    problem = Problem.from_interactions(
        table,
        user=user,
        item=item,
        time=time,
        time_format=time_format,
        separator=separator,
        dim=dim,
        core=core,
    )
    with locked(out):
        run(
            problem,
            out,
            teacher=teacher,
            form=form,
            epochs=epochs,
            seeds=range(seeds),
            console=Console(),
        )
