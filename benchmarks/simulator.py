"""Where distillation helps and where it should not: the simulator's three settings.

    python benchmarks/simulator.py [--seeds 5] [--work DIR]

Two stages: a DCN-v2 teacher is trained, then a small DNN learns from its scores and the
labels; the same DNN is trained on the labels alone. `MAIN` has a teacher that sees
more, `EQUAL_FEATURES_AMPLE_DATA` one that sees the same, and the teacher of
`BAD_TEACHER` was trained on tastes that are gone. The settings were fixed before any
student ran on them. Each (setting, seed) is one line of
benchmarks/results/simulator.jsonl, and isn't run again.
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib

import numpy as np
import store

from tfdistill.data import Requests, split_requests
from tfdistill.datasets import Simulation, simulate
from tfdistill.datasets.synthetic_settings import (
    BAD_TEACHER,
    EQUAL_FEATURES_AMPLE_DATA,
    MAIN,
    SimulatorConfig,
)
from tfdistill.metrics import auc
from tfdistill.study.judge import ListJudge
from tfdistill.study.recipe import Recipe
from tfdistill.study.training import train
from tfdistill.trainers import FrozenTeacher
from tfdistill.zoo import ranking_pair

NAME = "simulator"
SETTINGS = {
    "main": MAIN,
    "equal features, ample data": EQUAL_FEATURES_AMPLE_DATA,
    "bad teacher": BAD_TEACHER,
}
EPOCHS = 5


def measure(config: SimulatorConfig, seed: int, work: pathlib.Path) -> dict[str, float]:
    """Test metrics of the oracle, the teacher and the student with and without it."""
    simulation = simulate(dataclasses.replace(config, seed=seed))
    spec = simulation.spec
    pair = ranking_pair.default_pair(spec)
    parts = split_requests(simulation.requests, (0.8, 0.1, 0.1))
    taught = split_requests(simulation.teacher_requests, (0.8, 0.1, 0.1))
    judge = ListJudge(parts[1])
    first = train(
        _short(ranking_pair.teacher(pair)),
        spec,
        taught[0],
        ListJudge(taught[1]),
        work / "teacher",
        seed=seed,
    )["teacher"].models["teacher"]
    students = {
        name: train(
            _short(recipe),
            spec,
            parts[0],
            judge,
            work / name,
            teacher=source,
            seed=seed,
        )["fine"].models["fine"]
        for name, recipe, source in (
            ("alone", ranking_pair.alone(pair), None),
            (
                "distilled",
                ranking_pair.two_stage(pair),
                FrozenTeacher(first, {"score": "teacher"}),
            ),
        )
    }
    test = ListJudge(parts[2])
    found = {"oracle/auc": _oracle_auc(simulation, parts[2])}
    for name, model in {"teacher": first, **students}.items():
        (logits,) = test.logits(model).values()
        for metric, value in test.ranking(logits).items():
            found[f"{name}/{metric}"] = value
    return {name: round(value, 6) for name, value in found.items()}


def _short(recipe: Recipe) -> Recipe:
    return dataclasses.replace(recipe, epochs=EPOCHS)


def _oracle_auc(simulation: Simulation, requests: Requests) -> float:
    listed = requests.candidates >= 0
    true = simulation.oracle.click_probability(
        requests.group[:, np.newaxis], np.maximum(requests.candidates, 0)
    )
    return auc(np.nan_to_num(requests.labels), true, mask=listed)


def main() -> None:
    """Runs what is not there yet and prints the table of all settings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--work", type=pathlib.Path, default="runs/simulator")
    options = parser.parse_args()
    for seed in range(options.seeds):
        for name, config in SETTINGS.items():
            run = f"{name}/seed-{seed}"
            if run not in store.finished(NAME):
                folder = options.work / run.replace(" ", "-")
                store.append(NAME, run, {"test": measure(config, seed, folder)})
    for name in SETTINGS:
        done = store.finished(NAME)
        runs = [done[f"{name}/seed-{seed}"]["test"] for seed in range(options.seeds)]
        gains = [run["distilled/auc"] - run["alone/auc"] for run in runs]
        means = [
            f"{model} {np.mean([run[f'{model}/auc'] for run in runs]):.4f}"
            for model in ("oracle", "teacher", "alone", "distilled")
        ]
        gain = f"distilled - alone {store.spread(gains, '+')}"
        print(f"{name}: AUC " + ", ".join([*means, gain]))


if __name__ == "__main__":
    main()
