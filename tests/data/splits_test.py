import numpy as np
import pandas as pd
import pytest

from tfdistill.data.splits import (
    fixed_test_split,
    global_temporal_split,
    per_user_temporal_split,
)

SPLITS = [global_temporal_split, per_user_temporal_split]


def interactions(seed=0, size=4000, users=40, seconds=10**6):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "user_id": rng.integers(users, size=size),
            "item_id": rng.integers(500, size=size),
            "rating": rng.integers(1, 6, size=size),
            "timestamp": rng.integers(seconds, size=size),
        }
    )


@pytest.mark.parametrize("split", SPLITS)
def test_parts_are_the_interactions_in_the_given_shares(split):
    ratings = interactions()
    made = split(ratings, valid=0.2, test=0.1)
    whole = pd.concat(made.parts.values()).sort_index()
    pd.testing.assert_frame_equal(whole, ratings)
    shares = [len(frame) / len(ratings) for frame in made.parts.values()]
    np.testing.assert_allclose(shares, [0.7, 0.2, 0.1], atol=0.01)


@pytest.mark.parametrize("seconds", [10**6, 300, 12])
def test_global_parts_follow_each_other_strictly(seconds):
    made = global_temporal_split(interactions(seconds=seconds))
    train, valid, test = (frame["timestamp"] for frame in made.parts.values())
    assert train.max() < valid.min() and valid.max() < test.min()


@pytest.mark.parametrize("seconds", [10**6, 300, 12])
def test_parts_of_each_user_follow_each_other_strictly(seconds):
    made = per_user_temporal_split(interactions(seconds=seconds))
    spans = [
        f.groupby("user_id")["timestamp"].agg(["min", "max"])
        for f in made.parts.values()
    ]
    for earlier, later in zip(spans, spans[1:]):
        both = earlier.join(later, rsuffix="_later", how="inner")
        assert len(both) > 20
        assert (both["max"] < both["min_later"]).all()
    assert all(count.cold_users == 0 for count in made.counts().values())


def test_interactions_of_one_second_go_where_their_middle_is():
    ratings = interactions(size=10, users=1)
    ratings["timestamp"] = [0, 1, 2, 3, 4, 5, 6, 7, 7, 7]  # the middle of 7 is 0.85
    made = per_user_temporal_split(ratings, valid=0.2, test=0.2)
    assert made.test["timestamp"].tolist() == [7, 7, 7]
    ratings["timestamp"] = [0, 1, 2, 3, 4, 7, 7, 7, 7, 8]  # the middle of 7 is 0.7
    made = global_temporal_split(ratings, valid=0.3, test=0.2)
    assert made.valid["timestamp"].tolist() == [7, 7, 7, 7]


def test_a_user_of_one_second_is_in_train_only():
    ratings = pd.concat([interactions(), interactions(1, 30).assign(user_id=99)])
    ratings.loc[ratings.user_id == 99, "timestamp"] = 5
    made = per_user_temporal_split(ratings)
    assert (made.train["user_id"] == 99).sum() == 30
    assert not made.valid["user_id"].eq(99).any()
    assert not made.test["user_id"].eq(99).any()


def test_warm_and_cold():
    ratings = pd.DataFrame(
        {
            "user_id": [1, 1, 2, 2, 3, 1],
            "item_id": [10, 11, 10, 12, 13, 10],
            "timestamp": [0, 1, 2, 3, 4, 5],
        }
    )
    counts = global_temporal_split(ratings, valid=1 / 6, test=1 / 3).counts()
    assert vars(counts["train"]) == dict(
        interactions=3, warm_users=2, cold_users=0, warm_items=2, cold_items=0
    )
    assert vars(counts["valid"]) == dict(
        interactions=1, warm_users=1, cold_users=0, warm_items=0, cold_items=1
    )
    assert vars(counts["test"]) == dict(
        interactions=2, warm_users=1, cold_users=1, warm_items=1, cold_items=1
    )


def test_fixed_test_part():
    ratings = interactions()
    held = ratings["timestamp"] > 900_000
    made = fixed_test_split(ratings, held, valid=0.25, seed=3)
    pd.testing.assert_frame_equal(made.test, ratings[held])
    assert len(made.valid) == round(0.25 * (~held).sum())
    whole = pd.concat(made.parts.values()).sort_index()
    pd.testing.assert_frame_equal(whole, ratings)
    again = fixed_test_split(ratings, held, valid=0.25, seed=3)
    pd.testing.assert_frame_equal(made.valid, again.valid)
    other = fixed_test_split(ratings, held, valid=0.25, seed=4)
    assert not made.valid.index.equals(other.valid.index)
    assert "drawn at random" in made.sentence
    with pytest.raises(ValueError, match=r"4000 ratings, got shape \(3,\)"):
        fixed_test_split(ratings, [True] * 3)


@pytest.mark.parametrize("split", SPLITS)
def test_wrong_input(split):
    ratings = interactions()
    with pytest.raises(ValueError, match=r"columns \['timestamp'\]"):
        split(ratings.drop(columns="timestamp"))
    for shares in ({"valid": 0.0}, {"test": -0.1}, {"valid": 0.5, "test": 0.5}):
        with pytest.raises(ValueError, match="sum to less than 1, got"):
            split(ratings, **shares)
    with pytest.raises(ValueError, match="got NaN"):
        split(ratings.assign(timestamp=np.nan))
    with pytest.raises(ValueError, match="part empty"):
        split(ratings.assign(timestamp=1))
