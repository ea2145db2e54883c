import dataclasses
import time

import numpy as np
import pandas as pd
import pytest
from movielens_fixture import EXPECTED, write_original

from tfdistill.data.batching import RequestBatches
from tfdistill.data.splits import fixed_test_split, global_temporal_split
from tfdistill.datasets.movielens import MovieLens, load_movielens_100k
from tfdistill.datasets.movielens_features import (
    movielens_requests,
    movielens_spec,
    movielens_split,
)


@pytest.fixture
def tiny(tmp_path):
    return load_movielens_100k(write_original(tmp_path), expected=EXPECTED)


def test_features_and_labels(tiny):
    split = movielens_split(tiny, valid=0.2)
    parts = movielens_requests(tiny, split, list_size=3, history=4)
    train = parts.train
    assert train.users["user_id"].tolist() == [1, 2, 3]
    assert train.users["age"].tolist() == [18, 50, 1]
    assert train.users["zip"].tolist() == ["857", "V5A", "010"]
    assert train.users["history"].shape == (3, 4)
    assert train.items["year"].tolist() == [1995, 0, 1995, 1995, 1996]
    assert train.items["genres"].shape == (5, 6)
    assert train.items["genres"][0].tolist()[:4] == [
        "Animation",
        "Children's",
        "Comedy",
        "",
    ]
    for part in (parts.train, parts.valid, parts.test):
        ratings = tiny.ratings.set_index(["user_id", "item_id"])["rating"]
        for request, slot in zip(*np.nonzero(part.candidates >= 0)):
            user = part.users["user_id"][request]
            item = part.items["item_id"][part.candidates[request, slot]]
            assert part.labels[request, slot] == (ratings[user, item] >= 4)


def test_split_of_the_data(tiny):
    assert movielens_split(tiny, valid=0.2).name == "per-user temporal"
    one_million = dataclasses.replace(tiny, name="MovieLens-1M")
    assert movielens_split(one_million, valid=0.2).name == "global temporal"
    held = np.arange(EXPECTED.rows) >= 10
    extract = dataclasses.replace(one_million, test=held)
    split = movielens_split(extract, valid=0.2)
    assert split.name == "fixed test" and len(split.test) == EXPECTED.rows - 10


def test_vocabularies_are_of_the_training_part(tiny):
    late = (tiny.ratings["user_id"] == 3) | (tiny.ratings["item_id"] == 5)
    split = fixed_test_split(tiny.ratings, late, valid=0.13)
    spec = movielens_spec(movielens_requests(tiny, split, history=4), dim=8)
    vocabulary = {table.name: table.vocabulary for table in spec.tables}
    assert vocabulary["user_id"] == (1, 2)
    assert vocabulary["item_id"] == (1, 2, 3, 4)
    assert vocabulary["age"] == (18, 50)
    assert vocabulary["occupation"] == ("other", "writer")
    assert vocabulary["zip"] == ("857", "V5A")
    assert vocabulary["year"] == (1995,)
    assert "Film-Noir" not in vocabulary["genres"] and "" not in vocabulary["genres"]
    assert spec["history"].table == "item_id" and spec["history"].shape == (4,)
    assert {table.dim for table in spec.tables} == {8}


def test_the_spec_describes_the_batches(tiny):
    split = movielens_split(tiny, valid=0.2)
    parts = movielens_requests(tiny, split, list_size=3, history=4)
    spec = movielens_spec(parts)
    batches = RequestBatches(parts.train, batch_size=2, known=parts.known, negatives=2)
    x, y, _ = next(iter(batches()))
    for feature in spec.features:
        value = x[feature.name]
        assert value.dtype == feature.dtype
        wanted = (2, *feature.shape) if feature.scope == "user" else (2, 5)
        assert tuple(value.shape) == (
            wanted if feature.scope == "user" else (*wanted, *feature.shape)
        )
    assert y["fine"].shape == (2, 5)


def test_further_tasks_are_columns_of_the_ratings(tiny):
    ratings = tiny.ratings.assign(loved=tiny.ratings["rating"] == 5)
    data = dataclasses.replace(tiny, ratings=ratings)
    split = movielens_split(data, valid=0.2)
    train = movielens_requests(data, split, tasks=["loved"]).train
    present = train.candidates >= 0
    assert train.tasks["loved"][present].sum() == (split.train["rating"] == 5).sum()
    assert (train.tasks["loved"] <= train.labels)[present].all()


def test_one_million_interactions_take_seconds(tiny):
    rng, size = np.random.default_rng(0), 10**6
    ratings = pd.DataFrame(
        {
            "user_id": rng.integers(6000, size=size),
            "item_id": rng.integers(500, size=size),
            "rating": rng.integers(1, 6, size=size),
            "timestamp": rng.integers(10**6, size=size),
        }
    ).drop_duplicates()
    users = tiny.users.sample(6000, replace=True, random_state=0)
    items = tiny.items.sample(500, replace=True, random_state=0)
    data = MovieLens(
        "MovieLens-1M",
        ratings,
        users.assign(user_id=np.arange(6000)),
        items.assign(item_id=np.arange(500)),
        "Drawn.",
    )
    start = time.process_time()
    split = global_temporal_split(data.ratings)
    parts = movielens_requests(data, split, negatives=50)
    assert time.process_time() - start < 20
    assert sum(len(p) for p in parts.interactions.values()) > 8 * 10**5
