"""A log of interactions, and what of it is known at a request."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from tfdistill.data.requests import Requests
from tfdistill.data.splits import Order
from tfdistill.identity import fingerprint
from tfdistill.pairs import Pairs

__all__ = ["Histories", "InteractionLog", "known_from", "places"]

_ROWS = ("user", "item", "clock", "value", "time")


@dataclasses.dataclass(frozen=True, eq=False)
class InteractionLog:
    """Who took which item, and when it became known.

    `clock` is the order in which interactions become known, and the one thing that cuts
    are made on: at clock c exactly the rows with clock < c are known. In the logs that
    this library makes, training is 0 .. 1, validation 1 .. 2 and test 2 .. 3, and
    within a part it is the place in time, among all interactions or among the user's
    own, as the split says (`Split.order`). So the cut 1.0 is all of training, and 0.875
    what came before the last eighth of it.

    Args:
        user: int `[N]`, numbers of users, as `Requests.group`.
        item: int `[N]`, catalogue rows.
        clock: float `[N]`, when each row became known.
        num_users: U.
        num_items: I.
        value: float `[N]`, a rating, a label or a weight; 1 by default. NaN is a value
            that is known to be no positive.
        time: float `[N]`, seconds; None where there is no dependable time.
        positive_from: The least value of a positive.

    The rows are kept in order of user, clock and item.

    Raises:
        ValueError: If shapes differ or a value is out of range.

    Example:
        >>> log = InteractionLog([0, 0, 1], [4, 2, 4], [0.2, 0.7, 0.5], 2, 6)
        >>> log.before(0.6).item.tolist()
        [4, 4]
        >>> log.histories([0, 1], [1.0, 0.5]).newest(2).tolist()
        [[2, 4], [-1, -1]]
    """

    user: np.ndarray
    item: np.ndarray
    clock: np.ndarray
    num_users: int
    num_items: int
    value: Any = None
    time: np.ndarray | None = None
    positive_from: float = 1.0

    def __post_init__(self) -> None:
        kinds = (np.int64, np.int64, np.float64, np.float32, np.float64)
        given = dict(zip(_ROWS, (getattr(self, name) for name in _ROWS)))
        if given["value"] is None:
            given["value"] = np.ones(len(given["item"]))
        arrays = {
            name: np.asarray(given[name], kind)
            for name, kind in zip(_ROWS, kinds)
            if given[name] is not None
        }
        for name, array in arrays.items():
            if array.shape != arrays["item"].shape or array.ndim != 1:
                raise ValueError(
                    f"InteractionLog: {name} must have one value for each of the "
                    f"{arrays['item'].size} interactions, got shape {array.shape}."
                )
        _check_rows("user", arrays["user"], self.num_users)
        _check_rows("item", arrays["item"], self.num_items)
        for name in ("clock", "time"):
            if not np.isfinite(arrays.get(name, 0.0)).all():
                raise ValueError(f"InteractionLog: {name} must be finite, got NaN.")
        order = np.lexsort((arrays["item"], arrays["clock"], arrays["user"]))
        for name, array in arrays.items():
            object.__setattr__(self, name, array[order])

    @classmethod
    def of_requests(cls, parts: Mapping[str, Requests]) -> InteractionLog:
        """Makes the log of impressions: what was shown, with its label as the value.

        Args:
            parts: Requests with a `clock`, by the names of the parts.

        Raises:
            ValueError: If requests have no clock, or no catalogue.

        Example:
            >>> requests = Requests(
            ...     {}, {"item_id": np.arange(3)}, np.int32([[0, 2]]),
            ...     np.float32([[1, 0]]), np.array([0]), clock=np.array([0.5]))
            >>> InteractionLog.of_requests({"train": requests}).positives.item.tolist()
            [0]
        """
        columns: list[Any] = []
        for requests in parts.values():
            requests.require_catalogue("An interaction log")
            row, place = np.nonzero(requests.candidates >= 0)
            time = np.zeros(requests.num_requests)
            if requests.time is not None:
                time = requests.time
            columns.append(
                (
                    requests.group[row],
                    requests.candidates[row, place],
                    known_from(requests)[row],
                    requests.labels[row, place],
                    time[row],
                )
            )
        user, item, clock, value, time = (np.concatenate(c) for c in zip(*columns))
        timed = all(requests.time is not None for requests in parts.values())
        size = int(user.max()) + 1, next(iter(parts.values())).num_items
        return cls(user, item, clock, *size, value, time if timed else None)

    def __len__(self) -> int:
        return len(self.item)

    def select(self, rows: np.ndarray) -> InteractionLog:
        """Returns the log of some rows, bool `[N]` or numbers."""
        kept = {name: getattr(self, name) for name in _ROWS}
        chosen: dict[str, Any] = {
            name: None if values is None else values[rows]
            for name, values in kept.items()
        }
        return dataclasses.replace(self, **chosen)

    def before(self, cut: float) -> InteractionLog:
        """Returns what is known at a cut: the rows with clock < cut."""
        if cut not in self._cut:
            self._cut[cut] = self.select(self.clock < cut)
        return self._cut[cut]

    @functools.cached_property
    def _cut(self) -> dict[float, InteractionLog]:
        """Cuts that were made: one log for one cut, so that fits of it are shared."""
        return {}

    @functools.cached_property
    def positives(self) -> InteractionLog:
        """The rows with a value of at least `positive_from`."""
        return self.select(self.value >= self.positive_from)

    @property
    def pairs(self) -> Pairs:
        """The distinct pairs of a user and an item."""
        return Pairs(self.user, self.item, self.num_items)

    @property
    def counts(self) -> np.ndarray:
        """Rows of each item, int64 `[I]`."""
        return np.bincount(self.item, minlength=self.num_items)

    @functools.cached_property
    def fingerprint(self) -> str:
        """Changes with any row."""
        rows = [getattr(self, name) for name in _ROWS]
        return fingerprint([rows, self.num_users, self.num_items, self.positive_from])

    def matrix(self) -> sparse.csr_matrix:
        """Returns the users' items, float32 `[U, I]` of zeros and ones."""
        ones = np.ones(len(self), np.float32)
        shape = self.num_users, self.num_items
        found = sparse.csr_matrix((ones, (self.user, self.item)), shape)
        # Twice the same pair would be added up.
        found.data[:] = 1.0
        return found

    def histories(
        self, user: Any, clock: Any, time: np.ndarray | None = None
    ) -> Histories:
        """Returns what is known of some users, each at a clock of its own.

        Args:
            user: int `[b]`, numbers of users.
            clock: float `[b]`, or one for all.
            time: float `[b]`, the seconds; by default those of the newest row that is
                known of the user.
        """
        users = np.asarray(user, np.int64)
        clocks = np.broadcast_to(np.asarray(clock, np.float64), users.shape)
        return Histories(self, users, clocks, time)

    def of(self, requests: Requests) -> Histories:
        """Returns what is known at each of some requests.

        Raises:
            ValueError: If the requests have no `clock`.
        """
        return self.histories(requests.group, known_from(requests), requests.time)


@dataclasses.dataclass(frozen=True, eq=False)
class Histories:
    """What each of b requests may know of its user: the rows strictly before its clock.

    Args:
        log: The log.
        user: int64 `[b]`.
        clock: float64 `[b]`.
        time: float64 `[b]`, seconds; None for that of the user's newest known row.

    Example:
        >>> log = InteractionLog([0, 0, 0], [4, 2, 5], [0.1, 0.2, 0.3], 1, 6)
        >>> histories = log.histories([0], [0.3])
        >>> histories.weights(memory=1.0).toarray().round(2)
        array([[0.  , 0.  , 1.  , 0.  , 0.37, 0.  ]], dtype=float32)
    """

    log: InteractionLog
    user: np.ndarray
    clock: np.ndarray
    time: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.user)

    def __getitem__(self, rows: Any) -> Histories:
        time = None if self.time is None else self.time[rows]
        return Histories(self.log, self.user[rows], self.clock[rows], time)

    @property
    def positives(self) -> Histories:
        """The same requests, of the positives alone."""
        return dataclasses.replace(self, log=self.log.positives)

    @functools.cached_property
    def _range(self) -> tuple[np.ndarray, np.ndarray]:
        """First and last + 1 row of the log for each request."""
        clocks = np.unique(self.log.clock)
        # User and clock as one sorted key, so that a history is found by two searches.
        # The stride leaves a place above the last clock, which belongs to no other
        # user.
        stride = len(clocks) + 1
        keys = self.log.user * stride + np.searchsorted(clocks, self.log.clock)
        asked = self.user * stride
        begin = np.searchsorted(keys, asked)
        end = np.searchsorted(keys, asked + np.searchsorted(clocks, self.clock))
        return begin, end

    @property
    def sizes(self) -> np.ndarray:
        """How many rows are known of each, int64 `[b]`."""
        begin, end = self._range
        return end - begin

    @functools.cached_property
    def rows(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What is known: its request, its row of the log, its place (the newest 0)."""
        size = self.sizes
        # The log is sorted by clock: the newest row is the last one of the range.
        request = np.repeat(np.arange(len(self)), size)
        place = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size)
        return request, np.repeat(self._range[1], size) - 1 - place, place

    @property
    def moments(self) -> np.ndarray:
        """Seconds of each request, float64 `[b]`; 0 where unknown."""
        if self.time is not None:
            return self.time
        if self.log.time is None or not len(self.log):
            return np.zeros(len(self))
        newest = self.log.time[np.maximum(self._range[1] - 1, 0)]
        return np.where(self.sizes > 0, newest, 0.0)

    def newest(self, size: int) -> np.ndarray:
        """Returns the last items, int64 `[b, size]`, newest first and -1 padded."""
        request, row, place = self.rows
        kept = place < size
        found = np.full((len(self), size), -1)
        found[request[kept], place[kept]] = self.log.item[row[kept]]
        return found

    def weights(
        self, memory: float | None = None, size: int | None = None
    ) -> sparse.csr_matrix:
        """Returns the known items as weights, float32 `[b, I]`.

        Args:
            memory: Places over which the weight falls by e, the newest having 1; by
                default each item has 1. Of an item that repeats, the newest counts.
            size: How many of the last rows count; all by default.
        """
        request, row, place = self.rows
        item = self.log.item[row]
        kept = np.ones(len(row), bool) if size is None else place < size
        # Of an item that was taken twice the newest: rows come newest first.
        _, first = np.unique(
            request[kept] * self.log.num_items + item[kept], return_index=True
        )
        request, item, place = (a[kept][first] for a in (request, item, place))
        weight = np.ones(len(place)) if memory is None else np.exp(-place / memory)
        shape = len(self), self.log.num_items
        made = sparse.csr_matrix((weight.astype(np.float32), (request, item)), shape)
        return made

    def opinions(self) -> sparse.csr_matrix:
        """Returns the known values about the mean of each request's, float32 `[b, I]`.

        Of an item that repeats, the newest value counts; one that is NaN is 0.
        """
        request, row, _ = self.rows
        item, value = self.log.item[row], self.log.value[row].astype(np.float64)
        keys = request * self.log.num_items + item
        newest = np.unique(keys, return_index=True)[1]
        request, item, value = request[newest], item[newest], value[newest]
        told = ~np.isnan(value)
        count = np.bincount(request[told], minlength=len(self))
        total = np.bincount(request[told], value[told], minlength=len(self))
        centred = value - (total / np.maximum(count, 1))[request]
        shape = len(self), self.log.num_items
        kept = np.nan_to_num(centred).astype(np.float32)
        return sparse.csr_matrix((kept, (request, item)), shape)

    @property
    def pairs(self) -> Pairs:
        """The distinct pairs of a request and a known item."""
        request, row, _ = self.rows
        return Pairs(request, self.log.item[row], self.log.num_items)

    @property
    def seen(self) -> np.ndarray:
        """Which items are known of each, bool `[b, I]`."""
        return np.asarray(self.weights().toarray() > 0)


def places(order: Order, user: np.ndarray, time: np.ndarray, seed: Any) -> np.ndarray:
    """Returns the place of each interaction of a part in its order, in 0 .. 1.

    Equal times have one place, their mean, as in the splits.

    Args:
        order: In which order interactions become known.
        user: `[N]`, whose they are.
        time: `[N]`, when they were.
        seed: Seed of the draw, where the order is by chance.

    Example:
        >>> places("user", np.array([0, 0, 1]), np.array([20, 10, 30]), 0).tolist()
        [0.75, 0.25, 0.5]
    """
    if order == "drawn":
        return np.random.default_rng(seed).random(len(user))
    frame = pd.DataFrame({"user": user if order == "user" else 0, "time": time})
    grouped = frame.groupby("user")["time"]
    place = (grouped.rank(method="average") - 0.5) / grouped.transform("size")
    return np.asarray(place.to_numpy())


def known_from(requests: Requests) -> np.ndarray:
    """Returns when each request came, float64 `[R]`.

    Raises:
        ValueError: If the requests don't say.

    Example:
        >>> requests = Requests(
        ...     {}, {"item_id": np.arange(3)}, np.int32([[0, 2]]),
        ...     np.float32([[1, 0]]), np.array([0]), clock=np.array([0.5]))
        >>> known_from(requests)
        array([0.5])
    """
    if requests.clock is None:
        raise ValueError(
            "These requests don't say when they came, so it is not known what came "
            "before them: give Requests `clock`, or make them by `windows` or "
            "Problem.from_interactions."
        )
    return requests.clock


def _check_rows(name: str, array: np.ndarray, size: int) -> None:
    if array.size and not (0 <= array.min() and array.max() < size):
        raise ValueError(
            f"InteractionLog: {name} must lie in 0 .. {size - 1}, got {array.min()} .. "
            f"{array.max()}."
        )
