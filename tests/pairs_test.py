"""Pairs of users and items against Python sets of tuples."""

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.pairs import Pairs

USERS, ITEMS = 50, 30


def drawn(seed=0, count=400):
    rng = np.random.default_rng(seed)
    return rng.integers(0, USERS, count), rng.integers(0, ITEMS, count)


def as_set(pairs):
    return set(zip(pairs.user.tolist(), pairs.item.tolist()))


@pytest.mark.parametrize("num_items", [None, ITEMS, 10 * ITEMS])
def test_contains_as_a_python_set_does(num_items):
    user, item = drawn()
    expected = set(zip(user.tolist(), item.tolist()))
    known = Pairs(user, item, num_items)
    assert len(known) == len(expected) and as_set(known) == expected
    assert known.num_items == (num_items or 1 + item.max())
    asked_user, asked_item = np.meshgrid(np.arange(60), np.arange(-3, 34))
    answers = np.vectorize(lambda u, i: (u, i) in expected)(asked_user, asked_item)
    np.testing.assert_array_equal(known.contains(asked_user, asked_item), answers)
    graph = tf.function(known.contains)(
        tf.constant(asked_user), tf.constant(asked_item, tf.int32)
    )
    np.testing.assert_array_equal(graph, answers)


def test_questions_broadcast_and_a_set_may_be_empty():
    known = Pairs([2], [1], num_items=3)
    np.testing.assert_array_equal(
        known.contains([[1], [2]], [[0, 1, 2]]), [[0, 0, 0], [0, 1, 0]]
    )
    for empty in (Pairs([], []), Pairs([], [], num_items=3)):
        assert not empty.contains([0, 1], [1, 2]).any()
        tensors = tf.constant([0, 1]), tf.constant([1, 2])
        assert not empty.contains(*tensors).numpy().any()
        assert len(empty) == empty.user.size == empty.item.size == 0


def test_parts_and_counts_as_a_loop_over_the_pairs():
    known, other = Pairs(*drawn(), ITEMS), Pairs(*drawn(1), ITEMS)
    pairs = as_set(known)
    chosen = np.arange(ITEMS) % 3 == 0
    assert as_set(known.where(chosen)) == {(u, i) for u, i in pairs if i % 3 == 0}
    users = np.array([3, 8, 21, 49, 70])
    places = {user: n for n, user in enumerate(users.tolist())}
    wanted = {(places[u], i) for u, i in pairs if u in places}
    assert as_set(known.among(users)) == wanted
    user, item = known.between(8, 22)
    assert list(zip(user, item)) == sorted((u - 8, i) for u, i in pairs if 8 <= u < 22)
    assert as_set(known.union(other)) == pairs | as_set(other)
    assert known.where(chosen).num_items == known.union(other).num_items == ITEMS
    count = [sum(u == user for u, _ in pairs) for user in range(USERS + 2)]
    assert known.per_user(USERS + 2).tolist() == count
    count = [sum(i == item for _, i in pairs) for item in range(ITEMS)]
    assert known.per_item().tolist() == count


def test_a_fingerprint_changes_with_any_pair_and_not_with_their_order():
    user, item = drawn()
    one = Pairs(user, item, ITEMS).fingerprint
    assert Pairs(user[::-1], item[::-1], ITEMS).fingerprint == one
    others = [Pairs(user[1:], item[1:], ITEMS), Pairs(user, item, ITEMS + 1)]
    assert one not in [pairs.fingerprint for pairs in others]


@pytest.mark.parametrize(
    ("user", "item", "num_items", "message"),
    [
        ([0, 1], [0], 3, r"one shape \[P\], got \(2,\) and \(1,\)"),
        ([0, 0], [3, 1], 3, r"below 3, got 1 \.\. 3"),
        ([0], [-1], None, r">= 0 .*got -1 \.\. -1; drop padding"),
        ([-1], [1], None, r"users must lie in 0 .*got -1 \.\. -1; number the users"),
        ([2**62], [1], 3, "users must lie in"),
    ],
)
def test_what_is_no_pair_is_refused(user, item, num_items, message):
    with pytest.raises(ValueError, match=message):
        Pairs(user, item, num_items)


def test_among_takes_users_in_any_order_and_as_often_as_they_come():
    known = Pairs([3, 0, 3, 5], [1, 2, 4, 0], 6)
    users = np.array([5, 3, 9, 3])
    wanted = {
        (place, item)
        for place, user in enumerate(users)
        for item in known.item[known.user == user].tolist()
    }
    assert as_set(known.among(users)) == wanted
    assert len(known.among(np.zeros(0, np.int64))) == 0
    assert len(Pairs([], [], 6).among(users)) == 0
