"""Expected clicks per page with and without distilled recall, on the simulator.

    python benchmarks/clicks.py [--seeds 5] [--work DIR]

A two-tower recall model returns 50 of 2,000 items, the fine ranker (DCN-v2, which sees
more) chooses the page of 10 from them. The recall model is trained on clicks alone, or
with the ranker's top 10 of each list and of 100 drawn items as positives and the rest
as negatives (the point-wise form), or with its logits, or with its list. Each form has
the weights of `WEIGHTS` as trials on seed 0 and validation NDCG@10; what is left of a
page without any of it are the best items of the ranker over the whole catalogue. The
true click probability is known. A run is one line of benchmarks/results/clicks.jsonl.
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib

import numpy as np
import store
from pages import renew, seeds

from tfdistill.data import split_requests
from tfdistill.datasets import Simulation, simulate
from tfdistill.datasets.synthetic_settings import MAIN
from tfdistill.losses import (
    DistillationLoss,
    ListSoftmaxKL,
    SigmoidSoftLabel,
    TopKSoftLabel,
)
from tfdistill.metrics import dot_scores, head_items, top_k
from tfdistill.models import Net, TwoTower
from tfdistill.study.judge import CatalogueJudge
from tfdistill.study.trained import TrainedNet
from tfdistill.study.training import train
from tfdistill.trainers import FrozenTeacher
from tfdistill.zoo import ranking_pair, recall_from_logits

NAME = "clicks"
RECALLED, SHOWN = 50, 10
DRAWN = 100
FORMS: dict[str, DistillationLoss | None] = {
    "alone": None,
    "point-wise, top 10": TopKSoftLabel(topk=10),
    "point-wise, soft labels": SigmoidSoftLabel(),
    "list-wise": ListSoftmaxKL(),
}
WEIGHTS = (0.3, 1.0, 3.0)
PAGE = pathlib.Path(__file__).parents[1] / "docs" / "recall.md"
METRICS = {
    "clicks": "expected clicks",
    "recall@50": "Recall@50",
    "ndcg@10": "NDCG@10",
}
BOUNDS = {
    "clicks without recall": "no recall: the ranker's best of the catalogue",
    "clicks of the oracle": "the oracle's page",
}


class Bench:
    """One seed: the simulated data, the ranker and its judges.

    Args:
        seed: Seed of the simulator and of all trainings.
        work: Folder of the checkpoints.
    """

    def __init__(self, seed: int, work: pathlib.Path) -> None:
        self.seed, self.work = seed, work / f"seed-{seed}"
        self.simulation: Simulation = simulate(dataclasses.replace(MAIN, seed=seed))
        parts = split_requests(self.simulation.requests, (0.8, 0.1, 0.1))
        self.train = parts[0]
        self.known = parts[0].shown()
        clicks = self.train.candidates[self.train.labels > 0]
        popular = head_items(np.bincount(clicks, minlength=self.train.num_items))
        self.valid = CatalogueJudge(parts[1], self.known, popular)
        seen = self.known.union(parts[1].shown())
        self.test = CatalogueJudge(parts[2], seen, popular)
        self.teacher = self._teacher()

    def _teacher(self) -> TrainedNet:
        spec = self.simulation.spec
        pair = ranking_pair.default_pair(spec)
        recipe = dataclasses.replace(ranking_pair.teacher(pair), epochs=5)
        return train(
            recipe, spec, self.train, self.valid, self.work / "teacher", seed=self.seed
        )["teacher"]

    def recall(self, form: str, weight: float) -> TrainedNet:
        """Trains recall under the ranker, or reads what was trained."""
        spec, loss = self.simulation.spec, FORMS[form]
        served = spec.non_privileged().names
        net = Net(TwoTower((), dim=16), served, task="recall")
        recipe = dataclasses.replace(
            recall_from_logits.recipe(net, loss, weight=weight, negatives=DRAWN),
            epochs=12,
            learning_rate=3e-3,
            rows_l2=1e-4,
        )
        if loss is None:
            recipe = recipe.only("recall")
        return train(
            recipe,
            spec,
            self.train,
            self.valid,
            self.work / f"{form.replace(' ', '-')}-{weight}",
            known=self.known,
            teacher=FrozenTeacher(self.teacher.model, {"score": "teacher"}),
            seed=self.seed,
        )["recall"]

    def judged(self, judge: CatalogueJudge, net: TrainedNet) -> dict[str, float]:
        """Recall's own metrics and the expected clicks of the page."""
        recalled = net.top(judge, RECALLED)
        found = judge.retrieval(recalled)
        ranker = self.teacher.ranker(judge.requests)
        scores = ranker(judge.first, recalled)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :SHOWN]
        page = np.take_along_axis(recalled, order, axis=1)
        best = judge.best(ranker, SHOWN)
        true = self._true_best(judge)
        found["clicks"] = self._clicks(judge, page)
        found["clicks without recall"] = self._clicks(judge, best)
        found["clicks of the oracle"] = self._clicks(judge, true)
        return {name: round(float(value), 6) for name, value in found.items()}

    def _clicks(self, judge: CatalogueJudge, page: np.ndarray) -> float:
        """Mean expected clicks of pages `[U, SHOWN]`."""
        users = judge.requests.group[judge.first][:, np.newaxis]
        rates = self.simulation.oracle.click_probability(users, page)
        return float(rates.sum(axis=1).mean())

    def _true_best(self, judge: CatalogueJudge) -> np.ndarray:
        oracle = self.simulation.oracle
        users = oracle.user_vectors[judge.requests.group[judge.first]]
        scores = dot_scores(users, oracle.item_vectors)
        return top_k(scores, len(users), SHOWN, seen=judge.seen)


def best_weight(form: str, work: pathlib.Path) -> float:
    """Returns a form's best weight on seed 0, by validation NDCG@10."""
    if FORMS[form] is None:
        return 0.0
    found = {}
    for weight in WEIGHTS:
        run = f"{form}/weight-{weight}"
        if run not in store.finished(NAME):
            bench = Bench(0, work)
            values = bench.judged(bench.valid, bench.recall(form, weight))
            store.append(NAME, run, {"valid": values})
        found[weight] = store.finished(NAME)[run]["valid"]["ndcg@10"]
    return max(found, key=found.__getitem__)


def table(problem: str) -> str:
    """Returns the finished forms, and what bounds them, in Markdown."""
    done = {f"{problem}/{run}": values for run, values in store.finished(NAME).items()}
    found = {form: seeds(done, problem, form) for form in FORMS}
    titles = ["recall taught", "seeds", *METRICS.values()]
    titles += [f"{title} over alone" for title in METRICS.values()]
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for form, runs in found.items():
        cells = [form, str(len(runs))]
        cells += [store.spread([run[metric] for run in runs]) for metric in METRICS]
        for metric in METRICS:
            pairs = zip(runs, found["alone"])
            gains = [100 * (run[metric] / alone[metric] - 1) for run, alone in pairs]
            shown = f"{np.mean(gains):+.1f} ± {np.std(gains, ddof=1):.1f} %"
            cells.append(shown if form != "alone" else "")
        lines.append(f"| {' | '.join(cells)} |")
    for bound, title in BOUNDS.items():
        clicks = store.spread([run[bound] for run in found["alone"]])
        cells = [title, str(len(found["alone"])), clicks]
        lines.append(f"| {' | '.join(cells + [''] * (len(titles) - 3))} |")
    return "\n".join(lines)


def main() -> None:
    """Runs what is not there yet, and renews the table of docs/recall.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--work", type=pathlib.Path, default="runs/clicks")
    options = parser.parse_args()
    for seed in range(options.seeds):
        for form in FORMS:
            run = f"{form}/seed-{seed}"
            if run not in store.finished(NAME):
                weight = best_weight(form, options.work)
                bench = Bench(seed, options.work)
                values = bench.judged(bench.test, bench.recall(form, weight))
                store.append(NAME, run, {"weight": weight, "test": values})
    renew(PAGE, NAME, table)
    print(table("simulator"))


if __name__ == "__main__":
    main()
