"""MovieLens as requests with features, and the spec of these features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfdistill.data.requests import Requests
from tfdistill.data.splits import (
    Split,
    fixed_test_split,
    global_temporal_split,
    per_user_temporal_split,
)
from tfdistill.data.windows import RequestParts, windows
from tfdistill.datasets.movielens import MovieLens
from tfdistill.spec import Feature, FeatureSpec, Table

__all__ = ["movielens_requests", "movielens_spec", "movielens_split"]

AGE_GROUPS = np.array([1, 18, 25, 35, 45, 50, 56])
"""Least ages of the groups in which MovieLens-1M gives ages."""

MAX_GENRES = 6
"""The most genres of one film, in MovieLens-100K as in MovieLens-1M."""

# name, scope, dtype, default; the history is made of item ids and shares their table
_FEATURES = (
    ("user_id", "user", "int64", -1),
    ("age", "user", "int64", -1),
    ("gender", "user", "string", ""),
    ("occupation", "user", "string", ""),
    ("zip", "user", "string", ""),
    ("item_id", "item", "int64", -1),
    ("year", "item", "int64", 0),
    ("genres", "item", "string", ""),
)


def movielens_split(data: MovieLens, *, valid: float = 0.1, seed: int = 0) -> Split:
    """Splits the data in the way that suits it.

    The test part of the source where it sets one aside; time for all users at once for
    MovieLens-1M; per user for MovieLens-100K, where the global split leaves 69 users in
    the last tenth that the training part knows.

    Args:
        data: The data.
        valid: Share of valid, and of test where the source sets none aside.
        seed: Seed of the draw of valid where times are not dependable.

    Returns:
        The split; its `sentence` says what it allows.

    Raises:
        ValueError: If the share is out of range or a part is empty.

    See the example of `movielens_requests`.
    """
    if data.test is not None:
        return fixed_test_split(data.ratings, data.test, valid=valid, seed=seed)
    if data.name == "MovieLens-1M":
        return global_temporal_split(data.ratings, valid=valid, test=valid)
    return per_user_temporal_split(data.ratings, valid=valid, test=valid)


def movielens_requests(
    data: MovieLens,
    split: Split,
    *,
    list_size: int = 20,
    history: int = 20,
    negatives: int = 0,
    tasks: Sequence[str] = (),
    seed: int = 0,
) -> RequestParts:
    """Makes requests of MovieLens; label = rating >= 4.

    User features: `user_id`, `age` (the least age of the group, as MovieLens-1M gives
    it), `gender`, `occupation`, `zip` (its first 3 characters), `history` (item ids).
    Item features: `item_id`, `year` (0 is unknown), `genres` (6, padded with "").

    Args:
        data: The data.
        split: A split of its ratings.
        list_size: As for `windows`.
        history: As for `windows`.
        negatives: As for `windows`.
        tasks: Columns that were added to the ratings before the split; as for
            `windows`.
        seed: As for `windows`.

    Returns:
        The requests of train, valid and test.

    Example:
        >>> import pandas as pd
        >>> data = MovieLens(
        ...     "mine",
        ...     ratings=pd.DataFrame(
        ...         {"user_id": 7, "item_id": [1, 2, 3], "rating": [5, 2, 4],
        ...          "timestamp": [10, 20, 30]}
        ...     ),
        ...     users=pd.DataFrame(
        ...         {"user_id": [7], "age": [31], "gender": ["F"],
        ...          "occupation": ["writer"], "zip": ["857"]}
        ...     ),
        ...     items=pd.DataFrame(
        ...         {"item_id": [1, 2, 3], "year": [1995, 0, 1996],
        ...          "genres": [("Crime",), ("Drama", "War"), ("Drama",)]}
        ...     ),
        ...     source="Typed by hand.",
        ... )
        >>> split = movielens_split(data, valid=0.33)
        >>> parts = movielens_requests(data, split, list_size=2, history=3)
        >>> parts.test.users["history"].tolist(), parts.test.users["age"].tolist()
        ([[2, 1, -1]], [25])
        >>> spec = movielens_spec(parts, dim=4)
        >>> spec.table_of(spec["genres"]).vocabulary
        ('Crime',)
    """
    genres = np.array(
        [list(row) + [""] * (MAX_GENRES - len(row)) for row in data.items["genres"]]
    )
    group = np.searchsorted(AGE_GROUPS, data.users["age"], side="right") - 1
    users = {
        "user_id": data.users["user_id"].to_numpy(np.int64),
        "age": AGE_GROUPS[np.maximum(group, 0)],
    }
    for name in ("gender", "occupation", "zip"):
        users[name] = np.array(data.users[name].tolist())
    items = {
        "item_id": data.items["item_id"].to_numpy(np.int64),
        "year": data.items["year"].to_numpy(np.int64),
        "genres": genres,
    }
    return windows(
        split,
        users,
        items,
        list_size=list_size,
        history=history,
        negatives=negatives,
        tasks=tasks,
        seed=seed,
    )


def movielens_spec(parts: RequestParts, *, dim: int = 16) -> FeatureSpec:
    """Describes the features of `movielens_requests`.

    Every feature has a table of the values that the training part has; others, those of
    cold users and items included, are served by the table's row for unknown values.
    `history` shares the table of `item_id`.

    Args:
        parts: What `movielens_requests` gave.
        dim: Width of all tables.

    Returns:
        The spec; see the example of `movielens_requests`.
    """
    train = parts.train
    tables, features = [], []
    for name, scope, dtype, default in _FEATURES:
        vocabulary = _vocabulary(train, name, scope, default)
        shape = (train.users if scope == "user" else train.items)[name].shape[1:]
        tables.append(Table(name, dim, kind="vocabulary", vocabulary=vocabulary))
        features.append(
            Feature(name, "categorical", scope, name, shape, dtype, default)
        )
    length = train.users["history"].shape[1:]
    features.append(Feature("history", "categorical", "user", "item_id", length))
    return FeatureSpec(tuple(features), tuple(tables))


def _vocabulary(
    train: Requests, name: str, scope: str, default: str | int
) -> tuple[str | int, ...]:
    """The values of a feature in the training part, sorted, without the default."""
    if scope == "user":
        values = train.users[name]
    else:
        values = train.items[name][np.unique(train.candidates[train.candidates >= 0])]
    return tuple(value for value in np.unique(values).tolist() if value != default)
