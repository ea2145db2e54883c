"""The powerful teacher beside the simplest strong baselines, over seeds.

    python benchmarks/powerful_teacher.py [movielens-100k] [online-retail] [--seeds 3]
        [--data-dir DIR] [--windows 3]

The baselines are tuned on validation and have no seed; the trees have. Each row is
a line of benchmarks/results/powerful_teacher.jsonl and isn't run again. Metrics are of
the whole catalogue on test; what came before a part is known to features and scorers.
"""

from __future__ import annotations

import argparse
import functools
import pathlib
import time
from collections.abc import Callable
from typing import Any

import extracts
import store
from pages import spread

import tfdistill as td
from tfdistill.datasets import load_movielens
from tfdistill.scorers import CandidateTeacher, boosted_trees, rolling_cuts
from tfdistill.study import movielens_problem

NAME = "powerful_teacher"
SHOWN = ("ndcg@10", "recall@50")

PROBLEMS: dict[str, Callable[[pathlib.Path], td.Problem]] = {
    "movielens-100k": lambda folder: movielens_problem(load_movielens()),
    "online-retail": lambda folder: td.Problem.from_feedback(
        extracts.online_retail(folder / "online-retail" / "online_retail.npz")
    ),
}


class PowerfulTeacher:
    """One problem, and the lines of its runs.

    Args:
        key: Name of the problem.
        folder: Folder of the data sets.
        windows: How many windows of training the trees learn from.
    """

    def __init__(self, key: str, folder: pathlib.Path, windows: int) -> None:
        self.key, self.windows = key, windows
        self._make = functools.partial(PROBLEMS[key], folder)

    @functools.cached_property
    def problem(self) -> td.Problem:
        """Loaded when something is to be measured."""
        return self._make()

    def kept(self, row: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The line of a row, after measuring it if there is none."""

        def timed() -> dict[str, Any]:
            start, cpu = time.perf_counter(), time.process_time()
            found = {"problem": self.key, "row": row, **measure()}
            found["seconds"] = round(time.perf_counter() - start, 1)
            found["cpu_seconds"] = round(time.process_time() - cpu, 1)
            return found

        return store.once(NAME, f"{self.key}-{row}", timed)

    def baselines(self) -> list[dict[str, Any]]:
        """The lines of the baselines, the best on validation marked."""
        names = ("popular", "EASE", "EASE of the newest")
        return [self.kept(name, functools.partial(self._one, name)) for name in names]

    @functools.cached_property
    def _found(self) -> tuple[dict[str, td.scorers.Baseline], str]:
        found = td.baselines(self.problem)
        return found, td.best_simple(self.problem, found)

    def _one(self, name: str) -> dict[str, Any]:
        found, best = self._found
        told = {"scorer": found[name].scorer.name, "best_simple": name == best}
        return {**told, **self._judged(found[name])}

    def teacher(self, seed: int) -> dict[str, Any]:
        """The line of the trees of one seed."""
        return self.kept(f"trees-{self.windows}-{seed}", lambda: self._teacher([seed]))

    def together(self, seeds: int) -> dict[str, Any]:
        """The line of the mean of the seeds' trees."""
        row = f"trees-{self.windows}-mean-of-{seeds}"
        return self.kept(row, lambda: self._teacher(range(seeds)))

    def _teacher(self, seeds: Any) -> dict[str, Any]:
        fit = functools.partial(CandidateTeacher.fit, self.problem)
        learn = boosted_trees(threads=1)
        teacher = fit(learn=learn, cuts=rolling_cuts(self.windows), seeds=list(seeds))
        trees = [ranker.booster.num_trees() for ranker in teacher.rankers]
        lists = teacher.candidates.judged(self.problem.test)
        relevant = len(self.problem.test.relevant.user)
        found = {
            "trees": trees,
            "features": len(teacher.candidates.features.names),
            "candidates_recall": round(float(lists.labels.sum()) / relevant, 4),
        }
        return {**found, **self._judged(teacher)}

    def _judged(self, model: Any) -> dict[str, Any]:
        found = {}
        for part in ("valid", "test"):
            metrics = td.evaluate({NAME: model}, getattr(self.problem, part))[NAME]
            found[part] = {name: round(value, 6) for name, value in metrics.items()}
        return found


def main() -> None:
    """Runs what is not there yet, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("problems", nargs="*", default=["movielens-100k"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--windows", type=int, default=3)
    parser.add_argument("--data-dir", type=pathlib.Path, default=pathlib.Path("data"))
    arguments = parser.parse_args()
    for key in arguments.problems:
        bench = PowerfulTeacher(key, arguments.data_dir, arguments.windows)
        print(key)
        for line in bench.baselines():
            cells = [f"{line['test'][name]:.4f}" for name in SHOWN]
            print(f"  {line['row']} ({line['scorer']})", *cells)
        lines = [bench.teacher(seed) for seed in range(arguments.seeds)]
        for name in SHOWN:
            values = [line["test"][name] for line in lines]
            print(f"  trees {name} {spread(values)}")
        line = bench.together(arguments.seeds)
        print("  mean of the trees", *(f"{line['test'][name]:.4f}" for name in SHOWN))


if __name__ == "__main__":
    main()
