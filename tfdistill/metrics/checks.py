"""Validation that every metric shares: shapes, masks, and NaN where a value counts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Mean(NamedTuple):
    """A mean and the number of lists, groups or users it was taken over.

    `value` is NaN where `over` is 0: nothing could be judged.

    Example:
        >>> value, over = Mean(0.75, 12)
    """

    value: float
    over: int


def mean_of(values: np.ndarray) -> Mean:
    """Returns the mean of the entries that aren't NaN, and how many there are.

    Args:
        values: float64 `[R]`, NaN where a list has nothing to judge.

    Example:
        >>> mean_of(np.array([1.0, np.nan, 0.5]))
        Mean(value=0.75, over=2)
    """
    counted = values[~np.isnan(values)]
    if counted.size == 0:
        return Mean(float("nan"), 0)
    return Mean(float(counted.mean()), int(counted.size))


def as_mask(mask: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray:
    """Returns `mask` as bool of `shape`; all True where it is None.

    Raises:
        ValueError: Where the mask is not bool or has another shape.
    """
    if mask is None:
        return np.ones(shape, dtype=bool)
    mask = np.asarray(mask)
    if mask.dtype != np.bool_ or mask.shape != shape:
        raise ValueError(
            f"`mask` must be bool of shape {shape}, like the scores, got "
            f"{mask.dtype} of shape {mask.shape}. Compare with a value to get bool."
        )
    return mask


def as_values(name: str, values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Returns `values` as float64 with 0 where masked.

    Args:
        name: The argument's name, for the error's text.
        values: `[...]`, anything (NaN included) where `mask` is False.
        mask: bool `[...]`.

    Raises:
        ValueError: Where the shapes differ or a valid entry is NaN.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.shape != mask.shape:
        raise ValueError(
            f"`{name}` must have shape {mask.shape}, got {values.shape}. "
            "Labels, scores and masks are given entry by entry."
        )
    wrong = int(np.count_nonzero(np.isnan(values) & mask))
    if wrong:
        raise ValueError(
            f"`{name}` must not be NaN where it counts, got {wrong} NaN in "
            f"{int(mask.sum())} valid entries. Mask what is missing."
        )
    return np.where(mask, values, 0.0)


def as_binary(labels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Returns `labels` as float64 in {0, 1}, with 0 where masked.

    Raises:
        ValueError: Where the shapes differ, or a valid label is neither 0 nor 1.
    """
    labels = as_values("labels", labels, mask)
    odd = labels[(labels != 0.0) & (labels != 1.0)]
    if odd.size:
        raise ValueError(
            f"`labels` must be 0 or 1, got {odd[0]:g}. Make clicks of graded "
            "labels first, e.g. `ratings >= 4`."
        )
    return labels


def as_weights(weights: np.ndarray | None, mask: np.ndarray) -> np.ndarray:
    """Returns `weights` as float64, 1 where None, 0 where masked.

    Raises:
        ValueError: Where the shapes differ, or a valid weight is NaN or negative.
    """
    if weights is None:
        return mask.astype(np.float64)
    weights = as_values("weights", weights, mask)
    if weights.size and weights.min() < 0.0:
        raise ValueError(
            f"`weights` must be >= 0, got {weights.min():g}. A weight is how "
            "often an entry counts."
        )
    return weights


def check_lists(scores: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """Returns the bool mask `[R, L]` of padded lists.

    Raises:
        ValueError: Where `scores` isn't a matrix, or the mask doesn't fit it.
    """
    shape = np.shape(scores)
    if len(shape) != 2:
        raise ValueError(
            f"`scores` must be lists [R, L], got shape {shape}. Add an axis to "
            "judge one list."
        )
    return as_mask(mask, shape)


def as_items(name: str, items: np.ndarray) -> np.ndarray:
    """Returns lists of items `[U, K]`, in which only the padding -1 may repeat.

    Args:
        name: The argument's name, for the error's text.
        items: int `[U, K]` item rows, -1 where padded.

    Raises:
        ValueError: Where it isn't a matrix, or an item repeats in a list.
    """
    items = np.asarray(items)
    if items.ndim != 2:
        raise ValueError(
            f"`{name}` must be lists of item rows [U, K], got shape {items.shape}."
        )
    ordered = np.sort(items, axis=1)
    again = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)
    if again.any():
        user, place = np.argwhere(again)[0]
        raise ValueError(
            f"`{name}` must not repeat an item in a list, got item "
            f"{ordered[user, place]} more than once for user {user}. It would count "
            "each time: keep the first, and pad with -1."
        )
    return items


def check_cut(k: int) -> int:
    """Returns `k`.

    Raises:
        ValueError: Where `k` is below 1.
    """
    if k < 1:
        raise ValueError(
            f"`k` must be at least 1, got {k}. It is how many items count."
        )
    return k
