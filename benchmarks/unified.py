"""One teacher and three students: joint, frozen, distilled and independent training.

    python benchmarks/unified.py movielens-1m --data-dir DIR [--rows joint frozen]

Every mode trains the same nets, each student for as many steps, and has the same
trials: two learning rates on seed 0, judged by the page on validation of MovieLens-1M,
whose best the simulators take, and of CiteULike. What is judged is what a
user sees: 500 items of the catalogue recalled, 100 left by the coarse ranker, 10 shown
by the fine one; overlap is with the mode's own teacher, whose quality stands beside it.
A trial or a seed is one line of benchmarks/results/unified.jsonl, and isn't run again.
A variant ("joint, no block") changes one thing and has the mode's rate; it is run if
`--rows` names it. docs/cascade.md has the tables.

    python benchmarks/unified.py table
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import store
from harness import Bench, Column, Runs, Settings
from unified_data import PROBLEMS, TUNED, CascadeProblem

from tfdistill.jobs.cascades import judged, shown_sets, student_parameters
from tfdistill.jobs.comparison import Sizes
from tfdistill.study import Recipe, TrainedNet
from tfdistill.study.rounds import Candidates
from tfdistill.study.ways import WAYS, train

SIZES = Sizes(500, 100)


def no_fine_list(problem: CascadeProblem, **options: Any) -> Recipe:
    """The fine ranker does not learn the teacher's order of the list."""
    made = problem.recipe(**options)
    others = (t for t in made.terms.transfers if t.name != "fine_list")
    return made.changed(transfers=tuple(others))


def equal_lists(problem: CascadeProblem) -> Recipe:
    """Candidates take the place of drawn items, so lists are as long as without any."""
    made = problem.recipe(candidates=Candidates(per_list=10))
    return made.changed(negatives=made.schedule.negatives - 10)


def teacher_goes_on(problem: CascadeProblem) -> Recipe:
    """The teacher does not stop at its best epoch."""
    return problem.recipe().changed(stops_early=())


def positives_too(problem: CascadeProblem) -> Recipe:
    """A two-tower teacher teaches the order of whole lists, with their positives."""
    made = problem.recipe()
    lists = (dataclasses.replace(t, without=None) for t in made.terms.transfers)
    return made.changed(transfers=tuple(lists))


VARIANTS: Mapping[str, Callable[[CascadeProblem], Recipe]] = {
    "": CascadeProblem.recipe,
    "equal lists": equal_lists,
    "teacher goes on": teacher_goes_on,
    "positives too": positives_too,
    "one positive": lambda problem: problem.recipe(every_positive=False),
    "no block": lambda problem: problem.recipe(blocked=()),
    "recall_hard .1": lambda problem: problem.recipe(recall_hard=0.1),
    "no candidates": lambda problem: problem.recipe(candidates=None),
    "no labels": lambda problem: problem.recipe(hard=0.0),
    "no fine list": no_fine_list,
    "no fine list, teacher's tables": lambda problem: no_fine_list(
        problem, own_tables=(), blocked=("recall", "coarse", "fine")
    ),
    "no fine list, one set of tables": lambda problem: no_fine_list(
        problem, own_tables=()
    ),
}
COLUMNS = {
    "NDCG@10": "page/ndcg@10",
    "of recall alone": "recall alone/ndcg@10",
    "Recall@10": "page/recall@10",
    "true NDCG@10": "page/true ndcg@10",
    "regret": "page/regret",
    "regret of recall alone": "recall alone/regret",
    "left by recall": "recall/survival",
    "by coarse": "coarse/survival",
    "overlap: recall": "recall/overlap",
    "coarse": "coarse/overlap",
    "page": "fine/overlap",
    "teacher NDCG@10": "teacher/ndcg@10",
    "teacher regret": "teacher/regret",
}


class Unified(Bench):
    """A problem in all variants, and the trainings on it."""

    name, page = "unified", "cascade.md"
    problems = tuple(PROBLEMS)
    rows = tuple(f"{mode}, {v}".rstrip(", ") for v in VARIANTS for mode in WAYS)
    usual = WAYS
    tuned = TUNED
    seeds = 1
    first = "training"
    columns = COLUMNS

    @functools.cached_property
    def data(self) -> CascadeProblem:
        return PROBLEMS[self.problem](self.data_dir)

    def recipe(self, row: str) -> Recipe:
        return VARIANTS[row.partition(", ")[2]](self.data)

    def trials_of(self, row: str) -> Mapping[str, Settings]:
        rates = self.data.rates
        return {f"rate-{rate}": {"learning_rate": rate} for rate in rates}

    def best(self, row: str) -> Settings:
        """A variant has its mode's rate."""
        return super().best(row.partition(", ")[0])

    def trained(
        self, row: str, settings: Settings, seed: int
    ) -> Mapping[str, TrainedNet]:
        return train(
            self.recipe(row).changed(**settings),
            self.data,
            self.folder(row, settings, seed),
            training=row.partition(", ")[0],
            seed=seed,
        )

    def folder(self, row: str, settings: Settings, seed: int) -> pathlib.Path:
        """One for all modes: frozen and distilled share their teacher in it."""
        return super().folder(row.partition(", ")[2], settings, seed)

    def metrics(
        self, row: str, trained: Mapping[str, TrainedNet], part: str, seed: int
    ) -> dict[str, float]:
        """All metrics of what is shown, on test beside what the teacher shows."""
        evaluator = getattr(self.data, part)
        if part == "valid":
            sets = SIZES.cascade(trained).kept(evaluator)
        else:
            best = self.teachers_best(row, trained, seed)
            sets = shown_sets(evaluator, trained, SIZES, best=best)
        return {**judged(evaluator, sets, SIZES), **self.data.truths(part, sets)}

    def valid(self, row: str, trained: Mapping[str, TrainedNet]) -> dict[str, float]:
        """The page alone."""
        chosen_by = self.data.chosen_by
        return {chosen_by: super().valid(row, trained)[chosen_by]}

    def score(self, row: str, valid: Mapping[str, float]) -> float:
        """The one value, by which the problem that was tuned is judged."""
        (value,) = valid.values()
        return value

    def measured(
        self, row: str, trained: Mapping[str, TrainedNet], seed: int
    ) -> dict[str, Any]:
        """All metrics on test, and how many parameters the students have."""
        mode = row.partition(", ")[0]
        counted = student_parameters(mode, self.recipe(row), self.data.spec)
        values = {"valid": self.valid(row, trained), "student parameters": counted}
        return {**super().measured(row, trained, seed), **values}

    def teachers_best(
        self, row: str, nets: Mapping[str, TrainedNet], seed: int
    ) -> np.ndarray | None:
        """The best of the catalogue by a mode's teacher, kept in a file."""
        if "teacher" not in nets:
            return None
        evaluator = self.data.test

        def best() -> dict[str, np.ndarray]:
            return {"best": nets["teacher"].top(evaluator, SIZES.recall)}

        made_of = [nets["teacher"].fingerprint, evaluator.identity, SIZES.recall]
        path = self.folder(row, self.best(row), seed) / "best"
        return store.kept(path, made_of, best)["best"]

    @classmethod
    def rows_of(cls, problem: str) -> Sequence[str]:
        """The modes, then the variants in the order of the runs, earlier ones too."""
        runs = [run.split("/") for run in store.finished(cls.name)]
        seen = [run[1] for run in runs if run[0] == problem and "seed" in run[2]]
        return list(dict.fromkeys([*WAYS, *seen]))

    @classmethod
    def shown(cls, runs: Runs) -> Mapping[str, Column]:

        def weights(row: str, runs: Runs) -> str:
            return f"{runs[row][0]['student parameters']:,}"

        return {**super().shown(runs), "student weights": weights}


if __name__ == "__main__":
    Unified.main()
