"""What each way of distilling a ranker gives, on four problems.

    python benchmarks/ranking.py movielens-1m --data-dir DIR [--seeds 5] [--rows A B]

Each row of `ranking_rows.py` gets the same trials (`TRIALS`) on seed 0 and validation,
and is then trained with its best settings on every seed; the epoch is chosen by AUC on
validation. Each trial and each seed is one line of benchmarks/results/ranking.jsonl and
isn't run again. Prints means and deviations on the test part, and the differences to a
row's baseline, paired by seed: the tables of docs/ranking.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
from collections.abc import Mapping

import numpy as np
import store
import tensorflow as tf
from ranking_data import RankingProblem, frappe, kuairec, movielens_1m
from ranking_rows import ROWS, WIDE, Features, Row
from ranking_table import NAME, table

from tfdistill.data import Requests, split_requests
from tfdistill.datasets import simulate
from tfdistill.datasets.synthetic_settings import MAIN
from tfdistill.export import parameters
from tfdistill.identity import fingerprint
from tfdistill.spec import FeatureSpec
from tfdistill.study.judge import ListJudge
from tfdistill.study.recipe import Recipe
from tfdistill.study.trained import TrainedNet
from tfdistill.study.training import train
from tfdistill.teachers import GbdtTeacher
from tfdistill.trainers import EnsembleTeacher, FrozenTeacher, LoggedTeacher
from tfdistill.types import Teacher

EPOCHS = 14
SEEDS = 5
PAIRS = 1280  # in a batch
KNOWN_RATE = "click_probability"


@dataclasses.dataclass(frozen=True)
class Trial:
    """Settings that every row may choose from.

    Args:
        learning_rate: Of the optimiser.
        rows_l2: L2 on the rows of the tables.
        dropout: Dropout of the judged net.
    """

    learning_rate: float
    rows_l2: float
    dropout: float


TRIALS = (
    Trial(2e-3, 3e-4, 0.0),
    Trial(2e-3, 3e-4, 0.2),
    Trial(4e-3, 1e-4, 0.0),
    Trial(4e-3, 3e-4, 0.2),
)


class Bench:
    """One problem with everything that was trained on it.

    Args:
        key: Name of the problem on the command line.
        data_dir: Folder of the data sets.
        work: Folder of the checkpoints.
    """

    def __init__(self, key: str, data_dir: pathlib.Path, work: pathlib.Path) -> None:
        self.key, self.work = key, work / key
        self.problem = load(key, data_dir)
        served = self.problem.spec.non_privileged().names
        fewer = self.problem.student_features
        self.features = Features(
            self.problem.spec.names, served, fewer if fewer != served else ()
        )
        self.judges = {
            part: ListJudge(getattr(self.problem, part))
            for part in ("train", "valid", "test")
        }

    @property
    def batch_size(self) -> int:
        """Requests in a batch: as many pairs for every problem."""
        return PAIRS // self.problem.train.candidates.shape[1]

    def has(self, name: str) -> bool:
        """Whether the problem has the row."""
        row = ROWS[name]
        return (not row.only or self.key in row.only) and (
            not row.fewer or bool(self.features.fewer)
        )

    def best(self, name: str) -> Trial:
        """Returns a row's best trial on seed 0, by validation AUC; runs what is new."""
        scores = []
        for number, trial in enumerate(TRIALS):
            run = f"{self.key}/{name}/trial-{number}"
            if run not in store.finished(NAME):
                values = self.judged(self.trained(name, trial, 0), "valid")
                settings = dataclasses.asdict(trial)
                store.append(NAME, run, {"settings": settings, "valid": values})
            valid = store.finished(NAME)[run]["valid"]
            scores.append(np.mean([valid[f"{o}/auc"] for o in ROWS[name].outputs]))
        return TRIALS[int(np.argmax(scores))]

    def run(self, name: str, seed: int) -> None:
        """Trains and judges a row with a seed, if that is new."""
        run = f"{self.key}/{name}/seed-{seed}"
        if run in store.finished(NAME):
            return
        if ROWS[name].recipe is None:
            logits = self.scores(name, seed, "test")
            values = self.metrics(ROWS[name].net, logits, "test")
            store.append(NAME, run, {"test": values})
            return
        trial = self.best(name)
        values = self.judged(self.trained(name, trial, seed), "test")
        store.append(NAME, run, {"settings": dataclasses.asdict(trial), "test": values})

    def scores(self, name: str, seed: int, part: str) -> np.ndarray:
        """Returns the logits of a row on the lists of a part, `[R, L]`."""
        if name == "GBDT":
            return self.trees().logits(getattr(self.problem, part))
        row = ROWS[name]
        if row.ensemble_of:
            members = [self.scores(other, s, part) for other, s in _members(row, seed)]
            return np.mean(members, axis=0)
        return self.judges[part].logits(self.net(name, seed))[row.net]

    def net(self, name: str, seed: int) -> tf.keras.Model:
        """Returns the trained net of a row."""
        net = ROWS[name].net
        return self.trained(name, self.best(name), seed)[net].models[net]

    def trees(self) -> GbdtTeacher:
        """Returns boosted trees, which are fitted once: their seed hardly matters."""
        spec, train, valid = (
            getattr(self.problem, name) for name in ("spec", "train", "valid")
        )
        made_of = [spec.to_json(), train.fingerprint, valid.fingerprint]
        path = self.work / f"trees-{fingerprint(made_of)}.npz"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            GbdtTeacher.fit(spec, train, valid, threads=1).save(path)
        return GbdtTeacher.load(path)

    def trained(self, name: str, trial: Trial, seed: int) -> dict[str, TrainedNet]:
        """Trains a row, or reads what was trained."""
        row = ROWS[name]
        requests, teacher, start = self.problem.train, None, None
        if row.taught_by:
            requests, teacher = self.taught(row, seed)
        if row.start:
            nets = self.trained(row.start, self.best(row.start), seed)
            start = {row.net: nets[row.net]}
        folder = f"{name.replace(' ', '-')}/{TRIALS.index(trial)}/seed-{seed}"
        return train(
            configured(row.recipe(self.features), row, trial, self.batch_size),
            narrowed(self.problem.spec, row.dim),
            requests,
            self.judges["valid"],
            self.work / folder,
            known=self.problem.known,
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
            return self.problem.train, EnsembleTeacher(teachers)
        logits = self.scores(row.taught_by, seed, "train")
        requests = self.problem.train.with_scores({"taught": logits})
        return requests, LoggedTeacher({"score": "taught"})

    def judged(self, nets: Mapping[str, TrainedNet], part: str) -> dict[str, float]:
        """All metrics of all nets on one part, as `output/metric`."""
        found = {}
        for name, net in nets.items():
            model = net.models[name]
            logits = self.judges[part].logits(model)
            for output, values in logits.items():
                task = output[len(name) + 1 :]
                found.update(self.metrics(output, values, part, task))
            counted = parameters(model)
            found[f"{name}/parameters"] = counted.tables + counted.rest
            found[f"{name}/parameters_outside_tables"] = counted.rest
        return found

    def metrics(
        self, output: str, logits: np.ndarray, part: str, task: str = ""
    ) -> dict[str, float]:
        """All metrics of one output, from its logits on the lists of a part."""
        judge = self.judges[part]
        found = judge.ranking(logits, task)
        known = judge.requests.scores.get(KNOWN_RATE)
        if known is not None:
            listed = ~np.isnan(known)
            rate = 1 / (1 + np.exp(-logits[listed].astype(np.float64)))
            found["known_ratio"] = rate.mean() / known[listed].mean()
            found["known_error"] = np.abs(rate - known[listed]).mean()
        return {f"{output}/{name}": round(float(v), 6) for name, v in found.items()}


def _members(row: Row, seed: int) -> list[tuple[str, int]]:
    """Rows and seeds of an ensemble."""
    return [(name, (seed + i) % SEEDS) for i, name in enumerate(row.ensemble_of)]


def load(key: str, data_dir: pathlib.Path) -> RankingProblem:
    """Reads or simulates the data of a problem."""
    if key == "movielens-1m":
        return movielens_1m(data_dir / "ml-1m", dim=WIDE)
    if key == "kuairec":
        return kuairec(data_dir / "kuairec" / "exposures.csv.gz", dim=WIDE)
    if key == "frappe":
        archive = data_dir / "frappe" / "Mobile_Frappe.zip"
        return frappe(archive, dim=WIDE)
    simulation = simulate(MAIN)
    listed = simulation.requests
    rates = simulation.oracle.click_probability(
        listed.group[:, np.newaxis], listed.candidates
    )
    rates = np.where(listed.candidates >= 0, rates, np.nan)
    listed = listed.with_scores({KNOWN_RATE: rates})
    parts = split_requests(listed, (0.8, 0.1, 0.1))
    served = simulation.spec.non_privileged().names
    return RankingProblem("Simulator", simulation.spec, *parts, served)


def configured(recipe: Recipe, row: Row, trial: Trial, batch_size: int) -> Recipe:
    """A recipe with the settings of a trial."""
    net = recipe.nets[row.net]
    if hasattr(net.architecture, "dropout"):
        architecture = dataclasses.replace(net.architecture, dropout=trial.dropout)
        net = dataclasses.replace(net, architecture=architecture)
    return dataclasses.replace(
        recipe,
        nets={**recipe.nets, row.net: net},
        learning_rate=trial.learning_rate / (4 if row.start else 1),
        rows_l2=trial.rows_l2,
        batch_size=batch_size,
        epochs=min(recipe.epochs, EPOCHS) if row.start else EPOCHS,
        chosen_by="auc",
    )


def narrowed(spec: FeatureSpec, dim: int) -> FeatureSpec:
    """The same features with tables of another width."""
    tables = tuple(dataclasses.replace(table, dim=dim) for table in spec.tables)
    return FeatureSpec(spec.features, tables)


def main() -> None:
    """Runs what is not there yet and prints the table of a problem."""
    parser = argparse.ArgumentParser(description=__doc__)
    problems = ("movielens-1m", "kuairec", "frappe", "simulator")
    parser.add_argument("problem", choices=problems)
    parser.add_argument("--data-dir", type=pathlib.Path, default="data")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--work", type=pathlib.Path, default="runs/ranking")
    options = parser.parse_args()
    bench = Bench(options.problem, options.data_dir, options.work)
    for name in options.rows:
        if bench.has(name):
            for seed in range(options.seeds):
                bench.run(name, seed)
    print(table(options.problem))


if __name__ == "__main__":
    main()
