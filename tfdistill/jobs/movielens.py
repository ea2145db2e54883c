"""The main job: one teacher and three students on MovieLens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from tfdistill.datasets.movielens import MovieLens
from tfdistill.jobs.comparison import Sizes
from tfdistill.jobs.run import run
from tfdistill.report import Results
from tfdistill.study.public import movielens_problem
from tfdistill.zoo import movielens_cascade as zoo

__all__ = ["quickstart"]

_TINY_WARNING = (
    "A tiny run: few users and epochs. It shows the way; its numbers say nothing about "
    "quality."
)


def quickstart(
    data: MovieLens,
    out: Path,
    *,
    seeds: Sequence[int] = (0,),
    tiny: bool = False,
    console: Console | None = None,
) -> Results:
    """Trains the teacher and the three students jointly, and each student alone.

    Args:
        data: What `load_movielens` gave.
        out: As for `run`.
        seeds: As for `run`.
        tiny: Few users and two epochs: it shows the way, not the quality.
        console: As for `run`.

    Returns:
        Everything that the report shows.
    """
    problem = movielens_problem(data, tiny=tiny)
    return run(
        f"One teacher, three students: {data.name}",
        problem,
        zoo.joint(tiny),
        out,
        seeds=seeds,
        sizes=Sizes.fitting(problem.train.num_items),
        facts={"Tuning": zoo.TUNING},
        warnings=[_TINY_WARNING] if tiny else [],
        console=console,
    )
