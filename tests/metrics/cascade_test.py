import math

import numpy as np
import pytest

from tfdistill.metrics import (
    Reranker,
    rerank,
    run_cascade,
    set_overlap,
    survival,
    top_k,
)
from tfdistill.pairs import Pairs

USERS, ITEMS = 13, 60


def scorer(seed):
    table = np.random.default_rng(seed).normal(size=(USERS, ITEMS))

    def score(rows, items):
        return np.where(items >= 0, table[rows[:, None], np.maximum(items, 0)], np.nan)

    return table, score


@pytest.mark.parametrize("block", [1, 5, 256])
def test_the_cascade_equals_sorting_each_user_s_candidates(block):
    recall, _ = scorer(0)
    coarse_table, coarse = scorer(1)
    fine_table, fine = scorer(2)
    recalled = top_k(lambda rows: recall[rows], USERS, 20)
    recalled[4, 6:] = -1
    sets = run_cascade(
        recalled,
        [Reranker("coarse", coarse, 8), Reranker("fine", fine, 3)],
        block=block,
    )
    assert list(sets) == ["recall", "coarse", "fine"]
    for user in range(USERS):
        left = [i for i in recalled[user] if i >= 0]
        left = sorted(left, key=lambda i, u=user: -coarse_table[u, i])[:8]
        expected = left + [-1] * (8 - len(left))
        assert sets["coarse"][user].tolist() == expected
        left = sorted(left, key=lambda i, u=user: -fine_table[u, i])[:3]
        assert sets["fine"][user].tolist() == left


def test_equal_scores_stay_in_the_candidates_order():
    kept = rerank(np.array([[9, 2, 5, -1]]), lambda rows, items: items * 0.0, 2)
    assert kept.tolist() == [[9, 2]]


def test_no_candidate_gives_padding():
    nothing = np.zeros((2, 0), np.int32)
    assert rerank(nothing, lambda rows, items: items, 1).tolist() == [[-1], [-1]]


def test_survival_counts_pairs_and_never_grows_along_the_cascade():
    relevant = Pairs([0, 0, 1, 2], [3, 5, 8, 1])
    sets = {
        "recall": np.array([[3, 5, 7], [8, 1, 2], [4, 5, 6]]),
        "fine": np.array([[3], [2], [4]]),
    }
    assert survival(sets, relevant) == {"recall": 3 / 4, "fine": 1 / 4}
    nothing = Pairs([], [])
    assert math.isnan(survival(sets, nothing)["fine"])


def test_overlap_compares_equal_cuts_and_skips_users_without_reference():
    items = np.array([[1, 2], [3, -1], [4, 5]])
    reference = np.array([[2, 9, 1], [3, 4, 5], [-1, -1, -1]])
    mean = set_overlap(items, reference)
    assert mean.value == pytest.approx(0.5)
    assert mean.over == 2


def test_wrong_inputs_are_named():
    items = np.array([[1, 2, 3]])
    with pytest.raises(ValueError, match="NaN for a candidate"):
        rerank(items, lambda rows, items: np.full(items.shape, np.nan), 1)
    with pytest.raises(ValueError, match=r"shape \(1, 3\), one score per candidate"):
        rerank(items, lambda rows, items: np.zeros(3), 1)
    with pytest.raises(ValueError, match="`block`"):
        rerank(items, lambda rows, items: items, 1, block=0)
    with pytest.raises(ValueError, match="at most the 3 items"):
        run_cascade(items, [Reranker("fine", lambda rows, items: items, 4)])
    with pytest.raises(ValueError, match="'recall' twice"):
        run_cascade(items, [Reranker("recall", lambda rows, items: items, 2)])
    with pytest.raises(ValueError, match="got 1 and 2 rows"):
        set_overlap(items, np.zeros((2, 3), int))
