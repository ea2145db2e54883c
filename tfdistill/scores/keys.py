"""Keys of any columns as integers, sorted and searched without a table of them all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from tfdistill.scores.shards import as_text

__all__ = ["KeyIndex", "hashes", "identities", "unique"]

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
    order = np.lexsort((*ids.T[::-1], hashes(ids)))
    found = ids[order]
    first = np.ones(len(ids), bool)
    first[1:] = (found[1:] != found[:-1]).any(axis=1)
    return order, first


class KeyIndex:
    """Distinct keys in order of their hashes, found by binary search.

    Args:
        ids: uint64 `[N, columns]` in that order; may be a memory-mapped file.
        hashed: Their hashes, uint64 `[N]`; computed if None.

    Example:
        >>> ids = np.array([[3], [5], [3]], np.uint64)
        >>> order, first = unique(ids)
        >>> index = KeyIndex(ids[order[first]])
        >>> places = index.find(np.array([[5], [4]], np.uint64))
        >>> index.ids[places[0]].tolist(), places[1]
        ([5], -1)
    """

    def __init__(self, ids: Any, hashed: Any = None) -> None:
        self.ids = ids
        self.hashed = hashes(ids) if hashed is None else hashed

    def find(self, ids: np.ndarray) -> np.ndarray:
        """Returns the place int64 `[M]` of each key, -1 where it is none of these."""
        asked = hashes(ids)
        order = np.argsort(asked)  # neighbours are then searched for in turn
        asked, ids = asked[order], ids[order]
        at = np.searchsorted(self.hashed, asked)
        place = np.full(len(ids), -1, np.int64)
        searched = np.arange(len(ids))
        while len(searched):
            searched = searched[at[searched] < len(self.hashed)]
            found = self.ids[at[searched]]
            same = np.logical_and.reduce(found.T == ids[searched].T)
            place[order[searched[same]]] = at[searched[same]]
            searched = searched[~same]
            at[searched] += 1  # the next key may have the same hash
            searched = searched[at[searched] < len(self.hashed)]
            searched = searched[self.hashed[at[searched]] == asked[searched]]
        return place
