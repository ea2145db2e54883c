"""One teacher and three students: joint, frozen, distilled and independent training.

    python benchmarks/unified.py movielens-1m --data-dir DIR [--modes joint frozen]

Every mode trains the same nets on the same batches, each net for as many steps, with
the one setting of the recipe: one trial a mode. What is judged is what a user sees: 500
items of the catalogue recalled, 100 left by the coarse ranker, 10 shown by the fine
one, for every test user; overlap is with the mode's own teacher, whose quality stands
beside it. A training is one line of benchmarks/results/unified.jsonl, and isn't run
again. A variant changes one thing; docs/cascade.md has the tables.

    python benchmarks/unified.py table
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import pages
import store
from rich.console import Console
from unified_data import PROBLEMS, CascadeProblem

from tfdistill.zoo.comparison import Sizes
from tfdistill.zoo.recipe import Recipe
from tfdistill.zoo.rounds import Candidates
from tfdistill.zoo.training_modes import (
    MODES,
    judged,
    shown_sets,
    student_parameters,
    train_mode,
)
from tfdistill.zoo.unified_cascade import Nets, default_nets, recipe

NAME = "unified"
PAGE = pathlib.Path(__file__).parents[1] / "docs" / "cascade.md"
SIZES = Sizes(500, 100)


def no_fine_list(nets: Nets, **options: Any) -> Recipe:
    """The fine ranker does not learn the teacher's order of the list."""
    made = recipe(nets, **options)
    others = (t for t in made.transfers if t.name != "fine_list")
    return dataclasses.replace(made, transfers=tuple(others))


def equal_lists(nets: Nets) -> Recipe:
    """Candidates take the place of drawn items, so lists are as long as without any."""
    made = recipe(nets, candidates=Candidates(per_list=10))
    return dataclasses.replace(made, negatives=made.negatives - 10)


VARIANTS: Mapping[str, Callable[[Nets], Recipe]] = {
    "as it is": recipe,
    "equal lists": equal_lists,
    "no candidates": lambda nets: recipe(nets, candidates=None),
    "no labels": lambda nets: recipe(nets, hard=0.0),
    "no fine list": no_fine_list,
    "no fine list, teacher's tables": lambda nets: no_fine_list(
        nets, own_tables=(), shared_gradient="booster_only"
    ),
    "no fine list, one set of tables": lambda nets: no_fine_list(nets, own_tables=()),
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


def finished(
    problem: CascadeProblem, mode: str, made: Recipe, folder: pathlib.Path, seed: int
) -> dict[str, Any]:
    """Trains and judges one mode with one seed."""
    start = time.process_time()
    nets = train_mode(
        mode,
        dataclasses.replace(made, epochs=problem.epochs),
        problem.spec,
        problem.train,
        problem.judges["valid"],
        folder,
        known=problem.known,
        seed=seed,
        console=Console(),
    )
    spent = time.process_time() - start
    found: dict[str, Any] = {}
    for part, judge in problem.judges.items():
        sets = shown_sets(judge, nets, SIZES)
        values = judged(judge, sets, SIZES)
        if part == "test":
            values.update(problem.truths(sets))
        found[part] = {name: round(value, 6) for name, value in values.items()}
    found["student parameters"] = student_parameters(mode, made.nets, problem.spec)
    return {**found, "seconds of processor time": round(spent)}


def table(problem: str) -> str:
    """The table of a problem: a row for each mode and variant, means over seeds."""
    done = store.finished(NAME)
    rows = {
        run.split("/")[1]: None for run in done if run.startswith(f"{problem}/")
    }  # in the order of the runs
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
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    parser.add_argument("--variant", choices=VARIANTS, default="as it is")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--work", type=pathlib.Path, default="runs/unified")
    options = parser.parse_args()
    if options.problem == "table":
        pages.renew(PAGE, NAME, table)
        return
    problem = PROBLEMS[options.problem](options.data_dir)
    made = VARIANTS[options.variant](default_nets(problem.spec))
    suffix = "" if options.variant == "as it is" else f", {options.variant}"
    for seed in options.seeds:
        for mode in options.modes:
            run = f"{options.problem}/{mode}{suffix}/seed-{seed}"
            if run not in store.finished(NAME):
                name = options.variant.replace(" ", "-")
                folder = options.work / options.problem / name / f"seed-{seed}"
                store.append(NAME, run, finished(problem, mode, made, folder, seed))
    print(table(options.problem))


if __name__ == "__main__":
    main()
