"""Ranks, sorting and the sums over what follows, with ties and padding."""

import numpy as np
import pytest
import tensorflow as tf

from tfdistill import losses
from tfdistill.losses import listwise, masking


def test_ranks_and_sorting_handle_ties_and_padding():
    scores = tf.constant([[1.0, 3.0, 3.0, 9.0, 2.0]])
    valid = tf.constant([[True, True, True, False, True]])
    ranks = masking.masked_ranks(scores, valid).numpy()
    np.testing.assert_array_equal(ranks[0, [0, 1, 2, 4]], [4, 1, 1, 3])
    order, ranks = masking.masked_sort(scores, valid)
    np.testing.assert_array_equal(order, [[1, 2, 4, 0, 3]])
    np.testing.assert_array_equal(ranks, [[1, 1, 3, 4, 0]])
    order, ranks = masking.masked_sort(scores, valid, topk=2)
    np.testing.assert_array_equal(order, [[1, 2]])
    np.testing.assert_array_equal(ranks, [[1, 1]])


@pytest.mark.parametrize("topk", [1, 3, 8, 40])
@pytest.mark.parametrize("compiled", [False, True])
def test_the_first_ranks_are_those_of_the_whole_list(topk, compiled):
    rng = np.random.default_rng(topk)
    scores = rng.integers(0, 12, (6, 4, 20)).astype(np.float32)  # many ties
    scores[0, 0] = 2.0
    valid = rng.random(scores.shape) < 0.7
    valid[1], valid[2] = False, True
    every = masking.masked_ranks(tf.constant(scores), tf.constant(valid)).numpy()
    ranks = tf.function(masking.masked_ranks, jit_compile=compiled)
    first = ranks(tf.constant(scores), tf.constant(valid), topk)
    expected = np.minimum(every, topk + 1)
    np.testing.assert_array_equal(first.numpy()[valid], expected[valid])


@pytest.mark.parametrize("topk", [1, 3, 8, 40, None])
@pytest.mark.parametrize("compiled", [False, True])
def test_an_order_counts_ties_at_its_end_and_all_that_follows(topk, compiled):
    rng = np.random.default_rng(topk)
    teacher = rng.integers(0, 9, (5, 20)).astype(np.float32)  # many ties
    teacher[0] = 2.0
    student = rng.normal(0.0, 20.0, teacher.shape).astype(np.float32)
    valid = rng.random(teacher.shape) < 0.7
    valid[1], valid[2] = False, True
    loss = losses.PlackettLuce(topk)
    found = tf.function(loss.per_example, jit_compile=compiled)(
        student=student, teacher=teacher, mask=valid
    )
    for value, s, t, real in zip(found.numpy(), student, teacher, valid):
        s, t, terms = s[real].astype(np.float64), t[real], []
        for score, own in zip(t, s):
            if topk is None or np.sum(t > score) < topk:
                terms.append(np.logaddexp.reduce(s[t <= score]) - own)
        expected = np.mean(terms) if terms else 0.0
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-5)


def test_tail_sums_are_exact_over_a_wide_range():
    rng = np.random.default_rng(0)
    logits = np.sort(rng.uniform(-600.0, 60.0, (3, 50)), axis=1)[:, ::-1].astype("f")
    expected = np.logaddexp.accumulate(logits[:, ::-1].astype("d"), axis=1)[:, ::-1]
    tails = listwise.log_tail_sums(logits)
    np.testing.assert_allclose(tails, expected, rtol=1e-6, atol=1e-4)
    far = listwise.log_tail_sums(tf.constant([[1e4, -1e4, -2e4]]))
    np.testing.assert_array_equal(far, [[1e4, -1e4, -2e4]])
