"""Impression lists in memory, and the set of pairs that are known positives."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

__all__ = ["PairSet", "Requests"]


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

    Raises:
        ValueError: If shapes or dtypes don't fit, a candidate is no row of `items`, a
            request has no candidate, or a numeric feature holds NaN.

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

    def __post_init__(self) -> None:
        for field, array, dtype, ndim in (
            ("candidates", self.candidates, np.int32, 2),
            ("labels", self.labels, np.float32, 2),
            ("group", self.group, np.int64, 1),
        ):
            _check_array(field, array, dtype, ndim)
        if not self.num_requests:
            raise ValueError("Requests: there is no request; give at least one.")
        if self.labels.shape != self.candidates.shape:
            raise ValueError(
                "Requests: labels and candidates must have one shape [R, L], got "
                f"{self.labels.shape} and {self.candidates.shape}."
            )
        if not self.items:
            raise ValueError(
                "Requests: items has no feature, so the catalogue has no size; give at "
                "least one item feature."
            )
        _check_rows("group", self.group, self.num_requests, "requests")
        for name, values in self.users.items():
            _check_feature("users", name, values, self.num_requests, "requests")
        for name, values in self.items.items():
            _check_feature("items", name, values, self.num_items, "catalogue rows")
        both = sorted(set(self.users) & set(self.items))
        if both:
            raise ValueError(
                f"Requests: {both} are in users and in items; a feature has one scope, "
                "so rename one of the two."
            )
        self._check_candidates()
        if self.group.min() < 0:
            raise ValueError(
                f"Requests: group must be >= 0, got {self.group.min()}; number the "
                "users from 0."
            )

    def _check_candidates(self) -> None:
        outside = (self.candidates < -1) | (self.candidates >= self.num_items)
        if outside.any():
            row, position = np.argwhere(outside)[0]
            raise ValueError(
                f"Requests: candidate {self.candidates[row, position]} of request "
                f"{row}, position {position}, is no row of items, which has "
                f"{self.num_items}; use 0 .. {self.num_items - 1}, or -1 for padding."
            )
        empty = np.flatnonzero((self.candidates < 0).all(axis=1))
        if empty.size:
            raise ValueError(
                f"Requests: {empty.size} of {self.num_requests} requests have an empty "
                f"list of candidates, the first is request {empty[0]}; leave them out."
            )

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

    def select(self, rows: Any) -> Requests:
        """Returns the requests at these rows, in this order, with the same catalogue.

        Args:
            rows: Row numbers `[S]`, a boolean mask `[R]` or a slice.

        Returns:
            The S requests; the item features are shared, not copied.
        """
        index = np.arange(self.num_requests)[rows]
        return Requests(
            users={name: values[index] for name, values in self.users.items()},
            items=self.items,
            candidates=self.candidates[index],
            labels=self.labels[index],
            group=self.group[index],
        )


class PairSet:
    """A set of (group, item) pairs that answers for many pairs at once.

    Pairs are kept as sorted int64 keys `group * num_items + item`: 8 bytes a pair, and
    a binary search per question. It says which draws are no negatives, because the user
    is known to like the item; build it from the training part alone.

    Args:
        group: `[P]` integers >= 0, the user of each pair.
        item: `[P]` integers in `0 .. num_items - 1`, its catalogue row.
        num_items: I, the number of catalogue rows.

    Raises:
        ValueError: If the shapes differ, or a value is out of range.

    Example:
        >>> known = PairSet(group=[0, 0, 7], item=[3, 5, 3], num_items=10)
        >>> known.contains([0, 7, 7], [5, 3, 5])
        array([ True,  True, False])
    """

    def __init__(self, group: Any, item: Any, num_items: int) -> None:
        groups, rows = (np.asarray(a, dtype=np.int64) for a in (group, item))
        if groups.ndim != 1 or groups.shape != rows.shape:
            raise ValueError(
                "PairSet: group and item must have one shape [P], got "
                f"{groups.shape} and {rows.shape}."
            )
        self.num_items = int(num_items)
        if rows.size and not (0 <= rows.min() and rows.max() < self.num_items):
            raise ValueError(
                f"PairSet: items must lie in 0 .. {self.num_items - 1}, got "
                f"{rows.min()} .. {rows.max()}."
            )
        highest = np.iinfo(np.int64).max // max(self.num_items, 1) - 1
        if groups.size and not (0 <= groups.min() and groups.max() <= highest):
            raise ValueError(
                f"PairSet: groups must lie in 0 .. {highest}, got "
                f"{groups.min()} .. {groups.max()}; number the users from 0."
            )
        self._keys = np.unique(groups * self.num_items + rows)

    @classmethod
    def positives(cls, requests: Requests) -> PairSet:
        """Returns the pairs of a user and a candidate with a label above 0."""
        row, position = np.nonzero((requests.labels > 0) & (requests.candidates >= 0))
        return cls(
            requests.group[row], requests.candidates[row, position], requests.num_items
        )

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def group(self) -> np.ndarray:
        """int64 `[P]`, the groups of the distinct pairs, in ascending order."""
        return self._keys // self.num_items

    @property
    def item(self) -> np.ndarray:
        """int64 `[P]`, the items that go with `group`."""
        return self._keys % self.num_items

    def contains(self, group: Any, item: Any) -> Any:
        """Tells which pairs are in the set.

        Args:
            group: Integers, broadcast against `item`.
            item: Integers; one outside of `0 .. num_items - 1`, as padding is, is in no
                pair.

        Returns:
            Booleans of the broadcast shape: a tensor if `group` or `item` is one (the
            search is then a part of the graph), else a numpy array.
        """
        if tf.is_tensor(group) or tf.is_tensor(item):
            return self._contains_tensor(group, item)
        groups, rows = np.broadcast_arrays(
            np.asarray(group, np.int64), np.asarray(item, np.int64)
        )
        keys = groups * self.num_items + rows
        inside = (rows >= 0) & (rows < self.num_items)
        if not len(self):
            return np.zeros_like(inside)
        found = np.searchsorted(self._keys, keys).clip(max=len(self) - 1)
        return inside & (self._keys[found] == keys)

    def _contains_tensor(self, group: Any, item: Any) -> tf.Tensor:
        groups, rows = tf.cast(group, tf.int64), tf.cast(item, tf.int64)
        keys = groups * self.num_items + rows
        inside = (rows >= 0) & (rows < self.num_items) & (keys >= 0)
        if not len(self):
            return tf.zeros_like(inside)
        with tf.init_scope(), tf.device("CPU"):
            known = tf.constant(self._keys)  # a captured tensor, not a graph constant
        found = tf.searchsorted(known, tf.reshape(keys, [-1]))
        found = tf.gather(known, tf.minimum(found, len(self) - 1))
        return inside & (tf.reshape(found, tf.shape(keys)) == keys)


def _check_array(field: str, array: Any, dtype: Any, ndim: int) -> None:
    if not isinstance(array, np.ndarray) or array.ndim != ndim or array.dtype != dtype:
        got = (
            f"{array.dtype} {list(array.shape)}"
            if isinstance(array, np.ndarray)
            else type(array).__name__
        )
        raise ValueError(
            f"Requests: {field} must be a numpy array of {ndim} axes and dtype "
            f"{np.dtype(dtype)}, got {got}; convert it with np.asarray(..., "
            f"np.{np.dtype(dtype)})."
        )


def _check_rows(field: str, array: np.ndarray, rows: int, what: str) -> None:
    if array.ndim < 1 or len(array) != rows:
        raise ValueError(
            f"Requests: {field} has shape {array.shape}, but there are {rows} {what}."
        )


def _check_feature(
    side: str, name: str, values: np.ndarray, rows: int, what: str
) -> None:
    field = f"{side}[{name!r}]"
    dtype = getattr(values, "dtype", None)
    if dtype not in (np.float32, np.int64) and getattr(dtype, "kind", "") not in "USO":
        raise ValueError(
            f"Requests: {field} must be a numpy array of float32, int64 or strings, as "
            f"in the feature spec, got {dtype or type(values).__name__}; convert it."
        )
    _check_rows(field, values, rows, what)
    if values.dtype.kind == "f" and np.isnan(values).any():
        row = np.argwhere(np.isnan(values))[0][0]
        raise ValueError(
            f"Requests: {field} is NaN in row {row} (of {what}); fill it, for example "
            "with the feature's default, before building Requests."
        )
    if values.dtype.kind == "O":
        strange = {type(v).__name__ for v in values.flat} - {"str", "bytes"}
        if strange:
            raise ValueError(
                f"Requests: {field} holds objects of type {sorted(strange)}; an object "
                "array may hold strings only."
            )
