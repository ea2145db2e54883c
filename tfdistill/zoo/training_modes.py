"""Four ways to train the same stages on an equal budget, and what each one gives."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from rich.console import Console

from tfdistill.data.pair_set import PairSet
from tfdistill.data.requests import Requests
from tfdistill.data.spec import FeatureSpec
from tfdistill.export import parameters
from tfdistill.metrics import cascade_summary, rerank, retrieval_summary
from tfdistill.models import joint_network
from tfdistill.study.judge import CatalogueJudge
from tfdistill.study.progress import EpochProgress
from tfdistill.study.recipe import Recipe
from tfdistill.study.trained import TrainedNet
from tfdistill.study.training import train
from tfdistill.trainers import FrozenTeacher
from tfdistill.zoo.comparison import Sizes, cascade_sets
from tfdistill.zoo.frozen_cascade import students, trained_teacher
from tfdistill.zoo.unified_cascade import STAGES, Nets

__all__ = ["MODES", "judged", "shown_sets", "student_parameters", "train_mode"]

MODES = ("joint", "frozen", "distilled", "independent")
"""How the stages are trained.

- joint: the teacher and the three students in one fit;
- frozen: the teacher first, then the three students in one pass;
- distilled: the teacher first, then each student in a training of its own;
- independent: each student in a training of its own, from labels alone.

The students of the first two share tables.
"""


def train_mode(
    mode: str,
    unified: Recipe,
    spec: FeatureSpec,
    requests: Requests,
    judge: CatalogueJudge,
    directory: Path,
    *,
    known: PairSet | None = None,
    seed: int = 0,
    console: Console | None = None,
) -> dict[str, TrainedNet]:
    """Trains the stages in one of the ways, each student for as many steps.

    Run again with the same directory it goes on where it stopped; `"frozen"` and
    `"distilled"` have the same teacher, which is trained once.

    Args:
        mode: One of `MODES`.
        unified: What `unified_cascade.recipe` returned, for `"joint"`; the recipes of
            the other ways are made of it, with the same nets, batches and settings.
        spec: As for `train`, and so are the other arguments.
        requests: The training requests.
        judge: Validation.
        directory: Where checkpoints are kept.
        known: Training pairs.
        seed: The seed.
        console: Where progress is printed.

    Returns:
        The nets by name; `"independent"` has no teacher.

    Raises:
        ValueError: If there is no such mode.
    """
    if mode not in MODES:
        raise ValueError(f"The training must be one of {MODES}, got {mode!r}.")

    def trained(
        name: str, recipe: Recipe, teacher: FrozenTeacher | None = None
    ) -> dict[str, TrainedNet]:
        label = f"seed {seed}, {name}"
        with EpochProgress(label, recipe, console or Console(quiet=True)) as progress:
            return train(
                recipe,
                spec,
                requests,
                judge,
                directory / name.replace(" ", "-"),
                known=known,
                teacher=teacher,
                seed=seed,
                callbacks=(progress,),
            )

    if mode == "joint":
        return trained("joint", unified)
    nets: dict[str, TrainedNet] = {}
    if mode == "independent":
        for stage in STAGES:
            nets.update(trained(f"{stage} alone", unified.only(stage)))
        return nets
    first = unified.only("teacher")
    nets.update(trained("teacher", first))
    teacher = trained_teacher(first, spec, directory / "teacher")
    for stages in _groups(mode):
        name = " ".join((*stages, "under the teacher"))
        nets.update(trained(name, students(unified, teacher, stages), teacher))
    return nets


def student_parameters(mode: str, nets: Nets, spec: FeatureSpec) -> int:
    """Counts the weights of the three students; what they share counts once.

    Args:
        mode: One of `MODES`.
        nets: The nets by name.
        spec: The features.
    """
    networks = [
        joint_network(spec, {stage: nets[stage] for stage in stages})
        for stages in _groups(mode)
    ]
    counts = [parameters(network.model) for network in networks]
    return sum(count.tables + count.rest for count in counts)


def shown_sets(
    judge: CatalogueJudge,
    nets: Mapping[str, TrainedNet],
    sizes: Sizes,
    *,
    best: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Runs the cascade for every user of a part, beside the teacher if there is one.

    Args:
        judge: The judge of the part.
        nets: The nets by name.
        sizes: What each stage keeps.
        best: The teacher's best items of the catalogue `[U, sizes.recall]`, if they are
            known: to find them it scores every item for every user.

    Returns:
        Item rows, int32 `[U, kept]`, best first: what each of `STAGES` keeps,
        `"teacher"`, the teacher's best of the catalogue, as many as recall returns, and
        `"teacher over recall"`, its page of what recall returned.
    """
    sets = dict(cascade_sets(judge, nets, sizes))
    if "teacher" in nets:
        teacher = nets["teacher"]
        sets["teacher"] = teacher.top(judge, sizes.recall) if best is None else best
        sets["teacher over recall"] = rerank(
            sets["recall"],
            judge.for_users(teacher.ranker(judge.requests)),
            sizes.page,
        )
    return sets


def judged(
    judge: CatalogueJudge, sets: Mapping[str, np.ndarray], sizes: Sizes
) -> dict[str, float]:
    """Judges what a cascade shows and what each stage lets through.

    Args:
        judge: The judge of the part.
        sets: What `shown_sets` gave.
        sizes: What each stage keeps.

    Returns:
        `page/` with NDCG@10 and Recall of what is shown, and so `teacher/`, `teacher
        over recall/` and `recall alone/`, its first items as a page; for each stage
        `survival` of the relevant items and, if there is a teacher, `overlap` with its
        best at the same cut.
    """
    stages = {stage: sets[stage] for stage in STAGES}
    teacher = {name: items for name, items in sets.items() if name not in stages}
    pages = {"page": sets["fine"], "recall alone": sets["recall"], **teacher}
    found = {
        f"{name}/{metric}": value
        for name, items in pages.items()
        for metric, value in retrieval_summary(
            items, judge.relevant, judge.popular, cuts=(sizes.page,)
        ).items()
    }
    nobody = np.full((len(judge.first), sizes.recall), -1)
    best = teacher.get("teacher", nobody)
    kept = cascade_summary(stages, judge.relevant, best, judge.popular)
    for stage, values in kept.items():
        found.update({f"{stage}/{metric}": value for metric, value in values.items()})
    return {name: value for name, value in found.items() if not math.isnan(value)}


def _groups(mode: str) -> list[tuple[str, ...]]:
    """The students that share tables in a mode."""
    together = mode in ("joint", "frozen")
    return [STAGES] if together else [(stage,) for stage in STAGES]
