import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.data.requests import Requests


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


def rich():
    """The three requests with all that a candidate can have besides a label."""
    return make(
        tasks={
            "like": np.array([[1, np.nan], [0, 0], [1, 0]], np.float32),
            "share": np.array([[0, 0], [0, 0], [1, 1]], np.float32),
        },
        scores={"teacher": np.array([[3, -1], [0, np.inf], [np.nan, 2]], np.float32)},
        weights=np.array([[1, 0], [2, -1], [3, 0.5]], np.float32),
        ids=np.array(["a", "b", "c"]),
        clock=np.array([0.1, 0.2, 1.5]),
        time=np.array([7.0, 9.0, 8.0]),
    )


def test_select_takes_everything_of_a_request_along():
    requests, rows = rich(), [2, 0, 2]
    chosen = requests.select(rows)
    for field in dataclasses.fields(Requests):
        given, got = (getattr(r, field.name) for r in (requests, chosen))
        if field.name in ("items", "catalogue"):
            assert got is given
        elif isinstance(given, dict):
            assert set(got) == set(given)
            for name, values in given.items():
                np.testing.assert_array_equal(got[name], values[rows])
        else:
            np.testing.assert_array_equal(got, given[rows])
    plain = make().select(rows)
    assert plain.tasks == plain.scores == {}
    assert plain.weights is plain.ids is None


def test_where_padded_scores_and_weights_are_ignored():
    requests = rich()
    assert np.isinf(requests.scores["teacher"][1, 1])
    assert requests.weights[1, 1] == -1


def test_pairs_are_the_candidates_with_their_features():
    requests = rich()
    pairs = requests.pairs()
    wanted = [
        (requests.users["age"][r], requests.items["genre"][c])
        for r in range(3)
        for c in requests.candidates[r]
        if c >= 0
    ]
    assert list(zip(pairs["age"], pairs["genre"])) == wanted
    assert set(pairs) == {"age", "history", "item_id", "genre"}
    assert pairs["history"].shape == (5, 2)


def test_with_scores_adds_arrays_and_functions_of_pairs():
    requests = rich()
    given = np.arange(6).reshape(3, 2)
    scored = requests.with_scores(
        {"older": given, "sum": lambda x: x["age"] + x["item_id"]}
    )
    assert set(scored.scores) == {"teacher", "older", "sum"}
    assert set(requests.scores) == {"teacher"}
    np.testing.assert_array_equal(scored.scores["older"], given)
    for row, listed in enumerate(requests.candidates):
        for position, item in enumerate(listed):
            score = scored.scores["sum"][row, position]
            if item < 0:
                assert np.isnan(score)
            else:
                age = requests.users["age"][row]
                assert score == age + requests.items["item_id"][item]
    assert scored.weights is requests.weights
    assert scored.tasks is requests.tasks
    again = scored.with_scores({"older": given + 1})
    np.testing.assert_array_equal(again.scores["older"], given + 1)


def test_with_scores_refuses():
    with pytest.raises(
        ValueError, match=r"scores\['t'\] must return one score for eac"
    ):
        make().with_scores({"t": lambda x: x["item_id"][1:]})
    with pytest.raises(ValueError, match=r"scores\['t'\] and candidates must have one"):
        make().with_scores({"t": np.zeros([3, 1])})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(candidates=np.array([[0, 4], [1, -1], [2, 0]], np.int32)),
         "candidate 4 of request 0, position 1.*, is no row of items, which has 4"),
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
        (dict(tasks={"like": np.zeros([3, 1], np.float32)}),
         r"tasks\['like'\] and candidates must have one shape .* got \(3, 1\) and"),
        (dict(tasks={"like": np.zeros([3, 2])}), r"tasks\['like'\] must be .* float64"),
        (dict(tasks={"": np.zeros([3, 2], np.float32)}), "name '', which means the"),
        (dict(scores={"t": np.zeros([3], np.float32)}),
         r"scores\['t'\] must be a numpy array of 2 axes"),
        (dict(scores={"age": np.zeros([3, 2], np.float32)}),
         r"scores \['age'\] have the names of features"),
        (dict(scores={"t": np.array([[0, 0], [0, 0], [0, -np.inf]], np.float32)}),
         r"scores\['t'\] is -inf in request 2, position 1.*; it must be finite, or"),
        (dict(weights=np.array([[1, 1], [-0.5, 1], [1, 1]], np.float32)),
         "weights is -0.5 in request 1, position 0.*; it must be >= 0"),
        (dict(clock=np.array([0.1, np.nan, 1.0])), "clock must be finite"),
        (dict(clock=np.array([0.1, 1.0])), r"clock has shape \(2,\), but there are 3"),
        (dict(time=np.array([1, 2, 3])), "time must be a numpy array of 1 axes and"),
        (dict(weights=np.array([[1, np.nan], [1, 1], [1, 1]], np.float32)),
         "weights is nan in request 0, position 1"),
        (dict(weights=np.array([[1, 1], [1, 1], [np.inf, 1]], np.float32)),
         "weights is inf in request 2, position 0"),
        (dict(weights=np.ones([2, 2], np.float32)), "weights and candidates must"),
        (dict(weights=np.ones([3, 2], int)), "weights must be .* float32"),
        (dict(candidates=np.zeros([0, 2], np.int32)), "there is no request"),
        (dict(ids=np.arange(2)), r"ids has shape \(2,\), but there are 3 requests"),
        (dict(ids=np.zeros(3)), r"ids must be .* int64 or strings, got float64"),
    ],
)  # fmt: skip
def test_refuses(changes, message):
    with pytest.raises(ValueError, match=message):
        make(**changes)


def test_object_strings_are_accepted():
    assert make(users={"name": np.array(["é", b"b", ""], object)}).num_requests == 3


def test_pairs_that_were_liked_and_pairs_that_were_shown():
    """Without padding; the unlabelled are shown, but not liked."""

    def listed(pairs):
        return list(zip(pairs.user.tolist(), pairs.item.tolist()))

    liked, shown = make().positives(), make().shown()
    assert listed(liked) == [(4, 0), (4, 1)]
    assert listed(shown) == [(4, 0), (4, 1), (4, 3), (9, 0), (9, 2)]
    assert liked.num_items == shown.num_items == 4
