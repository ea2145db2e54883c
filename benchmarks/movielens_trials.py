"""How the joint cascade's settings were found: equal trials for joint and alone.

    python benchmarks/movielens_trials.py [--work DIR]

Four trials on seed 0 of MovieLens-100K for the joint network and for each student
alone, judged on validation only. Each trial is one line of
benchmarks/results/movielens_trials.jsonl and isn't run again.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping

import store
from harness import Bench, Settings
from pages import markdown

from tfdistill.datasets import load_movielens
from tfdistill.study import Problem, TrainedNet, movielens_problem, train
from tfdistill.zoo import movielens_cascade as zoo

JOINT = zoo.joint()
RECIPES = {"joint": JOINT, **{f"{s} alone": JOINT.only(s) for s in JOINT.students}}
TRIALS = itertools.product((1e-3, 3e-3), (0.0, 1e-4))


class Trials(Bench):
    """The nets of the joint cascade; there are trials only."""

    name = "movielens_trials"
    problems = ("MovieLens-100K",)
    rows = tuple(RECIPES)
    run_id = "{row}"
    trials = {
        f"learning_rate={rate:g}/rows_l2={l2:g}": {"learning_rate": rate, "rows_l2": l2}
        for rate, l2 in TRIALS
    }
    seeds = 0
    data_dir = None

    @functools.cached_property
    def data(self) -> Problem:
        return movielens_problem(load_movielens(self.data_dir))

    def trained(
        self, row: str, settings: Settings, seed: int
    ) -> Mapping[str, TrainedNet]:
        recipe = RECIPES[row].changed(**settings)
        return train(recipe, self.data, self.folder(row, settings, seed))

    def metrics(
        self, row: str, trained: Mapping[str, TrainedNet], part: str, seed: int
    ) -> dict[str, float]:
        """The best epoch of each net."""
        monitor = RECIPES[row].monitor
        return {name: max(net.history[monitor(name)]) for name, net in trained.items()}

    def score(self, row: str, valid: Mapping[str, float]) -> float:
        """The mean of the nets."""
        return sum(valid.values()) / len(valid)

    @classmethod
    def table(cls, problem: str) -> str:
        """What each trial gave."""
        runs = store.finished(cls.name)
        rows = [
            [n, ", ".join(f"{k} {v}" for k, v in runs[n]["valid"].items())]
            for n in runs
        ]
        return markdown(["trial", "validation"], rows)


if __name__ == "__main__":
    Trials.main()
