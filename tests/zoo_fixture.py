"""Small problems for the zoo: ratings with a pattern, and a table of impressions."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tfdistill.data import Requests
from tfdistill.datasets import MovieLens
from tfdistill.spec import FeatureSpec

GENRES = ("Action", "Comedy", "Drama")

SPEC = FeatureSpec.from_json(
    """{
    "features": [
        {"name": "age", "kind": "numeric", "scope": "user", "mean": 35, "scale": 10},
        {"name": "city", "kind": "categorical", "scope": "user", "table": "city",
         "dtype": "string"},
        {"name": "item_id", "kind": "categorical", "scope": "item", "table": "item"},
        {"name": "price", "kind": "numeric", "scope": "item"},
        {"name": "dwell", "kind": "numeric", "scope": "item", "privileged": true}
    ],
    "tables": [
        {"name": "city", "dim": 4, "kind": "hash", "size": 20},
        {"name": "item", "dim": 4, "size": 30}
    ]}"""
)


def requests(seed: int = 0, size: int = 24) -> Requests:
    """Requests with features, labels and tasks at random."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, (size, 5)).astype(np.float32)
    return Requests(
        users={
            "age": rng.normal(35, 10, size).astype(np.float32),
            "city": rng.choice(["Rome", "Oslo"], size),
        },
        items={
            "item_id": np.arange(30),
            "price": rng.normal(size=30).astype(np.float32),
            "dwell": rng.normal(size=30).astype(np.float32),
        },
        candidates=rng.integers(0, 30, (size, 5)).astype(np.int32),
        labels=labels,
        group=np.arange(size) % 6,
        tasks={"click": labels, "like": 1 - labels},
    )


def movielens(users: int = 40, items: int = 60, each: int = 24) -> MovieLens:
    """Ratings in which a user likes every third film, by its genre."""
    rng = np.random.default_rng(0)
    rows = []
    for user in range(1, users + 1):
        for place, item in enumerate(rng.permutation(items)[:each] + 1):
            rating = 5 if (item + user) % 3 == 0 else int(rng.integers(1, 5))
            rows.append((user, item, rating, 1000 * user + 10 * place))
    columns = ["user_id", "item_id", "rating", "timestamp"]
    return MovieLens(
        "MovieLens-made-up",
        ratings=pd.DataFrame(rows, columns=columns),
        users=pd.DataFrame(
            {
                "user_id": np.arange(1, users + 1),
                "age": 18 + np.arange(users),
                "gender": np.where(np.arange(users) % 2, "F", "M"),
                "occupation": np.where(np.arange(users) % 5, "writer", "other"),
                "zip": "857",
            }
        ),
        items=pd.DataFrame(
            {
                "item_id": np.arange(1, items + 1),
                "year": 1980 + np.arange(items) % 20,
                "genres": [(GENRES[i % 3],) for i in range(1, items + 1)],
            }
        ),
        source="Made up for a test.",
    )


def impressions(requests: int = 80, size: int = 6) -> pd.DataFrame:
    """Impressions in which an item's price and number decide about the click."""
    rng = np.random.default_rng(1)
    request = np.repeat(np.arange(requests), size)
    item = rng.integers(0, 30, request.size)
    price = rng.normal(size=request.size)
    click = (price + 0.2 * (item - 15) + rng.normal(size=request.size)) > 0
    return pd.DataFrame(
        {
            "request": request,
            "user": request % 20,
            "time": request,
            "age": (20.0 + request % 30),
            "city": [f"c{r % 7}" for r in request],
            "item_id": item,
            "price": price,
            "dwell": click * 10.0 + rng.normal(size=request.size),
            "click": click.astype(int),
        }
    )
