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

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from harness import Bench, Column, Runs, Settings
from pages import spread

from tfdistill.data import RequestParts, Requests, split_requests
from tfdistill.datasets import Simulation, simulate
from tfdistill.datasets.synthetic_settings import (
    BAD_TEACHER,
    EQUAL_FEATURES_AMPLE_DATA,
    MAIN,
)
from tfdistill.metrics import auc
from tfdistill.study import Problem, Recipe, train
from tfdistill.study.evaluators import ListEvaluator
from tfdistill.trainers import FrozenTeacher
from tfdistill.zoo import ranking_pair

SETTINGS = {
    "main": MAIN,
    "equal features, ample data": EQUAL_FEATURES_AMPLE_DATA,
    "bad teacher": BAD_TEACHER,
}
EPOCHS = 5


class Trained(NamedTuple):
    """A seed's data, its test part and its models by name."""

    simulation: Simulation
    test: Requests
    models: Mapping[str, tf.keras.Model]


class Simulated(Bench):
    """The settings, each with its own data of a seed."""

    name = "simulator"
    problems = ("simulator",)
    rows = tuple(SETTINGS)
    seeds = 3
    run_id = "{row}"
    first = "AUC"
    columns = {
        name: f"{name}/auc" for name in ("oracle", "teacher", "alone", "distilled")
    }

    def trained(self, row: str, settings: Settings, seed: int) -> Trained:
        simulation = simulate(dataclasses.replace(SETTINGS[row], seed=seed))
        pair = ranking_pair.default_pair(simulation.spec)
        parts = split_requests(simulation.requests, (0.8, 0.1, 0.1))
        taught = split_requests(simulation.teacher_requests, (0.8, 0.1, 0.1))

        def fitted(
            name: str, recipe: Recipe, parts: RequestParts, teacher: Any = None
        ) -> tf.keras.Model:
            evaluators = ListEvaluator(parts[1]), ListEvaluator(parts[2])
            (net,) = train(
                recipe.changed(epochs=EPOCHS),
                Problem(simulation.spec, parts[0], *evaluators),
                self.folder(row, settings, seed) / name,
                teacher=teacher,
                seed=seed,
            ).values()
            return net.model

        first = fitted("teacher", ranking_pair.teacher(pair), taught)
        source = FrozenTeacher(first, {"score": "teacher"})
        models = {
            "teacher": first,
            "alone": fitted("alone", ranking_pair.alone(pair), parts),
            "distilled": fitted(
                "distilled", ranking_pair.two_stage(pair), parts, source
            ),
        }
        return Trained(simulation, parts[2], models)

    def metrics(
        self, row: str, trained: Trained, part: str, seed: int
    ) -> dict[str, float]:
        """Of the oracle and of each model."""
        simulation, requests, models = trained
        listed = requests.candidates >= 0
        true = simulation.oracle.click_probability(
            requests.group[:, np.newaxis], np.maximum(requests.candidates, 0)
        )
        labels = np.nan_to_num(requests.labels)
        found = {"oracle/auc": auc(labels, true, mask=listed)}
        evaluator = ListEvaluator(requests)
        for name, model in models.items():
            (logits,) = evaluator.logits(model).values()
            metrics = evaluator.ranking(logits)
            found.update({f"{name}/{metric}": x for metric, x in metrics.items()})
        return found

    @classmethod
    def shown(cls, runs: Runs) -> Mapping[str, Column]:

        def gain(row: str, runs: Runs) -> str:
            tests = [run["test"] for run in runs[row]]
            return spread([x["distilled/auc"] - x["alone/auc"] for x in tests], "+")

        return {**super().shown(runs), "distilled - alone": gain}


if __name__ == "__main__":
    Simulated.main()
