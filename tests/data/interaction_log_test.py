import numpy as np
import pandas as pd
import pytest

from tfdistill.data import random_split, windows
from tfdistill.data.interactions import InteractionLog
from tfdistill.data.splits import global_temporal_split, per_user_temporal_split


def make_log(seed=0, rows=300, users=12, items=20):
    """Random interactions, some at one moment, some of one pair."""
    rng = np.random.default_rng(seed)
    return InteractionLog(
        rng.integers(0, users, rows),
        rng.integers(0, items, rows),
        rng.integers(0, 60, rows) / 20.0,
        users,
        items,
        value=rng.integers(1, 6, rows),
        time=rng.integers(0, 1000, rows),
        positive_from=4,
    )


def known(log, user, clock):
    """Items strictly before, newest first; of one moment the highest row first."""
    rows = [
        (c, i)
        for u, c, i in zip(log.user, log.clock, log.item)
        if u == user and c < clock
    ]
    return [item for _, item in sorted(rows, reverse=True)]


def test_histories_are_what_came_strictly_before():
    log = make_log()
    users, clocks = np.arange(12).repeat(4), np.tile([0.0, 0.55, 1.0, 9.0], 12)
    histories = log.histories(users, clocks)
    newest = histories.newest(7)
    weights = histories.weights(memory=3.0).toarray()
    for row, (user, clock) in enumerate(zip(users, clocks)):
        items = known(log, user, clock)
        assert histories.sizes[row] == len(items)
        assert newest[row].tolist() == (items + [-1] * 7)[:7]
        expected = np.zeros(20)
        for place, item in enumerate(items):
            expected[item] = max(expected[item], np.exp(-place / 3.0))
        np.testing.assert_allclose(weights[row], expected, rtol=1e-6)


def test_positives_are_a_log_of_their_own():
    log = make_log()
    histories = log.histories(np.arange(12), 1.5).positives
    rows = (log.value >= 4) & (log.clock < 1.5)
    assert (
        histories.sizes.tolist() == np.bincount(log.user[rows], minlength=12).tolist()
    )


def test_a_cut_knows_what_came_strictly_before_it():
    log = make_log()
    assert log.before(0.5).clock.max() < 0.5
    assert len(log.before(0.5)) == (log.clock < 0.5).sum()
    assert log.before(0.5) is log.before(0.5)  # so that fits of it are shared


def test_order_of_the_rows_means_nothing():
    log = make_log()
    mixed = log.select(np.random.default_rng(1).permutation(len(log)))
    assert mixed.histories([3], 2.0).newest(9).tolist() == (
        log.histories([3], 2.0).newest(9).tolist()
    )


@pytest.mark.parametrize(
    "change",
    [
        {"user": [0, 12]},
        {"item": [0, -1]},
        {"clock": [0.0, np.nan]},
        {"clock": [0.0]},
        {"time": [np.inf, 0.0]},
    ],
)
def test_refuses_what_is_no_log(change):
    given = {"user": [0, 1], "item": [0, 1], "clock": [0.0, 1.0], **change}
    with pytest.raises(ValueError, match=f"InteractionLog: {next(iter(change))}"):
        InteractionLog(**given, num_users=12, num_items=3)


def ratings(rows=240, users=6):
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "user_id": rng.integers(0, users, rows),
            "item_id": rng.permutation(rows) % 40,
            "rating": rng.integers(1, 6, rows),
            "timestamp": rng.integers(0, 10_000, rows),
        }
    )


SPLITS = {
    "global": global_temporal_split,
    "user": per_user_temporal_split,
    "drawn": random_split,
}


def made(order):
    split = SPLITS[order](ratings())
    users, items = {"user_id": np.arange(6)}, {"item_id": np.arange(40)}
    return windows(split, users, items, list_size=5)


@pytest.mark.parametrize("order", SPLITS)
def test_parts_follow_each_other_on_the_clock(order):
    parts = made(order)
    assert len(parts.log) == 240
    for number, name in enumerate(("train", "valid", "test")):
        requests = getattr(parts, name)
        assert (np.floor(requests.clock) == number).all()
        inside = parts.log.select(np.floor(parts.log.clock) == number)
        assert inside.pairs.fingerprint == parts.interactions[name].fingerprint


@pytest.mark.parametrize("order", SPLITS)
def test_a_request_does_not_know_its_own_list(order):
    parts = made(order)
    histories = parts.log.of(parts.train)
    request, row, _ = histories.rows
    listed = parts.train.candidates
    log = parts.log
    for number in range(len(listed)):
        mine = row[request == number]
        same = np.isin(log.item[mine], listed[number])
        # an item may come twice, but never as the list's own row
        own = log.clock[mine] >= parts.train.clock[number]
        assert not (same & own).any()
    assert (histories.sizes > 0).any()


def test_global_order_is_that_of_time():
    log = made("global").log
    order = np.argsort(log.clock, kind="stable")
    assert (np.diff(log.time[order]) >= 0).all()


def test_random_split_has_its_shares_and_draws_by_seed():
    frame = ratings()
    split = random_split(frame, valid=0.25, test=0.1, seed=3)
    assert [len(part) for part in split.parts.values()] == [156, 60, 24]
    assert pd.concat(split.parts.values()).index.is_unique
    again = random_split(frame, valid=0.25, test=0.1, seed=3)
    assert again.test.index.equals(split.test.index)
    other = random_split(frame, valid=0.25, test=0.1, seed=4)
    assert not other.test.index.equals(split.test.index)
