"""Features of pairs of a request and an item, computed where no file has them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tfdistill.identity import fingerprint

__all__ = [
    "FoldedPairs",
    "ListedPairs",
    "PairSource",
    "SelectedPairs",
    "pair_values",
]

PairSource = Callable[[np.ndarray, np.ndarray], Any]
"""A function from rows of requests `[b]` and rows of the catalogue `[b, N]` to the
values of a pair feature `[b, N, *shape]`: what was known when the request came."""

_NUMBERS = {"f": np.float32, "i": np.int64, "u": np.int64}
_PAIRS_AT_ONCE = 200_000
_ASKED = 64
"""So many requests' values identify a source."""


@dataclasses.dataclass(frozen=True, eq=False)
class SelectedPairs:
    """A source for some of the requests that it was made for.

    Args:
        source: The source.
        rows: `[S]`, which requests of the source the S requests are.

    Example:
        >>> source = SelectedPairs(lambda rows, items: items * rows[:, None], [7, 9])
        >>> source(np.array([1]), np.array([[2, 3]]))
        array([[18, 27]])
    """

    source: PairSource
    rows: np.ndarray

    def __call__(self, rows: np.ndarray, items: np.ndarray) -> Any:
        """Returns the values of the pairs."""
        return self.source(np.asarray(self.rows)[rows], items)


@dataclasses.dataclass(frozen=True, eq=False)
class FoldedPairs:
    """A source of several, each for the requests whose labels it has not seen.

    So the values of training requests are out of fold: as when serving, nothing was
    fitted on what they are to predict.

    Args:
        fold: int `[R]`, which of the sources each request asks.
        sources: The sources, each for rows of all R requests.

    Example:
        >>> source = FoldedPairs(np.array([0, 1]), [
        ...     lambda rows, items: items, lambda rows, items: -items])
        >>> source(np.array([1, 0]), np.array([[5, 6], [7, 8]]))
        array([[-5, -6],
               [ 7,  8]])
    """

    fold: np.ndarray
    sources: Sequence[PairSource]

    def __call__(self, rows: np.ndarray, items: np.ndarray) -> Any:
        """Returns the values of the pairs."""
        folds = self.fold[rows]
        order = np.argsort(folds, kind="stable")
        parts = [
            np.asarray(self.sources[fold](rows[mine], items[mine]))
            for fold in np.unique(folds)
            for mine in [np.flatnonzero(folds == fold)]
        ]
        return np.concatenate(parts)[np.argsort(order)]


def pair_values(
    name: str, source: PairSource, rows: np.ndarray, items: np.ndarray
) -> np.ndarray:
    """Computes the values of pairs by a source, and checks them.

    Args:
        name: Name of the feature, for errors.
        source: The source.
        rows: Rows of requests `[b]`.
        items: Rows of the catalogue `[b, N]`, none of them -1.

    Returns:
        `[b, N, *shape]`, float32, int64 or strings.

    Raises:
        ValueError: If the source gives another shape or dtype, or NaN.

    Example:
        >>> rows, items = np.array([0, 1]), np.array([[4, 5], [6, 7]])
        >>> pair_values("sum", lambda r, i: r[:, None] + i / 2, rows, items)
        array([[2. , 2.5],
               [4. , 4.5]], dtype=float32)
    """
    values = np.asarray(source(rows, items))
    kind = values.dtype.kind
    if values.shape[:2] != items.shape or kind not in "fiuUSO":
        raise ValueError(
            f"Requests: pair_sources[{name!r}] must give numbers or strings [b, N, "
            f"*shape] for catalogue rows [b, N], but for {list(items.shape)} it gave "
            f"{values.dtype} of shape {list(values.shape)}."
        )
    values = values.astype(_NUMBERS.get(kind, values.dtype), copy=False)
    if kind == "f" and np.isnan(values).any():
        row, place = np.argwhere(np.isnan(values))[0][:2]
        raise ValueError(
            f"Requests: pair_sources[{name!r}] gave NaN for request {rows[row]} and "
            f"catalogue row {items[row, place]}; give every pair a value, for example "
            "the feature's default."
        )
    return values


class ListedPairs(Mapping[str, np.ndarray]):
    """Pair features of listed candidates by name, `[R, L, *shape]`.

    Those without stored values are computed when they are first read, and kept. Where
    padded, a computed value is that of catalogue row 0.

    Args:
        given: Those that are there.
        sources: The sources of the others.
        candidates: `[R, L]`, -1 where padded.

    Example:
        >>> sources = {"sum": lambda rows, items: rows[:, None] + items}
        >>> pairs = ListedPairs({}, sources, np.array([[4, 5], [6, -1]]))
        >>> pairs["sum"].tolist()
        [[4, 5], [7, 1]]
    """

    def __init__(
        self,
        given: Mapping[str, np.ndarray],
        sources: Mapping[str, PairSource],
        candidates: np.ndarray,
    ) -> None:
        self._there, self._sources = dict(given), sources
        self._names = tuple(dict.fromkeys((*given, *sources)))
        self._items = np.maximum(candidates, 0)

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._there:
            self._there[name] = self._computed(name)
        return self._there[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def _computed(self, name: str) -> np.ndarray:
        """The values of all candidates, by blocks of requests."""
        source, (count, length) = self._sources[name], self._items.shape
        size = max(1, _PAIRS_AT_ONCE // length)
        rows = np.split(np.arange(count), range(size, count, size))
        return np.concatenate(
            [pair_values(name, source, block, self._items[block]) for block in rows]
        )


def check_alike(name: str, source: PairSource, listed: np.ndarray) -> None:
    """Refuses a source whose values are of another kind than those of the lists.

    Args:
        name: Name of the feature.
        source: The source.
        listed: Its values for listed candidates, `[R, L, *shape]`.

    Raises:
        ValueError: If dtype or shape differ.
    """
    found = pair_values(name, source, np.zeros(1, np.int64), np.zeros([1, 2], np.int32))
    text = {found.dtype.kind, listed.dtype.kind} <= set("USO")
    if found.shape[2:] != listed.shape[2:] or not (text or found.dtype == listed.dtype):
        raise ValueError(
            f"Requests: pair_sources[{name!r}] gives {found.dtype} of shape "
            f"{list(found.shape[2:])}, but the candidates of the lists have "
            f"{listed.dtype} of shape {list(listed.shape[2:])}; make them agree."
        )


def source_fingerprints(
    sources: Mapping[str, PairSource], candidates: np.ndarray
) -> dict[str, str]:
    """Fingerprints of sources by name: of their values for some candidates.

    Args:
        sources: The sources by name.
        candidates: `[R, L]`.
    """
    rows = np.linspace(0, len(candidates) - 1, min(_ASKED, len(candidates)))
    asked = np.unique(rows.astype(np.int64))
    some = {name: SelectedPairs(source, asked) for name, source in sources.items()}
    values = ListedPairs({}, some, candidates[asked])
    return {name: fingerprint(values[name]) for name in values}
