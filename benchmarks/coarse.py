"""A coarse ranker under a fine one: which form of distillation keeps what it needs.

    python benchmarks/coarse.py simulator
    python benchmarks/coarse.py movielens-1m --data-dir DIR

EASE recalls 200 unseen items for each user; the coarse student (two towers with a light
interaction, without the privileged features) passes 50 of them on. Judged
are the share of the teacher's best 10 among the 50, the share of the recalled test
positives among them, and AUC on the test lists. All students see the same lists, the
labelled ones and the recalled ones, which only the teacher labels; each has the trials
of `RATES` on seed 0 and validation, then three seeds. A run is one line of
benchmarks/results/coarse.jsonl; docs/two_stage.md has the tables.
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
from collections.abc import Callable

import numpy as np
import pages
import store
import tensorflow as tf
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
from tfdistill.study.judge import ListJudge, Ranker
from tfdistill.study.recipe import Recipe
from tfdistill.study.training import train
from tfdistill.teachers.ease import tuned_ease
from tfdistill.trainers import LoggedTeacher
from tfdistill.zoo import coarse_from_lists, privileged_coarse, ranking_pair
from tfdistill.zoo.ranking_pair import Pair

NAME = "coarse"
PAGE = pathlib.Path(__file__).parents[1] / "docs" / "two_stage.md"
RECALLED, KEPT, BEST = 200, 50, 10
WIDTH = 50  # of a training list
SEEDS = 3
RATES = (1e-3, 2e-3, 4e-3)
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


@dataclasses.dataclass(frozen=True, eq=False)
class Stage:
    """What the coarse ranker of a problem learns from and is judged on.

    Args:
        problem: Features, lists with labels.
        pair: The teacher, and the coarse ranker as `fine`.
        train: Labelled and recalled lists, `[R, WIDTH]`.
        recalled: Unseen items of each test user, `[U, RECALLED]`.
        users: The test request whose features stand for each user, `[U]`.
        relevant: bool `[U, RECALLED]`, the positives of the test part.
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


class Bench:
    """A problem's stage, its teacher and what was trained under it.

    Args:
        key: Name of the problem on the command line.
        data_dir: Folder of the data sets.
        work: Folder of the checkpoints.
    """

    def __init__(self, key: str, data_dir: pathlib.Path, work: pathlib.Path) -> None:
        self.key, self.work = key, work / key
        self.stage = make_stage(load(key, data_dir))
        problem = self.stage.problem
        self.spec = narrowed(problem.spec, DIM)
        self.judges = [ListJudge(part) for part in (problem.valid, problem.test)]

    def run(self, name: str, seed: int) -> None:
        """Trains and judges a row with a seed, if that is new."""
        run = f"{self.key}/{name}/seed-{seed}"
        if run not in store.finished(NAME):
            rate = self.best(name)
            values = self.judged(self.trained(name, rate, seed), seed)
            store.append(NAME, run, {"learning_rate": rate, "test": values})

    def best(self, name: str) -> float:
        """Returns a row's best learning rate on seed 0, by validation AUC."""
        found = {}
        for rate in RATES:
            run = f"{self.key}/{name}/rate-{rate}"
            if run not in store.finished(NAME):
                model = self.trained(name, rate, 0)
                (logits,) = self.judges[0].logits(model).values()
                auc = self.judges[0].ranking(logits)["auc"]
                store.append(NAME, run, {"valid": {"auc": round(auc, 6)}})
            found[rate] = store.finished(NAME)[run]["valid"]["auc"]
        return max(found, key=found.__getitem__)

    def trained(self, name: str, rate: float, seed: int) -> tf.keras.Model:
        """Trains a row, or reads what was trained."""
        pair, requests, teacher = self.stage.pair, self.stage.problem.train, None
        if name == TEACHER:
            recipe = ranking_pair.teacher(pair)
        else:
            recipe, requests = ROWS[name](pair), self.stage.train
            if "two-stage" in name:
                requests = requests.with_scores({"taught": self.taught(seed)})
                teacher = LoggedTeacher({"score": "taught"})
        folder = f"{name.replace(' ', '-')}/{rate}/seed-{seed}"
        nets = train(
            dataclasses.replace(
                recipe, learning_rate=rate, epochs=EPOCHS, chosen_by="auc"
            ),
            self.spec,
            requests,
            self.judges[0],
            self.work / folder,
            teacher=teacher,
            seed=seed,
        )
        judged = next(net for net in nets if net != TEACHER or name == TEACHER)
        return nets[judged].models[judged]

    def taught(self, seed: int) -> np.ndarray:
        """The teacher's logits on the training lists, scored once for a seed."""
        train, teacher = self.stage.train, self.teacher(seed)

        def scored() -> dict[str, np.ndarray]:
            (logits,) = ListJudge(train).logits(teacher).values()
            return {"logits": np.where(train.candidates >= 0, logits, np.nan)}

        made_of = [train.fingerprint, teacher.get_weights()]
        return store.kept(self.work / f"scores-{seed}", made_of, scored)["logits"]

    def teacher(self, seed: int) -> tf.keras.Model:
        """The teacher that all rows of a seed are compared with."""
        return self.trained(TEACHER, self.best(TEACHER), seed)

    def judged(self, model: tf.keras.Model, seed: int) -> dict[str, float]:
        """What passes the stage, and the quality on the test lists."""
        stage, test = self.stage, self.stage.problem.test
        kept, best = (
            _best(Ranker(net, test)(stage.users, stage.recalled), stage.recalled, k)
            for net, k in ((model, KEPT), (self.teacher(seed), BEST))
        )
        hit = stage.relevant & (stage.recalled >= 0)
        (logits,) = self.judges[1].logits(model).values()
        quality = self.judges[1].ranking(logits)
        found = {
            "teacher's best kept": kept[best].mean(),
            "positives kept": (kept & hit).sum() / hit.sum(),
            **{metric: quality[metric] for metric in ("auc", "gauc")},
        }
        return {name: round(float(value), 6) for name, value in found.items()}


def _best(scores: np.ndarray, items: np.ndarray, k: int) -> np.ndarray:
    """Where the k best of each list are, bool as the scores."""
    scores = np.where(items >= 0, scores, -np.inf)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    chosen = np.zeros(scores.shape, bool)
    np.put_along_axis(chosen, order, True, axis=1)
    return chosen & (items >= 0)


def table(key: str) -> str:
    """Returns the finished rows of a problem in Markdown."""
    done = store.finished(NAME)
    lines = []
    for name in (TEACHER, *ROWS):
        runs = pages.seeds(done, key, name)
        if runs:
            spreads = [store.mean([run[m] for run in runs]) for m in runs[0]]
            lines.append(f"| {name} | {len(runs)} | {' | '.join(spreads)} |")
    titles = ["row", "seeds", "teacher's best 10 kept", "positives kept", "AUC", "GAUC"]
    head = f"| {' | '.join(titles)} |"
    return "\n".join([head, "|---" * len(titles) + "|", *lines])


def main() -> None:
    """Runs what is not there yet, and renews the tables of docs/two_stage.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("problem", choices=("simulator", "movielens-1m"))
    parser.add_argument("--data-dir", type=pathlib.Path, default="data")
    parser.add_argument("--work", type=pathlib.Path, default="runs/coarse")
    options = parser.parse_args()
    bench = Bench(options.problem, options.data_dir, options.work)
    for name in (TEACHER, *ROWS):
        for seed in range(SEEDS):
            bench.run(name, seed)
    pages.renew(PAGE, NAME, table)
    print(table(options.problem))


if __name__ == "__main__":
    main()
