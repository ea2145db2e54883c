"""Keys of any columns as integers, sorted and searched without a table of them all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from tfdistill.scores.shards import as_text

__all__ = [
    "KeyIndex",
    "bucket_starts",
    "buckets",
    "hashes",
    "identities",
    "repeated",
    "unique",
]

_EDGES = 1 << 20
"""Buckets that are searched for at once."""

_ODD = np.uint64(0x9E3779B97F4A7C15)


def identities(keys: Mapping[str, np.ndarray]) -> np.ndarray:
    """Returns each key as integers: of an integer itself, of a text its 64-bit hash.

    That any two of n texts share a hash has the probability n^2 / 2^65: 3e-8 for a
    million, 3e-4 for a hundred million.

    Args:
        keys: Columns `[N]` by name, int64 or text.

    Returns:
        uint64 `[N, columns]`.

    Example:
        >>> identities({"user": np.array([3]), "item": np.array([7])})
        array([[3, 7]], dtype=uint64)
    """
    columns = [
        values.astype(np.int64).view(np.uint64)
        if values.dtype.kind in "iu"
        else pd.util.hash_array(as_text(values), categorize=False)
        for values in keys.values()
    ]
    return np.stack(columns, axis=1)


def hashes(ids: np.ndarray) -> np.ndarray:
    """Returns one 64-bit hash of each key, uint64 `[N]`.

    Example:
        >>> both = hashes(np.array([[3, 7], [7, 3]], np.uint64))
        >>> bool(both[0] == both[1])
        False
    """
    mixed = np.zeros(len(ids), np.uint64)
    for column in ids.T:
        mixed = pd.util.hash_array(mixed * _ODD + column)
    return mixed


def unique(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sorts keys by their hash.

    Args:
        ids: uint64 `[N, columns]`.

    Returns:
        The order int64 `[N]`, and in that order whether a key is the first of its
        equals, bool `[N]`.

    Example:
        >>> order, first = unique(np.array([[3], [5], [3]], np.uint64))
        >>> first.sum()
        2
    """
    # By hash first, then by value: equal keys meet, and two of one hash stay two.
    order = np.lexsort((*ids.T[::-1], hashes(ids)))
    found = ids[order]
    first = np.ones(len(ids), bool)
    first[1:] = (found[1:] != found[:-1]).any(axis=1)
    return order, first


def repeated(ids: np.ndarray) -> int | None:
    """Returns a row whose key is in another row, too, or None.

    Rows are compared only if two hashes are equal, which costs a sort of numbers.

    Args:
        ids: uint64 `[N, columns]`.

    Example:
        >>> repeated(np.array([[3], [5], [3]], np.uint64)) in (0, 2)
        True
    """
    hashed = np.sort(hashes(ids))
    if (hashed[1:] != hashed[:-1]).all():
        return None
    order, first = unique(ids)
    return None if first.all() else int(order[np.argmin(first)])


def buckets(keys: int) -> int:
    """Returns into how many buckets so many keys are put: a power of 2, at least 2."""
    return 1 << max(1, (keys - 1).bit_length())


def bucket_starts(hashed: Any, out: Any = None) -> Any:
    """Returns where each bucket of sorted hashes begins, and where the last one ends.

    A bucket holds a key or two, so that one is found by its number, without a search.

    Args:
        hashed: uint64 `[N]`, ascending; may be a memory-mapped file.
        out: int64 `[buckets(N) + 1]` to write to, such as a file; made if None.

    Example:
        >>> bucket_starts(np.array([1, 2**62, 2**63], np.uint64)).tolist()
        [0, 1, 2, 3, 3]
    """
    count = buckets(len(hashed))
    starts = np.empty(count + 1, np.int64) if out is None else out
    # The upper bits of a hash are its bucket: 2^b buckets hold about one key each.
    shift = np.uint64(65 - count.bit_length())
    for first in range(0, count, _EDGES):
        edges = np.arange(first, min(first + _EDGES, count), dtype=np.uint64) << shift
        starts[first : first + len(edges)] = np.searchsorted(hashed, edges)
    starts[count] = len(hashed)
    return starts


class KeyIndex:
    """Distinct keys in order of their hashes, found by buckets of these.

    Args:
        ids: uint64 `[N, columns]` in that order; may be a memory-mapped file.
        starts: What `bucket_starts` gives of their hashes; computed if None.

    Example:
        >>> ids = np.array([[3], [5], [3]], np.uint64)
        >>> order, first = unique(ids)
        >>> index = KeyIndex(ids[order[first]])
        >>> places = index.find(np.array([[5], [4]], np.uint64))
        >>> index.ids[places[0]].tolist(), places[1]
        ([5], -1)
    """

    def __init__(self, ids: Any, starts: Any = None) -> None:
        self.ids = ids
        self.starts = bucket_starts(hashes(ids)) if starts is None else starts
        self._shift = np.uint64(65 - len(self.starts).bit_length())

    def find(self, ids: np.ndarray) -> np.ndarray:
        """Returns the place int64 `[M]` of each key, -1 where it is none of these."""
        bucket = (hashes(ids) >> self._shift).astype(np.int64)
        at, end = self.starts[bucket], self.starts[bucket + 1]
        place = np.full(len(ids), -1, np.int64)
        # All keys a step further at once, until each was found or has no more in its
        # bucket.
        searched = np.flatnonzero(at < end)
        while len(searched):
            tried = at[searched]
            same = np.logical_and.reduce(self.ids[tried].T == ids[searched].T)
            place[searched[same]] = tried[same]
            searched = searched[~same]
            at[searched] += 1  # the bucket's next key
            searched = searched[at[searched] < end[searched]]
        return place
