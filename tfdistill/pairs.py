"""Sets of (user, item) pairs, looked up by arrays of them, in graphs too."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import tensorflow as tf

from tfdistill.identity import fingerprint

__all__ = ["Pairs"]


class Pairs:
    """A set of (user, item) pairs: what users took, were shown, or is relevant to them.

    It says which items are not recommended again (`seen`), which draws are no negatives
    (`known`), and what is judged by (`relevant`). Pairs are kept as sorted int64 keys
    `user * num_items + item`: 8 bytes a pair, and a binary search per question.

    Args:
        user: `[P]` integers >= 0, the user of each pair.
        item: `[P]` integers in `0 .. num_items - 1`, its catalogue row.
        num_items: I, the number of catalogue rows; by default up to the largest item.

    Raises:
        ValueError: If the shapes differ, or a value is out of range.

    Example:
        >>> seen = Pairs(user=[7, 0, 0, 0], item=[3, 5, 3, 3])
        >>> len(seen), seen.user, seen.item
        (3, array([0, 0, 7]), array([3, 5, 3]))
        >>> seen.contains([0, 7, 7], [5, 3, 5])
        array([ True,  True, False])
    """

    def __init__(self, user: Any, item: Any, num_items: int | None = None) -> None:
        users, rows = (np.asarray(a, dtype=np.int64) for a in (user, item))
        if users.ndim != 1 or users.shape != rows.shape:
            raise ValueError(
                "Pairs: user and item must have one shape [P], got "
                f"{users.shape} and {rows.shape}; give one entry of each per pair."
            )
        size = 1 + rows.max(initial=-1) if num_items is None else num_items
        self.num_items = int(size)
        if rows.size and not (0 <= rows.min() and rows.max() < self.num_items):
            raise ValueError(
                f"Pairs: items must be >= 0 and below {self.num_items}, got "
                f"{rows.min()} .. {rows.max()}; drop padding first."
            )
        highest = np.iinfo(np.int64).max // max(self.num_items, 1) - 1
        if users.size and not (0 <= users.min() and users.max() <= highest):
            raise ValueError(
                f"Pairs: users must lie in 0 .. {highest}, got "
                f"{users.min()} .. {users.max()}; number the users from 0."
            )
        self._keys = np.unique(users * self.num_items + rows)

    @functools.cached_property
    def fingerprint(self) -> str:
        """Changes with any pair."""
        return fingerprint([self.num_items, self._keys])

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def user(self) -> np.ndarray:
        """int64 `[P]`, the users of the distinct pairs, in ascending order."""
        return self._keys // self.num_items

    @property
    def item(self) -> np.ndarray:
        """int64 `[P]`, the items that go with `user`, ascending for each."""
        return self._keys % self.num_items

    def per_user(self, num_users: int) -> np.ndarray:
        """Returns the number of pairs of each user, int64 `[num_users]`."""
        return np.bincount(self.user, minlength=num_users)

    def per_item(self) -> np.ndarray:
        """Returns the number of pairs of each item, int64 `[I]`."""
        return np.bincount(self.item, minlength=self.num_items)

    def union(self, *others: Pairs) -> Pairs:
        """Returns the pairs of all, over one catalogue."""
        every = (self, *others)
        user, item = ([getattr(p, name) for p in every] for name in ("user", "item"))
        return Pairs(np.concatenate(user), np.concatenate(item), self.num_items)

    def where(self, items: np.ndarray) -> Pairs:
        """Returns the pairs whose item is chosen by the bool mask `items` `[I]`."""
        kept = items[self.item]
        return Pairs(self.user[kept], self.item[kept], self.num_items)

    def among(self, users: np.ndarray) -> Pairs:
        """Returns the pairs of some users, who are renumbered by their places.

        Args:
            users: int `[U]`: user `users[n]` becomes n, at each place that he has.
        """
        first, end = (np.searchsorted(self.user, users, s) for s in ("left", "right"))
        count = end - first
        place = np.repeat(np.arange(len(count)), count)
        before = np.cumsum(count) - count
        at = np.arange(len(place)) + (first - before)[place]
        return Pairs(place, self.item[at], self.num_items)

    def between(self, first: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns `user - first` and `item` of the users `first .. end - 1`.

        So a loop over blocks of users reads each pair once.
        """
        size = self.num_items
        low, high = np.searchsorted(self._keys, [first * size, end * size])
        return self._keys[low:high] // size - first, self._keys[low:high] % size

    def contains(self, user: Any, item: Any) -> Any:
        """Tells which pairs are in the set.

        Args:
            user: Integers, broadcast against `item`.
            item: Integers; one outside of `0 .. num_items - 1`, as padding is, is in no
                pair.

        Returns:
            Booleans of the broadcast shape: a tensor if `user` or `item` is one (the
            search is then a part of the graph), else a numpy array.
        """
        if tf.is_tensor(user) or tf.is_tensor(item):
            return self._contains_tensor(user, item)
        users, rows = np.broadcast_arrays(
            np.asarray(user, np.int64), np.asarray(item, np.int64)
        )
        keys = users * self.num_items + rows
        inside = (rows >= 0) & (rows < self.num_items)
        if not len(self):
            return np.zeros_like(inside)
        found = np.searchsorted(self._keys, keys).clip(max=len(self) - 1)
        return inside & (self._keys[found] == keys)

    def _contains_tensor(self, user: Any, item: Any) -> tf.Tensor:
        users, rows = tf.cast(user, tf.int64), tf.cast(item, tf.int64)
        keys = users * self.num_items + rows
        inside = (rows >= 0) & (rows < self.num_items) & (keys >= 0)
        if not len(self):
            return tf.zeros_like(inside)
        with tf.init_scope(), tf.device("CPU"):
            known = tf.constant(self._keys)  # a captured tensor, not a graph constant
        found = tf.searchsorted(known, tf.reshape(keys, [-1]))
        found = tf.gather(known, tf.minimum(found, len(self) - 1))
        return inside & (tf.reshape(found, tf.shape(keys)) == keys)
