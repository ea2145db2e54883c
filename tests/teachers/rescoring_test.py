"""Lists of a ranker over recalled items: against a loop, with padding and blocks."""

from __future__ import annotations

import numpy as np
import pytest

from tfdistill.teachers import rescored_lists


def test_lists_are_the_rankers_order_of_what_was_recalled():
    rng = np.random.default_rng(0)
    table = rng.normal(size=(7, 30)).astype(np.float32)
    recalled = np.stack([rng.permutation(30)[:12] for _ in range(7)]).astype(np.int32)
    recalled[2, 3:] = -1  # fewer than are kept
    recalled[5] = -1

    def ranker(rows, items):
        return np.where(items >= 0, table[rows[:, np.newaxis], items], np.nan)

    head, scores = rescored_lists(recalled, ranker, keep=5, block=3)
    for user, items in enumerate(recalled):
        there = sorted((i for i in items if i >= 0), key=lambda i: -table[user, i])[:5]
        assert [i for i in head[user] if i >= 0] == there
        np.testing.assert_array_equal(scores[user, : len(there)], table[user, there])
        assert np.isnan(scores[user, len(there) :]).all()


def test_a_rankers_nan_is_refused():
    with pytest.raises(ValueError, match="NaN"):
        rescored_lists(np.array([[1, 2]]), lambda rows, items: items * np.nan, keep=1)
