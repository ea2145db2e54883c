"""Compares the teacher, students alone and distilled students, stage by stage."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tfdistill.metrics import cascade_summary, retrieval_summary
from tfdistill.report import (
    ALONE,
    DISTILLED,
    MODELS,
    TEACHER,
    CalibrationBins,
    Cascade,
    CascadeStage,
    Model,
    Stage,
    over_seeds,
)
from tfdistill.study import nets as trained_nets
from tfdistill.study.judge import CatalogueJudge
from tfdistill.study.recipe import PRIMARY
from tfdistill.study.trained import TrainedNet
from tfdistill.zoo.unified_cascade import STAGES

__all__ = [
    "Sizes",
    "calibrations",
    "cascade_sets",
    "cascades",
    "stages",
    "three_models",
]

Nets = Mapping[str, TrainedNet]
Runs = Sequence[Nets]
Sets = Mapping[str, np.ndarray]

_RANKERS = ("coarse", "fine")


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

    def cascade(self, nets: Nets) -> trained_nets.Cascade:
        """Returns the students one after the other.

        Args:
            nets: The students by stage, and any others.
        """
        stages = {stage: nets[stage] for stage in STAGES}
        return trained_nets.Cascade(stages, (self.recall, self.coarse, self.page))


def stages(
    judges: Mapping[str, CatalogueJudge],
    distilled: Sequence[Nets],
    alone: Sequence[Nets],
) -> list[Stage]:
    """Judges every net on its stage's task, on validation and on test.

    Args:
        judges: The judges of `"valid"` and `"test"`.
        distilled: The jointly trained nets, one entry per seed.
        alone: The students trained alone, one entry per seed.

    Returns:
        One entry per stage, with the teacher on the same task.
    """
    values = {
        (part, model): [_judged(judge, nets) for nets in runs]
        for part, judge in judges.items()
        for model, runs in ((DISTILLED, distilled), (ALONE, alone))
    }

    def judged(stage: str, part: str, model: str) -> list[dict[str, float]]:
        runs = values[part, ALONE if model == ALONE else DISTILLED]
        name = f"teacher_{stage}" if model == TEACHER else stage
        return [run[name] for run in runs]

    return [
        three_models(
            stage,
            functools.partial(judged, stage),
            PRIMARY[distilled[0][stage].task],
        )
        for stage in STAGES
    ]


def three_models(
    stage: str,
    judged: Callable[[str, str], Sequence[Mapping[str, float]]],
    primary: str,
) -> Stage:
    """Puts the teacher, the student alone and the distilled student side by side.

    Args:
        stage: Name of the stage.
        judged: Part and model to the metrics of each seed.
        primary: The metric that chose the epochs.

    Returns:
        The stage of a report.
    """
    models = [
        Model(
            model,
            validation=over_seeds(judged("valid", model)),
            test=over_seeds(judged("test", model)),
        )
        for model in MODELS
    ]
    return Stage(stage, primary, models)


def cascades(
    judge: CatalogueJudge,
    distilled: Sequence[Nets],
    alone: Sequence[Nets],
    sizes: Sizes,
) -> list[Cascade]:
    """Runs the whole cascade for every test user.

    Args:
        judge: The judge of the test part.
        distilled: The jointly trained nets, one entry per seed.
        alone: The students trained alone, one entry per seed.
        sizes: What each stage keeps.

    Returns:
        The teacher over the whole catalogue, and the two cascades; every overlap is
        with the seed's own teacher.
    """
    cuts = {"recall": sizes.recall, "coarse": sizes.coarse, "fine": sizes.page}
    best = [nets["teacher"].top(judge, sizes.recall) for nets in distilled]
    runs: dict[str, list[Sets]] = {
        TEACHER: [{name: top[:, :cut] for name, cut in cuts.items()} for top in best],
        ALONE: [cascade_sets(judge, nets, sizes) for nets in alone],
        DISTILLED: [cascade_sets(judge, nets, sizes) for nets in distilled],
    }
    found = []
    for model, sets in runs.items():
        pages = [
            retrieval_summary(s["fine"], judge.relevant, judge.popular, cuts=(10,))
            for s in sets
        ]
        summaries = [
            cascade_summary(s, judge.relevant, top, judge.popular)
            for s, top in zip(sets, best)
        ]
        kept = [
            CascadeStage(
                name, cut, over_seeds([summary[name] for summary in summaries])
            )
            for name, cut in cuts.items()
        ]
        found.append(Cascade(model, over_seeds(pages), kept))
    return found


def calibrations(
    judge: CatalogueJudge, distilled: Nets, alone: Nets
) -> list[CalibrationBins]:
    """Returns the reliability bins of the rankers of one seed on the test part."""
    found = []
    for stage in _RANKERS:
        nets = (
            (TEACHER, distilled["teacher"]),
            (ALONE, alone[stage]),
            (DISTILLED, distilled[stage]),
        )
        for model, net in nets:
            bins = judge.calibration(net.logits(judge))
            found.append(
                CalibrationBins(
                    stage,
                    model,
                    predicted=bins.predicted.tolist(),
                    observed=bins.observed.tolist(),
                    count=bins.count.tolist(),
                )
            )
    return found


def _judged(judge: CatalogueJudge, nets: Nets) -> dict[str, dict[str, float]]:
    """All metrics of each net by its name; the teacher's on every student's task."""
    found = {name: net.metrics(judge) for name, net in nets.items()}
    if "teacher" in nets:
        teacher, tasks = nets["teacher"], {nets[stage].task for stage in STAGES}
        at = {task: teacher.metrics(judge, task) for task in tasks}
        found.update({f"teacher_{stage}": at[nets[stage].task] for stage in STAGES})
    return found


def cascade_sets(judge: CatalogueJudge, nets: Nets, sizes: Sizes) -> Sets:
    """Runs recall, coarse and fine ranking for every user of the part.

    Args:
        judge: The judge of the part.
        nets: The students by stage.
        sizes: What each stage keeps.

    Returns:
        What each stage keeps, int32 `[U, kept]`, best first.
    """
    return sizes.cascade(nets).kept(judge)
