"""What `Requests` refuses, and how it says so."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from tfdistill.data.requests import Requests


def check_requests(requests: Requests) -> None:
    """Refuses requests whose arrays do not fit each other or mean nothing."""
    _check_array("candidates", requests.candidates, np.int32, 2)
    _check_array("group", requests.group, np.int64, 1)
    if not requests.num_requests:
        raise ValueError("Requests: there is no request; give at least one.")
    for field, values in _per_candidate(requests):
        _check_array(field, values, np.float32, 2)
        if values.shape != requests.candidates.shape:
            raise ValueError(
                f"Requests: {field} and candidates must have one shape [R, L], got "
                f"{values.shape} and {requests.candidates.shape}."
            )
    if not requests.items:
        raise ValueError(
            "Requests: items has no feature, so the catalogue has no size; give at "
            "least one item feature."
        )
    _check_rows("group", requests.group, requests.num_requests, "requests")
    for name, values in requests.users.items():
        _check_feature("users", name, values, requests.num_requests, "requests")
    for name, values in requests.items.items():
        _check_feature("items", name, values, requests.num_items, "catalogue rows")
    if requests.ids is not None:
        _check_ids(requests.ids, requests.num_requests)
    for name, values in requests.pair_features.items():
        _check_pairs(name, values, requests.candidates.shape)
    for field in ("clock", "time"):
        if getattr(requests, field) is not None:
            _check_moments(field, getattr(requests, field), requests.num_requests)
    _check_names(requests)
    _check_candidates(requests.candidates, requests.num_items)
    _check_values(requests)
    if requests.group.min() < 0:
        raise ValueError(
            f"Requests: group must be >= 0, got {requests.group.min()}; number the "
            "users from 0."
        )


def _per_candidate(requests: Requests) -> Iterator[tuple[str, np.ndarray]]:
    """Every array of one float32 per candidate, and what to call it."""
    yield "labels", requests.labels
    for field in ("tasks", "scores"):
        for name, values in getattr(requests, field).items():
            yield f"{field}[{name!r}]", values
    if requests.weights is not None:
        yield "weights", requests.weights


def _check_names(requests: Requests) -> None:
    sides = {
        "users": requests.users,
        "items": requests.items,
        "pairs": requests.listed_pairs,
    }
    for (one, names), (other, others) in itertools.combinations(sides.items(), 2):
        both = sorted(set(names) & set(others))
        if both:
            raise ValueError(
                f"Requests: {both} are in {one} and in {other}; a feature has one "
                "scope, so rename one of the two."
            )
    clash = sorted(set(requests.scores) & set().union(*sides.values()))
    if clash:
        raise ValueError(
            f"Requests: the scores {clash} have the names of features; both go to "
            "the features of a batch, so rename the scores."
        )
    if "" in requests.tasks:
        raise ValueError(
            "Requests: tasks has the name '', which means the labels; give the "
            "task a name of its own."
        )


def _check_values(requests: Requests) -> None:
    """Refuses labels, scores and weights that would make a loss meaningless."""
    present = requests.candidates >= 0
    _check_labels("labels", requests.labels, present)
    for name, values in requests.tasks.items():
        _check_labels(f"tasks[{name!r}]", values, present)
    for name, values in requests.scores.items():
        _check_scores(f"scores[{name!r}]", values, present)
    if requests.weights is not None:
        _check_weights("weights", requests.weights, present)


def _check_labels(field: str, values: np.ndarray, present: np.ndarray) -> None:
    """Refuses labels that are negative or infinite where there is a candidate."""
    _check_where(
        field,
        values,
        present & ((values < 0) | np.isinf(values)),
        "must be >= 0 and finite, or NaN where it is unlabelled (-1 is padding "
        "elsewhere)",
    )


def _check_scores(field: str, values: np.ndarray, present: np.ndarray) -> None:
    """Refuses scores that are infinite where there is a candidate."""
    _check_where(
        field,
        values,
        present & np.isinf(values),
        "must be finite, or NaN where it is missing; clip a probability before you "
        "take its logit",
    )


def _check_weights(field: str, values: np.ndarray, present: np.ndarray) -> None:
    """Refuses weights that are no weights where there is a candidate."""
    _check_where(
        field,
        values,
        present & ~((values >= 0) & (values < np.inf)),
        "must be >= 0 and finite wherever there is a candidate; 0 leaves a label out",
    )


def _check_where(field: str, values: np.ndarray, bad: np.ndarray, rule: str) -> None:
    """Refuses the first value where `bad`, and names the rule."""
    if bad.any():
        row, position = np.argwhere(bad)[0]
        raise ValueError(
            f"Requests: {field} is {values[row, position]} in request {row}, position "
            f"{position} (counted from 0); it {rule}."
        )


def _check_array(field: str, array: Any, dtype: Any, ndim: int) -> None:
    """Refuses what is no array of this dtype and number of axes."""
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
    """Refuses an array that does not have this many rows."""
    if array.ndim < 1 or len(array) != rows:
        raise ValueError(
            f"Requests: {field} has shape {array.shape}, but there are {rows} {what}."
        )


def _check_moments(field: str, array: np.ndarray, rows: int) -> None:
    """Refuses times that are not one finite number for each request."""
    _check_array(field, array, np.float64, 1)
    _check_rows(field, array, rows, "requests")
    if not np.isfinite(array).all():
        raise ValueError(f"Requests: {field} must be finite, got NaN or infinity.")


def _check_feature(
    side: str, name: str, values: np.ndarray, rows: int, what: str
) -> None:
    """Refuses values that can't be a feature: another dtype, length or NaN."""
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
            f"Requests: {field} is NaN in row {row} (of {what}, counted from 0); fill "
            "it, for example with the feature's default, before building Requests."
        )
    if values.dtype.kind == "O":
        strange = {type(v).__name__ for v in values.flat} - {"str", "bytes"}
        if strange:
            raise ValueError(
                f"Requests: {field} holds objects of type {sorted(strange)}; an object "
                "array may hold strings only."
            )


def _check_pairs(name: str, values: np.ndarray, shape: tuple[int, ...]) -> None:
    """Refuses values that can't be a pair feature of candidates `[R, L]`."""
    _check_feature("pair_features", name, values, shape[0], "requests")
    if values.shape[:2] != shape:
        raise ValueError(
            f"Requests: pair_features[{name!r}] and candidates must agree in [R, L], "
            f"got {values.shape} and {shape}."
        )


def _check_ids(ids: Any, rows: int) -> None:
    """Refuses ids of requests that are neither int64 nor strings, one for each."""
    dtype = getattr(ids, "dtype", None)
    if dtype != np.int64 and getattr(dtype, "kind", "") not in "USO" or ids.ndim != 1:
        raise ValueError(
            "Requests: ids must be a numpy array [R] of int64 or strings, got "
            f"{dtype or type(ids).__name__} of shape {np.shape(ids)}; convert it."
        )
    _check_rows("ids", ids, rows, "requests")


def _check_candidates(candidates: np.ndarray, items: int) -> None:
    """Refuses candidates `[R, L]` that are no rows of the items, and empty lists."""
    outside = (candidates < -1) | (candidates >= items)
    if outside.any():
        row, position = np.argwhere(outside)[0]
        raise ValueError(
            f"Requests: candidate {candidates[row, position]} of request {row}, "
            f"position {position} (counted from 0), is no row of items, which has "
            f"{items}; use 0 .. {items - 1}, or -1 for padding."
        )
    empty = np.flatnonzero((candidates < 0).all(axis=1))
    if empty.size:
        raise ValueError(
            f"Requests: {empty.size} of {len(candidates)} requests have an empty list "
            f"of candidates, the first is request {empty[0]} (counted from 0); leave "
            "them out."
        )


def check_pool(pool: Any, drawn: int, users: int, items: int) -> None:
    """Refuses pools of candidates that don't fit the users, the catalogue or the draws.

    A pool is int32 `[users, N]` with rows of the catalogue or -1.
    """
    if pool is None and not drawn:
        return
    shape, dtype = np.shape(pool), getattr(pool, "dtype", None)
    if dtype != np.int32 or len(shape) != 2 or shape[0] < users:
        raise ValueError(
            f"RequestBatches: pool must be int32 [users, N] with a row for each of the "
            f"{users} users, got {dtype or type(pool).__name__} of shape {shape}."
        )
    if not 1 <= drawn <= shape[1]:
        raise ValueError(
            f"RequestBatches: from_pool must be between 1 and the {shape[1]} items of "
            f"a user's pool, got {drawn}."
        )
    if pool.min() < -1 or pool.max() >= items:
        raise ValueError(
            f"RequestBatches: pool must hold rows below {items}, or -1, got "
            f"{pool.min()} .. {pool.max()}."
        )
