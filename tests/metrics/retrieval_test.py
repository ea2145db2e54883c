import math

import numpy as np
import pytest

from tfdistill.metrics import (
    dot_scores,
    head_items,
    hits,
    retrieval_ndcg,
    retrieval_recall,
    top_k,
)
from tfdistill.pairs import Pairs


def pairs(rng, users, items, size):
    keys = rng.choice(users * items, size, replace=False)
    return Pairs(keys // items, keys % items)


def of_user(chosen, user):
    return set(chosen.item[chosen.user == user].tolist())


def loop_top_k(scores, seen, k):
    rows = []
    for user, row in enumerate(scores):
        left = [i for i in range(len(row)) if i not in of_user(seen, user)]
        best = sorted(left, key=lambda i, row=row: (-row[i], i))[:k]
        rows.append(best + [-1] * (k - len(best)))
    return np.array(rows)


@pytest.mark.parametrize("block", [1, 3, 256])
@pytest.mark.parametrize("levels", [3, 10_000])
def test_top_k_equals_the_loop_with_ties_and_seen_items(block, levels):
    rng = np.random.default_rng(0)
    scores = rng.integers(0, levels, (11, 23)).astype(np.float32)
    seen = pairs(rng, 11, 23, 90)
    top = top_k(lambda rows: scores[rows], 11, 20, seen=seen, block=block)
    assert top.dtype == np.int32
    np.testing.assert_array_equal(top, loop_top_k(scores, seen, 20))


def test_top_k_of_two_towers_is_the_matrix_product_s():
    rng = np.random.default_rng(1)
    queries, items = rng.normal(size=(9, 4)), rng.normal(size=(30, 4))
    nothing = Pairs([], [])
    top = top_k(dot_scores(queries, items), 9, 5, block=4)
    np.testing.assert_array_equal(top, loop_top_k(queries @ items.T, nothing, 5))


def test_the_scorer_s_own_array_is_left_alone_and_blocks_bound_its_rows():
    scores = np.ones((5, 4), np.float32)
    sizes = []

    def score(rows):
        sizes.append(len(rows))
        return scores[rows[0] : rows[-1] + 1]

    top_k(score, 5, 2, seen=Pairs([0], [0]), block=2)
    assert sizes == [2, 2, 1]
    assert scores.min() == 1.0


def test_a_catalogue_smaller_than_k_and_items_taken_out_leave_padding():
    scores = np.array([[1.0, -np.inf, 3.0]])
    top = top_k(lambda rows: scores[rows], 1, 5)
    assert top.tolist() == [[2, 0, -1, -1, -1]]


def test_no_item_gives_padding_and_no_user_no_row():
    assert top_k(lambda rows: np.zeros((2, 0)), 2, 2).tolist() == [[-1, -1]] * 2
    assert top_k(lambda rows: np.zeros((0, 3)), 0, 2).shape == (0, 2)


@pytest.mark.parametrize("k", [1, 4, 10])
def test_recall_and_ndcg_equal_the_loop_over_users(k):
    rng = np.random.default_rng(k)
    top = np.array([rng.permutation(40)[:12] for _ in range(15)])
    top[3, 5:] = -1
    relevant = pairs(rng, 15, 40, 60)
    others = relevant.user != 7
    relevant = Pairs(relevant.user[others], relevant.item[others])
    recalls, ndcgs = [], []
    for user in range(15):
        wanted = of_user(relevant, user)
        if not wanted:
            continue
        found = [i in wanted for i in top[user, :k]]
        recalls.append(sum(found) / len(wanted))
        best = sum(1 / math.log2(r + 2) for r in range(min(k, len(wanted))))
        ndcgs.append(sum(h / math.log2(r + 2) for r, h in enumerate(found)) / best)
    assert retrieval_recall(top, relevant, k) == pytest.approx(
        (np.mean(recalls), len(recalls))
    )
    assert retrieval_ndcg(top, relevant, k) == pytest.approx(
        (np.mean(ndcgs), len(ndcgs))
    )


def test_users_without_relevant_items_do_not_count():
    top, nothing = np.array([[1, 2]]), Pairs([], [])
    for judge in (retrieval_recall, retrieval_ndcg):
        mean = judge(top, nothing, 2)
        assert math.isnan(mean.value)
        assert mean.over == 0


def test_padding_is_never_a_hit():
    relevant = Pairs([0, 1], [4, 4])
    assert hits(np.array([[-1, 4], [-1, -1]]), relevant).tolist() == [
        [False, True],
        [False, False],
    ]


def test_head_and_tail_are_judged_apart_on_the_same_list():
    head = head_items(np.array([9, 8, 7, 1, 1]), share=0.4)
    assert head.tolist() == [True, True, False, False, False]
    relevant = Pairs([0, 0], [1, 4])
    top = np.array([[4, 1, 0]])
    assert retrieval_ndcg(top, relevant.where(~head), 1).value == 1.0
    assert retrieval_ndcg(top, relevant.where(head), 1).value == 0.0


def test_of_equally_popular_items_the_lower_row_is_in_the_head():
    assert head_items(np.ones(10)).sum() == 2
    assert head_items(np.ones(11)).tolist()[:4] == [True, True, True, False]


def test_wrong_inputs_are_named():
    with pytest.raises(ValueError, match="must not return NaN, got 1"):
        top_k(lambda rows: np.array([[np.nan, 1.0]]), 1, 1)
    with pytest.raises(ValueError, match=r"must return \[2, I\] for 2 users"):
        top_k(lambda rows: np.zeros((1, 3)), 2, 1)
    with pytest.raises(ValueError, match="`block` must be at least 1"):
        top_k(lambda rows: np.zeros((1, 3)), 1, 1, block=0)
    with pytest.raises(ValueError, match="must share d"):
        dot_scores(np.zeros((2, 3)), np.zeros((2, 4)))
    with pytest.raises(ValueError, match="at most 2"):
        retrieval_recall(np.zeros((1, 2), int), Pairs([0], [0]), 3)
    with pytest.raises(ValueError, match=r"rows of `top` \(< 1\), got 4"):
        hits(np.zeros((1, 2), int), Pairs([4], [0]))
    with pytest.raises(ValueError, match=r"in \(0, 1\), got 1"):
        head_items(np.ones(3), share=1.0)
