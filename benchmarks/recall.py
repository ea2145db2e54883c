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

import argparse
import dataclasses
import functools
import pathlib
from collections.abc import Callable

import extracts
import numpy as np
import store
import tensorflow as tf
from recall_rows import ROWS, WIDE, Row, Trial
from recall_table import NAME, table

from tfdistill.data import ImplicitFeedback, RecallBatches
from tfdistill.metrics import (
    dot_scores,
    head_items,
    retrieval_summary,
    scored_top_k,
    top_k,
)
from tfdistill.metrics.retrieval import BlockScores
from tfdistill.pairs import Pairs
from tfdistill.study.judge import CatalogueJudge
from tfdistill.study.recipe import Recipe
from tfdistill.study.training import train_on
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
TUNED = {"online-retail": "citeulike", "gowalla": "citeulike"}
"""Sets that take the settings of another."""

DIMS = {"movielens-1m": 10}  # of students; 20 on the others
LIST = 500  # items of each teacher's list
SAMPLED = 499  # negatives of the sampled protocol
PENALTIES = (5.0, 20.0, 80.0, 300.0, 1200.0)
ONE_PENALTY = {"gowalla": (300.0,)}  # an inverse of its 29,858 users takes long

Vectors = tuple[np.ndarray, np.ndarray]
"""Of users `[U, d]` and of items `[I, d]`."""


class Bench:
    """One data set with everything that was trained on it.

    Args:
        key: Name of the set on the command line.
        data_dir: Folder of the data sets.
        work: Folder of checkpoints and lists.
    """

    def __init__(self, key: str, data_dir: pathlib.Path, work: pathlib.Path) -> None:
        self.key, self.work, self.dim = key, work / key, DIMS.get(key, 20)
        self.work.mkdir(parents=True, exist_ok=True)
        self.data = SETS[key](data_dir)
        self.head = head_items(self.data.popularity)
        self.validation = CatalogueJudge(
            self.data.requests("valid"), self.data.seen("valid"), self.head
        )
        rng = np.random.default_rng(0)
        size = (self.data.num_users, SAMPLED)
        self.negatives = rng.integers(0, self.data.num_items, size)

    def has(self, name: str) -> bool:
        """Whether the set has the row."""
        return not ROWS[name].ordered or self.data.last is not None

    def best(self, name: str) -> Trial:
        """Returns a row's best trial on seed 0; runs what is new."""
        key, scores = TUNED.get(self.key, self.key), []
        for number, trial in enumerate(ROWS[name].trials):
            run = f"{key}/{name}/trial-{number}"
            if run not in store.finished(NAME):
                if key != self.key:
                    raise SystemExit(
                        f"{self.key} takes settings of {key}: run it first."
                    )
                _, valid = self.trained(name, trial, 0)
                settings = dataclasses.asdict(trial)
                store.append(NAME, run, {"settings": settings, "valid": valid})
            scores.append(store.finished(NAME)[run]["valid"])
        return ROWS[name].trials[int(np.argmax(scores))]

    def run(self, name: str, seed: int) -> None:
        """Trains and judges a row with a seed, if that is new."""
        run, row = f"{self.key}/{name}/seed-{seed}", ROWS[name]
        if run in store.finished(NAME):
            return
        if row.kind == "teacher":
            store.append(NAME, run, {"test": self.judged(self.teacher(row.teacher))})
        elif row.kind == "svd":
            store.append(NAME, run, {"test": self.judged(dot_scores(*self.svd(row)))})
        else:
            trial = self.best(name)
            vectors, valid = self.trained(name, trial, seed)
            score = dot_scores(*vectors)
            values = {"settings": dataclasses.asdict(trial), "valid": valid}
            store.append(NAME, run, {**values, "test": self.judged(score)})

    def trained(self, name: str, trial: Trial, seed: int) -> tuple[Vectors, float]:
        """Trains a student: its vectors, and NDCG@10 on validation."""
        row = ROWS[name]
        net = zoo.matrix_factorisation(row.base.shared)
        form = row.form
        vectors = self.vectors(row.hint) if row.hint else None
        if form is None:
            recipe, lists = zoo.alone(net, row.base), (None, None)
        else:
            form = dataclasses.replace(form, weight=form.weight * trial.weight)
            recipe, lists = zoo.recipe(net, form), self.lists(row.teacher)
        if vectors is not None:
            recipe = zoo.hinted(recipe, vectors[1].shape[1])
        recipe = dataclasses.replace(
            recipe,
            learning_rate=trial.learning_rate,
            rows_l2=trial.rows_l2,
        )
        number = row.trials.index(trial)
        return self.fitted(
            zoo.list_batches(
                self.data, recipe, form, *lists, vectors=vectors, seed=seed
            ),
            recipe,
            f"{name.replace(' ', '-')}/{number}/seed-{seed}",
            row.width or self.dim,
            seed,
        )

    def fitted(
        self,
        batches: RecallBatches,
        recipe: Recipe,
        folder: str,
        dim: int,
        seed: int,
    ) -> tuple[Vectors, float]:
        """Trains a two-tower net: its vectors, and NDCG@10 on validation."""
        net = train_on(
            batches,
            recipe,
            self.data.spec(dim),
            self.validation,
            self.work / folder,
            seed=seed,
        )[zoo.STUDENT]
        recaller = net.recaller(self.data.requests("train"))
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
            return self.trained(WIDE, self.best(WIDE), 0)[0]
        recipe = sequence_recall.recipe()
        batches = sequence_recall.prefix_batches(self.data, recipe)
        return self.fitted(batches, recipe, "SASRec", 64, 0)[0]

    @functools.cache  # noqa: B019, a bench lives as long as the process
    def ease(self, in_order: bool) -> Ease:
        """EASE with the penalty that validation chose, which is kept in a file."""
        data = self.data
        recent = data.last if in_order else None
        penalties = ONE_PENALTY.get(self.key, PENALTIES)

        def chosen() -> dict[str, float]:
            model, _ = tuned_ease(
                data.train, data.valid, data.num_users, penalties, recent=recent
            )
            return {"l2": model.l2}

        made_of = [data.train.fingerprint, data.valid.fingerprint, penalties, recent]
        l2 = float(store.kept(self.work / "ease", made_of, chosen)["l2"])
        return Ease(data.train, data.num_users, l2=l2, recent=recent)

    def lists(self, teacher: str) -> tuple[np.ndarray, np.ndarray]:
        """Returns a teacher's best unseen items and their scores, kept in a file."""
        data, score = self.data, self.teacher(teacher)

        def best() -> dict[str, np.ndarray]:
            users = data.num_users
            head, scores = scored_top_k(score, users, LIST, seen=data.train)
            return {"head": head, "scores": scores}

        asked = score(np.arange(min(4, data.num_users)))  # the teacher, by its scores
        made_of = [data.train.fingerprint, LIST, np.asarray(asked)]
        found = store.kept(self.work / teacher.replace(" ", ""), made_of, best)
        return found["head"], found["scores"]

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
        return (left * values)[:, : self.dim], (basis @ right.T)[:, : self.dim]

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

    def judged(self, score: BlockScores) -> dict[str, float]:
        """All metrics on the test part."""
        data = self.data
        top = top_k(score, data.num_users, 50, seen=data.seen("test"))
        values = retrieval_summary(top, data.test, self.head)
        values.update(self.sampled(score, data.test))
        return {name: round(float(value), 6) for name, value in values.items()}

    def sampled(self, score: BlockScores, relevant: Pairs) -> dict[str, float]:
        """Hits and NDCG of each relevant item among the drawn ones, mean over pairs."""
        ranks = []
        for begin in range(0, self.data.num_users, 256):
            rows = np.arange(begin, min(begin + 256, self.data.num_users))
            scores = score(rows)
            drawn = np.take_along_axis(scores, self.negatives[rows], axis=1)
            user, item = relevant.between(begin, begin + 256)
            own = scores[user, item][:, np.newaxis]
            other = self.negatives[rows][user] != item[:, np.newaxis]
            ranks.append(((drawn[user] >= own) & other).sum(axis=1))
        rank = np.concatenate(ranks)
        gain = np.where(rank < 10, 1 / np.log2(rank + 2.0), 0.0)
        return {
            "hits@5_of_500": (rank < 5).mean(),
            "hits@10_of_500": (rank < 10).mean(),
            "ndcg@10_of_500": gain.mean(),
        }


def main() -> None:
    """Runs what is not there yet and prints the table of a data set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("problem", choices=SETS)
    parser.add_argument("--data-dir", type=pathlib.Path, default="data")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument(
        "--rows",
        nargs="+",
        choices=ROWS,
        default=list(ROWS),
        metavar="ROW",
        help="rows of recall_rows.py, all by default",
    )
    parser.add_argument("--work", type=pathlib.Path, default="runs/recall")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    bench = Bench(options.problem, options.data_dir, options.work)
    for name in filter(bench.has, options.rows):
        for seed in range(options.seeds if ROWS[name].kind == "student" else 1):
            bench.run(name, seed)
    print(table(options.problem))


if __name__ == "__main__":
    main()
