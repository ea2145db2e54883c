"""Pairs of a user and an item, as a set that arrays and graphs can ask."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import tensorflow as tf

from tfdistill.data.requests import Requests
from tfdistill.identity import fingerprint

__all__ = ["PairSet"]


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
        return cls._of(requests, requests.labels > 0, "PairSet.positives")

    @classmethod
    def shown(cls, requests: Requests) -> PairSet:
        """Returns the pairs of a user and any candidate, whatever the label."""
        return cls._of(requests, True, "PairSet.shown")

    @classmethod
    def _of(cls, requests: Requests, chosen: Any, what: str) -> PairSet:
        """The pairs of a user and a candidate that is chosen, bool `[R, L]`."""
        requests.require_catalogue(what)
        row, position = np.nonzero((requests.candidates >= 0) & chosen)
        return cls(
            requests.group[row], requests.candidates[row, position], requests.num_items
        )

    def union(self, other: PairSet) -> PairSet:
        """Returns the pairs of both, over one catalogue."""
        group = np.concatenate([self.group, other.group])
        return PairSet(group, np.concatenate([self.item, other.item]), self.num_items)

    @functools.cached_property
    def fingerprint(self) -> str:
        """Changes with any pair."""
        return fingerprint([self.num_items, self._keys])

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
