"""How the quickstart's settings were found: equal trials for joint and alone.

    python benchmarks/movielens_trials.py [--work DIR]

Four trials on seed 0 of MovieLens-100K for the joint network and for each student
alone, judged on validation only. Each trial is one line of
benchmarks/results/movielens_trials.jsonl and isn't run again.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import pathlib

import store
from tfdistill.zoo.quickstart import make_problem

from tfdistill.datasets import load_movielens
from tfdistill.study.training import train
from tfdistill.zoo import movielens_cascade as zoo

NAME = "movielens_trials"
GRID = list(itertools.product((1e-3, 3e-3), (0.0, 1e-4)))


def main() -> None:
    """Runs the trials that are not there yet and prints the best of each net."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=pathlib.Path, default="runs/trials")
    options = parser.parse_args()
    problem = make_problem(load_movielens())
    recipes = {"joint": zoo.joint()}
    recipes.update({f"{stage} alone": zoo.alone(stage) for stage in zoo.STAGES})
    for (name, recipe), (rate, l2) in itertools.product(recipes.items(), GRID):
        run = f"{name}/learning_rate={rate:g}/rows_l2={l2:g}"
        if run in store.finished(NAME):
            continue
        trained = train(
            dataclasses.replace(recipe, learning_rate=rate, rows_l2=l2),
            problem.spec,
            problem.parts.train,
            problem.judges["valid"],
            options.work / run.replace(" ", "-"),
            known=problem.parts.known,
        )
        best = {
            net: round(max(trained[net].history[recipe.monitor(net)]), 6)
            for net in recipe.nets
        }
        store.append(NAME, run, {"valid": best})
    for run, row in store.finished(NAME).items():
        print(run, row["valid"])


if __name__ == "__main__":
    main()
