"""Impression lists in memory, and the set of pairs that are known positives."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from tfdistill.data.checks import (
    check_array,
    check_candidates,
    check_feature,
    check_ids,
    check_labels,
    check_moments,
    check_rows,
    check_scores,
    check_weights,
)
from tfdistill.identity import described, fingerprint

__all__ = ["Requests"]

PairScorer = Callable[[dict[str, np.ndarray]], Any]
"""A function from features of N pairs `[N, *shape]` to their scores `[N]`."""


@dataclasses.dataclass(frozen=True, eq=False)
class Requests:
    """R requests, each with the list of candidates that it was answered with.

    Item features are stored once per catalogue row and candidates point at them, so
    memory grows with R * L integers, not with R * L feature vectors.

    Args:
        users: User-scope features of each request by name, `[R, *shape]`: what was
            known at request time, history included.
        items: Item-scope features of each catalogue row by name, `[I, *shape]`. The
            catalogue may also hold one row per impression.
        candidates: int32 `[R, L]`, rows of `items`; -1 is padding.
        labels: float32 `[R, L]`; NaN is unlabelled, and ignored where padded.
        group: int64 `[R]`, the user of each request, >= 0: the groups of GAUC, and
            whom `PairSet` means.
        tasks: Labels of further tasks by name, each like `labels`, for example whether
            a click satisfied.
        scores: A teacher's logged signals by name, float32 `[R, L]`, such as logits;
            NaN is missing, and where padded they are ignored.
        weights: float32 `[R, L]`, >= 0, how much each label counts; ignored where
            padded. None is 1 everywhere.
        ids: int64 or strings `[R]`, what each request is called in the user's data:
            the key under which stored scores are found, whatever part it is in.
        catalogue: False where each impression is a row of `items`, so that one item
            has many rows: nothing can be retrieved then and no negatives drawn.
        clock: float64 `[R]`, when each request came on the clock of an
            `InteractionLog`: what is known then came strictly before.
        time: float64 `[R]`, the seconds; None where there is no dependable time.

    Raises:
        ValueError: If shapes or dtypes don't fit, a candidate is no row of `items`, a
            request has no candidate, a numeric feature holds NaN, a score has the name
            of a feature or is infinite, or a label or weight is negative or infinite.

    Example:
        >>> requests = Requests(
        ...     users={"age": np.array([31.0, 47.0], np.float32)},
        ...     items={"item_id": np.array([10, 11, 12])},
        ...     candidates=np.array([[0, 2], [1, -1]], np.int32),
        ...     labels=np.array([[1, 0], [0, np.nan]], np.float32),
        ...     group=np.array([0, 1]),
        ... )
        >>> requests.num_requests, requests.list_size, requests.num_items
        (2, 2, 3)
        >>> requests.select([1]).users["age"]
        array([47.], dtype=float32)
    """

    users: Mapping[str, np.ndarray]
    items: Mapping[str, np.ndarray]
    candidates: np.ndarray
    labels: np.ndarray
    group: np.ndarray
    tasks: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    scores: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    weights: np.ndarray | None = None
    ids: np.ndarray | None = None
    catalogue: bool = True
    clock: np.ndarray | None = None
    time: np.ndarray | None = None

    def __post_init__(self) -> None:
        check_array("candidates", self.candidates, np.int32, 2)
        check_array("group", self.group, np.int64, 1)
        if not self.num_requests:
            raise ValueError("Requests: there is no request; give at least one.")
        for field, values in self._per_candidate():
            check_array(field, values, np.float32, 2)
            if values.shape != self.candidates.shape:
                raise ValueError(
                    f"Requests: {field} and candidates must have one shape [R, L], got "
                    f"{values.shape} and {self.candidates.shape}."
                )
        if not self.items:
            raise ValueError(
                "Requests: items has no feature, so the catalogue has no size; give at "
                "least one item feature."
            )
        check_rows("group", self.group, self.num_requests, "requests")
        for name, values in self.users.items():
            check_feature("users", name, values, self.num_requests, "requests")
        for name, values in self.items.items():
            check_feature("items", name, values, self.num_items, "catalogue rows")
        if self.ids is not None:
            check_ids(self.ids, self.num_requests)
        for field in ("clock", "time"):
            if getattr(self, field) is not None:
                check_moments(field, getattr(self, field), self.num_requests)
        self._check_names()
        check_candidates(self.candidates, self.num_items)
        self._check_values()
        if self.group.min() < 0:
            raise ValueError(
                f"Requests: group must be >= 0, got {self.group.min()}; number the "
                "users from 0."
            )

    def _per_candidate(self) -> Iterator[tuple[str, np.ndarray]]:
        """Every array of one float32 per candidate, and what to call it."""
        yield "labels", self.labels
        for field in ("tasks", "scores"):
            for name, values in getattr(self, field).items():
                yield f"{field}[{name!r}]", values
        if self.weights is not None:
            yield "weights", self.weights

    def _check_names(self) -> None:
        both = sorted(set(self.users) & set(self.items))
        if both:
            raise ValueError(
                f"Requests: {both} are in users and in items; a feature has one scope, "
                "so rename one of the two."
            )
        clash = sorted(set(self.scores) & {*self.users, *self.items})
        if clash:
            raise ValueError(
                f"Requests: the scores {clash} have the names of features; both go to "
                "the features of a batch, so rename the scores."
            )
        if "" in self.tasks:
            raise ValueError(
                "Requests: tasks has the name '', which means the labels; give the "
                "task a name of its own."
            )

    def _check_values(self) -> None:
        """Refuses labels, scores and weights that would make a loss meaningless."""
        present = self.candidates >= 0
        check_labels("labels", self.labels, present)
        for name, values in self.tasks.items():
            check_labels(f"tasks[{name!r}]", values, present)
        for name, values in self.scores.items():
            check_scores(f"scores[{name!r}]", values, present)
        if self.weights is not None:
            check_weights("weights", self.weights, present)

    @property
    def num_requests(self) -> int:
        """R, the number of requests."""
        return len(self.candidates)

    @property
    def list_size(self) -> int:
        """L, the length of the longest list of candidates."""
        return int(self.candidates.shape[1])

    @property
    def num_items(self) -> int:
        """I, the number of catalogue rows."""
        return len(next(iter(self.items.values())))

    @functools.cached_property
    def identity(self) -> dict[str, Any]:
        """The fingerprint of each array, so that a difference has a name."""
        return {f.name: described(getattr(self, f.name)) for f in fields(self)}

    @functools.cached_property
    def fingerprint(self) -> str:
        """Changes with any value, name, key or order; it tells data apart."""
        return fingerprint(self.identity)

    def require_catalogue(self, what: str) -> None:
        """Refuses requests whose rows of `items` are impressions.

        Args:
            what: What needs a catalogue, as the beginning of a sentence.

        Raises:
            ValueError: If they are.
        """
        if not self.catalogue:
            raise ValueError(
                f"{what} needs a catalogue, but each of the {self.num_items} "
                "impressions is an item of its own here: give requests_from_frame the "
                "column of the item (item=)."
            )

    def select(self, rows: Any) -> Requests:
        """Returns the requests at these rows, in this order, with the same catalogue.

        Args:
            rows: Row numbers `[S]`, a boolean mask `[R]` or a slice.

        Returns:
            The S requests; the item features are shared, not copied.
        """
        index = np.arange(self.num_requests)[rows]
        kept = ("items", "catalogue")
        names = (f.name for f in fields(self) if f.name not in kept)
        chosen = {name: _rows_of(getattr(self, name), index) for name in names}
        return dataclasses.replace(self, **chosen)

    def pairs(self) -> dict[str, np.ndarray]:
        """Returns the features of each request and candidate as one row of a table.

        It is what a model reads that knows no lists, such as boosted trees;
        `values[requests.candidates >= 0]` puts labels, scores and weights in the same
        order.

        Returns:
            User and item features `[N, *shape]` of the N candidates, request by
            request and without padding.

        Example:
            >>> requests = Requests(
            ...     users={"age": np.array([31, 47])},
            ...     items={"item_id": np.array([10, 11, 12])},
            ...     candidates=np.array([[0, 2], [1, -1]], np.int32),
            ...     labels=np.array([[1, 0], [0, np.nan]], np.float32),
            ...     group=np.array([0, 1]),
            ... )
            >>> {name: values.tolist() for name, values in requests.pairs().items()}
            {'age': [31, 31, 47], 'item_id': [10, 12, 11]}
        """
        row, position = np.nonzero(self.candidates >= 0)
        item = self.candidates[row, position]
        return {**_rows_of(self.users, row), **_rows_of(self.items, item)}

    def with_scores(self, scores: Mapping[str, np.ndarray | PairScorer]) -> Requests:
        """Returns the same requests with a teacher's scores, beside those they have.

        Args:
            scores: By the name of the signal, float `[R, L]` with NaN where missing, or
                a function from the features `[N, *shape]` of `pairs` to scores `[N]`.
                The name is the key of a batch's features under which a `LoggedTeacher`
                finds the signal.

        Returns:
            The requests; all else is shared, not copied.

        Raises:
            ValueError: If the scores don't fit; see `Requests`.

        Example:
            >>> requests = Requests({}, {"price": np.array([3.0, 5.0], np.float32)},
            ...     candidates=np.array([[1, 0], [0, -1]], np.int32),
            ...     labels=np.zeros([2, 2], np.float32), group=np.array([0, 1]))
            >>> scored = requests.with_scores({"cheap": lambda x: 4 - x["price"]})
            >>> scored.scores["cheap"]
            array([[-1.,  1.],
                   [ 1., nan]], dtype=float32)
        """
        made = {
            name: self._scored(name, given)
            if callable(given)
            else np.asarray(given, np.float32)
            for name, given in scores.items()
        }
        return dataclasses.replace(self, scores={**self.scores, **made})

    def _scored(self, name: str, scorer: PairScorer) -> np.ndarray:
        """Scores `[R, L]` by a function of pairs, NaN where padded."""
        present = self.candidates >= 0
        computed = np.asarray(scorer(self.pairs()), np.float32)
        if computed.shape != (present.sum(),):
            raise ValueError(
                f"Requests: the function of scores[{name!r}] must return one score for "
                f"each of the {present.sum()} pairs, got shape {computed.shape}."
            )
        scores = np.full(self.candidates.shape, np.nan, np.float32)
        scores[present] = computed
        return scores


def _rows_of(values: Any, rows: np.ndarray) -> Any:
    """The rows of an array, of each array of a mapping, or None of None."""
    if isinstance(values, Mapping):
        return {name: array[rows] for name, array in values.items()}
    return None if values is None else values[rows]
