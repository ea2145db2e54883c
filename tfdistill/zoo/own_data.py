"""Distils a fine ranker from a table of impressions and a feature spec."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from tfdistill.data.requests import Requests
from tfdistill.report import (
    ALONE,
    DISTILLED,
    TEACHER,
    Data,
    Part,
    Results,
    Stage,
    print_tables,
    write_report,
)
from tfdistill.study.impressions import Impressions
from tfdistill.study.judge import ListJudge
from tfdistill.study.problem import Problem
from tfdistill.study.progress import train_seeds
from tfdistill.study.recipe import Recipe
from tfdistill.study.trained import TrainedNet
from tfdistill.study.validation import measurable
from tfdistill.zoo import dual_dnn, ranking_pair, rocket
from tfdistill.zoo.comparison import three_models
from tfdistill.zoo.machine import hardware, versions
from tfdistill.zoo.ranking_pair import Pair, default_pair
from tfdistill.zoo.serving import exported, served_costs

__all__ = ["METHODS", "distill"]

METHODS: Mapping[str, Callable[[Pair], Recipe]] = {
    "joint": ranking_pair.joint,
    "rocket": rocket.recipe,
    "dual-dnn": dual_dnn.recipe,
}
"""How a teacher and a student can be trained together, by name of the command line."""

Runs = Mapping[str, Mapping[str, TrainedNet]]


def distill(
    data: Impressions,
    out: Path,
    *,
    without: Collection[str] = (),
    method: str = "joint",
    epochs: int = 10,
    seeds: Sequence[int] = (0,),
    console: Console | None = None,
) -> Results:
    """Trains a teacher and a student, compares the student to itself alone, exports.

    Args:
        data: The impressions; the student reads no feature that is privileged.
        out: Folder of the run: checkpoints, `serving/`, `report.html`.
        without: Features that the student does without.
        method: How they are trained together, one of `METHODS`.
        epochs: Passes over the requests.
        seeds: Seeds of the training; the last one's models are exported.
        console: Where progress is printed.

    Returns:
        Everything that the report shows.

    Raises:
        ValueError: If the method is unknown, or the table does not fit the spec.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {list(METHODS)}, got {method!r}.")
    console = console or Console()
    requests, summary = data.read(console=console)
    spec, table = data.spec, data.table
    parts = data.parts(requests)
    recipe = METHODS[method](default_pair(spec, without=without))
    problem = Problem.from_parts(spec, parts)
    judges = {"valid": problem.valid, "test": problem.test}
    recipe = dataclasses.replace(recipe, epochs=epochs)
    recipes = {DISTILLED: recipe, ALONE: recipe.only("fine")}
    runs = train_seeds(recipes, problem, out, seeds=seeds, console=console)
    nets = runs[-1][DISTILLED]
    exports, paths = exported(spec, parts["test"], nets, out)
    results = Results(
        title=f"Teacher and student on {table.name}",
        command=shlex.join(["tfdistill", *sys.argv[1:]]),
        data=_data(table, parts, summary.rows, "by time" if data.time else "at random"),
        seeds=tuple(seeds),
        versions=versions(),
        hardware=hardware(),
        stages=[_stage(judges, runs, measurable(recipe, judges["valid"]).chosen_by)],
        costs=served_costs(paths, nets, parts["test"]),
        curves={k: list(v) for k, v in nets["teacher"].history.items()},
        exports=exports,
        summary=summary,
    )
    print_tables(results, console)
    console.print(f"Report: {write_report(results, out)}")
    return results


def _stage(
    judges: Mapping[str, ListJudge], runs: Sequence[Runs], primary: str
) -> Stage:
    """Judges teacher, student alone and distilled student on validation and test."""

    def judged(part: str, model: str) -> list[dict[str, float]]:
        judge, net = judges[part], "teacher" if model == TEACHER else "fine"
        run = ALONE if model == ALONE else DISTILLED
        return [seed[run][net].metrics(judge) for seed in runs]

    return three_models("fine", judged, primary)


def _data(table: Path, parts: Mapping[str, Requests], rows: int, how: str) -> Data:
    trained = set(parts["train"].group.tolist())
    counted = []
    for name, part in parts.items():
        users = set(part.group.tolist())
        counted.append(
            Part(
                name=name,
                requests=part.num_requests,
                interactions=int(np.sum(part.candidates >= 0)),
                warm_users=len(users & trained),
                cold_users=len(users - trained),
                warm_items=part.num_items,
                cold_items=0,
            )
        )
    users = set().union(*(part.group.tolist() for part in parts.values()))
    return Data(
        source=f"Read from {table.name}.",
        rows=rows,
        users=len(users),
        items=parts["train"].num_items,
        split=f"requests {how}, 80 / 10 / 10 %",
        parts=counted,
    )
