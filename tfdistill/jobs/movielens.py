"""The main job: a powerful teacher and a cascade of three students on MovieLens."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from tfdistill.datasets.movielens import MovieLens
from tfdistill.jobs.comparison import Run, Sizes
from tfdistill.jobs.run import reported
from tfdistill.report import Results
from tfdistill.scorers import CandidateTeacher, rolling_cuts
from tfdistill.scorers.teacher import ListRanker
from tfdistill.study.nets import Nets
from tfdistill.study.problem import Problem
from tfdistill.study.public import movielens_problem
from tfdistill.zoo import candidate_ranker, rankers_after_recall, recall_from_history

__all__ = ["quickstart"]

_TINY_WARNING = (
    "A tiny run: few users and epochs. It shows the way; its numbers say nothing about "
    "quality."
)
_FACTS = {
    "Teacher": "A net that ranks what simple scorers find; its scores are features of "
    "pairs, so it is not served.",
    "Training": "Recall learns users' histories at many times of training, the rankers "
    "what an earlier recall net returned in its last eighth; with the teacher's lists "
    "and scores or without, for the same epochs.",
    "Choice": "Every net keeps its epoch with the best NDCG@10 on validation.",
    "Logits": "The rankers and the teacher of them learn the order of lists: their "
    "logits are no log odds, so there is no log loss and no calibration.",
}
_PRIMARY = dict.fromkeys(("recall", "coarse", "fine"), "ndcg@10")


def quickstart(
    data: MovieLens,
    out: Path,
    *,
    seeds: Sequence[int] = (0,),
    tiny: bool = False,
    console: Console | None = None,
) -> Results:
    """Trains the teacher, the three students under it, and the three alone.

    Args:
        data: What `load_movielens` gave.
        out: As for `run`.
        seeds: As for `run`.
        tiny: Few users and two epochs: it shows the way, not the quality.
        console: As for `run`.

    Returns:
        Everything that the report shows.
    """
    console = console or Console()
    made = movielens_problem(data, tiny=tiny)
    spec = rankers_after_recall.with_standing(made.spec)
    problem = dataclasses.replace(made, spec=spec)
    console.print(problem.about.source, *problem.facts.values(), sep="\n")
    sizes = Sizes.fitting(problem.train.num_items)
    changes: dict[str, Any] = {"epochs": 2} if tiny else {}
    learn = candidate_ranker.network(out / "teacher", console=console, **changes)
    cuts = rolling_cuts(1)
    teachers = CandidateTeacher.fit(problem, cuts=cuts, learn=learn, seeds=seeds)

    def trained(seed: int, ranker: ListRanker) -> Run:
        teacher = dataclasses.replace(teachers, rankers=(ranker,))
        folder = out / f"seed-{seed}"
        given = {"keep": sizes.recall, "seed": seed, "console": console}
        return Run(
            _students(problem, folder / "distilled", teacher, changes, **given),
            _students(problem, folder / "alone", None, changes, **given),
            teacher,
        )

    return reported(
        f"A powerful teacher, three students: {data.name}",
        problem,
        [trained(seed, one) for seed, one in zip(seeds, teachers.rankers)],
        out,
        primary=_PRIMARY,
        seeds=seeds,
        sizes=sizes,
        facts=_FACTS,
        warnings=[_TINY_WARNING] if tiny else [],
        calibrated=False,
        console=console,
    )


def _students(
    problem: Problem,
    folder: Path,
    teacher: CandidateTeacher | None,
    changes: dict[str, Any],
    **given: Any,
) -> Nets:
    """The cascade under the teacher or alone, its recipes changed."""

    def recall(*args: Any, **options: Any) -> Any:
        return recall_from_history.recipe(*args, **options).changed(**changes)

    def rankers(*args: Any) -> Any:
        return rankers_after_recall.recipe(*args).changed(**changes)

    return rankers_after_recall.train_stages(
        problem, folder, teacher=teacher, recall=recall, rankers=rankers, **given
    )
