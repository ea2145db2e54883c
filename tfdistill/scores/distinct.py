"""Whether a key is in two shards: their hashes are compared, a range at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfdistill.scores.keys import hashes, identities, repeated
from tfdistill.scores.store import ScoreStore

__all__ = ["require_distinct", "shared_hashes", "twice"]

_AT_ONCE = 1 << 22
"""Hashes in memory at once."""

_ENOUGH = 1000
"""So many hashes that come twice are looked at: one of them is no chance."""


def require_distinct(store: ScoreStore, hashed: Sequence[np.ndarray]) -> None:
    """Refuses a store that has a key in two shards.

    Args:
        store: The store.
        hashed: The hashes of each shard's keys, ascending uint64 `[N]`; may be
            memory-mapped.

    Raises:
        ValueError: If it has; the key is named.
    """
    suspects = shared_hashes(hashed)
    if not len(suspects):
        return
    names = list(store.manifest.keys)
    found: list[tuple[np.ndarray, dict[str, np.ndarray]]] = []
    for block in store.blocks():
        ids = identities({name: block[name] for name in names})
        row = np.flatnonzero(np.isin(hashes(ids), suspects))
        found.append((ids[row], {name: block[name][row] for name in names}))
    at = repeated(np.concatenate([ids for ids, _ in found]))
    if at is not None:
        key = {n: np.concatenate([keys[n] for _, keys in found])[at] for n in names}
        raise twice(f"The store in {str(store.directory)!r}", key)


def shared_hashes(hashed: Sequence[np.ndarray]) -> np.ndarray:
    """Returns hashes that come more than once, uint64: all, or at least a thousand.

    Example:
        >>> parts = [np.array([3, 8], np.uint64), np.array([5, 8], np.uint64)]
        >>> shared_hashes(parts).tolist()
        [8]
    """
    pieces = max(1, -(-sum(map(len, hashed)) // _AT_ONCE))
    edges = np.array([2**64 * n // pieces for n in range(1, pieces)], np.uint64)
    cuts = [[0, *np.searchsorted(part, edges), len(part)] for part in hashed]
    found = np.empty(0, np.uint64)
    for n in range(pieces):
        parts = [part[cut[n] : cut[n + 1]] for part, cut in zip(hashed, cuts)]
        piece = np.sort(np.concatenate([found[:0], *parts]))
        more = np.unique(piece[1:][piece[1:] == piece[:-1]])
        found = np.concatenate([found, more[:_ENOUGH]])
        if len(found) >= _ENOUGH:
            break
    return found


def twice(where: str, key: Mapping[str, Any]) -> ValueError:
    """Returns the error of a key that is there twice.

    Args:
        where: What has it, as the beginning of a sentence.
        key: The key.
    """
    plain = {  # NumPy 2 would write np.int64(7)
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in key.items()
    }
    return ValueError(
        f"{where} has the key {plain} twice. Score each key once, or add the key "
        "column that tells the two apart."
    )
