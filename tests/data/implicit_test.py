"""Implicit feedback: how parts are numbered, split and turned into requests."""

import numpy as np
import pandas as pd
import pytest

from tfdistill.data.implicit import ImplicitFeedback
from tfdistill.pairs import Pairs

PARTS = [
    pd.DataFrame(rows, columns=["user_id", "item_id"])
    for rows in (
        [(4, 0), (4, 3), (9, 3), (9, 2)],
        [(4, 2), (9, 0), (7, 2)],  # user 7 has no training pair
        [(4, 5), (9, 5)],
    )
]


def pairs(part: Pairs) -> list[tuple[int, int]]:
    return list(zip(part.user.tolist(), part.item.tolist()))


def events(users=3, each=20):
    """Every user takes items in the order of its own time."""
    rng = np.random.default_rng(0)
    rows = [
        (user, item, 100 * user + time)
        for user in range(users)
        for time, item in enumerate(rng.permutation(each))
    ]
    return pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"])


def test_parts_number_the_users_of_training_and_all_items():
    data = ImplicitFeedback.from_parts("mine", PARTS)
    assert (data.num_users, data.num_items) == (2, 4)  # items 0, 2, 3, 5
    assert data.user_ids.tolist() == [4, 9] and data.item_ids.tolist() == [0, 2, 3, 5]
    assert pairs(data.train) == [(0, 0), (0, 2), (1, 1), (1, 2)]
    assert pairs(data.valid) == [(0, 1), (1, 0)]
    assert pairs(data.test) == [(0, 3), (1, 3)]
    assert pairs(data.seen("valid")) == pairs(data.train)
    assert len(data.seen("test")) == 6
    assert data.popularity.tolist() == [1, 1, 2, 0]
    assert data.last is None


def test_requests_hold_every_item_of_a_user():
    requests = ImplicitFeedback.from_parts("mine", PARTS).requests("train")
    assert requests.candidates.tolist() == [[0, 2], [1, 2]]
    assert requests.group.tolist() == [0, 1]
    assert (requests.labels == 1).all()


def test_each_user_is_split_in_time():
    data = ImplicitFeedback.from_frame("mine", events())
    assert [len(part) for part in (data.train, data.valid, data.test)] == [48, 6, 6]
    frame = events()
    order = frame[frame.user_id == 1].sort_values("timestamp").item_id.tolist()
    assert data.last[1, :16].tolist() == order[:16][::-1]  # the newest first
    assert set(data.last[1, 16:]) == {-1}
    assert {item for user, item in pairs(data.test) if user == 1} == set(order[18:])


def test_a_pair_counts_once_and_rare_items_are_left_out():
    rare = pd.DataFrame({"user_id": [0], "item_id": [99], "timestamp": [7]})
    frame = pd.concat([events(), events()[:5], rare])
    data = ImplicitFeedback.from_frame("mine", frame, core=2)
    assert sum(len(part) for part in (data.train, data.valid, data.test)) == 60
    assert data.num_items == 20


def test_parts_must_fit_each_other():
    one, other = Pairs([0], [1], 4), Pairs([0], [1], 5)
    with pytest.raises(ValueError, match=r"mine: train, valid .* got \[4, 5, 4\]"):
        ImplicitFeedback("mine", 1, one, other, one)
    with pytest.raises(ValueError, match="users 0 .. 1 must all have training pairs"):
        ImplicitFeedback("mine", 2, one, one, one)


def test_next_items_are_examples_of_a_sequence_model():
    pairs = Pairs([0, 0, 0, 1], [3, 1, 2, 0], 4)
    last = np.array([[2, 3, 1], [0, -1, -1]])  # the newest first
    data = ImplicitFeedback("mine", 2, pairs, pairs, pairs, last)
    histories, after = data.next_items()
    assert histories.tolist() == [[3, 1, -1], [1, -1, -1]]
    assert after.item.tolist() == [2, 3]
    with pytest.raises(ValueError, match="mine has no order in time"):
        ImplicitFeedback("mine", 2, pairs, pairs, pairs).next_items()
