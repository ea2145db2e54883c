"""A coarse ranker under a fine one: which form of distillation keeps what it needs.

    python benchmarks/coarse.py simulator
    python benchmarks/coarse.py movielens-1m --data-dir DIR

EASE recalls 200 unseen items for each user; the coarse student (two towers with a light
interaction, without the privileged features) passes 50 of them on. Judged
are the share of the teacher's best 10 among the 50, the share of the recalled test
positives among them, and AUC on the test lists. All students see the same lists, the
labelled ones and the recalled ones, which only the teacher labels; each has the trials
of `Coarse` on seed 0 and validation, then three seeds. A run is one line of
benchmarks/results/coarse.jsonl; docs/two_stage.md has the tables.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import store
import tensorflow as tf
from harness import Bench, Settings
from ranking import load, narrowed
from ranking_data import RankingProblem

from tfdistill.data import Requests
from tfdistill.losses import (
    DistillationLoss,
    ListSoftmaxKL,
    PlackettLuce,
    RankNet,
    SigmoidSoftLabel,
)
from tfdistill.metrics import top_k
from tfdistill.models import CoarseTwoTower, DcnV2, Net
from tfdistill.study import Problem, Recipe, train
from tfdistill.study.evaluators import ListEvaluator, Ranker
from tfdistill.teachers.ease import tuned_ease
from tfdistill.trainers import LoggedTeacher
from tfdistill.zoo import coarse_from_lists, privileged_coarse, ranking_pair
from tfdistill.zoo.ranking_pair import Pair

RECALLED, KEPT, BEST = 200, 50, 10
WIDTH = 50  # of a training list
EPOCHS = 10
DIM = 12


def _two_stage(loss: DistillationLoss, hard: float = 0.5) -> Callable[[Pair], Recipe]:
    return lambda pair: coarse_from_lists.recipe(pair.fine, loss, hard=hard)


ROWS: dict[str, Callable[[Pair], Recipe]] = {
    "alone": ranking_pair.alone,
    "two-stage, point": _two_stage(SigmoidSoftLabel()),
    "two-stage, point, no labels": _two_stage(SigmoidSoftLabel(), hard=0.0),
    "two-stage, pair": _two_stage(RankNet()),
    "two-stage, list": _two_stage(ListSoftmaxKL()),
    "two-stage, list's head": _two_stage(PlackettLuce(topk=BEST)),
    "joint, soft labels and hint": ranking_pair.joint,
    "joint, PFD": lambda p: privileged_coarse.recipe(p.teacher, p.fine),
}
TEACHER = "teacher"


class Stage(NamedTuple):
    """What the coarse ranker of a problem learns from and is judged on.

    The pair has the coarse ranker as `fine`; `train` are labelled and recalled lists
    `[R, WIDTH]`, `recalled` unseen items of each test user `[U, RECALLED]`, `users` the
    test request whose features stand for each user `[U]`, and `relevant` bool `[U,
    RECALLED]` the positives of the test part.
    """

    problem: RankingProblem
    pair: Pair
    train: Requests
    recalled: np.ndarray
    users: np.ndarray
    relevant: np.ndarray


def make_stage(problem: RankingProblem, seed: int = 0) -> Stage:
    """Recalls candidates and makes the training lists."""
    train_, test = problem.train, problem.test
    num_users = 1 + max(p.group.max() for p in (train_, problem.valid, test))
    liked, hoped = train_.positives(), problem.valid.positives()
    ease, _ = tuned_ease(liked, hoped, num_users)
    recalled = top_k(ease, num_users, RECALLED, seen=problem.known)
    users, first = np.unique(test.group, return_index=True)
    target = test.positives()
    relevant = target.contains(users[:, np.newaxis], recalled[users])
    served = problem.student_features
    pair = Pair(
        Net(DcnV2(1, (128, 64), dropout=0.2), problem.spec.names),
        Net(CoarseTwoTower((32,), dim=16), served),
    )
    shown = dataclasses.replace(train_, scores={})  # the simulator's true rates
    lists = coarse_from_lists.with_recalled(shown, recalled, width=WIDTH, seed=seed)
    return Stage(problem, pair, lists, recalled[users], first, relevant)


class Coarse(Bench):
    """A problem's stage, its teacher and what was trained under it."""

    name, page = "coarse", "two_stage.md"
    problems = ("simulator", "movielens-1m")
    rows = (TEACHER, *ROWS)
    trials = {f"rate-{rate}": {"learning_rate": rate} for rate in (1e-3, 2e-3, 4e-3)}
    chosen_by = "auc"
    seeds = 3
    columns = {
        "teacher's best 10 kept": "teacher's best kept",
        "positives kept": "positives kept",
        "AUC": "auc",
        "GAUC": "gauc",
    }

    @functools.cached_property
    def stage(self) -> Stage:
        return make_stage(load(self.problem, self.data_dir))

    @functools.cached_property
    def evaluators(self) -> dict[str, ListEvaluator]:
        problem = self.stage.problem
        return {
            "valid": ListEvaluator(problem.valid),
            "test": ListEvaluator(problem.test),
        }

    def trained(self, row: str, settings: Settings, seed: int) -> tf.keras.Model:
        pair, requests, teacher = self.stage.pair, self.stage.problem.train, None
        if row == TEACHER:
            recipe = ranking_pair.teacher(pair)
        else:
            recipe, requests = ROWS[row](pair), self.stage.train
            if "two-stage" in row:
                requests = requests.with_scores({"taught": self.taught(seed)})
                teacher = LoggedTeacher({"score": "taught"})
        spec = narrowed(self.stage.problem.spec, DIM)
        nets = train(
            recipe.changed(epochs=EPOCHS, chosen_by="auc", **settings),
            Problem(spec, requests, **self.evaluators),
            self.folder(row, settings, seed),
            teacher=teacher,
            seed=seed,
        )
        judged = next(net for net in nets if net != TEACHER or row == TEACHER)
        return nets[judged].models[judged]

    def taught(self, seed: int) -> np.ndarray:
        """The teacher's logits on the training lists, scored once for a seed."""
        train, teacher = self.stage.train, self.teacher(seed)

        def scored() -> dict[str, np.ndarray]:
            (logits,) = ListEvaluator(train).logits(teacher).values()
            return {"logits": np.where(train.candidates >= 0, logits, np.nan)}

        made_of = [train.fingerprint, teacher.get_weights()]
        return store.kept(self.work / f"scores-{seed}", made_of, scored)["logits"]

    def teacher(self, seed: int) -> tf.keras.Model:
        """The teacher that all rows of a seed are compared with."""
        return self.trained(TEACHER, self.best(TEACHER), seed)

    def metrics(
        self, row: str, trained: tf.keras.Model, part: str, seed: int
    ) -> dict[str, float]:
        """AUC and GAUC on the lists of a part; of test also what passes the stage."""
        stage, evaluator = self.stage, self.evaluators[part]
        (logits,) = evaluator.logits(trained).values()
        found = {
            metric: evaluator.ranking(logits)[metric] for metric in ("auc", "gauc")
        }
        if part == "valid":
            return found
        kept, best = (
            _best(ranker(stage.users, stage.recalled), stage.recalled, k)
            for net, k in ((trained, KEPT), (self.teacher(seed), BEST))
            for ranker in [Ranker(net, stage.problem.test)]
        )
        hit = stage.relevant & (stage.recalled >= 0)
        passed = {
            "teacher's best kept": kept[best].mean(),
            "positives kept": (kept & hit).sum() / hit.sum(),
        }
        return {**passed, **found}


def _best(scores: np.ndarray, items: np.ndarray, k: int) -> np.ndarray:
    """Where the k best of each list are, bool as the scores."""
    scores = np.where(items >= 0, scores, -np.inf)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    chosen = np.zeros(scores.shape, bool)
    np.put_along_axis(chosen, order, True, axis=1)
    return chosen & (items >= 0)


if __name__ == "__main__":
    Coarse.main()
