"""One teacher and three students: joint, frozen, distilled and independent training.

    python benchmarks/unified.py movielens-1m --data-dir DIR [--modes joint frozen]

Every mode trains the same nets, each student for as many steps, and has the same
trials: two learning rates on seed 0, judged by the page on validation of MovieLens-1M,
whose best the simulators take, and of CiteULike. What is judged is what a
user sees: 500 items of the catalogue recalled, 100 left by the coarse ranker, 10 shown
by the fine one; overlap is with the mode's own teacher, whose quality stands beside it.
A trial or a seed is one line of benchmarks/results/unified.jsonl, and isn't run again.
A variant changes one thing and has the mode's rate; docs/cascade.md has the tables.

    python benchmarks/unified.py table
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pages
import store
from tfdistill.zoo.comparison import Sizes, cascade_sets
from tfdistill.zoo.training_modes import judged, shown_sets, student_parameters
from unified_data import PROBLEMS, TUNED, CascadeProblem

from tfdistill.study.recipe import Recipe
from tfdistill.study.rounds import Candidates
from tfdistill.study.trained import TrainedNet
from tfdistill.study.ways import WAYS, train

NAME = "unified"
PAGE = pathlib.Path(__file__).parents[1] / "docs" / "cascade.md"
SIZES = Sizes(500, 100)


def no_fine_list(problem: CascadeProblem, **options: Any) -> Recipe:
    """The fine ranker does not learn the teacher's order of the list."""
    made = problem.recipe(**options)
    others = (t for t in made.transfers if t.name != "fine_list")
    return dataclasses.replace(made, transfers=tuple(others))


def equal_lists(problem: CascadeProblem) -> Recipe:
    """Candidates take the place of drawn items, so lists are as long as without any."""
    made = problem.recipe(candidates=Candidates(per_list=10))
    return dataclasses.replace(made, negatives=made.negatives - 10)


def teacher_goes_on(problem: CascadeProblem) -> Recipe:
    """The teacher does not stop at its best epoch."""
    return dataclasses.replace(problem.recipe(), stops_early=())


def positives_too(problem: CascadeProblem) -> Recipe:
    """A two-tower teacher teaches the order of whole lists, with their positives."""
    made = problem.recipe()
    lists = (dataclasses.replace(t, without=None) for t in made.transfers)
    return dataclasses.replace(made, transfers=tuple(lists))


PLAIN = "as it is"
VARIANTS: Mapping[str, Callable[[CascadeProblem], Recipe]] = {
    PLAIN: CascadeProblem.recipe,
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


class Bench:
    """A problem in one variant, and the trainings on it.

    Args:
        key: Name of the problem on the command line.
        variant: Name of the variant.
        data_dir: Folder of the data sets.
        work: Folder of the checkpoints.
    """

    def __init__(
        self, key: str, variant: str, data_dir: pathlib.Path | None, work: pathlib.Path
    ) -> None:
        self.key, self.problem = key, PROBLEMS[key](data_dir)
        self.recipe = VARIANTS[variant](self.problem)
        self.suffix = "" if variant == PLAIN else f", {variant}"
        self.work = work / key / variant.replace(" ", "-")

    def run(self, mode: str, seed: int) -> None:
        """Trains and judges a mode with a seed, if that is new."""
        run = f"{self.key}/{mode}{self.suffix}/seed-{seed}"
        if run in store.finished(NAME):
            return
        rate, start = self.best(mode), time.process_time()
        nets = self.trained(mode, rate, seed)
        spent = time.process_time() - start
        values: dict[str, Any] = {"learning_rate": rate, "valid": self.page(nets)}
        values["test"] = self.judged(nets, self.teachers_best(mode, nets, rate, seed))
        values["student parameters"] = student_parameters(
            mode, self.recipe, self.problem.spec
        )
        store.append(NAME, run, {**values, "seconds of processor time": round(spent)})

    def best(self, mode: str) -> float:
        """Returns the learning rate with the best page on validation, of seed 0."""
        key, found = TUNED.get(self.key, self.key), {}
        for rate in self.problem.rates:
            run = f"{key}/{mode}/rate-{rate}"
            if run not in store.finished(NAME):
                if key != self.key or self.suffix:
                    raise SystemExit(f"Its rate is that of {key}: run {key} --tune.")
                page = self.page(self.trained(mode, rate, 0))
                store.append(NAME, run, {"valid": page})
            (found[rate],) = store.finished(NAME)[run]["valid"].values()
        return max(found, key=found.__getitem__)

    def trained(self, mode: str, rate: float, seed: int) -> Mapping[str, TrainedNet]:
        """Trains a mode, or reads what was trained."""
        return train(
            dataclasses.replace(self.recipe, learning_rate=rate),
            self.problem.study,
            self.folder(rate, seed),
            training=mode,
            seed=seed,
        )

    def folder(self, rate: float, seed: int) -> pathlib.Path:
        """Where a training is; frozen and distilled share their teacher in it."""
        return self.work / f"rate-{rate}" / f"seed-{seed}"

    def page(self, nets: Mapping[str, TrainedNet]) -> dict[str, float]:
        """Judges the page on validation."""
        judge = self.problem.judges["valid"]
        sets = cascade_sets(judge, nets, SIZES)
        found = {**judged(judge, sets, SIZES), **self.problem.truths("valid", sets)}
        return {self.problem.chosen_by: round(found[self.problem.chosen_by], 6)}

    def judged(
        self, nets: Mapping[str, TrainedNet], best: np.ndarray | None
    ) -> dict[str, float]:
        """All metrics on test."""
        judge = self.problem.judges["test"]
        sets = shown_sets(judge, nets, SIZES, best=best)
        found = {**judged(judge, sets, SIZES), **self.problem.truths("test", sets)}
        return {name: round(value, 6) for name, value in found.items()}

    def teachers_best(
        self, mode: str, nets: Mapping[str, TrainedNet], rate: float, seed: int
    ) -> np.ndarray | None:
        """The best of the catalogue by a mode's teacher, kept in a file."""
        if "teacher" not in nets:
            return None
        name = "joint" if mode == "joint" else "teacher"
        judge = self.problem.judges["test"]

        def best() -> dict[str, np.ndarray]:
            return {"best": nets["teacher"].top(judge, SIZES.recall)}

        made_of = [nets["teacher"].fingerprint, judge.identity, SIZES.recall]
        path = self.folder(rate, seed) / name / "best"
        return store.kept(path, made_of, best)["best"]


def table(problem: str) -> str:
    """The table of a problem: a row for each mode and variant, means over seeds."""
    done = store.finished(NAME)
    found = {
        run.split("/")[1]: None  # in the order of the runs
        for run in done
        if run.startswith(f"{problem}/") and "/seed-" in run
    }
    rows = sorted(found, key=lambda row: WAYS.index(row) if row in WAYS else len(WAYS))
    runs = {row: pages.seeds(done, problem, row) for row in rows}
    columns = {
        column: metric
        for column, metric in COLUMNS.items()
        if any(metric in values for seeds in runs.values() for values in seeds)
    }
    lines = [
        f"| training | seeds | {' | '.join(columns)} | student weights |",
        "|---" * (len(columns) + 3) + "|",
    ]
    for row, seeds in runs.items():
        cells = [_cell([s.get(metric) for s in seeds]) for metric in columns.values()]
        weights = done[f"{problem}/{row}/seed-0"]["student parameters"]
        cells.append(f"{weights:,}")
        lines.append(f"| {row} | {len(seeds)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(values: list[float | None]) -> str:
    present = [value for value in values if value is not None]
    return store.mean(present) if present else "-"


def main() -> None:
    """Runs what is not there yet, or writes the tables of the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("problem", choices=[*PROBLEMS, "table"])
    parser.add_argument("--data-dir", type=pathlib.Path)
    parser.add_argument("--modes", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--variant", choices=VARIANTS, default=PLAIN)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--tune", action="store_true", help="run the trials only")
    parser.add_argument("--work", type=pathlib.Path, default="runs/unified")
    options = parser.parse_args()
    if options.problem == "table":
        pages.renew(PAGE, NAME, table)
        return
    bench = Bench(options.problem, options.variant, options.data_dir, options.work)
    for mode in options.modes if options.tune else ():
        bench.best(mode)
    for seed in () if options.tune else options.seeds:
        for mode in options.modes:
            bench.run(mode, seed)
    print(table(options.problem))


if __name__ == "__main__":
    main()
