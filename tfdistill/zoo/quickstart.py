"""The main job: one teacher and three students on MovieLens, judged and exported."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from tfdistill import study
from tfdistill.data.movielens import MovieLens
from tfdistill.data.movielens_features import (
    movielens_requests,
    movielens_spec,
    movielens_split,
)
from tfdistill.data.spec import FeatureSpec
from tfdistill.data.windows import RequestParts
from tfdistill.metrics import head_items
from tfdistill.report import ALONE, DISTILLED, Data, Part, Results, write_report
from tfdistill.report.terminal import print_tables
from tfdistill.study.judge import CatalogueJudge
from tfdistill.study.progress import train_shown
from tfdistill.study.recipe import Recipe
from tfdistill.study.trained import TrainedNet
from tfdistill.zoo import movielens_cascade as zoo
from tfdistill.zoo.comparison import Sizes, calibrations, cascades, stages
from tfdistill.zoo.machine import hardware, versions
from tfdistill.zoo.serving import exported, served_costs

__all__ = ["Problem", "make_problem", "quickstart"]

_TINY_USERS = 200
_TINY_WARNING = (
    "A tiny run: few users and epochs. It shows the way; its numbers say nothing about "
    "quality."
)

Nets = Mapping[str, TrainedNet]


@dataclasses.dataclass(frozen=True)
class Problem:
    """The data of the main job, ready to train on and to judge with.

    Args:
        data: The ratings and features as loaded.
        parts: Requests of train, valid and test.
        spec: The features.
        judges: The judges of valid and test.
    """

    data: MovieLens
    parts: RequestParts
    spec: FeatureSpec
    judges: Mapping[str, CatalogueJudge]

    @property
    def study(self) -> study.Problem:
        """The same as trainings take it."""
        parts, judges = self.parts, self.judges
        return study.Problem(
            self.spec,
            parts.train,
            judges["valid"],
            judges["test"],
            parts.known,
            log=parts.log,
        )


def make_problem(data: MovieLens, *, tiny: bool = False) -> Problem:
    """Splits ratings by time and makes requests and judges of them.

    Args:
        data: What `load_movielens` gave.
        tiny: Whether to keep few users only, for a quick look.

    Returns:
        The problem.
    """
    if tiny:
        data = _first_users(data, _TINY_USERS)
    parts = movielens_requests(data, movielens_split(data), negatives=10)
    counts = np.bincount(parts.known.item, minlength=parts.train.num_items)
    head = head_items(counts)
    judges = {
        part: CatalogueJudge(getattr(parts, part), parts.before(part), head)
        for part in ("valid", "test")
    }
    return Problem(data, parts, movielens_spec(parts), judges)


def quickstart(
    problem: Problem,
    out: Path,
    *,
    seeds: Sequence[int] = (0,),
    tiny: bool = False,
    console: Console | None = None,
) -> Results:
    """Trains, compares, measures and exports; writes the report into a folder.

    Run again with the same folder it goes on where it stopped.

    Args:
        problem: What `make_problem` gave.
        out: Folder of the run: checkpoints, exports, `report.html`, `results.json`.
        seeds: Seeds of the training; the last one's models are exported.
        tiny: Two epochs only: it shows the way, not the quality.
        console: Where progress is printed.

    Returns:
        Everything that the report shows.
    """
    console = console or Console()
    console.print(problem.data.source)
    console.print(problem.parts.split.sentence)
    runs = [_train_seed(problem, out, seed, tiny, console) for seed in seeds]
    console.print("Judging on the whole catalogue ...")
    sizes = Sizes.fitting(problem.parts.train.num_items)
    distilled, alone = [run[DISTILLED] for run in runs], [run[ALONE] for run in runs]
    console.print("Exporting, and checking each SavedModel in another process ...")
    test = problem.parts.test
    exports, paths = exported(problem.spec, test, distilled[-1], out, sizes)
    results = Results(
        title=f"One teacher, three students: {problem.data.name}",
        command=shlex.join(["tfdistill", *sys.argv[1:]]),
        data=_data(problem),
        seeds=tuple(seeds),
        versions=versions(),
        hardware=hardware(),
        facts=_facts(problem, tiny),
        stages=stages(problem.judges, distilled, alone),
        cascades=cascades(problem.judges["test"], distilled, alone, sizes),
        costs=served_costs(paths, distilled[-1], test, sizes),
        curves=_curves(runs[0]),
        calibration=calibrations(problem.judges["test"], distilled[0], alone[0]),
        warnings=[_TINY_WARNING] if tiny else [],
        exports=exports,
    )
    print_tables(results, console)
    page = write_report(results, out)
    console.print(f"Report: {page}")
    return results


def _train_seed(
    problem: Problem, out: Path, seed: int, tiny: bool, console: Console
) -> dict[str, Nets]:
    """Trains all nets jointly, then each student alone, from one seed."""

    def trained(name: str, recipe: Recipe) -> dict[str, TrainedNet]:
        folder = out / f"seed-{seed}" / name.replace(" ", "-")
        return train_shown(
            name, recipe, problem.study, folder, console=console, seed=seed
        )

    joint = trained("joint", zoo.joint(tiny))
    alone = {}
    for stage in zoo.STAGES:
        alone.update(trained(f"{stage} alone", zoo.alone(stage, tiny)))
    return {DISTILLED: joint, ALONE: alone}


def _first_users(data: MovieLens, count: int) -> MovieLens:
    """Keeps the users with the lowest ids, for tiny runs."""
    users = data.users.sort_values("user_id")[:count].reset_index(drop=True)
    kept = data.ratings["user_id"].isin(users["user_id"])
    ratings = data.ratings[kept].reset_index(drop=True)
    test = None if data.test is None else data.test[kept.to_numpy()]
    return dataclasses.replace(data, users=users, ratings=ratings, test=test)


def _data(problem: Problem) -> Data:
    counts = problem.parts.split.counts()
    return Data(
        source=problem.data.source,
        rows=len(problem.data.ratings),
        users=len(problem.data.users),
        items=len(problem.data.items),
        split=problem.parts.split.name,
        parts=[
            Part(
                name=name,
                requests=getattr(problem.parts, name).num_requests,
                **dataclasses.asdict(count),
            )
            for name, count in counts.items()
        ],
    )


def _curves(run: Mapping[str, Nets]) -> dict[str, list[float]]:
    history: Mapping[str, Any] = run[DISTILLED]["teacher"].history
    return {name: list(values) for name, values in history.items()}


def _facts(problem: Problem, tiny: bool) -> dict[str, str]:
    """What a reader must know to compare the three models of a stage."""
    recipe = zoo.joint(tiny)
    steps = -(-problem.parts.train.num_requests // recipe.batch_size) * recipe.epochs
    return {
        "Split": problem.parts.split.sentence,
        "Training": f"{steps:,} steps for every model, joint or alone, of "
        f"{recipe.batch_size} requests with {recipe.negatives} sampled items each.",
        "Choice": "Every net keeps its best epoch on validation: NDCG@10 over the "
        "catalogue for recall, GAUC for the rankers.",
        "Tuning": zoo.TUNING,
    }
