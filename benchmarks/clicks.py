"""Expected clicks per page with and without distilled recall, on the simulator.

    python benchmarks/clicks.py [--seeds 5] [--work DIR]

A two-tower recall model returns 50 of 2,000 items, the fine ranker (DCN-v2, which sees
more) chooses the page of 10 from them. The recall model is trained on clicks alone, or
with the ranker's top 10 of each list and of 100 drawn items as positives and the rest
as negatives (the point-wise form), or with its logits, or with its list. Each form has
three weights as trials on seed 0 and validation NDCG@10; what is left of a
page without any of it are the best items of the ranker over the whole catalogue. The
true click probability is known. A run is one line of benchmarks/results/clicks.jsonl.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from harness import Bench, Column, Runs, Settings
from pages import spread

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
from tfdistill.study import Problem, TrainedNet, train
from tfdistill.study.evaluators import CatalogueEvaluator
from tfdistill.trainers import FrozenTeacher
from tfdistill.zoo import ranking_pair, recall_from_logits

RECALLED, SHOWN = 50, 10
DRAWN = 100
FORMS: dict[str, DistillationLoss | None] = {
    "alone": None,
    "point-wise, top 10": TopKSoftLabel(topk=10),
    "point-wise, soft labels": SigmoidSoftLabel(),
    "list-wise": ListSoftmaxKL(),
}
BOUNDS = {
    "clicks without recall": "no recall: the ranker's best of the catalogue",
    "clicks of the oracle": "the oracle's page",
}


class Page(NamedTuple):
    """One seed: the simulated data and the ranker."""

    simulation: Simulation
    problem: Problem
    teacher: TrainedNet


class Clicks(Bench):
    """Forms of recall on the simulator, whose seed is that of the trainings too."""

    name, page = "clicks", "recall.md"
    problems = ("simulator",)
    rows = tuple(FORMS)
    run_id = "{row}"
    trials = {f"weight-{weight}": {"weight": weight} for weight in (0.3, 1.0, 3.0)}
    first = "recall taught"
    chosen_by = "ndcg@10"
    columns = {
        "expected clicks": "clicks",
        "Recall@50": "recall@50",
        "NDCG@10": "ndcg@10",
    }

    @functools.cache  # noqa: B019, a bench lives as long as the process
    def made(self, seed: int) -> Page:
        """Simulates a seed and trains its ranker."""
        simulation = simulate(dataclasses.replace(MAIN, seed=seed))
        train_, valid, test = split_requests(simulation.requests, (0.8, 0.1, 0.1))
        clicks = train_.candidates[train_.labels > 0]
        popular = head_items(np.bincount(clicks, minlength=train_.num_items))
        known = train_.shown()
        evaluators = (
            CatalogueEvaluator(valid, known, popular),
            CatalogueEvaluator(test, known.union(valid.shown()), popular),
        )
        problem = Problem(simulation.spec, train_, *evaluators, known)
        pair = ranking_pair.default_pair(simulation.spec)
        recipe = ranking_pair.teacher(pair).changed(epochs=5)
        folder = self.folder("teacher", {}, seed)
        nets = train(recipe, problem, folder, seed=seed)
        return Page(simulation, problem, nets["teacher"])

    def trials_of(self, row: str) -> Mapping[str, Settings]:
        return self.trials if FORMS[row] else {}

    def trained(
        self, row: str, settings: Settings, seed: int
    ) -> tuple[Page, TrainedNet]:
        page, loss = self.made(seed), FORMS[row]
        served = page.simulation.spec.non_privileged().names
        net = Net(TwoTower((), dim=16), served, task="recall")
        recipe = recall_from_logits.recipe(
            net, loss, weight=settings.get("weight", 0.0), negatives=DRAWN
        ).changed(epochs=12, learning_rate=3e-3, rows_l2=1e-4)
        nets = train(
            recipe if loss else recipe.only("recall"),
            page.problem,
            self.folder(row, settings, seed),
            teacher=FrozenTeacher(page.teacher.model, {"score": "teacher"}),
            seed=seed,
        )
        return page, nets["recall"]

    def metrics(
        self, row: str, trained: tuple[Page, TrainedNet], part: str, seed: int
    ) -> dict[str, float]:
        """Recall's own metrics and the expected clicks of the page."""
        page, net = trained
        evaluator, oracle = getattr(page.problem, part), page.simulation.oracle
        users = evaluator.requests.group[evaluator.first]

        def clicks(items: np.ndarray) -> float:
            """Mean expected clicks of pages `[U, SHOWN]`."""
            rates = oracle.click_probability(users[:, np.newaxis], items)
            return float(rates.sum(axis=1).mean())

        recalled = net.top(evaluator, RECALLED)
        ranker = page.teacher.ranker(evaluator.requests)
        scores = ranker(evaluator.first, recalled)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :SHOWN]
        true = dot_scores(oracle.user_vectors[users], oracle.item_vectors)
        pages = {
            "clicks": np.take_along_axis(recalled, order, axis=1),
            "clicks without recall": evaluator.best(ranker, SHOWN),
            "clicks of the oracle": top_k(true, len(users), SHOWN, seen=evaluator.seen),
        }
        found = {name: clicks(items) for name, items in pages.items()}
        return {**evaluator.retrieval(recalled), **found}

    @classmethod
    def shown(cls, runs: Runs) -> Mapping[str, Column]:
        """The metrics, and their gains over recall alone in percent."""

        def gain(metric: str, row: str, runs: Runs) -> str:
            pairs = zip(runs[row], runs["alone"])
            found = [
                100 * (a["test"][metric] / b["test"][metric] - 1) for a, b in pairs
            ]
            shown = f"{np.mean(found):+.1f} ± {np.std(found, ddof=1):.1f} %"
            return shown if row != "alone" else ""

        gains = {
            f"{title} over alone": functools.partial(gain, metric)
            for title, metric in cls.columns.items()
        }
        return {**super().shown(runs), **gains}

    @classmethod
    def table(cls, problem: str) -> str:
        """The forms, and below them what bounds their clicks."""
        alone = cls.runs(problem)["alone"]
        lines = [super().table(problem)]
        for bound, title in BOUNDS.items():
            clicks = spread([run["test"][bound] for run in alone])
            cells = [title, str(len(alone)), clicks, *[""] * (2 * len(cls.columns) - 1)]
            lines.append(f"| {' | '.join(cells)} |")
        return "\n".join(lines)


if __name__ == "__main__":
    Clicks.main()
