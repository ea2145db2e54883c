"""Impression lists in memory."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from tfdistill.data.checks import check_requests
from tfdistill.data.pair_features import (
    ListedPairs,
    PairSource,
    SelectedPairs,
    pair_values,
    source_fingerprints,
)
from tfdistill.identity import described, fingerprint
from tfdistill.pairs import Pairs

__all__ = ["Requests", "split_requests"]

RowScorer = Callable[[dict[str, np.ndarray]], Any]
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
            whom `Pairs` mean.
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
        pair_features: Pair-scope features of the candidates by name, `[R, L, *shape]`.
        pair_sources: Functions that compute a pair feature of any request and item, by
            name: `source(rows [b], items [b, N])` gives `[b, N, *shape]` for rows of
            these requests and of the catalogue. Drawn items and whole catalogues need
            one, and listed candidates without an array have their values by it, too.
        clock: float64 `[R]`, when each request came on the clock of an
            `InteractionLog`: what is known then came strictly before.
        time: float64 `[R]`, the seconds; None where there is no dependable time.

    Raises:
        ValueError: If shapes or dtypes don't fit, a candidate is no row of `items`, a
            request has no candidate, a numeric feature holds NaN, two features have one
            name, a score has the name of a feature or is infinite, or a label or weight
            is negative or infinite.

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

        A pair feature, of any request and item:

        >>> with_pairs = requests.with_pair_sources(
        ...     {"sum": lambda rows, items: 10.0 * rows[:, np.newaxis] + items})
        >>> with_pairs.listed_pairs["sum"]
        array([[ 0.,  2.],
               [11., 10.]], dtype=float32)
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
    pair_features: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    pair_sources: Mapping[str, PairSource] = dataclasses.field(default_factory=dict)
    clock: np.ndarray | None = None
    time: np.ndarray | None = None

    def __post_init__(self) -> None:
        check_requests(self)

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

    def features(self, scope: str) -> Mapping[str, np.ndarray]:
        """Returns the features of a scope: `[R, ...]`, `[I, ...]` or `[R, L, ...]`."""
        if scope == "pair":
            return self.listed_pairs
        return self.users if scope == "user" else self.items

    @functools.cached_property
    def listed_pairs(self) -> Mapping[str, np.ndarray]:
        """Pair features of the candidates by name, `[R, L, *shape]`."""
        return ListedPairs(self.pair_features, self.pair_sources, self.candidates)

    def pair_values(
        self, names: Iterable[str], rows: np.ndarray, items: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Returns pair features of any items, by their sources.

        Args:
            names: Names of the features.
            rows: Rows of these requests `[b]`.
            items: Rows of the catalogue `[b, N]`.

        Returns:
            By name, `[b, N, *shape]`.

        Raises:
            ValueError: If one has no source.
        """
        names = tuple(names)
        self.require_sources("Scoring items that no list has", names)
        return {n: pair_values(n, self.pair_sources[n], rows, items) for n in names}

    def require_sources(self, what: str, names: Iterable[str]) -> None:
        """Refuses pair features that only listed candidates have.

        Args:
            what: What needs them for other items, as the beginning of a sentence.
            names: Names of features.

        Raises:
            ValueError: If one has no source.
        """
        missing = sorted(set(names) - set(self.pair_sources))
        if missing:
            raise ValueError(
                f"{what} needs the pair features {missing} of items that are in no "
                "list: give each a function, "
                "requests.with_pair_sources({name: source}), or leave it out of the "
                "nets."
            )

    @functools.cached_property
    def identity(self) -> dict[str, Any]:
        """The fingerprint of each array, so that a difference has a name."""
        arrays = (f.name for f in fields(self) if f.name != "pair_sources")
        found = {name: described(getattr(self, name)) for name in arrays}
        return {
            **found,
            "pair_sources": source_fingerprints(self.pair_sources, self.candidates),
        }

    @functools.cached_property
    def fingerprint(self) -> str:
        """Changes with any value, name, key or order of the data."""
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

    def positives(self) -> Pairs:
        """Returns the pairs of a user and a candidate with a label above 0."""
        return self._chosen(self.labels > 0, "Requests.positives")

    def shown(self) -> Pairs:
        """Returns the pairs of a user and any candidate, whatever the label."""
        return self._chosen(True, "Requests.shown")

    def _chosen(self, chosen: Any, what: str) -> Pairs:
        """The pairs of a user and a candidate that is chosen, bool `[R, L]`."""
        self.require_catalogue(what)
        row, position = np.nonzero((self.candidates >= 0) & chosen)
        return Pairs(self.group[row], self.candidates[row, position], self.num_items)

    def select(self, rows: Any) -> Requests:
        """Returns the requests at these rows, in this order, with the same catalogue.

        Args:
            rows: Row numbers `[S]`, a boolean mask `[R]` or a slice.

        Returns:
            The S requests; the item features are shared, not copied.
        """
        index = np.arange(self.num_requests)[rows]
        kept = ("items", "catalogue", "pair_sources")
        names = (f.name for f in fields(self) if f.name not in kept)
        chosen = {name: _rows_of(getattr(self, name), index) for name in names}
        sources = {n: SelectedPairs(s, index) for n, s in self.pair_sources.items()}
        return dataclasses.replace(self, **chosen, pair_sources=sources)

    def with_pair_sources(self, sources: Mapping[str, PairSource]) -> Requests:
        """Returns the same requests with pair features that are computed.

        Args:
            sources: By name, see `Requests`. Values that the requests had under such a
                name are theirs no more.

        Returns:
            The requests; all else is shared, not copied.
        """
        kept = {n: v for n, v in self.pair_features.items() if n not in sources}
        both = {**self.pair_sources, **sources}
        return dataclasses.replace(self, pair_features=kept, pair_sources=both)

    def pairs(self) -> dict[str, np.ndarray]:
        """Returns the features of each request and candidate as one row of a table.

        It is what a model reads that knows no lists, such as boosted trees;
        `values[requests.candidates >= 0]` puts labels, scores and weights in the same
        order.

        Returns:
            User, item and pair features `[N, *shape]` of the N candidates, request by
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
        pairs = {name: v[row, position] for name, v in self.listed_pairs.items()}
        return {**_rows_of(self.users, row), **_rows_of(self.items, item), **pairs}

    def with_scores(self, scores: Mapping[str, np.ndarray | RowScorer]) -> Requests:
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

    def _scored(self, name: str, scorer: RowScorer) -> np.ndarray:
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


def split_requests(
    requests: Requests, fractions: Sequence[float], *, seed: int | None = None
) -> list[Requests]:
    """Splits requests into parts that share the catalogue.

    Args:
        requests: The requests, R of them, in time order for a split in time.
        fractions: Share of each part; they add up to 1.
        seed: Splits at random with this seed; by default the first part is the first
            requests, and so on.

    Returns:
        One `Requests` per fraction.

    Raises:
        ValueError: If the fractions are not positive, don't add up to 1, or leave a
            part empty.

    Example:
        >>> requests = Requests({}, {"item_id": np.arange(3)},
        ...     candidates=np.zeros([10, 1], np.int32),
        ...     labels=np.zeros([10, 1], np.float32), group=np.arange(10))
        >>> [part.num_requests for part in split_requests(requests, (.8, .1, .1))]
        [8, 1, 1]
    """
    if min(fractions, default=0) <= 0 or abs(sum(fractions) - 1) > 1e-6:
        raise ValueError(
            f"fractions must be positive and add up to 1, got {tuple(fractions)}."
        )
    rows = np.arange(requests.num_requests)
    if seed is not None:
        rows = np.random.default_rng(seed).permutation(rows)
    borders = np.rint(np.cumsum(fractions)[:-1] * len(rows)).astype(np.int64)
    parts = np.split(rows, borders)
    if min(map(len, parts)) == 0:
        raise ValueError(
            f"{len(rows)} requests are too few for the fractions {tuple(fractions)}: "
            f"the parts would have {[len(part) for part in parts]} requests."
        )
    return [requests.select(part) for part in parts]


def _rows_of(values: Any, rows: np.ndarray) -> Any:
    """The rows of an array, of each array of a mapping, or None of None."""
    if isinstance(values, Mapping):
        return {name: array[rows] for name, array in values.items()}
    return None if values is None else values[rows]
