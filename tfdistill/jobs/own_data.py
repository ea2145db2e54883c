"""Distils a fine ranker from a table of impressions and a feature spec."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from tfdistill.data.requests import Requests
from tfdistill.jobs.run import run
from tfdistill.report import Results
from tfdistill.scores import ScoreStore, join_requests
from tfdistill.study.impressions import Impressions
from tfdistill.study.problem import Problem
from tfdistill.study.recipe import Recipe
from tfdistill.study.trained import StoredScores
from tfdistill.zoo import dual_dnn, ranking_pair, rocket
from tfdistill.zoo.ranking_pair import Pair, default_pair

__all__ = ["METHODS", "distill"]

METHODS: Mapping[str, Callable[[Pair], Recipe]] = {
    "joint": ranking_pair.joint,
    "rocket": rocket.recipe,
    "dual-dnn": dual_dnn.recipe,
}
"""How a teacher and a student can be trained together, by name of the command line."""

_STORED = "stored"


def distill(
    data: Impressions,
    out: Path,
    *,
    without: Collection[str] = (),
    method: str = "joint",
    scores: Path | None = None,
    epochs: int = 10,
    seeds: Sequence[int] = (0,),
    console: Console | None = None,
) -> Results:
    """Trains a student under a teacher, compares it to itself alone, exports.

    Args:
        data: The impressions; the student reads no feature that is privileged.
        out: Folder of the run: checkpoints, `serving/`, `report.html`.
        without: Features that the student does without.
        method: How both are trained together, one of `METHODS`.
        scores: Folder of a teacher's stored scores, for two stages: no teacher is
            trained then.
        epochs: Passes over the requests.
        seeds: Seeds of the training; the last one's models are exported.
        console: Where progress is printed.

    Returns:
        Everything that the report shows.

    Raises:
        ValueError: If the method is unknown, the table does not fit the spec, or the
            store is damaged, of other keys or of another table.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {list(METHODS)}, got {method!r}.")
    console = console or Console()
    pair = default_pair(data.spec, without=without)
    requests, summary = data.read(console=console)
    if scores is None:
        recipe, teacher = METHODS[method](pair), None
    else:
        requests = _scored(requests, scores, console)
        recipe = ranking_pair.two_stage(pair, stored=_STORED)
        teacher = StoredScores(_STORED)
    problem = Problem.of(data, requests, summary)
    if teacher and np.isnan(problem.train.scores[_STORED]).all():
        raise ValueError(
            f"The store in {str(scores)!r} has no score of any training impression; "
            "was it made of this table?"
        )
    return run(
        f"Teacher and student on {data.name}",
        problem,
        recipe.changed(epochs=epochs),
        out,
        seeds=seeds,
        teacher=teacher,
        console=console,
    )


def _scored(requests: Requests, scores: Path, console: Console) -> Requests:
    """The requests with the scores of a store; how many have none is printed."""
    store = ScoreStore.open(scores)
    requests, coverage = join_requests(requests, store, {"score": _STORED})
    console.print(f"Impressions: {coverage}.")
    return requests
