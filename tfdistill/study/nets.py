"""The nets of one training, and the cascade that they make."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import numpy as np

from tfdistill.data.requests import Requests
from tfdistill.export import RankingStage, Servable, cascade_servable
from tfdistill.metrics import rerank, retrieval_summary, top_k
from tfdistill.pairs import Pairs
from tfdistill.study.evaluators import ListEvaluator
from tfdistill.study.problem import Problem
from tfdistill.study.stage_scores import with_stage
from tfdistill.study.trained import (
    Catalogue,
    TrainedNet,
    TrainedRanker,
    TrainedRecall,
)

__all__ = ["Cascade", "Nets"]


class Nets(Mapping[str, TrainedNet]):
    """Trained nets by name.

    Args:
        nets: The nets.
        students: Names of those that are served, in the order of their stages.
    """

    def __init__(
        self, nets: Mapping[str, TrainedNet], students: tuple[str, ...] = ()
    ) -> None:
        self._nets, self.students = dict(nets), students or tuple(nets)

    def __getitem__(self, name: str) -> TrainedNet:
        return self._nets[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._nets)

    def __len__(self) -> int:
        return len(self._nets)

    @property
    def teacher(self) -> TrainedNet | None:
        """The net that is no student, None where all are."""
        others = [name for name in self if name not in self.students]
        return self[others[0]] if others else None

    def cascade(self, *, page: int = 10, **keep: int) -> Cascade:
        """Returns the students one after the other: a recall net, then rankers.

        Args:
            page: How many items the last one shows.
            **keep: How many items each one before it keeps, by name and in order.

        Raises:
            ValueError: If not exactly one student is left to be the last stage, the
                first is no recall net or a later one no ranker, or a stage keeps more
                than the one before it.

        Example:
            ```python
            nets.cascade(recall=500, coarse=100, page=10)
            ```
        """
        last = [name for name in self.students if name not in keep]
        if len(last) != 1 or not set(keep) < set(self.students):
            raise ValueError(
                f"Cascade: say what each of the students {list(self.students)} but the "
                f"last keeps, got {keep}; `page` is what the last one shows."
            )
        return Cascade({n: self[n] for n in (*keep, *last)}, (*keep.values(), page))


@dataclasses.dataclass(frozen=True)
class Cascade:
    """From the whole catalogue to a page: a recall net, and the rankers after it.

    A ranker may read how a candidate stands with a stage before it: a feature with
    `stage="recall"`, which is the first net whatever its name, or a later one's name.

    Args:
        nets: The stages in order, by name.
        keep: How many items each keeps; the last one's are the page.

    Raises:
        ValueError: If the stages or the numbers don't follow on each other.
    """

    nets: Mapping[str, TrainedNet]
    keep: tuple[int, ...]

    def __post_init__(self) -> None:
        tasks = [net.task for net in self.nets.values()]
        if tasks != ["recall", *["ranking"] * (len(tasks) - 1)]:
            raise ValueError(
                "Cascade: the first net must be for recall and the others for ranking, "
                f"got {dict(zip(self.nets, tasks))}."
            )
        if list(self.keep) != sorted(self.keep, reverse=True) or min(self.keep) < 1:
            raise ValueError(
                "Cascade: each stage keeps at most as many items as the one before it, "
                f"and at least 1, got {dict(zip(self.nets, self.keep))}."
            )

    @property
    def recall(self) -> TrainedRecall:
        """The first stage."""
        return cast(TrainedRecall, next(iter(self.nets.values())))

    @property
    def rankers(self) -> dict[str, TrainedRanker]:
        """The later stages."""
        return cast("dict[str, TrainedRanker]", dict(list(self.nets.items())[1:]))

    def kept(self, evaluator: ListEvaluator) -> dict[str, np.ndarray]:
        """Runs it for every judged user.

        Args:
            evaluator: The evaluator.

        Returns:
            Item rows int32 `[U, kept]` of each stage, best first.
        """
        evaluator = evaluator.over_catalogue("A cascade")
        return self._run(evaluator.requests, evaluator.first, evaluator.seen)[0]

    def scored(self, requests: Requests, seen: Pairs | None = None) -> Requests:
        """Returns requests with the candidates' standing in these stages as features.

        They have the features of the spec that name one of the stages: what nets of
        later stages learn from. A net is sure of the pairs that it was trained on, so
        for training requests give nets that were trained on what came before them, and
        join the folds by `FoldedPairs`.

        Args:
            requests: The requests.
            seen: Pairs of a row of the requests and an item that recall does not return
                there, such as `known.among(requests.group)`.
        """
        return self._run(requests, np.arange(requests.num_requests), seen)[1]

    def passed(self, requests: Requests, seen: Pairs | None = None) -> Requests:
        """Returns requests whose candidates are what the last stage passes on.

        As `scored`, they know how they stand with these stages. They are unlabelled.

        Args:
            requests: Requests over a catalogue; what they list does not count.
            seen: As for `scored`.
        """
        rows = np.arange(requests.num_requests)
        kept, scored = self._run(requests, rows, seen)
        *_, last = kept.values()
        return dataclasses.replace(
            scored,
            candidates=last,
            labels=np.full(last.shape, np.nan, np.float32),
            tasks={},
            scores={},
            weights=None,
            pair_features={},
        )

    def before(self, problem: Problem) -> Problem:
        """Returns a problem with the candidates' standing in these stages as features.

        As `scored`, for all three parts: recall passes on what the evaluators have not
        seen, and in training no known pair.

        Args:
            problem: The problem.
        """
        evaluators = {}
        for part in ("valid", "test"):
            evaluator = getattr(problem, part).over_catalogue("A cascade")
            seen = evaluator.before.among(evaluator.requests.group)
            scored = self.scored(evaluator.requests, seen)
            evaluators[part] = evaluator.knowing(scored.pair_sources)
        known = problem.known and problem.known.among(problem.train.group)
        train = self.scored(problem.train, known)
        return dataclasses.replace(problem, train=train, **evaluators)

    def _run(
        self, requests: Requests, rows: np.ndarray, seen: Pairs | None
    ) -> tuple[dict[str, np.ndarray], Requests]:
        """What each stage keeps for these rows, and the requests with its scores."""
        kept: dict[str, np.ndarray] = {}
        for (name, net), keep in zip(self.nets.items(), self.keep):
            stage = name if kept else "recall"
            ranker = net.ranker(requests)
            if not kept:
                items = top_k(
                    _of_rows(ranker.catalogue, rows), len(rows), keep, seen=seen
                )
            else:
                items = rerank(items, _of_rows(ranker, rows), keep)
            kept[stage] = items
            requests = with_stage(requests, net.spec, stage, ranker, rows, items)
        return kept, requests

    def metrics(self, evaluator: ListEvaluator) -> dict[str, float]:
        """Returns the metrics of the page.

        Args:
            evaluator: The evaluator.
        """
        evaluator = evaluator.over_catalogue("A cascade")
        *_, page = self.kept(evaluator).values()
        cuts = (self.keep[-1],)
        return retrieval_summary(page, evaluator.relevant, evaluator.popular, cuts=cuts)

    def servable(self, catalogue: Catalogue | None = None, **options: Any) -> Servable:
        """Returns the stages as one model that takes a user and gives a page.

        Args:
            catalogue: The items.
            **options: Further arguments of `cascade_servable`.
        """
        if catalogue is None:
            raise ValueError(
                "A cascade is served with its catalogue: give `catalogue`, such as "
                "problem.items."
            )
        first, *later = (min(keep, len(catalogue.ids)) for keep in self.keep)
        return cascade_servable(
            self.recall.models["query"],
            self.recall.models["item"],
            [
                RankingStage(name, net.model, keep)
                for (name, net), keep in zip(self.rankers.items(), later)
            ],
            self.recall.spec,
            catalogue.features,
            catalogue.ids,
            recall=first,
            **options,
        )


def _of_rows(score: Callable[..., np.ndarray], rows: np.ndarray) -> Any:
    """A function of rows as one of places in some rows."""
    return lambda places, *items: score(rows[places], *items)
