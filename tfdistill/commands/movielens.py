"""Subcommands on MovieLens: the main job, and four ways to train a cascade."""

# ruff: noqa: UP007, UP045 - typer reads annotations when it runs, on Python 3.9 too

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer
from rich.console import Console

from tfdistill.commands.places import new_folder
from tfdistill.files import locked

__all__ = ["cascade", "quickstart"]

_DataDir = Annotated[
    Optional[Path],
    typer.Option(
        help="Folder with MovieLens-100K or MovieLens-1M. Left out, MovieLens-100K "
        "is fetched once and kept in the user's cache folder."
    ),
]
_Seeds = Annotated[int, typer.Option(min=1, help="How many seeds to train, from 0 on.")]


def quickstart(
    out: Annotated[
        Path, new_folder("Folder of checkpoints, exports and the report.")
    ] = Path("runs/quickstart"),
    data_dir: _DataDir = None,
    seeds: _Seeds = 1,
    tiny: Annotated[
        bool, typer.Option("--tiny", help="Few users and epochs: a minute.")
    ] = False,
) -> None:
    """Train a teacher and three students on MovieLens; compare, export, report.

    The teacher ranks what simple scorers find. The students of recall, coarse and fine
    ranking learn from its lists and scores; the same three also from labels alone, for
    comparison. Run again, it goes on where it stopped.
    """
    from tfdistill.datasets.movielens import load_movielens
    from tfdistill.jobs.movielens import quickstart as run

    data = load_movielens(data_dir)
    with locked(out):
        run(data, out, seeds=range(seeds), tiny=tiny, console=Console())


def cascade(
    training: Annotated[
        str,
        typer.Option(
            help="Ways to train, any of joint, frozen, distilled, independent."
        ),
    ] = "joint,frozen,distilled,independent",
    out: Annotated[
        Path, new_folder("Folder of checkpoints and of cascade.json.")
    ] = Path("runs/cascade"),
    data_dir: _DataDir = None,
    seeds: _Seeds = 1,
    tiny: Annotated[
        bool, typer.Option("--tiny", help="Few users and epochs: some minutes.")
    ] = False,
) -> None:
    """Train one teacher and three students on MovieLens in four ways; compare them.

    joint: teacher and students in one training. frozen: the teacher first, then three
    students in one pass. distilled: each student in a pass of its own under that
    teacher. independent: each from labels alone. Each student gets the same steps; the
    teacher of joint training stops at its best epoch. The table shows what a user sees
    at the end of the cascade. Run again, it goes on where it stopped.
    """
    from tfdistill.datasets.movielens import load_movielens
    from tfdistill.jobs.ways_table import compare
    from tfdistill.study.public import movielens_problem
    from tfdistill.study.ways import WAYS

    modes = [mode.strip() for mode in training.split(",")]
    unknown = sorted(set(modes) - set(WAYS))
    if unknown:
        raise ValueError(
            f"--training takes some of {', '.join(WAYS)}, with commas between them, "
            f"got {', '.join(unknown)!r}."
        )
    problem = movielens_problem(load_movielens(data_dir), tiny=tiny)
    chosen: Any = {"modes": modes, "seeds": range(seeds), "tiny": tiny}
    with locked(out):
        compare(problem, out, **chosen, console=Console())
