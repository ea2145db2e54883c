"""What each way of distilling a ranker gives, on four problems.

    python benchmarks/ranking.py movielens-1m --data-dir DIR [--seeds 5] [--rows A B]

Each row of `ranking_rows.py` gets the same trials on seed 0 and validation, and is then
trained with its best settings on every seed; the epoch is chosen by AUC on validation.
Each trial and each seed is one line of benchmarks/results/ranking.jsonl and isn't run
again. The tables of docs/ranking.md are means and deviations on the test part, and the
differences to a row's baseline, paired by seed.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping

import numpy as np
import ranking_table
import tensorflow as tf
from harness import Bench, Settings
from pages import Table
from ranking_data import KNOWN_RATE, RankingProblem, load, narrowed
from ranking_rows import ROWS, WIDE, Features, Row

from tfdistill.data import Requests
from tfdistill.export import parameters
from tfdistill.identity import fingerprint
from tfdistill.study import Problem, Recipe, TrainedNet, train
from tfdistill.study.evaluators import ListEvaluator
from tfdistill.teachers import GbdtTeacher
from tfdistill.trainers import EnsembleTeacher, FrozenTeacher, LoggedTeacher
from tfdistill.types import Teacher

EPOCHS = 14
SEEDS = 5
PAIRS = 1280  # in a batch
SETTINGS = ("learning_rate", "rows_l2", "dropout")
TRIALS = ((2e-3, 3e-4, 0.0), (2e-3, 3e-4, 0.2), (4e-3, 1e-4, 0.0), (4e-3, 3e-4, 0.2))


class Ranking(Bench):
    """One problem with everything that was trained on it."""

    name, page = "ranking", "ranking.md"
    problems = ("movielens-1m", "kuairec", "frappe", "simulator")
    rows = tuple(ROWS)
    trials = {f"trial-{i}": dict(zip(SETTINGS, t)) for i, t in enumerate(TRIALS)}
    seeds = SEEDS

    @functools.cached_property
    def data(self) -> RankingProblem:
        return load(self.problem, self.data_dir, WIDE)

    @functools.cached_property
    def features(self) -> Features:
        served = self.data.spec.non_privileged().names
        fewer = self.data.student_features
        return Features(self.data.spec.names, served, fewer if fewer != served else ())

    @functools.cached_property
    def evaluators(self) -> dict[str, ListEvaluator]:
        parts = ("train", "valid", "test")
        return {part: ListEvaluator(getattr(self.data, part)) for part in parts}

    def has(self, row: str, seed: int) -> bool:
        chosen = ROWS[row]
        return (not chosen.only or self.problem in chosen.only) and (
            not chosen.fewer or bool(self.features.fewer)
        )

    def trials_of(self, row: str) -> Mapping[str, Settings]:
        return self.trials if ROWS[row].recipe else {}

    def score(self, row: str, valid: Mapping[str, float]) -> float:
        """AUC, the mean of the row's tasks."""
        return np.mean([valid[f"{output}/auc"] for output in ROWS[row].outputs])

    def metrics(
        self, row: str, trained: Mapping[str, TrainedNet], part: str, seed: int
    ) -> dict[str, float]:
        """All metrics of all nets on one part, as `output/metric`."""
        if not trained:
            logits = self.scores(row, seed, part)
            return self.of_output(ROWS[row].net, logits, part)
        found = {}
        for name, net in trained.items():
            model = net.models[name]
            for output, values in self.evaluators[part].logits(model).items():
                task = output[len(name) + 1 :]
                found.update(self.of_output(output, values, part, task))
            counted = parameters(model)
            found[f"{name}/parameters"] = counted.tables + counted.rest
            found[f"{name}/parameters_outside_tables"] = counted.rest
        return found

    def scores(self, name: str, seed: int, part: str) -> np.ndarray:
        """Returns the logits of a row on the lists of a part, `[R, L]`."""
        if name == "GBDT":
            return self.trees().logits(getattr(self.data, part))
        row = ROWS[name]
        if row.ensemble_of:
            members = [self.scores(other, s, part) for other, s in _members(row, seed)]
            return np.mean(members, axis=0)
        return self.evaluators[part].logits(self.net(name, seed))[row.net]

    def net(self, name: str, seed: int) -> tf.keras.Model:
        """Returns the trained net of a row."""
        net = ROWS[name].net
        return self.trained(name, self.best(name), seed)[net].models[net]

    def trees(self) -> GbdtTeacher:
        """Returns boosted trees, which are fitted once: their seed hardly matters."""
        spec, train, valid = (
            getattr(self.data, name) for name in ("spec", "train", "valid")
        )
        made_of = [spec.to_json(), train.fingerprint, valid.fingerprint]
        path = self.work / f"trees-{fingerprint(made_of)}.npz"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            GbdtTeacher.fit(spec, train, valid, threads=1).save(path)
        return GbdtTeacher.load(path)

    def trained(self, row: str, settings: Settings, seed: int) -> dict[str, TrainedNet]:
        """Trains a row, or reads what was trained; nothing where no net is its own."""
        chosen, requests, teacher, start = ROWS[row], self.data.train, None, None
        if chosen.recipe is None:
            return {}
        if chosen.taught_by:
            requests, teacher = self.taught(chosen, seed)
        if chosen.start:
            nets = self.trained(chosen.start, self.best(chosen.start), seed)
            start = {chosen.net: nets[chosen.net]}
        batch_size = PAIRS // self.data.train.candidates.shape[1]
        problem = Problem(
            narrowed(self.data.spec, chosen.dim),
            requests,
            self.evaluators["valid"],
            self.evaluators["test"],
            self.data.known,
        )
        return train(
            configured(chosen.recipe(self.features), chosen, settings, batch_size),
            problem,
            self.folder(row, settings, seed),
            teacher=teacher,
            start=start,
            seed=seed,
        )

    def taught(self, row: Row, seed: int) -> tuple[Requests, Teacher]:
        """The training requests and the teacher of a two-stage row."""
        if row.in_graph:
            source = ROWS[row.taught_by]
            members = _members(source, seed) or [(row.taught_by, seed)]
            teachers = [
                FrozenTeacher(self.net(other, s), {"score": ROWS[other].net})
                for other, s in members
            ]
            return self.data.train, EnsembleTeacher(teachers)
        logits = self.scores(row.taught_by, seed, "train")
        requests = self.data.train.with_scores({"taught": logits})
        return requests, LoggedTeacher({"score": "taught"})

    def of_output(
        self, output: str, logits: np.ndarray, part: str, task: str = ""
    ) -> dict[str, float]:
        """All metrics of one output, from its logits on the lists of a part."""
        evaluator = self.evaluators[part]
        found = evaluator.ranking(logits, task)
        known = evaluator.requests.scores.get(KNOWN_RATE)
        if known is not None:
            listed = ~np.isnan(known)
            rate = 1 / (1 + np.exp(-logits[listed].astype(np.float64)))
            found["known_ratio"] = rate.mean() / known[listed].mean()
            found["known_error"] = np.abs(rate - known[listed]).mean()
        return {f"{output}/{name}": value for name, value in found.items()}

    @classmethod
    def table(cls, problem: str) -> str:
        return ranking_table.quality(problem, cls.runs(problem))

    @classmethod
    def tables(cls) -> Mapping[str, Table]:

        def latency(problem: str) -> str:
            return ranking_table.latency(problem, cls.runs(problem))

        return {**super().tables(), "latency": latency}


def _members(row: Row, seed: int) -> list[tuple[str, int]]:
    """Rows and seeds of an ensemble."""
    return [(name, (seed + i) % SEEDS) for i, name in enumerate(row.ensemble_of)]


def configured(recipe: Recipe, row: Row, settings: Settings, batch_size: int) -> Recipe:
    """A recipe with the settings of a trial."""
    net = recipe.nets[row.net]
    if hasattr(net.architecture, "dropout"):
        architecture = dataclasses.replace(
            net.architecture, dropout=settings["dropout"]
        )
        net = dataclasses.replace(net, architecture=architecture)
    return recipe.changed(
        nets={**recipe.nets, row.net: net},
        learning_rate=settings["learning_rate"] / (4 if row.start else 1),
        rows_l2=settings["rows_l2"],
        batch_size=batch_size,
        epochs=min(recipe.schedule.epochs, EPOCHS) if row.start else EPOCHS,
        chosen_by="auc",
    )


if __name__ == "__main__":
    Ranking.main()
