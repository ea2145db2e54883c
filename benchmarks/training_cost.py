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

import argparse
import dataclasses
import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import time
from typing import Any

import store
from ranking import load, narrowed
from ranking_rows import WIDE, Features

NAME = "training_cost"
EPOCHS = 10
WAYS = ("joint", "two-stage")


def spent() -> float:
    """Processor seconds of this process so far."""
    return time.process_time()


def train_one_way(
    way: str, data_dir: pathlib.Path, seed: int, work: pathlib.Path
) -> dict[str, Any]:
    """Trains in this process; returns seconds, peak memory and the student's AUC."""
    import tensorflow as tf

    from tfdistill.study.judge import ListJudge
    from tfdistill.study.recipe import Recipe
    from tfdistill.study.training import train
    from tfdistill.trainers import LoggedTeacher
    from tfdistill.zoo import ranking_pair

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    problem = load("movielens-1m", data_dir)
    names = problem.spec.names
    pair, spec = Features(names, names).pair, narrowed(problem.spec, WIDE)
    judge, test = ListJudge(problem.valid), ListJudge(problem.test)

    def trained(recipe: Recipe, requests: Any = problem.train, **options: Any) -> Any:
        recipe = dataclasses.replace(recipe, epochs=EPOCHS, chosen_by="auc")
        folder = work / "-".join(recipe.nets)
        return train(recipe, spec, requests, judge, folder, seed=seed, **options)

    seconds, start = {}, spent()
    if way == "joint":
        student = trained(ranking_pair.joint(pair))["fine"]
        seconds["teacher and student"] = spent() - start
    else:
        teacher = trained(ranking_pair.teacher(pair))["teacher"].models["teacher"]
        seconds["teacher"] = spent() - start
        start = spent()
        (logits,) = ListJudge(problem.train).logits(teacher).values()
        requests = problem.train.with_scores({"taught": logits})
        seconds["scores"] = spent() - start
        start = spent()
        student = trained(
            ranking_pair.two_stage(pair, hard=0.5, weight=0.5),
            requests,
            teacher=LoggedTeacher({"score": "taught"}),
        )["fine"]
        seconds["student"] = spent() - start
    (logits,) = test.logits(student.models["fine"]).values()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "peak_mib": round(peak),
        "auc": round(test.ranking(logits)["auc"], 6),
    }


def main() -> None:
    """Runs what is not there yet and prints means."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=pathlib.Path, default="data")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--child", nargs=2, metavar=("WAY", "SEED"))
    options = parser.parse_args()
    if options.child:
        way, seed = options.child
        with tempfile.TemporaryDirectory() as work:
            found = train_one_way(way, options.data_dir, int(seed), pathlib.Path(work))
        print(json.dumps(found))
        return
    for seed in range(options.seeds):
        for way in WAYS:
            run = f"{way}/seed-{seed}"
            if run not in store.finished(NAME):
                command = [sys.executable, __file__, "--child", way, str(seed)]
                command += ["--data-dir", str(options.data_dir)]
                child = subprocess.run(
                    command, check=True, stdout=subprocess.PIPE, text=True
                )
                store.append(NAME, run, json.loads(child.stdout.splitlines()[-1]))
    for way in WAYS:
        done = store.finished(NAME)
        runs = [done[f"{way}/seed-{seed}"] for seed in range(options.seeds)]
        for part in runs[0]["seconds"]:
            print(way, part, store.spread([run["seconds"][part] for run in runs]), "s")
        for what in ("peak_mib", "auc"):
            print(way, what, store.spread([run[what] for run in runs]))


if __name__ == "__main__":
    main()
