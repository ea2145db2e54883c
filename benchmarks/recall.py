"""What students of ranking lists recall, on four sets of implicit feedback.

    python benchmarks/recall.py citeulike --data-dir DIR [--seeds 5] [--rows A B]

Each student of `recall_rows.py` gets 8 trials on seed 0, judged by NDCG@10 of the whole
catalogue on validation, and is then trained with its best settings on every seed. All
metrics are of that one student, on test: over the whole catalogue, for head and tail
items apart, and among 499 items that are drawn once for all rows. Online Retail and
Gowalla take CiteULike's settings and 3 seeds. Each trial and each seed is one line of
benchmarks/results/recall.jsonl and isn't run again.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import extracts
import numpy as np
import store
from harness import Bench, Column, Runs, Settings
from recall_rows import BASELINES, ROWS, WIDE, Row

from tfdistill.data import ImplicitFeedback
from tfdistill.data.teacher_lists import RankedLists
from tfdistill.metrics import (
    dot_scores,
    head_items,
    retrieval_summary,
    scored_top_k,
    top_k,
)
from tfdistill.metrics.retrieval import BlockScores
from tfdistill.pairs import Pairs
from tfdistill.study import Problem, Recipe, train
from tfdistill.teachers.ease import Ease, tuned_ease
from tfdistill.teachers.fusion import fused_scores
from tfdistill.teachers.lightgcn import lightgcn_vectors
from tfdistill.zoo import recall_from_lists as zoo
from tfdistill.zoo import sequence_recall

SETS: dict[str, Callable[[pathlib.Path], ImplicitFeedback]] = {
    "citeulike": lambda folder: extracts.citeulike(folder / "citeulike"),
    "movielens-1m": lambda folder: extracts.movielens_positives(folder / "ml-1m"),
    "online-retail": lambda folder: extracts.online_retail(
        folder / "online-retail" / "online_retail.npz"
    ),
    "gowalla": lambda folder: extracts.gowalla(folder / "gowalla"),
}
DIMS = {"movielens-1m": 10}  # of students; 20 on the others
LIST = 500  # items of each teacher's list
SAMPLED = 499  # negatives of the sampled protocol
PENALTIES = (5.0, 20.0, 80.0, 300.0, 1200.0)
ONE_PENALTY = {"gowalla": (300.0,)}  # an inverse of its 29,858 users takes long

METRICS = {
    "NDCG@10": "ndcg@10",
    "Recall@10": "recall@10",
    "Recall@50": "recall@50",
    "Recall@50, head": "recall@50_head",
    "Recall@50, tail": "recall@50_tail",
    "Hits@5 of 500": "hits@5_of_500",
    "Hits@10 of 500": "hits@10_of_500",
    "NDCG@10 of 500": "ndcg@10_of_500",
}
GAINS = ("NDCG@10", "Recall@50")

Vectors = tuple[np.ndarray, np.ndarray]
"""Of users `[U, d]` and of items `[I, d]`."""


class Scored(NamedTuple):
    """A row's scores, and NDCG@10 on validation if it is a student's."""

    score: BlockScores
    valid: float | None = None


class Recall(Bench):
    """One data set with everything that was trained on it."""

    name, page = "recall", "recall.md"
    problems = tuple(SETS)
    rows = tuple(ROWS)
    tuned = dict.fromkeys(("online-retail", "gowalla"), "citeulike")
    columns = METRICS
    threads = 1

    @functools.cached_property
    def data(self) -> ImplicitFeedback:
        return SETS[self.problem](self.data_dir)

    @property
    def dim(self) -> int:
        """Width of a student's vectors."""
        return DIMS.get(self.problem, 20)

    def has(self, row: str, seed: int) -> bool:
        """Whether the set has the row; only students have further seeds."""
        chosen = ROWS[row]
        return (not chosen.ordered or self.data.last is not None) and (
            chosen.kind == "student" or not seed
        )

    def trials_of(self, row: str) -> Mapping[str, Settings]:
        return ROWS[row].trials

    def trained(self, row: str, settings: Settings, seed: int) -> Scored:
        """The scores of a row, and a student's NDCG@10 on validation."""
        if ROWS[row].kind == "teacher":
            return Scored(self.teacher(ROWS[row].teacher))
        if ROWS[row].kind == "svd":
            return Scored(dot_scores(*self.svd(ROWS[row])))
        vectors, valid = self.student(row, settings, seed)
        return Scored(dot_scores(*vectors), valid)

    def valid(self, row: str, trained: Scored) -> float | None:
        return trained.valid

    def score(self, row: str, valid: float) -> float:
        return valid

    def measured(self, row: str, trained: Scored, seed: int) -> dict[str, Any]:
        """All metrics on the test part."""
        return {"valid": trained.valid, **super().measured(row, trained, seed)}

    def student(
        self, name: str, settings: Settings, seed: int
    ) -> tuple[Vectors, float]:
        """Trains a student: its vectors, and NDCG@10 on validation."""
        row = ROWS[name]
        net = zoo.matrix_factorisation()
        if row.form is None:
            recipe = zoo.alone(net, row.base)
        else:
            weight = row.form.weight * settings["weight"]
            form = dataclasses.replace(row.form, weight=weight)
            vectors = self.vectors(row.hint) if row.hint else None
            lists = self.lists(row.teacher)
            recipe = zoo.list_student(lists, form, net=net, vectors=vectors)
        chosen = {field: settings[field] for field in ("learning_rate", "rows_l2")}
        recipe, folder = recipe.changed(**chosen), self.folder(name, settings, seed)
        return self.fitted(recipe, folder, row.width or self.dim, seed)

    def fitted(
        self, recipe: Recipe, folder: pathlib.Path, dim: int, seed: int
    ) -> tuple[Vectors, float]:
        """Trains a two-tower net: its vectors, and NDCG@10 on validation."""
        problem = Problem.from_feedback(self.data, dim=dim)
        net = train(recipe, problem, folder, seed=seed)[zoo.STUDENT]
        recaller = net.recaller(problem.train)
        blocks = np.array_split(np.arange(self.data.num_users), 20)
        users = np.concatenate([recaller.queries(rows) for rows in blocks])
        valid = round(float(max(net.history[recipe.monitor(zoo.STUDENT)])), 6)
        return (users, recaller.items()), valid

    def teacher(self, name: str) -> BlockScores:
        """Returns the scores of a teacher by its name."""
        if " + " in name:
            return fused_scores([self.teacher(part) for part in name.split(" + ")])
        if name.startswith("EASE"):
            return self.ease(name == "EASE")
        return dot_scores(*self.vectors(name))

    @functools.cache  # noqa: B019, a bench lives as long as the process
    def vectors(self, name: str) -> Vectors:
        """Returns the vectors of a two-tower teacher by its name."""
        if name == "LightGCN":
            return lightgcn_vectors(self.data, self.work / "lightgcn")
        if name == "wide":
            return self.student(WIDE, self.best(WIDE), 0)[0]
        return self.fitted(sequence_recall.recipe(), self.work / "SASRec", 64, 0)[0]

    @functools.cache  # noqa: B019, a bench lives as long as the process
    def ease(self, in_order: bool) -> Ease:
        """EASE with the penalty that validation chose, which is kept in a file."""
        data = self.data
        recent = data.last if in_order else None
        penalties = ONE_PENALTY.get(self.problem, PENALTIES)

        def chosen() -> dict[str, float]:
            model, _ = tuned_ease(
                data.train, data.valid, data.num_users, penalties, recent=recent
            )
            return {"l2": model.l2}

        made_of = [data.train.fingerprint, data.valid.fingerprint, penalties, recent]
        l2 = float(store.kept(self.work / "ease", made_of, chosen)["l2"])
        return Ease(data.train, data.num_users, l2=l2, recent=recent)

    def lists(self, teacher: str) -> RankedLists:
        """Returns a teacher's best unseen items and their scores, kept in a file."""
        data, score = self.data, self.teacher(teacher)

        def best() -> dict[str, np.ndarray]:
            users = data.num_users
            items, scores = scored_top_k(score, users, LIST, seen=data.train)
            return {"items": items, "scores": scores}

        asked = score(np.arange(min(4, data.num_users)))  # the teacher, by its scores
        made_of = [data.train.fingerprint, LIST, np.asarray(asked)]
        path = self.work / teacher.replace(" ", "")
        return RankedLists(**store.kept(path, made_of, best))

    def svd(self, row: Row) -> tuple[np.ndarray, np.ndarray]:
        """Vectors of the best approximation of a teacher's scores of their rank."""
        score, block = self.teacher(row.teacher), 512
        rng = np.random.default_rng(0)
        basis = rng.normal(size=(self.data.num_items, self.dim + 20))
        for _ in range(3):  # a randomised range finder with power iterations
            basis = self._products(score, np.linalg.qr(basis)[0], block)[1]
        basis = np.linalg.qr(basis)[0]
        users = self._products(score, basis, block)[0]
        left, values, right = np.linalg.svd(users, full_matrices=False)
        return (left * values)[:, : DIMS.get(self.problem, 20)], (basis @ right.T)[
            :, : DIMS.get(self.problem, 20)
        ]

    def _products(
        self, score: BlockScores, basis: np.ndarray, block: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns `S basis` and `S^T S basis`, by blocks of users."""
        left, right = [], np.zeros_like(basis)
        for begin in range(0, self.data.num_users, block):
            end = min(begin + block, self.data.num_users)
            scores = score(np.arange(begin, end))
            left.append(scores @ basis)
            right += scores.T @ left[-1]
        return np.concatenate(left), right

    def metrics(
        self, row: str, trained: Scored, part: str, seed: int
    ) -> dict[str, float]:
        """Over the whole catalogue, and among the drawn items."""
        data, relevant = self.data, getattr(self.data, part)
        top = top_k(trained.score, data.num_users, 50, seen=data.seen(part))
        values = retrieval_summary(top, relevant, head_items(data.popularity))
        return {**values, **self.sampled(trained.score, relevant)}

    def sampled(self, score: BlockScores, relevant: Pairs) -> dict[str, float]:
        """Hits and NDCG of each relevant item among the drawn ones, mean over pairs."""
        ranks, data = [], self.data
        drawing = np.random.default_rng(0)
        negatives = drawing.integers(0, data.num_items, (data.num_users, SAMPLED))
        for begin in range(0, self.data.num_users, 256):
            rows = np.arange(begin, min(begin + 256, self.data.num_users))
            scores = score(rows)
            drawn = np.take_along_axis(scores, negatives[rows], axis=1)
            user, item = relevant.between(begin, begin + 256)
            own = scores[user, item][:, np.newaxis]
            other = negatives[rows][user] != item[:, np.newaxis]
            ranks.append(((drawn[user] >= own) & other).sum(axis=1))
        rank = np.concatenate(ranks)
        gain = np.where(rank < 10, 1 / np.log2(rank + 2.0), 0.0)
        return {
            "hits@5_of_500": (rank < 5).mean(),
            "hits@10_of_500": (rank < 10).mean(),
            "ndcg@10_of_500": gain.mean(),
        }

    @classmethod
    def shown(cls, runs: Runs) -> Mapping[str, Column]:
        """The metrics, and what students under a teacher gain over the best alone."""
        best = max(
            (name for name in BASELINES if name in runs),
            key=lambda name: mean_of("ndcg@10", runs[name]),
            default=None,
        )

        def gain(metric: str, row: str, runs: Runs) -> str:
            mine, other = (mean_of(metric, runs[name]) for name in (row, best))
            return f"{100 * (mine / other - 1):+.1f} %" if ROWS[row].form else ""

        gains = {
            f"{title} over {best}": functools.partial(gain, METRICS[title])
            for title in (GAINS if best else ())
        }
        return {**super().shown(runs), **gains}


def mean_of(metric: str, lines: Sequence[Mapping[str, Any]]) -> float:
    """The mean of a metric over seeds."""
    return float(np.mean([line["test"][metric] for line in lines]))


if __name__ == "__main__":
    Recall.main()
