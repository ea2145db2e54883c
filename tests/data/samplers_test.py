import doctest

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.data import samplers, teacher_lists
from tfdistill.data.teacher_lists import TeacherLists


@pytest.mark.parametrize("module", [samplers, teacher_lists])
def test_examples_run(module):
    result = doctest.testmod(module)
    assert result.failed == 0 and result.attempted > 0


def test_teacher_head_is_the_sorted_unseen_list():
    rng = np.random.default_rng(0)
    scores, seen = rng.normal(size=(5, 9)), rng.uniform(size=(5, 9)) < 0.4
    head = samplers.teacher_head(scores, 9, seen=seen).numpy()
    for user in range(5):
        free = np.flatnonzero(~seen[user])
        expected = free[np.argsort(-scores[user, free])]
        np.testing.assert_array_equal(head[user, : len(free)], expected)
        assert np.all(head[user, len(free) :] == -1)


def test_positions_are_drawn_by_weight_without_replacement():
    weights = np.tile([4.0, 0.0, 1.0, 3.0], (20_000, 1))
    first = samplers.draw_positions(weights, 1, seed=[1, 2]).numpy()[:, 0]
    share = np.bincount(first, minlength=4) / len(first)
    np.testing.assert_allclose(share, [0.5, 0.0, 0.125, 0.375], atol=0.015)
    three = samplers.draw_positions(weights, 3, seed=[1, 3]).numpy()
    np.testing.assert_array_equal(three, np.tile([0, 2, 3], (20_000, 1)))


def test_rest_is_uniform_and_never_taken():
    taken = np.array([[7, 2, 2, -1], [0, 1, 2, 3]])
    drawn = samplers.draw_rest(taken, 8, 30_000, seed=[3, 1]).numpy()
    for user in range(2):
        free = sorted(set(range(8)) - set(taken[user]))
        assert set(drawn[user]) == set(free)
        share = np.bincount(drawn[user], minlength=8)[free] / drawn.shape[1]
        np.testing.assert_allclose(share, 1.0 / len(free), atol=0.015)


def test_rest_of_nothing_is_padding():
    assert np.all(samplers.draw_rest([[0, 1]], 2, 3, seed=[0, 0]).numpy() == -1)


def test_ranks_match_a_loop():
    rng = np.random.default_rng(4)
    scores = np.round(rng.normal(size=(4, 12)), 1)
    rows = rng.integers(0, 12, (4, 5))
    ranks = samplers.ranks_of(scores, rows).numpy()
    for user, place in np.ndindex(rows.shape):
        above = np.sum(scores[user] > scores[user, rows[user, place]])
        assert ranks[user, place] == 1 + above


def test_popularity_groups_are_ordered_and_balanced():
    counts = np.random.default_rng(5).zipf(1.6, 400).clip(max=200)
    groups = samplers.popularity_groups(counts, 4)
    totals = np.bincount(groups, counts) / counts.sum()
    np.testing.assert_allclose(totals, 0.25, atol=0.05)
    for high, low in ((0, 1), (1, 2), (2, 3)):
        assert counts[groups == high].min() >= counts[groups == low].max()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: samplers.teacher_head([[1.0]], 2), "must lie in 1 .. 1"),
        (lambda: samplers.draw_positions([1.0], 2, seed=[0, 0]), "got 2"),
        (lambda: samplers.rank_weights(3, decay=0.0), "got 0.0"),
        (lambda: samplers.popularity_groups([0, 0], 2), "at least one"),
        (lambda: TeacherLists([[9]], 5), "largest row of 9"),
        (lambda: TeacherLists([[1]], 5, interesting=2), "1 .. 1 interesting"),
        (lambda: TeacherLists([[1]], 5, weights=[1.0, 2.0]), r"shape \(2,\)"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def batches(users=3, steps=4):
    data = tf.data.Dataset.from_tensors(({"user": tf.range(users)}, {}, {}))
    return data.repeat(steps)


def head(users=3, size=6, items=20):
    rng = np.random.default_rng(6)
    return np.stack([rng.permutation(items)[:size] for _ in range(users)])


def test_lists_keep_the_teachers_order_and_take_the_rest_elsewhere():
    ranking = head()
    lists = TeacherLists(
        ranking,
        20,
        interesting=3,
        uninteresting=4,
        weights=samplers.rank_weights(6, decay=2.0),
    )
    for features, _, _ in lists(batches()):
        rows = features["list_row"].numpy()
        for user in range(3):
            places = [list(ranking[user]).index(row) for row in rows[user, :3]]
            assert places == sorted(set(places))
            assert not set(rows[user, 3:]) & set(ranking[user])
        np.testing.assert_array_equal(features["list_score"][0], [3, 2, 1, 0, 0, 0, 0])
        assert np.all(features["list_mask"])


def test_batches_depend_on_seed_and_step_alone():
    def rows(lists, start=0):
        return np.stack([x["list_row"] for x, _, _ in lists(batches(), start)])

    options = {"interesting": 2, "uninteresting": 3, "weights": np.ones(6)}
    lists = TeacherLists(head(), 20, **options)
    np.testing.assert_array_equal(rows(lists)[2:], rows(lists, 2)[:2])
    assert not np.array_equal(rows(lists)[0], rows(lists)[1])
    other = TeacherLists(head(), 20, seed=1, **options)
    assert not np.array_equal(rows(lists), rows(other))


def test_refreshed_lists_hold_what_the_student_gets_wrong():
    ranking = np.array([[3, 1, 0]])
    lists = TeacherLists(ranking, 30, interesting=1, uninteresting=1)
    scores = np.linspace(1.0, 0.0, 30)[np.newaxis]
    scores[0, 3] = -9.0  # the teacher's favourite is the student's last
    under = set()
    for features, _, _ in lists.refreshed(scores)(batches(users=1, steps=20)):
        under.add(int(features["list_row"][0, 0]))
    assert under == {3}


def test_padded_heads_give_padded_lists():
    lists = TeacherLists([[4, -1]], 6, uninteresting=1)
    features, _, _ = next(iter(lists(batches(users=1))))
    assert features["list_row"].numpy()[0, 1] == -1
    assert features["list_mask"].numpy().tolist() == [[True, False, True]]


def test_a_perplexity_is_reached_whatever_the_scale():
    rng = np.random.default_rng(0)
    scores = np.sort(rng.normal(size=(4, 50)) * [[1e-3], [1.0], [50.0], [1e4]])[:, ::-1]
    scores[1, 40:] = -np.inf  # padded
    z = samplers.with_perplexity(scores, 8.0)
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    entropy = -(p * np.log(np.maximum(p, 1e-30))).sum(1)
    np.testing.assert_allclose(np.exp(entropy), 8.0, rtol=1e-3)
    assert (z[:, 0] == 0).all() and (p[1, 40:] == 0).all()
    assert (np.diff(z, axis=1) <= 0).all()


def test_a_perplexity_out_of_reach_gives_the_nearest():
    z = samplers.with_perplexity([[1.0, 0.0], [3.0, 3.0]], 30.0)
    np.testing.assert_allclose(z, 0.0, atol=1e-3)
    assert np.isfinite(samplers.with_perplexity([[5.0, 5.0, 1.0]], 1.5)).all()
    with pytest.raises(ValueError, match="`perplexity` must be above 1, got 1"):
        samplers.with_perplexity([[1.0]], 1.0)
