"""Processor time and peak memory of joint and of two-stage training.

    python benchmarks/training_cost.py --data-dir DIR [--seeds 3]

MovieLens-1M, the teacher and the small student of ranking.py. Jointly: both in one
network (soft labels and a hint). In two stages: the teacher, its scores of the training
pairs, and the student from the stored scores. Each way is trained in a process of its
own with one thread, by the settings below, and keeps the epoch of the best validation
AUC; the two-stage way may train many students from one teacher, so its parts are given
apart. A run is one line of benchmarks/results/training_cost.jsonl.
"""

from __future__ import annotations

import functools
import pathlib
import resource
import tempfile
import time
from collections.abc import Mapping
from typing import Any

from harness import Bench, Column, Runs, Settings
from pages import mean
from ranking_data import load, narrowed
from ranking_rows import WIDE, Features
from timing import answer, as_child, child, threads

from tfdistill.study import Problem, Recipe, train
from tfdistill.study.evaluators import ListEvaluator
from tfdistill.trainers import LoggedTeacher
from tfdistill.zoo import ranking_pair

EPOCHS = 10
PARTS = ("teacher and student", "teacher", "scores", "student")
COSTS = {**{f"{part}, s": part for part in PARTS}, "peak MiB": "peak_mib", "AUC": "auc"}


class TrainingCost(Bench):
    """The two ways, each in a process of its own."""

    name = "training_cost"
    problems = ("movielens-1m",)
    rows = ("joint", "two-stage")
    run_id = "{row}"
    seeds = 3

    def trained(self, row: str, settings: Settings, seed: int) -> Mapping[str, Any]:
        return answer(child(__file__, row, self.data_dir, seed))

    def measured(self, row: str, trained: Any, seed: int) -> Mapping[str, Any]:
        return trained

    @classmethod
    def shown(cls, runs: Runs) -> Mapping[str, Column]:
        def cost(name: str, row: str, runs: Runs) -> str:
            found = [{**run, **run["seconds"]}.get(name) for run in runs[row]]
            return "-" if None in found else mean(found)

        return {title: functools.partial(cost, name) for title, name in COSTS.items()}


def train_here(way: str, data_dir: str, seed: str) -> dict[str, Any]:
    """Trains in this process; returns seconds, peak memory and the student's AUC."""
    threads(1)
    with tempfile.TemporaryDirectory() as work:
        return train_one_way(way, pathlib.Path(data_dir), int(seed), pathlib.Path(work))


def train_one_way(
    way: str, data_dir: pathlib.Path, seed: int, work: pathlib.Path
) -> dict[str, Any]:
    """Seconds of each part, peak memory and the student's AUC."""
    problem = load("movielens-1m", data_dir)
    names = problem.spec.names
    pair, spec = Features(names, names).pair, narrowed(problem.spec, WIDE)
    evaluators = ListEvaluator(problem.valid), ListEvaluator(problem.test)

    def trained(recipe: Recipe, requests: Any = problem.train, **options: Any) -> Any:
        recipe = recipe.changed(epochs=EPOCHS, chosen_by="auc")
        data, folder = (
            Problem(spec, requests, *evaluators),
            work / "-".join(recipe.nets),
        )
        return train(recipe, data, folder, seed=seed, **options)

    seconds, start = {}, time.process_time()
    if way == "joint":
        student = trained(ranking_pair.joint(pair))["fine"]
        seconds["teacher and student"] = time.process_time() - start
    else:
        teacher = trained(ranking_pair.teacher(pair))["teacher"].model
        seconds["teacher"] = time.process_time() - start
        start = time.process_time()
        (logits,) = ListEvaluator(problem.train).logits(teacher).values()
        requests = problem.train.with_scores({"taught": logits})
        seconds["scores"] = time.process_time() - start
        start = time.process_time()
        student = trained(
            ranking_pair.two_stage(pair, hard=0.5, weight=0.5),
            requests,
            teacher=LoggedTeacher({"score": "taught"}),
        )["fine"]
        seconds["student"] = time.process_time() - start
    (logits,) = evaluators[1].logits(student.model).values()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "peak_mib": round(peak),
        "auc": round(evaluators[1].ranking(logits)["auc"], 6),
    }


if __name__ == "__main__":
    if not as_child(train_here):
        TrainingCost.main()
