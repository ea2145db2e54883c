"""Batches for recall: what is a label, what is drawn, and that a run can resume."""

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.data.recall_batches import RecallBatches
from tfdistill.data.teacher_lists import TeacherLists
from tfdistill.pairs import Pairs

USERS, ITEMS = 6, 15
PAIRS = Pairs([0, 0, 0, 1, 2, 3, 3, 4, 5], [0, 1, 2, 3, 4, 5, 6, 7, 8], ITEMS)
HEAD = np.array(
    [[9, 10, 3], [9, 11, -1], [0, 1, 2], [12, 13, 14], [1, 2, 3], [9, 0, 1]]
)


def batches(batch_size=3, positives=2, shared=4, **settings):
    return RecallBatches(
        {"user_id": np.arange(USERS)},
        {"item_id": 100 + np.arange(ITEMS)},
        PAIRS,
        batch_size=batch_size,
        positives=positives,
        shared=shared,
        **settings,
    )


def take(dataset, count):
    """Features, with labels and weights beside them."""
    return [
        {
            **{name: values.numpy() for name, values in x.items()},
            "y": y["recall"].numpy(),
            "w": w["recall"].numpy(),
        }
        for x, y, w in dataset.take(count)
    ]


def test_what_a_batch_holds():
    known = {u: set(PAIRS.item[PAIRS.user == u].tolist()) for u in range(USERS)}
    lists = TeacherLists(HEAD, ITEMS, interesting=2)
    for x in take(batches(lists=lists)(), 8):
        assert x["item_id"].shape == (3, 2 + 2 + 4)
        for name in ("y", "w", "list_score"):
            assert x[name].shape == (3, 2 + 2 + 12)
        rows = x["item_id"] - 100
        drawn = rows[:, 4:].reshape(-1)
        assert len(set(drawn)) == 12
        for place, user in enumerate(x["user_id"]):
            assert set(rows[place, :2]) <= known[user]
            assert rows[place, 2:4].tolist() == HEAD[user, :2].tolist()
            taken = known[user] | set(HEAD[user].tolist())
            free = np.array([item not in taken for item in drawn])
            y, w, score = (x[name][place] for name in ("y", "w", "list_score"))
            assert y.tolist() == [1, 1] + 14 * [0]
            assert w.tolist() == [1, 1, 0, 0, *free.astype(float)]
            assert np.isnan(score[:2]).all() and score[2:4].tolist() == [2, 1]
            assert (score[4:][free] == 0).all() and np.isnan(score[4:][~free]).all()


def test_every_user_comes_once_an_epoch():
    made = batches()
    epoch = take(made(), made.steps_per_epoch)
    assert sorted(np.concatenate([x["user_id"] for x in epoch])) == list(range(USERS))
    assert "list_score" not in epoch[0]
    assert batches(passes=3).steps_per_epoch == 3 * made.steps_per_epoch == 6


def test_a_batch_is_a_function_of_seed_and_step():
    lists = TeacherLists(HEAD, ITEMS, interesting=2, weights=np.ones(3), seed=5)
    made = batches(lists=lists, seed=5)
    for resumed, unbroken in zip(take(made(3), 3), take(made(), 6)[3:]):
        assert set(resumed) == set(unbroken)
        for name, values in resumed.items():
            np.testing.assert_array_equal(values, unbroken[name])
    other = take(batches(seed=6)(), 1)[0]
    assert (other["item_id"] != take(batches(seed=5)(), 1)[0]["item_id"]).any()


def test_padding_of_a_short_list_is_unlabelled():
    lists = TeacherLists(HEAD, ITEMS, interesting=3)
    for x in take(batches(lists=lists)(), 4):
        for place, user in enumerate(x["user_id"]):
            expected = [3, 2, np.nan] if user == 1 else [3, 2, 1]
            np.testing.assert_array_equal(x["list_score"][place, 2:5], expected)


def test_scores_of_the_teacher_take_the_place_of_ranks():
    scores = np.where(HEAD >= 0, -np.arange(3.0), -9.0)
    lists = TeacherLists(HEAD, ITEMS, interesting=2, scores=scores)
    x = take(batches(lists=lists)(), 1)[0]
    assert x["list_score"][0, 2:4].tolist() == [0, -1]
    assert set(x["list_score"][0, 4:][~np.isnan(x["list_score"][0, 4:])]) == {-109.0}
    users = tf.constant([0, 4])
    rows, drawn = lists.draw(users, tf.constant(0, tf.int64))
    assert rows.shape == drawn.shape == (2, 2)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"positives": 0}, "must be >= 1 and seed >= 0, got 3, 0, 4, 1 and 0"),
        ({"seed": -1}, "seed >= 0, got 3, 2, 4, 1 and -1"),
        ({"shared": 6}, "share 18 distinct ones, but there are 15 items"),
    ],
)
def test_numbers_out_of_range(settings, text):
    with pytest.raises(ValueError, match=text):
        batches(**settings)


def test_a_user_without_pairs_is_refused():
    with pytest.raises(ValueError, match="all have a pair or a list, got 2"):
        RecallBatches(
            {"user_id": np.arange(3)},
            {"item_id": np.arange(9)},
            Pairs([0, 2], [1, 1], 9),
            batch_size=1,
        )


def test_a_user_without_pairs_is_taught_by_its_list_alone():
    """User 1 likes nothing, user 2 has no list, and user 0 has had some items."""
    pairs, had = Pairs([0, 2], [1, 4], 9), Pairs([0, 0], [5, 6], 9)
    lists = TeacherLists([[2, 3], [7, 8], [-1, -1]], 9)
    made = RecallBatches(
        {"user_id": np.arange(3)},
        {"item_id": np.arange(9)},
        pairs,
        batch_size=3,
        positives=2,
        shared=3,
        lists=lists,
        had=had,
    )
    barred = ({1, 2, 3, 5, 6}, {7, 8}, {4})
    for x in take(made(), 3):
        drawn = x["item_id"][:, 4:].reshape(-1)
        for place, user in enumerate(x["user_id"]):
            w, scores = x["w"][place], x["list_score"][place]
            free = np.array([item not in barred[user] for item in drawn])
            labelled = np.concatenate([[1, 1, 0, 0], free]) * (user != 1)
            assert w.tolist() == labelled.tolist()
            if user == 2:
                assert np.isnan(scores).all()
            else:
                assert scores[2:4].tolist() == [2, 1]
                assert (scores[4:][free] == 0).all() and np.isnan(
                    scores[4:][~free]
                ).all()
