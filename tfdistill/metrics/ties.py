"""Places in a ranking that items with equal scores share."""

from __future__ import annotations

import numpy as np

from tfdistill.metrics.checks import as_values


def tie_places(scores: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the places [begin, end) that each item shares with its ties.

    Place 0 is the highest score's. Masked items come after all others.

    Args:
        scores: `[R, L]`.
        mask: bool `[R, L]`.

    Returns:
        int64 `[R, L]` twice: `begin` and `end` of the item's block of ties.

    Raises:
        ValueError: Where shapes differ or a valid score is NaN.

    Example:
        >>> scores = np.array([[1.0, 2.0, 1.0]])
        >>> [places.tolist() for places in tie_places(scores, scores > 0)]
        [[[1, 0, 1]], [[3, 1, 3]]]
    """
    keys = np.where(mask, -as_values("scores", scores, mask), np.inf)
    # A masked item and a score of -inf have one key: masked ones come last among them.
    order = np.lexsort((~mask, keys), axis=1)
    rows = np.arange(mask.shape[0])[:, None]
    ordered, valid = keys[rows, order], mask[rows, order]
    place = np.broadcast_to(np.arange(mask.shape[1]), mask.shape)
    new = np.ones(mask.shape, dtype=bool)
    new[:, 1:] = (ordered[:, 1:] != ordered[:, :-1]) | (valid[:, 1:] != valid[:, :-1])
    last = np.ones(mask.shape, dtype=bool)
    last[:, :-1] = new[:, 1:]
    begin, end = np.empty(mask.shape, np.int64), np.empty(mask.shape, np.int64)
    # The first place of each run of ties carried forward, the last one carried back.
    begin[rows, order] = np.maximum.accumulate(np.where(new, place, 0), axis=1)
    ends = np.where(last, place + 1, mask.shape[1])
    end[rows, order] = np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1]
    return begin, end
