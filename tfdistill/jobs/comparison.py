"""Compares the teacher, students alone and distilled students, stage by stage."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast

import numpy as np

from tfdistill.metrics import OF_LOG_ODDS, cascade_summary, retrieval_summary
from tfdistill.models import Task
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
from tfdistill.scorers import Baseline as Simple
from tfdistill.scorers import baselines
from tfdistill.study.evaluators import CatalogueEvaluator, ListEvaluator
from tfdistill.study.nets import Cascade as Stages
from tfdistill.study.nets import Nets
from tfdistill.study.problem import Problem
from tfdistill.study.trained import TrainedNet

__all__ = ["Run", "Sizes", "calibrations", "cascades", "compared_with", "stages"]


Metrics = Mapping[str, float]
Values = dict[str, list[float]]
Known = Mapping[str, Problem]
"""A problem as each of the two, the students alone and distilled, knows it."""


class Outside(Protocol):
    """A teacher that is no net of the run: stored scores, a simple model."""

    def metrics(self, evaluator: ListEvaluator, task: Task) -> dict[str, float]:
        """Its metrics at a student's task."""


class Lister(Outside, Protocol):
    """A teacher of a whole cascade, which finds items of the catalogue."""

    def top(self, evaluator: CatalogueEvaluator, k: int) -> np.ndarray:
        """Returns each judged user's best k unseen items of the catalogue `[U, k]`."""


@dataclasses.dataclass(frozen=True)
class Run:
    """What was trained with one seed.

    Args:
        distilled: The students under their teacher, and the teacher if it is a net.
        alone: The students from labels alone.
        outside: The teacher where it is none of the nets; a `Lister` of a cascade.
    """

    distilled: Nets
    alone: Nets
    outside: Outside | None = None

    @property
    def teacher(self) -> Outside | None:
        """The teacher, whatever it is."""
        return self.distilled.teacher or self.outside

    @property
    def lister(self) -> Lister:
        """The teacher of a cascade."""
        return cast(Lister, self.teacher)

    def models(self, stage: str) -> dict[str, TrainedNet]:
        """Returns the nets of a stage that are held against each other, by name."""
        teacher = self.distilled.teacher
        found = {} if teacher is None else {TEACHER: teacher}
        return {**found, ALONE: self.alone[stage], DISTILLED: self.distilled[stage]}

    def metrics(self, part: str, known: Known) -> dict[str, dict[str, Metrics]]:
        """Returns the metrics of each model by stage, at the student's task.

        Args:
            part: `"valid"` or `"test"`.
            known: What `known` gave.
        """
        alone, distilled = (getattr(known[name], part) for name in (ALONE, DISTILLED))
        teacher, tasks = self.teacher, {n: net.task for n, net in self.alone.items()}
        taught = {  # once for all stages of a task
            task: {TEACHER: teacher.metrics(distilled, task)} if teacher else {}
            for task in set(tasks.values())
        }
        return {
            stage: {
                **taught[task],
                ALONE: self.alone[stage].metrics(alone),
                DISTILLED: self.distilled[stage].metrics(distilled),
            }
            for stage, task in tasks.items()
        }

    def known(self, problem: Problem, sizes: Sizes | None) -> Known:
        """Returns the problem as the students alone and distilled know it.

        Candidates stand with the recall net that a student is served after.

        Args:
            problem: The data.
            sizes: What each stage of a cascade keeps; None if there is none.
        """
        sides = {ALONE: self.alone, DISTILLED: self.distilled}
        return {
            name: sizes.before(problem, nets) if sizes else problem
            for name, nets in sides.items()
        }


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

    def before(self, problem: Problem, nets: Mapping[str, TrainedNet]) -> Problem:
        """Returns a problem whose candidates stand with those stages that are read.

        Args:
            problem: The problem; without features of stages it stays as it is.
            nets: As for `cascade`.
        """
        read = {feature.stage for feature in problem.spec.features}
        kept = {name: keep for name, keep in self.kept.items() if name in read}
        if not kept:
            return problem
        stages = Stages({name: nets[name] for name in kept}, tuple(kept.values()))
        return stages.before(problem)


def stages(
    primary: Mapping[str, str],
    runs: Sequence[Run],
    known: Sequence[Known],
    *,
    calibrated: bool = True,
) -> list[Stage]:
    """Evaluates every student on its task, with its teacher on the same task.

    Args:
        primary: The metric that each student's choices were made by.
        runs: The nets of each seed.
        known: What `known` gave for each run: its validation and test are evaluated.
        calibrated: Whether logits are log odds of a label; what reads them so is left
            out otherwise.

    Returns:
        One entry per student.
    """
    valid, test = (
        [run.metrics(part, seen) for run, seen in zip(runs, known)]
        for part in ("valid", "test")
    )

    def values(part: Sequence[Mapping[str, Any]], stage: str, model: str) -> Values:
        return over_seeds([_told(run[stage][model], calibrated) for run in part])

    return [
        Stage(
            stage,
            chosen,
            [
                Model(m, values(valid, stage, m), values(test, stage, m))
                for m in test[0][stage]
            ],
            over_catalogue=runs[0].alone[stage].task == "recall",
        )
        for stage, chosen in primary.items()
    ]


def _told(metrics: Metrics, calibrated: bool) -> dict[str, float]:
    """The metrics without those that read logits as log odds, if they are none."""
    return {n: v for n, v in metrics.items() if calibrated or n not in OF_LOG_ODDS}


def compared_with(
    problem: Problem, nets: Nets, tuned: Mapping[str, Simple] | None = None
) -> list[Baseline]:
    """Evaluates the baselines of a problem whose catalogue is ranked.

    Args:
        problem: The data.
        nets: What was trained; rankers alone have no such baseline.
        tuned: The baselines, if they are there already.
    """
    if problem.log is None or all(net.task != "recall" for net in nets.values()):
        return []
    return [
        Baseline(name, model.metrics(problem.valid), model.metrics(problem.test))
        for name, model in (tuned or baselines(problem)).items()
    ]


def cascades(
    evaluator: ListEvaluator, runs: Sequence[Run], sizes: Sizes
) -> list[Cascade]:
    """Runs the whole cascade for every user of a part.

    Args:
        evaluator: The evaluator of the part.
        runs: The nets of each seed, and the teacher.
        sizes: What each stage keeps.

    Returns:
        The teacher over the whole catalogue, and the two cascades; every overlap is
        with the seed's own teacher.
    """
    evaluator = evaluator.over_catalogue("A cascade")
    best = [run.lister.top(evaluator, sizes.recall) for run in runs]
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
