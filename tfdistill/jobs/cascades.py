"""What each way of training the same stages gives: pages, survivals, weights."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from tfdistill.export import parameters
from tfdistill.jobs.comparison import Sizes
from tfdistill.metrics import cascade_summary, rerank, retrieval_summary
from tfdistill.models import joint_network
from tfdistill.spec import FeatureSpec
from tfdistill.study.evaluators import CatalogueEvaluator
from tfdistill.study.recipe import Recipe
from tfdistill.study.trained import TrainedNet
from tfdistill.study.ways import together

__all__ = ["judged", "shown_sets", "student_parameters"]


def student_parameters(training: str, recipe: Recipe, spec: FeatureSpec) -> int:
    """Counts the weights of the students; what they share counts once.

    Args:
        training: One of `WAYS`.
        recipe: What was trained.
        spec: The features.
    """
    networks = [
        joint_network(spec, {name: recipe.nets[name] for name in students})
        for students in together(recipe, training)
    ]
    counts = [parameters(network.model) for network in networks]
    return sum(count.tables + count.rest for count in counts)


def shown_sets(
    evaluator: CatalogueEvaluator,
    nets: Mapping[str, TrainedNet],
    sizes: Sizes,
    *,
    best: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Runs the cascade for every user of a part, beside the teacher if there is one.

    Args:
        evaluator: The evaluator of the part.
        nets: The nets by name.
        sizes: What each stage keeps.
        best: The teacher's best items of the catalogue `[U, sizes.recall]`, if they are
            known: to find them it scores every item for every user.

    Returns:
        Item rows, int32 `[U, kept]`, best first: what each stage keeps,
        `"teacher"`, the teacher's best of the catalogue, as many as recall returns, and
        `"teacher over recall"`, its page of what recall returned.
    """
    sets = dict(sizes.cascade(nets).kept(evaluator))
    if "teacher" in nets:
        teacher = nets["teacher"]
        sets["teacher"] = teacher.top(evaluator, sizes.recall) if best is None else best
        sets["teacher over recall"] = rerank(
            sets["recall"],
            evaluator.for_users(teacher.ranker(evaluator.requests)),
            sizes.page,
        )
    return sets


def judged(
    evaluator: CatalogueEvaluator, sets: Mapping[str, np.ndarray], sizes: Sizes
) -> dict[str, float]:
    """Judges what a cascade shows and what each stage lets through.

    Args:
        evaluator: The evaluator of the part.
        sets: What `shown_sets` gave.
        sizes: What each stage keeps.

    Returns:
        `page/` with NDCG@10 and Recall of what is shown, and so `teacher/`, `teacher
        over recall/` and `recall alone/`, its first items as a page; for each stage
        `survival` of the relevant items and, if there is a teacher, `overlap` with its
        best at the same cut.
    """
    stages = {stage: sets[stage] for stage in sizes.kept}
    teacher = {name: items for name, items in sets.items() if name not in stages}
    pages = {"page": sets["fine"], "recall alone": sets["recall"], **teacher}
    found = {
        f"{name}/{metric}": value
        for name, items in pages.items()
        for metric, value in retrieval_summary(
            items, evaluator.relevant, evaluator.popular, cuts=(sizes.page,)
        ).items()
    }
    nobody = np.full((len(evaluator.first), sizes.recall), -1)
    best = teacher.get("teacher", nobody)
    kept = cascade_summary(stages, evaluator.relevant, best, evaluator.popular)
    for stage, values in kept.items():
        found.update({f"{stage}/{metric}": value for metric, value in values.items()})
    return {name: value for name, value in found.items() if not math.isnan(value)}
