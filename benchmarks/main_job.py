"""The powerful teacher, recall students of histories and pages on MovieLens-100K.

    python benchmarks/main_job.py [--rows ROW ...] [--seeds 3] [--work DIR]

Metrics are of the whole catalogue on test; what came before a part is known to
features, scorers and histories, and no parameter is fitted on validation or test. The
teachers learn from one window of training. The bar, EASE of the newest, is a row of
`powerful_teacher.py`. Each row is a line of benchmarks/results/main_job.jsonl and isn't
run again.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

from harness import Bench, Settings

import tfdistill as td
from tfdistill.data.teacher_lists import RankedLists
from tfdistill.datasets import load_movielens
from tfdistill.models import DcnV2
from tfdistill.scorers import CandidateTeacher, boosted_trees, rolling_cuts
from tfdistill.study import movielens_problem
from tfdistill.zoo.rankers_after_recall import train_stages, with_standing

CUTS = rolling_cuts(1)
TREES, NET, CROSSED = "teacher, trees", "teacher, net", "teacher, DCN-v2"
ALONE, TAUGHT = "recall alone", "recall taught"
PAGE_ALONE, PAGE_TAUGHT = "page alone", "page taught"


class MainJob(Bench):
    """Teachers of candidates, and recall students that know users by histories."""

    name = "main_job"
    problems = ("movielens-100k",)
    rows = (TREES, NET, CROSSED, ALONE, TAUGHT, PAGE_ALONE, PAGE_TAUGHT)
    seeds = 3
    columns = {"NDCG@10": "ndcg@10", "Recall@50": "recall@50"}

    @functools.cached_property
    def data(self) -> td.Problem:
        """The quickstart's problem."""
        made = movielens_problem(load_movielens())
        return dataclasses.replace(made, spec=with_standing(made.spec))

    @functools.cache  # noqa: B019 - one bench for each process
    def teacher(self, row: str, seed: int) -> CandidateTeacher:
        """The teacher of a row."""
        network = functools.partial(
            td.zoo.candidate_ranker.network, self.folder(row, {}, seed)
        )
        learn = {
            TREES: lambda: boosted_trees(threads=1),
            NET: network,
            CROSSED: lambda: network(DcnV2(2, (128, 64), dropout=0.3, l2=1e-5)),
        }[row]()
        return CandidateTeacher.fit(self.data, cuts=CUTS, seeds=[seed], learn=learn)

    def lists(self, seed: int) -> dict[float, RankedLists]:
        """What the net lists before the window and at the end of training."""
        teacher, train = self.teacher(NET, seed), self.data.train
        return {cut: teacher.lists(train, cut=cut) for cut in CUTS[:-1]}

    def trained(self, row: str, settings: Settings, seed: int) -> Any:
        """A teacher, a cascade or a recall student, taught or alone."""
        if row.startswith("teacher"):
            return self.teacher(row, seed)
        if row.startswith("page"):
            teacher = self.teacher(NET, seed) if row == PAGE_TAUGHT else None
            folder = self.folder(row, settings, seed)
            nets = train_stages(self.data, folder, teacher=teacher, seed=seed)
            return nets.cascade(recall=200, coarse=50)
        lists = self.lists(seed) if row == TAUGHT else {}
        return td.train(
            td.zoo.recall_from_history.recipe(self.data.spec, lists),
            self.data,
            self.folder(row, settings, seed),
            training="joint" if lists else "independent",
            seed=seed,
        )["recall"]

    def metrics(
        self, row: str, trained: Any, part: str, seed: int
    ) -> Mapping[str, float]:
        """Over the whole catalogue."""
        return td.evaluate({row: trained}, getattr(self.data, part))[row]

    def measured(self, row: str, trained: Any, seed: int) -> Mapping[str, Any]:
        """Test, and validation, which chose the epochs."""
        valid = self.valid(row, trained)
        return {"valid": valid, **super().measured(row, trained, seed)}


if __name__ == "__main__":
    MainJob.main()
