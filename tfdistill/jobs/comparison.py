"""Compares the teacher, students alone and distilled students, stage by stage."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from tfdistill.metrics import cascade_summary, retrieval_summary
from tfdistill.report import (
    ALONE,
    DISTILLED,
    TEACHER,
    Baseline,
    CalibrationBins,
    Cascade,
    CascadeStage,
    Model,
    Stage,
    over_seeds,
)
from tfdistill.scorers import baselines
from tfdistill.study.evaluators import CatalogueEvaluator, ListEvaluator
from tfdistill.study.nets import Cascade as Stages
from tfdistill.study.nets import Nets
from tfdistill.study.problem import Problem
from tfdistill.study.recipe import Recipe
from tfdistill.study.trained import TrainedNet
from tfdistill.study.validation import measurable

__all__ = ["Run", "Sizes", "calibrations", "cascades", "compared_with", "stages"]


class Outside(Protocol):
    """A teacher that is no net of the run: stored scores, a simple model."""

    def metrics(self, evaluator: ListEvaluator) -> dict[str, float]:
        """Its metrics at what it teaches."""


@dataclasses.dataclass(frozen=True)
class Run:
    """What was trained with one seed.

    Args:
        distilled: The students under their teacher, and the teacher if it is a net.
        alone: The students from labels alone.
        outside: The teacher where it is none of the nets.
    """

    distilled: Nets
    alone: Nets
    outside: Outside | None = None

    def models(self, stage: str) -> dict[str, TrainedNet]:
        """Returns the nets of a stage that are held against each other, by name."""
        teacher = self.distilled.teacher
        found = {} if teacher is None else {TEACHER: teacher}
        return {**found, ALONE: self.alone[stage], DISTILLED: self.distilled[stage]}

    def metrics(
        self, stage: str, evaluator: ListEvaluator
    ) -> dict[str, dict[str, float]]:
        """Returns the metrics of each model of a stage at the student's task."""
        nets, task = self.models(stage), self.alone[stage].task
        found = {name: net.metrics(evaluator, task) for name, net in nets.items()}
        if TEACHER in nets or self.outside is None:
            return found
        return {TEACHER: self.outside.metrics(evaluator), **found}


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How many items each stage of the cascade keeps.

    Args:
        recall: Kept of the catalogue.
        coarse: Kept of those.
        page: Shown.
    """

    recall: int = 200
    coarse: int = 50
    page: int = 10

    @classmethod
    def fitting(cls, num_items: int) -> Sizes:
        """Returns the usual sizes, 500 -> 100 -> 10 for catalogues of 3,000 or more."""
        return cls(500, 100) if num_items >= 3000 else cls()

    @property
    def kept(self) -> dict[str, int]:
        """What each stage keeps, by its name."""
        return {"recall": self.recall, "coarse": self.coarse, "fine": self.page}

    def cascade(self, nets: Mapping[str, TrainedNet]) -> Stages:
        """Returns the students one after the other.

        Args:
            nets: The students by stage, and any others.
        """
        return Stages({n: nets[n] for n in self.kept}, tuple(self.kept.values()))


def stages(problem: Problem, recipe: Recipe, runs: Sequence[Run]) -> list[Stage]:
    """Evaluates every student on its task, with its teacher on the same task.

    Args:
        problem: The data: validation and test are evaluated.
        recipe: What was trained.
        runs: The nets of each seed.

    Returns:
        One entry per student.
    """
    chosen = measurable(recipe, problem.valid)
    parts = {"validation": problem.valid, "test": problem.test}
    found = []
    for stage in recipe.students:
        values = {
            part: [run.metrics(stage, evaluator) for run in runs]
            for part, evaluator in parts.items()
        }
        models = [
            Model(
                name,
                **{p: over_seeds([run[name] for run in v]) for p, v in values.items()},
            )
            for name in values["test"][0]
        ]
        found.append(Stage(stage, chosen.primary(stage), models))
    return found


def compared_with(problem: Problem, recipe: Recipe) -> list[Baseline]:
    """Evaluates the baselines of a problem whose catalogue is ranked.

    Args:
        problem: The data.
        recipe: What was trained; a recipe of rankers alone has no such baseline.
    """
    if problem.log is None or not recipe.recallers:
        return []
    return [
        Baseline(name, model.metrics(problem.valid), model.metrics(problem.test))
        for name, model in baselines(problem).items()
    ]


def cascades(
    evaluator: ListEvaluator, runs: Sequence[Run], sizes: Sizes
) -> list[Cascade]:
    """Runs the whole cascade for every user of a part.

    Args:
        evaluator: The evaluator of the part.
        runs: The nets of each seed; a net of them is the teacher.
        sizes: What each stage keeps.

    Returns:
        The teacher over the whole catalogue, and the two cascades; every overlap is
        with the seed's own teacher.
    """
    evaluator = evaluator.over_catalogue("A cascade")
    best = [run.distilled["teacher"].top(evaluator, sizes.recall) for run in runs]
    kept = {
        TEACHER: [{n: top[:, :k] for n, k in sizes.kept.items()} for top in best],
        ALONE: [sizes.cascade(run.alone).kept(evaluator) for run in runs],
        DISTILLED: [sizes.cascade(run.distilled).kept(evaluator) for run in runs],
    }
    return [_cascade(name, evaluator, sets, best, sizes) for name, sets in kept.items()]


def _cascade(
    name: str,
    evaluator: CatalogueEvaluator,
    kept: Sequence[Mapping[str, np.ndarray]],
    best: Sequence[np.ndarray],
    sizes: Sizes,
) -> Cascade:
    """The page of a cascade and what its stages let through, over seeds."""
    pages = [
        retrieval_summary(
            sets["fine"], evaluator.relevant, evaluator.popular, cuts=(10,)
        )
        for sets in kept
    ]
    summaries = [
        cascade_summary(sets, evaluator.relevant, top, evaluator.popular)
        for sets, top in zip(kept, best)
    ]
    through = [
        CascadeStage(stage, size, over_seeds([summary[stage] for summary in summaries]))
        for stage, size in sizes.kept.items()
    ]
    return Cascade(name, over_seeds(pages), through)


def calibrations(evaluator: ListEvaluator, run: Run) -> list[CalibrationBins]:
    """Returns the reliability bins of the rankers of one seed.

    Args:
        evaluator: The evaluator of the part.
        run: The nets of the seed.
    """
    rankers = [n for n in run.alone if run.alone[n].task == "ranking"]
    return [
        CalibrationBins(
            stage,
            name,
            predicted=bins.predicted.tolist(),
            observed=bins.observed.tolist(),
            count=bins.count.tolist(),
        )
        for stage in rankers
        for name, model in run.models(stage).items()
        for bins in [model.calibration(evaluator)]
    ]
