"""How often each item of the catalogue is a candidate: the logQ of a softmax."""

from __future__ import annotations

import numpy as np

from tfdistill.data.requests import Requests
from tfdistill.pairs import Pairs

__all__ = ["log_share"]


def log_share(
    requests: Requests,
    negatives: int,
    known: Pairs | None,
    pool: np.ndarray | None = None,
    from_pool: int = 0,
) -> np.ndarray:
    """Returns the log of each row's expected share of a batch's unmasked candidates.

    Row i is expected `(c_i + n (R - b_i) / I + m p_i / N) / R` times per request: c_i
    lists have it, a drawn i is masked in the b_i requests that list or know it, and of
    the pools of p_i requests m in N items are taken.

    Args:
        requests: R requests over a catalogue of I items.
        negatives: n, items drawn uniformly for each request.
        known: Pairs that are masked when they are drawn.
        pool: int32 `[users, N]`, -1 padded, without items that the user's lists hold.
        from_pool: m, items drawn from the user's pool for each request.

    Returns:
        float32 `[I]`.

    Example:
        >>> requests = Requests({}, {"item_id": np.arange(2)},
        ...     np.array([[0]], np.int32), np.ones([1, 1], np.float32), np.array([0]))
        >>> np.exp(log_share(requests, 1, None)).round(2)
        array([0.67, 0.33], dtype=float32)
    """
    size, total = requests.num_items, requests.num_requests
    row, position = np.nonzero(requests.candidates >= 0)
    item = requests.candidates[row, position]
    expected = np.bincount(item, minlength=size).astype(np.float64)
    if negatives:
        blocked = expected.copy()
        if known is not None:
            group = requests.group[row]
            listed = ~known.contains(group, item)
            blocked = np.bincount(item[listed], minlength=size).astype(np.float64)
            times = np.bincount(requests.group, minlength=known.user.max(initial=0) + 1)
            blocked += np.bincount(known.item, times[known.user], minlength=size)
        expected += negatives * (total - blocked) / size
    if pool is not None:
        times = np.bincount(requests.group, minlength=len(pool))
        taken = np.repeat(times * (from_pool / pool.shape[1]), pool.shape[1])
        present = pool.ravel() >= 0
        expected += np.bincount(pool[pool >= 0], taken[present], minlength=size)
    share = expected / expected.sum()
    tiny = np.finfo(np.float32).tiny  # a row that never comes has a finite log, too
    return np.log(np.maximum(share, tiny)).astype(np.float32)
