"""A coarse and a fine ranker of what recall returns, taught by a powerful teacher.

Run: `python benchmarks/main_job.py --rows "page taught"`.

They read how a candidate stands with recall (`Feature(stage="recall")`), and nothing
that is not there when serving. What they learn from is what a recall student returned
that had learned nothing of the time it was asked about: it is trained with
`States.rolling(end=0.875)`, and asked at .875 for the window after it.

    problem = dataclasses.replace(problem, spec=with_standing(problem.spec))
    nets = train_stages(problem, directory, teacher=CandidateTeacher.fit(problem))
    nets.cascade(recall=200, coarse=50).metrics(problem.test)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from rich.console import Console

from tfdistill.data.requests import Requests
from tfdistill.data.states import (
    TRAIN_END,
    Asked,
    States,
    asked_in_windows,
    taken_among,
    users_at,
)
from tfdistill.data.teacher_lists import RankedLists
from tfdistill.losses import ListSoftmaxKL
from tfdistill.models import CoarseTwoTower, Dnn, Net
from tfdistill.spec import Feature, FeatureSpec
from tfdistill.study.evaluators import ListEvaluator
from tfdistill.study.nets import Cascade, Nets
from tfdistill.study.problem import Problem
from tfdistill.study.recipe import Recipe, Terms
from tfdistill.study.trained import TrainedNet
from tfdistill.study.ways import train
from tfdistill.trainers import Transfer
from tfdistill.zoo import candidate_ranker, recall_from_history

__all__ = ["CandidatesTeacher", "recalled", "recipe", "train_stages", "with_standing"]

STANDING = "standing with recall"
"""Name of the feature."""

TEACHER = "teacher"
"""Name of the teacher's scores among those of the requests."""


class CandidatesTeacher(Protocol):
    """A teacher that lists items and scores candidates, such as `CandidateTeacher`."""

    def lists(self, known: Requests, *, cut: float) -> RankedLists:
        """Returns the best items of each user at a cut."""

    def scores(self, requests: Requests) -> np.ndarray:
        """Returns the scores of the requests' candidates, `[R, L]`."""


def with_standing(spec: FeatureSpec) -> FeatureSpec:
    """Returns the spec with the feature that says how an item stands with recall.

    Args:
        spec: The features.

    Example:
        >>> spec = FeatureSpec((Feature("price", "numeric", "item"),))
        >>> with_standing(spec).names
        ('price', 'standing with recall')
    """
    stands = Feature(STANDING, "numeric", "pair", shape=(2,), stage="recall")
    return FeatureSpec((*spec.features, stands), spec.tables)


def recalled(
    recall: TrainedNet, problem: Problem, asked: Asked, *, keep: int = 200
) -> Requests:
    """Returns what a recall net finds for users at some time, labelled by what came.

    Args:
        recall: The net; it has learned nothing from `asked.clock` on.
        problem: With a log; its training requests have the users' features.
        asked: Who asks, and what is relevant then.
        keep: How many items recall returns; what the user had is none of them.
    """
    log, known = problem.interaction_log, problem.train
    histories = log.histories(asked.user, asked.clock)
    nothing = np.zeros((len(histories), 1))
    requests = Requests(
        users_at(known, histories),
        known.items,
        nothing.astype(np.int32),
        nothing.astype(np.float32),
        asked.user,
        clock=asked.clock,
    )
    stage = Cascade({"recall": recall}, (keep,))
    found = stage.passed(requests, histories.pairs)
    labels = taken_among(log.positives, asked, found.candidates)
    return dataclasses.replace(found, labels=labels.astype(np.float32))


def recipe(spec: FeatureSpec, *, weight: float = 3.0) -> Recipe:
    """Returns the recipe of both rankers under the teacher's stored scores.

    `L = L_softmax(labels) + weight * KL(softmax(z_t), softmax(z))` over each list. It
    has no privileged feature; `training="independent"` leaves the second term out.

    Args:
        spec: The features, with that of recall.
        weight: Of what the teacher's scores teach.

    Example:
        >>> age = Feature("age", "numeric", "user")
        >>> price = Feature("price", "numeric", "item")
        >>> spec = with_standing(FeatureSpec((age, price)))
        >>> [transfer.name for transfer in recipe(spec).terms.transfers]
        ['coarse_labels', 'coarse_list', 'fine_labels', 'fine_list']
    """
    stands = [f.name for f in spec.features if f.stage == "recall"]
    names = (*recall_from_history.tower(spec).features, *stands)
    nets = {
        "coarse": Net(CoarseTwoTower((32,), dim=16, interaction=8), names),
        "fine": Net(Dnn((32, 16)), names),
    }
    transfers: list[Transfer] = []
    for name in nets:
        transfers += [
            candidate_ranker.labels(name),
            Transfer(
                f"{name}_list", TEACHER, name, ListSoftmaxKL(), weight, mask="mask"
            ),
        ]
    return Recipe(
        nets,
        terms=Terms(
            transfers=tuple(transfers),
            loss_weights=dict.fromkeys(nets, 0.0),
            stored=(TEACHER,),
        ),
        schedule=dataclasses.replace(
            candidate_ranker.SCHEDULE, epochs=12, learning_rate=3e-3
        ),
    )


def train_stages(
    problem: Problem,
    directory: str | Path,
    *,
    teacher: CandidatesTeacher | None = None,
    cut: float = 0.875,
    keep: int = 200,
    recall: Callable[..., Recipe] = recall_from_history.recipe,
    rankers: Callable[[FeatureSpec], Recipe] = recipe,
    seed: int = 0,
    console: Console | None = None,
) -> Nets:
    """Trains a recall student, and coarse and fine rankers of what it returns.

    A student that learns up to the cut finds the rankers' training lists at the cut;
    the one that is served learns up to the end of training, and finds the lists of
    validation, which choose the rankers' epochs.

    Args:
        problem: With a log, and a spec that has `with_standing`.
        directory: Folder of the trainings; finished ones are only read.
        teacher: Teaches all three; None for stages from labels alone, whose rankers
            learn on what their own recall student returns.
        cut: Where the rankers' window begins; it goes to the end of training.
        keep: How many items recall passes on.
        recall: The recipe of recall, as `recall_from_history.recipe`.
        rankers: The recipe of the rankers, as `recipe`.
        seed: Seed of the trainings.
        console: Where progress is printed.

    Returns:
        The nets `"recall"`, `"coarse"` and `"fine"`.
    """
    folder, log = Path(directory), problem.interaction_log
    ends, train_part = (cut, TRAIN_END), problem.train
    lists = {c: teacher.lists(train_part, cut=c) for c in ends} if teacher else {}
    options: dict[str, Any] = {
        "training": "joint" if teacher else "independent",
        "seed": seed,
        "console": console,
    }
    found = {}
    for end in ends:
        known = {c: listed for c, listed in lists.items() if c <= end}
        states = States.rolling(end=end)
        learned = recall(problem.spec, known, states=states)
        found[end] = train(learned, problem, folder / f"up-to-{end:g}", **options)
    users = np.unique(problem.valid.requests.group)
    begins = np.full(len(users), TRAIN_END)
    asked = {
        cut: asked_in_windows(log, [(cut, TRAIN_END)]),
        TRAIN_END: Asked(users, begins, begins + 1.0),
    }
    shown, judged = (
        recalled(found[end]["recall"], problem, asked[end], keep=keep) for end in ends
    )
    if teacher:
        shown = shown.with_scores({TEACHER: teacher.scores(shown)})
    evaluator = ListEvaluator(judged)
    data = dataclasses.replace(problem, train=shown, valid=evaluator, test=evaluator)
    later = train(rankers(problem.spec), data, folder / "rankers", **options)
    return Nets({**found[TRAIN_END], **later})
