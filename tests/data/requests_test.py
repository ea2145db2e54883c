import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.data.requests import PairSet, Requests


def make(**changes):
    """Three requests over four items, with padding and an unlabelled candidate."""
    fields = dict(
        users={
            "age": np.array([30, 40, 50], np.float32),
            "history": np.array([[1, 2], [3, -1], [-1, -1]]),
        },
        items={
            "item_id": np.array([5, 6, 7, 8]),
            "genre": np.array(["a", "b", "", "c"]),
        },
        candidates=np.array([[0, 3], [1, -1], [2, 0]], np.int32),
        labels=np.array([[1, 0], [1, np.nan], [np.nan, 0]], np.float32),
        group=np.array([4, 4, 9]),
    )
    return Requests(**{**fields, **changes})


def test_sizes_and_select():
    requests = make()
    assert (requests.num_requests, requests.list_size, requests.num_items) == (3, 2, 4)
    for rows in ([2, 0], np.array([2, 0]), tf.constant([2, 0]).numpy()):
        chosen = requests.select(rows)
        np.testing.assert_array_equal(chosen.candidates, [[2, 0], [0, 3]])
        np.testing.assert_array_equal(chosen.group, [9, 4])
        np.testing.assert_array_equal(chosen.users["age"], [50, 30])
        assert chosen.items is requests.items
    assert requests.select(requests.group == 4).num_requests == 2
    assert requests.select(slice(0, 1)).num_requests == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        requests.group = None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(candidates=np.array([[0, 4], [1, -1], [2, 0]], np.int32)),
         "candidate 4 of request 0, position 1, is no row of items, which has 4"),
        (dict(candidates=np.array([[0, -2], [1, -1], [2, 0]], np.int32)),
         "candidate -2 of request 0"),
        (dict(candidates=np.array([[0, 3], [-1, -1], [2, 0]], np.int32)),
         "1 of 3 requests have an empty list of candidates, the first is request 1"),
        (dict(candidates=np.zeros([3, 2], np.int64)), "dtype int32, got int64"),
        (dict(candidates=[[0]]), "dtype int32, got list"),
        (dict(labels=np.zeros([3, 2])), "dtype float32, got float64"),
        (dict(labels=np.zeros([3, 1], np.float32)), "one shape"),
        (dict(group=np.array([0, 1])), r"group has shape \(2,\), but there are 3"),
        (dict(group=np.array([0, -1, 2])), "group must be >= 0, got -1"),
        (dict(group=np.array([0, 1, 2], np.int32)), "dtype int64, got int32"),
        (dict(users={"age": np.array([1, 2], np.float32)}),
         r"users\['age'\] has shape \(2,\), but there are 3 requests"),
        (dict(users={"age": np.array([1, np.nan, 2], np.float32)}),
         r"users\['age'\] is NaN in row 1"),
        (dict(users={"age": np.array([1, 2, 3], np.float64)}), "got float64"),
        (dict(users={"age": np.array(["a", None, "b"], object)}), "NoneType"),
        (dict(items={"x": np.array([1, 2, 3, 4], np.int16)}), "got int16"),
        (dict(items={"item_id": np.array([1, 2, 3, 4]), "x": np.array([1, 2])}),
         r"items\['x'\] has shape \(2,\), but there are 4 catalogue rows"),
        (dict(items={"age": np.array([1, 2, 3, 4])}), r"\['age'\] are in users and in"),
        (dict(items={}), "items has no feature"),
        (dict(candidates=np.zeros([0, 2], np.int32)), "there is no request"),
    ],
)  # fmt: skip
def test_refuses(changes, message):
    with pytest.raises(ValueError, match=message):
        make(**changes)


def test_object_strings_are_accepted():
    assert make(users={"name": np.array(["é", b"b", ""], object)}).num_requests == 3


def test_pair_set_against_a_python_set():
    rng = np.random.default_rng(0)
    group, item = rng.integers(0, 50, 400), rng.integers(0, 30, 400)
    pairs = set(zip(group.tolist(), item.tolist()))
    known = PairSet(group, item, num_items=30)
    assert len(known) == len(pairs)
    assert set(zip(known.group.tolist(), known.item.tolist())) == pairs
    asked_group, asked_item = np.meshgrid(np.arange(60), np.arange(-3, 34))
    expected = np.vectorize(lambda g, i: (g, i) in pairs)(asked_group, asked_item)
    np.testing.assert_array_equal(known.contains(asked_group, asked_item), expected)
    graph = tf.function(known.contains)(
        tf.constant(asked_group), tf.constant(asked_item, tf.int32)
    )
    np.testing.assert_array_equal(graph, expected)


def test_pair_set_broadcasts_and_may_be_empty():
    known = PairSet([2], [1], num_items=3)
    np.testing.assert_array_equal(
        known.contains([[1], [2]], [[0, 1, 2]]), [[0, 0, 0], [0, 1, 0]]
    )
    empty = PairSet([], [], num_items=3)
    assert not empty.contains([0, 1], [1, 2]).any()
    assert not empty.contains(tf.constant([0, 1]), tf.constant([1, 2])).numpy().any()


def test_pair_set_of_positives_ignores_padding_and_the_unlabelled():
    known = PairSet.positives(make())
    assert list(zip(known.group, known.item)) == [(4, 0), (4, 1)]


@pytest.mark.parametrize(
    ("group", "item", "message"),
    [
        ([0, 1], [0], "one shape"),
        ([0], [3], r"0 \.\. 2, got 3"),
        ([-1], [1], "groups must lie in"),
        ([2**62], [1], "groups must lie in"),
    ],
)
def test_pair_set_refuses(group, item, message):
    with pytest.raises(ValueError, match=message):
        PairSet(group, item, num_items=3)
