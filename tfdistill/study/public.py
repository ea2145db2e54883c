"""Problems of public data sets."""

from __future__ import annotations

import dataclasses

from tfdistill.datasets.movielens import MovieLens
from tfdistill.datasets.movielens_features import (
    movielens_requests,
    movielens_spec,
    movielens_split,
)
from tfdistill.report import Data, Part
from tfdistill.study.problem import Problem

__all__ = ["movielens_problem"]

_TINY_USERS = 200


def movielens_problem(data: MovieLens, *, tiny: bool = False) -> Problem:
    """Makes a problem of MovieLens: ratings of 4 and 5 are positives.

    Args:
        data: What `load_movielens` gave.
        tiny: Whether to keep few users only, for a quick look.

    Returns:
        The problem. Lists of validation and test have ten drawn items each besides.
    """
    if tiny:
        data = _first_users(data, _TINY_USERS)
    parts = movielens_requests(data, movielens_split(data), negatives=10)
    return dataclasses.replace(
        Problem.from_windows(movielens_spec(parts), parts),
        described=Data(
            source=data.source,
            rows=len(data.ratings),
            users=len(data.users),
            items=len(data.items),
            split=parts.split.name,
            parts=[
                Part(
                    name,
                    getattr(parts, name).num_requests,
                    **dataclasses.asdict(count),
                )
                for name, count in parts.split.counts().items()
            ],
        ),
    )


def _first_users(data: MovieLens, count: int) -> MovieLens:
    """Keeps the users with the lowest ids, for tiny runs."""
    users = data.users.sort_values("user_id")[:count].reset_index(drop=True)
    kept = data.ratings["user_id"].isin(users["user_id"])
    ratings = data.ratings[kept].reset_index(drop=True)
    test = None if data.test is None else data.test[kept.to_numpy()]
    return dataclasses.replace(data, users=users, ratings=ratings, test=test)
