"""What any net must beat: popularity and EASE, tuned on validation in seconds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from tfdistill.data.interactions import InteractionLog
from tfdistill.data.requests import Requests
from tfdistill.data.teacher_lists import RankedLists
from tfdistill.metrics import scored_top_k, top_k
from tfdistill.models import Task
from tfdistill.scorers.base import FittedScorer, PairScorer, pair_scores
from tfdistill.scorers.items import EaseScorer
from tfdistill.scorers.profiles import Popular
from tfdistill.study.evaluators import RECALL_CUT, CatalogueEvaluator, ListEvaluator
from tfdistill.study.problem import Problem

__all__ = [
    "CHOSEN_BY",
    "Baseline",
    "baselines",
    "best_simple",
    "of_evaluator",
]

CHOSEN_BY = "ndcg@10"
"""What chooses a baseline's settings, and the best baseline, on validation."""

_PENALTIES = (100.0, 200.0, 500.0, 1000.0)
_GRID: Mapping[str, Sequence[PairScorer]] = {
    "popular": [Popular(), Popular(0.15), Popular(0.03)],
    "EASE": [EaseScorer(l2) for l2 in _PENALTIES],
    "EASE of the newest": [
        EaseScorer(l2, memory, positives=False)
        for l2 in _PENALTIES[1:]
        for memory in (5.0, 10.0, 30.0)
    ],
}


class Evaluated(Protocol):
    """What ranks a catalogue: a baseline, a teacher."""

    def metrics(self, evaluator: ListEvaluator) -> dict[str, float]:
        """Returns all metrics of recall."""


@dataclasses.dataclass(frozen=True, eq=False)
class Baseline:
    """A scorer as a model that is judged: refitted on all that came before the part.

    `td.evaluate` takes it beside nets. At each request it knows the user's history, as
    a net does by its features: what a user would serve, without training.

    Args:
        log: All interactions.
        scorer: The scorer.

    Example:
        ```python
        td.evaluate({**nets, **td.baselines(problem)}, problem.test)
        ```
    """

    log: InteractionLog
    scorer: PairScorer

    def at(self, cut: float) -> FittedScorer:
        """Returns the scorer as it is fitted on all that came before a cut."""
        return self.scorer.fit(self.log.before(cut))

    def top(self, evaluator: CatalogueEvaluator, k: int) -> np.ndarray:
        """Returns each judged user's best k unseen items of the catalogue `[U, k]`."""
        histories = self.log.of(evaluator.requests)[evaluator.first]
        fitted = self.at(np.floor(histories.clock.min()))
        users = len(histories)
        return top_k(
            lambda rows: fitted(histories[rows]), users, k, seen=evaluator.seen
        )

    def lists(self, known: Requests, *, cut: float, size: int = 100) -> RankedLists:
        """Returns the best items of each user at a cut: what teaches recall.

        Args:
            known: Requests of the users; the log knows all that is asked for.
            cut: When they ask: 1.0 before validation, 2.0 before test.
            size: How many items of each user.
        """
        users, fitted = np.arange(self.log.num_users), self.at(cut)
        histories, seen = self.log.histories(users, cut), self.log.before(cut).pairs
        found = scored_top_k(
            lambda rows: fitted(histories[rows]), len(users), size, seen=seen
        )
        return RankedLists(*found)

    def scores(self, requests: Requests) -> np.ndarray:
        """Returns the scores of the candidates `[R, L]` of a part's requests."""
        histories = self.log.of(requests)
        fitted = self.at(np.floor(histories.clock.min()))
        return pair_scores(fitted, histories, requests.candidates)

    def metrics(
        self, evaluator: ListEvaluator, task: Task = "recall"
    ) -> dict[str, float]:
        """Returns all metrics on a task: see `of_evaluator`."""
        return of_evaluator(self, evaluator, task)


class _Scorer(Protocol):
    def scores(self, requests: Requests) -> np.ndarray:
        """Returns the scores of the requests' candidates."""

    def top(self, evaluator: CatalogueEvaluator, k: int) -> np.ndarray:
        """Returns each judged user's best k unseen items of the catalogue."""


def of_evaluator(
    model: _Scorer, evaluator: ListEvaluator, task: Task
) -> dict[str, float]:
    """Returns all metrics of a scorer: of recall over the catalogue, or of lists.

    Args:
        model: The scorer.
        evaluator: The evaluator; that of a catalogue for recall.
        task: What it is judged at.

    Raises:
        ValueError: If it is recall and the evaluator has no catalogue.
    """
    if task == "ranking":
        return evaluator.ranking(model.scores(evaluator.requests))
    whole = evaluator.over_catalogue("A baseline")
    return whole.retrieval(model.top(whole, RECALL_CUT))


def baselines(problem: Problem) -> dict[str, Baseline]:
    """Returns the simplest strong models of a problem, tuned on its validation part.

    The most popular items, with the newest interactions counting most where that is
    better; EASE of the positives; and EASE of all interactions, asked with the newest
    items first. Each is the best of a few settings by NDCG@10 on validation. A net that
    is no better than the best of them (`best_simple`) is not worth its training.

    Args:
        problem: The problem; it must have a `log`.

    Returns:
        The baselines by name: models as `td.evaluate` takes them.

    Raises:
        ValueError: If the problem has no log or no catalogue.

    Example:
        >>> import pandas as pd
        >>> from tfdistill import Problem, evaluate
        >>> frame = pd.DataFrame(
        ...     {"user": np.arange(60) // 10, "film": np.arange(60) * 7 % 12,
        ...      "when": range(60)})
        >>> problem = Problem.from_interactions(
        ...     frame, user="user", item="film", time="when")
        >>> found = baselines(problem)
        >>> list(found)
        ['popular', 'EASE', 'EASE of the newest']
        >>> metrics = evaluate(found, problem.test)
        >>> best_simple(problem) in metrics
        True
    """
    log = problem.interaction_log
    return {
        name: max(
            (Baseline(log, scorer) for scorer in scorers),
            key=lambda baseline: baseline.metrics(problem.valid)[CHOSEN_BY],
        )
        for name, scorers in _GRID.items()
    }


def best_simple(problem: Problem, found: Mapping[str, Evaluated] | None = None) -> str:
    """Returns the name of the baseline that is best on validation.

    Args:
        problem: The problem.
        found: Its `baselines`, if they are there already, or other models to choose
            among.

    Returns:
        One of their names: the row that a result is compared with.

    Example:
        >>> import pandas as pd
        >>> from tfdistill import Problem
        >>> frame = pd.DataFrame(
        ...     {"user": np.arange(60) // 10, "film": np.arange(60) % 12,
        ...      "when": range(60)})
        >>> problem = Problem.from_interactions(
        ...     frame, user="user", item="film", time="when")
        >>> best_simple(problem, baselines(problem)) in baselines(problem)
        True
    """
    models: Mapping[str, Evaluated] = baselines(problem) if found is None else found
    scores = {name: m.metrics(problem.valid)[CHOSEN_BY] for name, m in models.items()}
    return max(scores, key=lambda name: scores[name])
