"""A network that ranks what simple scorers find: the powerful teacher as a Keras net.

Run: `python benchmarks/main_job.py --rows teacher`.

It takes the place of boosted trees in a `CandidateTeacher`, on the same candidates and
the same features of pairs, and is trained as any net is:

    learn = td.zoo.candidate_ranker.network("runs/teacher")
    teacher = CandidateTeacher.fit(problem, learn=learn)
    student = td.zoo.list_student(teacher.lists(problem.train, cut=1.0))
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.console import Console

from tfdistill.data.requests import Requests
from tfdistill.losses import MinMax, RelevanceCrossEntropy
from tfdistill.models import Architecture, Dnn, Net
from tfdistill.spec import FeatureSpec
from tfdistill.study.evaluators import ListEvaluator
from tfdistill.study.problem import Problem
from tfdistill.study.recipe import Recipe, Schedule, Terms
from tfdistill.study.trained import TrainedNet
from tfdistill.study.ways import train
from tfdistill.trainers import Transfer

__all__ = ["SCHEDULE", "NetRanker", "labels", "network", "recipe"]

TEACHER = "teacher"
"""Name of the net."""

SCHEDULE = Schedule(
    epochs=14,
    batch_size=32,
    negatives=0,
    learning_rate=2e-3,
    annealed=True,
    chosen_by="ndcg@10",
)
"""Of rankers that learn whole lists of candidates."""

_NET = Dnn((128, 64), dropout=0.3, l2=1e-5)


def labels(name: str) -> Transfer:
    """Returns the softmax of a list's labels, the hard loss of a ranker of lists.

    Args:
        name: Name of the net.

    Example:
        >>> labels("fine").name
        'fine_labels'
    """
    softmax = RelevanceCrossEntropy(MinMax(top=1.0))
    own = f"{name}_labels"
    return Transfer(own, None, name, softmax, labels=name, weights=name)


def recipe(spec: FeatureSpec, architecture: Architecture = _NET) -> Recipe:
    """Returns the recipe of a ranker of lists by a softmax over each list.

    `L = -sum_j y_j log softmax(z)_j / sum_j y_j`; the epoch with the best NDCG@10 on
    the validation lists is kept.

    Args:
        spec: The features that it reads.
        architecture: The net: an MLP 128-64 by default; `DcnV2()` is the other one.

    Example:
        >>> from tfdistill.spec import Feature
        >>> spec = FeatureSpec((Feature("EASE", "numeric", "pair"),))
        >>> recipe(spec).schedule.chosen_by
        'ndcg@10'
    """
    return Recipe(
        {TEACHER: Net(architecture, spec.names)},
        terms=Terms(transfers=(labels(TEACHER),), loss_weights={TEACHER: 0.0}),
        schedule=SCHEDULE,
    )


@dataclasses.dataclass(frozen=True, eq=False)
class NetRanker:
    """A trained net as a ranker of a `CandidateTeacher`.

    Args:
        net: The net.
    """

    net: TrainedNet

    def logits(self, requests: Requests) -> np.ndarray:
        """Returns its logits float32 `[R, L]` of all candidates, NaN where padded."""
        logits = self.net.logits(ListEvaluator(requests))
        return np.where(requests.candidates >= 0, logits, np.float32(np.nan))


def network(
    directory: str | Path,
    architecture: Architecture = _NET,
    *,
    console: Console | None = None,
    **changes: object,
) -> Callable[[FeatureSpec, Requests, Requests, int], NetRanker]:
    """Returns what learns a `CandidateTeacher`'s ranker: `fit(learn=network(...))`.

    Args:
        directory: Folder of the training; a finished one is only read.
        architecture: The net.
        console: Where progress is printed.
        **changes: Other values of the recipe's fields, such as `epochs=5`.
    """

    def learn(
        spec: FeatureSpec, lists: Requests, valid: Requests, seed: int
    ) -> NetRanker:
        taught = lists.select((lists.labels > 0).any(axis=1))
        scaled, evaluator = _scaled(spec, taught), ListEvaluator(valid)
        nets = train(
            recipe(scaled, architecture).changed(**changes),
            Problem(scaled, taught, evaluator, evaluator),
            Path(directory) / f"seed-{seed}",
            seed=seed,
            console=console,
        )
        return NetRanker(nets[TEACHER])

    return learn


def _scaled(spec: FeatureSpec, requests: Requests) -> FeatureSpec:
    """The spec whose pair features have mean 0 and deviation 1 in these lists."""
    there = requests.candidates >= 0
    features = []
    for feature in spec.features:
        values = requests.listed_pairs[feature.name][there]
        spread = float(values.std()) or 1.0
        features.append(
            dataclasses.replace(feature, mean=float(values.mean()), scale=spread)
        )
    return FeatureSpec(tuple(features), spec.tables)
