"""How an item stands among others: z-score and log rank, against loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.layers.standing import standing

LOWEST = np.finfo(np.float32).min


def by_loop(score, passed):
    """Of one item: passed are real scores, best first."""
    count = len(passed)
    mean = sum(passed) / count
    deviation = math.sqrt(sum((p - mean) ** 2 for p in passed) / count + 1e-8)
    z, *steps = (min(5, max(-5, (x - mean) / deviation)) for x in (score, *passed))
    rank, at = 0.0, 1
    while at < count:
        after = min(2 * at, count)
        first, last = steps[at - 1], steps[after - 1]
        share = min(1, max(0, (first - z) / max(first - last, 0.05)))
        rank += share * math.log(after / at)
        at = after
    return z, rank


@pytest.mark.parametrize("count", [1, 2, 3, 7, 64, 100])
def test_it_is_z_score_and_log_rank(count):
    rng = np.random.default_rng(count)
    passed = -np.sort(-rng.normal(3, 2, (4, count))).astype(np.float32)
    scores = np.concatenate([passed, rng.normal(3, 4, (4, 9))], 1).astype(np.float32)
    found = standing(tf.constant(scores), tf.constant(passed)).numpy()
    for row in range(4):
        expected = [by_loop(s, passed[row].tolist()) for s in scores[row].tolist()]
        np.testing.assert_allclose(found[row], expected, atol=2e-4)
    ranks = [at for at in (1, 2, 4, 8, 16, 32, 64) if at <= count]
    wide = np.arange(count, 0, -1, dtype=np.float32)[np.newaxis]
    exact = standing(tf.constant(wide), tf.constant(wide)).numpy()[0, :, 1]
    for at in (*ranks, count):  # exact there, if the gaps are wide
        if count < 64:
            assert exact[at - 1] == pytest.approx(math.log(at), abs=1e-4)


def test_padding_is_no_item():
    passed = np.float32([[3, 2, 1, LOWEST, LOWEST]])
    scores = np.float32([[3, 2.5, 0, LOWEST]])
    found = standing(tf.constant(scores), tf.constant(passed)).numpy()
    expected = standing(tf.constant(scores), tf.constant(passed[:, :3])).numpy()
    np.testing.assert_array_equal(found, expected)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("passed", [[], [LOWEST] * 3, [2.0], [2.0] * 9])
def test_it_is_finite_where_there_is_nothing_to_compare(passed):
    scores = tf.constant(np.float32([[2.0, -1.0, 1e30]]))
    found = standing(scores, tf.constant(np.float32([passed]).reshape(1, -1))).numpy()
    assert np.isfinite(found).all()
    if passed and passed[0] > 0:
        np.testing.assert_allclose(found[0, 0], [0, 0], atol=1e-6)


def test_rounding_moves_it_little_even_among_ties():
    rng = np.random.default_rng(0)
    passed = -np.sort(-np.repeat(rng.normal(size=(3, 20)), 5, axis=1)).astype(
        np.float32
    )
    noise = rng.normal(size=passed.shape).astype(np.float32) * 1e-6
    one = standing(tf.constant(passed), tf.constant(passed)).numpy()
    moved = -np.sort(-(passed + noise))
    other = standing(tf.constant(passed), tf.constant(moved)).numpy()
    np.testing.assert_allclose(one, other, atol=1e-3)


def test_it_does_not_change_with_the_scale_of_the_scores():
    rng = np.random.default_rng(1)
    passed = -np.sort(-rng.normal(size=(2, 30))).astype(np.float32)
    scores = rng.normal(size=(2, 7)).astype(np.float32)
    one = standing(tf.constant(scores), tf.constant(passed))
    other = standing(tf.constant(7 * scores - 40), tf.constant(7 * passed - 40))
    np.testing.assert_allclose(one, other, atol=1e-3)
