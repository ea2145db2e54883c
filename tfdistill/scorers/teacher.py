"""The powerful teacher: ranks the candidates of several scorers by their scores."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from tfdistill.data.requests import Requests
from tfdistill.data.states import Asked, asked_in_windows
from tfdistill.data.teacher_lists import RankedLists
from tfdistill.models import Task
from tfdistill.scorers.base import PairScorer
from tfdistill.scorers.baselines import of_evaluator
from tfdistill.scorers.candidates import Candidates
from tfdistill.scorers.chosen import LISTED_BY, default_scorers
from tfdistill.scorers.features import PairFeatures, rolling_cuts
from tfdistill.spec import FeatureSpec
from tfdistill.study.evaluators import CatalogueEvaluator, ListEvaluator
from tfdistill.study.problem import Problem
from tfdistill.teachers.gbdt import GbdtTeacher

__all__ = ["CandidateTeacher", "Learner", "ListRanker", "boosted_trees"]


class ListRanker(Protocol):
    """What puts candidates in order."""

    def logits(self, requests: Requests) -> np.ndarray:
        """Returns scores float32 `[R, L]` of all candidates, NaN where padded."""


Learner = Callable[[FeatureSpec, Requests, Requests, int], ListRanker]
"""Makes a ranker of features, lists to learn from, lists to choose by, and a seed."""


def boosted_trees(**settings: Any) -> Learner:
    """Returns what learns a `CandidateTeacher`'s ranker as trees: LambdaMART.

    They stop where NDCG@10 of the candidates is best on validation.

    Args:
        **settings: Further arguments of `GbdtTeacher.fit`.

    Reference:
        Burges, From RankNet to LambdaRank to LambdaMART, MSR-TR-2010-82.
    """
    given = {"objective": "lambdarank", "rounds": 200, "patience": 50, **settings}

    def learn(
        spec: FeatureSpec, lists: Requests, valid: Requests, seed: int
    ) -> GbdtTeacher:
        return GbdtTeacher.fit(spec, lists, valid, seed=seed, **given)

    return learn


@dataclasses.dataclass(frozen=True, eq=False)
class CandidateTeacher:
    """A powerful teacher of the catalogue: simple scorers find, a ranker puts in order.

    The candidates are the tops of several scorers together (`Candidates`), the features
    what each scorer says of a pair (`PairFeatures`), out of fold, and the ranker has
    learned lists: boosted trees (`boosted_trees`), a Keras net
    (`zoo.candidate_ranker.network`), or a mean of rankers. On MovieLens-100K that is a
    fifth better than the best of its scorers. It is for teaching: a student learns from
    its lists over the catalogue (`lists`), or from its scores of given candidates
    (`scores`).

    Args:
        candidates: Finds.
        rankers: Put in order. Of several the scores are standardised per request and
            added.

    Example:
        ```python
        teacher = CandidateTeacher.fit(problem)
        td.evaluate({"teacher": teacher, **td.baselines(problem)}, problem.test)
        student = td.zoo.list_student(teacher.lists(problem.train, cut=1.0))
        ```

    Reference:
        Burges, From RankNet to LambdaRank to LambdaMART, MSR-TR-2010-82.
    """

    candidates: Candidates
    rankers: tuple[ListRanker, ...]

    @classmethod
    def fit(
        cls,
        problem: Problem,
        *,
        scorers: Sequence[PairScorer] | None = None,
        listed_by: tuple[str, ...] = LISTED_BY,
        size: int = 300,
        cuts: Sequence[float] = rolling_cuts(),
        seeds: Sequence[int] = (0,),
        learn: Learner | None = None,
    ) -> CandidateTeacher:
        """Fits scorers before each window of training, and a ranker on all windows.

        Args:
            problem: The problem; it must have a `log` and a catalogue.
            scorers: What scores pairs; by default `default_scorers`.
            listed_by: Names of those whose tops are candidates.
            size: How many candidates a user has.
            cuts: Where the scorers are fitted anew; those up to 1.0 bound the windows
                that the ranker learns from.
            seeds: A ranker for each; more than one are averaged.
            learn: What learns the ranker, by default `boosted_trees()`.

        Returns:
            The teacher.

        Raises:
            ValueError: If the problem has no log or catalogue, or LightGBM is missing.
        """
        log = problem.interaction_log
        if scorers is None:
            scorers = default_scorers(problem.spec, problem.train)
        features = PairFeatures(log, scorers, cuts)
        candidates = Candidates(features, listed_by, size)
        borders = [cut for cut in cuts if cut <= 1.0]
        asked = asked_in_windows(log, zip(borders[:-1], borders[1:]))
        train = candidates.requests(asked, problem.train)
        valid = candidates.judged(problem.valid)
        learn, spec = learn or boosted_trees(), FeatureSpec(features.spec)
        rankers = tuple(learn(spec, train, valid, seed) for seed in seeds)
        return cls(candidates, rankers)

    def scores(self, requests: Requests) -> np.ndarray:
        """Returns the scores of the requests' candidates, float32 `[R, L]`.

        Args:
            requests: Any requests from the first cut on. `requests.with_scores({name:
                teacher.scores(requests)})` logs them for a ranker's distillation. Each
                request's have mean 0 and deviation 1; NaN where padded.
        """
        made = dataclasses.replace(
            requests, pair_features=self.candidates.features.of(requests)
        )
        total = np.zeros(requests.candidates.shape)
        for ranker in self.rankers:
            margins = ranker.logits(made)
            mean = np.nanmean(margins, axis=1, keepdims=True)
            spread = np.nanstd(margins, axis=1, keepdims=True)
            total += (margins - mean) / np.maximum(spread, 1e-9)
        return (total / len(self.rankers)).astype(np.float32)

    def ranked(self, requests: Requests) -> RankedLists:
        """Returns the requests' candidates in the teacher's order, with its scores."""
        items, scores = requests.candidates, self.scores(requests)
        order = np.argsort(-np.nan_to_num(scores, nan=-np.inf), axis=1, kind="stable")
        items, scores = (np.take_along_axis(a, order, axis=1) for a in (items, scores))
        return RankedLists(items, np.where(items >= 0, scores, -np.inf))

    def lists(self, known: Requests, *, cut: float, size: int = 100) -> RankedLists:
        """Returns the best items of each user at a cut: what teaches recall.

        Args:
            known: Requests of the users that are to have a list.
            cut: When they ask: 1.0 before validation, 2.0 before test.
            size: How many items of each user.

        Returns:
            A row for each user number up to the highest; those without a request or
            any history before the cut have none.
        """
        log = self.candidates.features.log
        users = np.unique(known.group)
        users = users[log.histories(users, cut).sizes > 0]
        clock = np.full(len(users), cut)
        found = self.ranked(self.candidates.requests(Asked(users, clock, clock), known))
        shape = log.num_users, size
        items = np.full(shape, -1, np.int32)
        scores = np.full(shape, -np.inf, np.float32)
        width = min(size, found.items.shape[1])
        items[users, :width] = found.items[:, :width]
        scores[users, :width] = found.scores[:, :width]
        return RankedLists(items, scores)

    def top(self, evaluator: CatalogueEvaluator, k: int) -> np.ndarray:
        """Returns each judged user's best k unseen items of the catalogue `[U, k]`."""
        best = self.ranked(self.candidates.judged(evaluator)).items[:, :k]
        missing = k - best.shape[1]
        return np.pad(best, [(0, 0), (0, max(0, missing))], constant_values=-1)

    def metrics(
        self, evaluator: ListEvaluator, task: Task = "recall"
    ) -> dict[str, float]:
        """Returns all metrics on a task: see `of_evaluator`."""
        return of_evaluator(self, evaluator, task)
