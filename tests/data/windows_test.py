"""Lists and histories, against loops; what a request may know, for every request."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from splits_test import interactions

from tfdistill.data.splits import (
    fixed_test_split,
    global_temporal_split,
    per_user_temporal_split,
)
from tfdistill.data.windows import windows

USERS = {"user_id": np.arange(40)[::-1].copy(), "age": np.arange(40) + 20}
ITEMS = {"item_id": np.arange(500) * 2 % 500 + np.arange(500) // 250}
PARTS = ("train", "valid", "test")


def split_of(kind, seconds=300):
    """Many ties: about 4,000 interactions in 300 seconds; a pair may repeat."""
    ratings = interactions(seconds=seconds)
    if kind == "fixed":
        return fixed_test_split(ratings, ratings["timestamp"] > 0.9 * seconds)
    make = global_temporal_split if kind == "global" else per_user_temporal_split
    return make(ratings)


def make(kind="per user", seconds=300, **options):
    options = {"list_size": 7, "history": 5, **options}
    return windows(split_of(kind, seconds), USERS, ITEMS, **options)


def by_hand(split, part, list_size, history):
    """(user, items, labels, history) of each request, with loops over lists."""
    upto = pd.concat([split.parts[p] for p in PARTS[: PARTS.index(part) + 1]])
    row_of = {item: row for row, item in enumerate(ITEMS["item_id"])}
    order = ["timestamp", "row"]
    frames = [f.assign(row=f["item_id"].map(row_of)) for f in (split.parts[part], upto)]
    requests = []
    for position, user in enumerate(USERS["user_id"]):
        mine, past = (f[f["user_id"] == user].sort_values(order) for f in frames)
        lists = -(-len(mine) // list_size)
        chunk = np.arange(len(mine)) * lists // max(len(mine), 1)
        for number in range(lists):
            rows = mine[chunk == number]
            before = past[past["timestamp"] < rows["timestamp"].iloc[0]]
            ids = before["item_id"].tolist()[::-1][:history]
            requests.append(
                (
                    position,
                    rows["row"].tolist(),
                    (rows["rating"] >= 4).astype(float).tolist(),
                    ids + [-1] * (history - len(ids)),
                )
            )
    return requests


@pytest.mark.parametrize("kind", ["per user", "global", "fixed"])
@pytest.mark.parametrize("part", PARTS)
def test_lists_and_history_equal_a_loop(kind, part):
    made = getattr(make(kind), part)
    wanted = by_hand(split_of(kind), part, 7, 5)
    assert len(wanted) == made.num_requests
    for request, (user, items, labels, history) in enumerate(wanted):
        present = made.candidates[request] >= 0
        assert made.group[request] == user
        assert made.candidates[request][present].tolist() == items
        assert made.labels[request][present].tolist() == labels
        assert np.isnan(made.labels[request][~present]).all()
        assert made.users["history"][request].tolist() == history
        assert made.users["age"][request] == USERS["age"][user]


@pytest.mark.parametrize("kind", ["per user", "global", "fixed"])
@pytest.mark.parametrize("part", PARTS)
def test_no_request_knows_its_time_or_anything_later(kind, part):
    """Every history item is older than all items of the request, and no later part's.

    A pair is kept once, so that the time of a history item is beyond doubt.
    """
    split = split_of(kind)
    whole = pd.concat(split.parts, names=["part"]).reset_index("part")
    whole = whole.drop_duplicates(["user_id", "item_id"])
    split = dataclasses.replace(
        split, **{name: whole[whole["part"] == name] for name in PARTS}
    )
    time = whole.set_index(["user_id", "item_id"])["timestamp"].to_dict()
    home = whole.set_index(["user_id", "item_id"])["part"].to_dict()
    made = getattr(windows(split, USERS, ITEMS, list_size=7, history=5), part)
    checked = 0
    for request in range(made.num_requests):
        user = made.users["user_id"][request]
        rows = made.candidates[request][made.candidates[request] >= 0]
        first = min(time[user, item] for item in ITEMS["item_id"][rows])
        for item in made.users["history"][request]:
            if item >= 0:
                checked += 1
                assert time[user, item] < first
                assert PARTS.index(home[user, item]) <= PARTS.index(part)
    assert checked > 100


@pytest.mark.parametrize("kind", ["per user", "global", "fixed"])
def test_train_is_blind_to_valid_and_test(kind):
    """Other valid and test parts leave all of train as it is, bit for bit."""
    split = split_of(kind)
    rng = np.random.default_rng(9)
    others = {
        name: split.parts[name].assign(
            item_id=rng.integers(500, size=len(split.parts[name])),
            rating=rng.integers(1, 6, size=len(split.parts[name])),
            timestamp=rng.integers(300, size=len(split.parts[name])),
        )
        for name in ("valid", "test")
    }
    changed = dataclasses.replace(split, **others)
    one, two = (windows(s, USERS, ITEMS, negatives=3) for s in (split, changed))
    np.testing.assert_array_equal(one.train.candidates, two.train.candidates)
    np.testing.assert_array_equal(one.train.labels, two.train.labels)
    for name, values in one.train.users.items():
        np.testing.assert_array_equal(values, two.train.users[name])
    np.testing.assert_array_equal(one.known.user, two.known.user)
    np.testing.assert_array_equal(one.known.item, two.known.item)
    assert not np.array_equal(one.valid.candidates, two.valid.candidates)


def test_known_and_before():
    parts, split = make(), split_of("per user")
    row_of = {item: row for row, item in enumerate(ITEMS["item_id"])}

    def pairs(*names):
        frame = pd.concat([split.parts[name] for name in names])
        return set(zip(39 - frame["user_id"], frame["item_id"].map(row_of)))

    assert set(zip(parts.known.user, parts.known.item)) == pairs("train")
    for part, names in (("valid", ["train"]), ("test", ["train", "valid"])):
        before = parts.before(part)
        assert set(zip(before.user, before.item)) == pairs(*names)
    with pytest.raises(ValueError, match="one of .*'valid', 'test'.*, got 'train'"):
        parts.before("train")


def test_sampled_negatives():
    plain, parts = make(), make(negatives=30)
    again, other = make(negatives=30), make(negatives=30, seed=1)
    np.testing.assert_array_equal(parts.train.candidates, plain.train.candidates)
    seen = dict(valid=("train", "valid"), test=("train", "valid", "test"))
    for part, names in seen.items():
        made, base = getattr(parts, part), getattr(plain, part)
        assert made.list_size == base.list_size + 30
        np.testing.assert_array_equal(made.candidates, getattr(again, part).candidates)
        assert (made.candidates != getattr(other, part).candidates).any()
        moved = 0
        for request in range(made.num_requests):
            rows, labels = made.candidates[request], made.labels[request]
            listed = base.candidates[request]
            listed = listed[listed >= 0]
            drawn = rows[(rows >= 0) & ~np.isin(rows, listed)]
            assert len(set(drawn)) == 30
            group = made.group[request]
            for name in names:
                assert not parts.interactions[name].contains(group, drawn).any()
            assert (labels[np.isin(rows, drawn)] == 0).all()
            assert np.isnan(labels[rows < 0]).all()
            assert np.nansum(labels) == np.nansum(base.labels[request])
            moved += not np.array_equal(rows[: len(listed)], listed)
        assert moved > 0.9 * made.num_requests


def test_tasks_scores_and_weights_are_those_of_the_interaction():
    """A pair is kept once, so that its values can be looked up."""
    rng, split = np.random.default_rng(0), split_of("per user")
    whole = pd.concat(split.parts, names=["part"]).reset_index("part")
    whole = whole.drop_duplicates(["user_id", "item_id"])
    size = len(whole)
    whole = whole.assign(
        loved=whole["rating"] == 5,
        shared=rng.choice([0, 1, np.nan], size),
        logit=rng.choice([-2.5, np.nan, 0.25], size),
        importance=rng.random(size),
    )
    split = dataclasses.replace(
        split, **{name: whole[whole["part"] == name] for name in PARTS}
    )
    parts = windows(
        split,
        USERS,
        ITEMS,
        negatives=9,
        tasks=("loved", "shared"),
        scores=("logit",),
        weight="importance",
    )
    of_negative = dict(loved=0, shared=0, logit=np.nan, importance=1)
    value = whole.set_index(["user_id", "item_id", "part"])[list(of_negative)]
    value = value.astype(np.float32).to_dict("index")
    for part in PARTS:
        made = getattr(parts, part)
        lists = {**made.tasks, **made.scores, "importance": made.weights}
        assert set(lists) == set(of_negative)
        assert {values.dtype for values in lists.values()} == {np.dtype(np.float32)}
        for request, (user, rows) in enumerate(zip(made.group, made.candidates)):
            for place, row in enumerate(rows):
                key = USERS["user_id"][user], ITEMS["item_id"][row], part
                expected = value.get(key, of_negative)
                for name, values in lists.items():
                    wanted = expected[name] if row >= 0 else np.nan
                    np.testing.assert_equal(values[request, place], np.float32(wanted))


def test_fewer_negatives_where_nearly_everything_is_seen():
    frame = pd.DataFrame(
        {"user_id": 0, "item_id": [0, 1, 2], "rating": 5, "timestamp": [1, 2, 3]}
    )
    split = per_user_temporal_split(frame, valid=0.34, test=0.33)
    items = {"item_id": np.arange(4)}
    test = windows(split, {"user_id": np.array([0])}, items, negatives=3).test
    assert sorted(test.candidates[0][test.candidates[0] >= 0]) == [2, 3]
    assert np.nansum(test.labels) == 1


def test_wrong_input():
    for options in ({"list_size": 0}, {"history": 0}, {"negatives": -1}):
        with pytest.raises(ValueError, match="list_size and history must be >= 1"):
            make(**options)
    with pytest.raises(ValueError, match="501 negatives can't be drawn from 500"):
        make(negatives=501)
    for options in ({"tasks": ["x"]}, {"scores": ["x"]}, {"weight": "x"}):
        with pytest.raises(ValueError, match=r"no column \['x'\]"):
            make(**options)
    for name, users, items in (
        ("user_id", {"user_id": np.arange(30)}, ITEMS),
        ("item_id", USERS, {"item_id": np.arange(400)}),
    ):
        with pytest.raises(ValueError, match=f"names {name} .* which has no features"):
            windows(split_of("global"), users, items)
