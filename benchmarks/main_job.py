"""Teacher and recall students of histories on MovieLens-100K, over seeds.

    python benchmarks/main_job.py [--rows teacher recall] [--seeds 3] [--windows 1]

Metrics are of the whole catalogue on test; what came before a part is known to features,
scorers and histories, and no parameter is fitted on validation or test. Each row is a
line of benchmarks/results/main_job.jsonl and isn't run again. The bar is EASE of the
newest, in benchmarks/results/powerful_teacher.jsonl.
"""

from __future__ import annotations

import argparse
import functools
import tempfile
import time
from collections.abc import Callable
from typing import Any

import store

import tfdistill as td
from tfdistill.data.teacher_lists import RankedLists
from tfdistill.datasets import load_movielens
from tfdistill.scorers import CandidateTeacher, boosted_trees, rolling_cuts
from tfdistill.study import movielens_problem

NAME = "main_job"
SHOWN = ("ndcg@10", "recall@50")


class Bench:
    """The rows of one seed.

    Args:
        problem: The problem.
        windows: How many windows of training the teacher learns from.
        seed: The seed.
    """

    def __init__(self, problem: td.Problem, windows: int, seed: int) -> None:
        self.problem, self.windows, self.seed = problem, windows, seed

    def kept(self, row: str, measure: Callable[[], Any]) -> dict[str, Any]:
        """The line of a row, after measuring it if there is none."""
        run = f"movielens-100k/{row}/seed-{self.seed}"
        if run not in store.finished(NAME):
            start, cpu = time.perf_counter(), time.process_time()
            model = measure()
            line: dict[str, Any] = {"row": row, "windows": self.windows}
            line["seconds"] = round(time.perf_counter() - start, 1)
            line["cpu_seconds"] = round(time.process_time() - cpu, 1)
            for part in ("valid", "test"):
                metrics = td.evaluate({NAME: model}, getattr(self.problem, part))[NAME]
                line[part] = {name: round(value, 6) for name, value in metrics.items()}
            store.append(NAME, run, line)
        return store.finished(NAME)[run]

    def fitted(self, learn: Any) -> CandidateTeacher:
        """A teacher by its learner."""
        cuts, seeds = rolling_cuts(self.windows), [self.seed]
        return CandidateTeacher.fit(self.problem, cuts=cuts, seeds=seeds, learn=learn)

    @functools.cached_property
    def network(self) -> CandidateTeacher:
        """The teacher that is a net."""
        return self.fitted(td.zoo.candidate_ranker.network(tempfile.mkdtemp()))

    @functools.cached_property
    def lists(self) -> dict[float, RankedLists]:
        """What the net lists before each window and at the end of training."""
        cuts = rolling_cuts(self.windows)[:-1]
        train = self.problem.train
        return {cut: self.network.lists(train, cut=cut) for cut in cuts}

    def student(self, lists: dict[float, RankedLists], training: str) -> Any:
        """A student of histories, taught or alone."""
        recipe = td.zoo.recall_from_history.recipe(self.problem.spec, lists)
        folder = tempfile.mkdtemp()
        nets = td.train(recipe, self.problem, folder, training=training, seed=self.seed)
        return nets["recall"]

    def rows(self, wanted: str) -> dict[str, dict[str, Any]]:
        """The lines of a part of the table."""
        trees = functools.partial(self.fitted, boosted_trees(threads=1))
        measures = {
            "teacher": {"teacher, trees": trees, "teacher, net": lambda: self.network},
            "recall": {
                "recall alone": lambda: self.student({}, "independent"),
                "recall taught": lambda: self.student(self.lists, "joint"),
            },
        }[wanted]
        return {row: self.kept(row, measure) for row, measure in measures.items()}


def main() -> None:
    """Runs what is not there yet, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", nargs="+", default=["teacher", "recall"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--windows", type=int, default=1)
    arguments = parser.parse_args()
    problem = movielens_problem(load_movielens())
    benches = [Bench(problem, arguments.windows, s) for s in range(arguments.seeds)]
    found: dict[str, list[dict[str, Any]]] = {}
    for bench in benches:
        for wanted in arguments.rows:
            for row, line in bench.rows(wanted).items():
                found.setdefault(row, []).append(line)
    for row, lines in found.items():
        cells = [store.spread([line["test"][name] for line in lines]) for name in SHOWN]
        print(f"{row}:", *(f"{n} {c}" for n, c in zip(SHOWN, cells)))


if __name__ == "__main__":
    main()
