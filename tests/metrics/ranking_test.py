import itertools
import math

import numpy as np
import pytest

from tfdistill import _keras
from tfdistill.losses import tf_ranking
from tfdistill.metrics import auc, gauc, log_loss, mrr, ndcg_at_k, recall_at_k


def loop_auc(labels, scores, weights):
    won = pairs = 0.0
    for i, j in itertools.product(range(len(labels)), repeat=2):
        if labels[i] == 1 and labels[j] == 0:
            weight = weights[i] * weights[j]
            pairs += weight
            won += weight * ((scores[i] > scores[j]) + 0.5 * (scores[i] == scores[j]))
    return won / pairs if pairs else math.nan


def orders(scores):
    """All orders of a list, best first, that its scores allow."""
    for order in itertools.permutations(range(len(scores))):
        if all(scores[a] >= scores[b] for a, b in zip(order, order[1:])):
            yield order


def mean_over_orders(labels, scores, value):
    return np.mean([value([labels[i] for i in order]) for order in orders(scores)])


def dcg(ranked, k):
    return sum((2**y - 1) / math.log2(r + 2) for r, y in enumerate(ranked[:k]))


def reciprocal(ranked):
    return next((1 / (r + 1) for r, y in enumerate(ranked) if y), 0.0)


def lists(seed, grades=2):
    """Short lists with many ties, padding, and some without a relevant item."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, grades, (12, 5)).astype(float)
    labels[0] = 0.0
    scores = rng.integers(0, 3, (12, 5)).astype(float)
    mask = rng.random((12, 5)) < 0.8
    mask[1] = False
    labels[~mask], scores[~mask] = np.nan, np.nan
    return labels, scores, mask


def loop_mean(labels, scores, mask, value):
    rows = [
        mean_over_orders(list(y[m]), list(s[m]), value)
        for y, s, m in zip(labels, scores, mask)
        if m.any() and y[m].any()
    ]
    return np.mean(rows), len(rows)


@pytest.mark.parametrize("seed", range(4))
def test_auc_equals_the_loop_over_pairs_with_ties_and_weights(seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, 40)
    scores = rng.integers(0, 6, 40) / 7.0
    weights = rng.random(40)
    expected = loop_auc(labels, scores, weights)
    assert auc(labels, scores, weights) == pytest.approx(expected, abs=1e-12)
    assert auc(labels, scores) == pytest.approx(loop_auc(labels, scores, np.ones(40)))


def test_auc_ignores_the_order_and_any_monotone_map():
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(0, 2, 50), rng.normal(size=50)
    order = rng.permutation(50)
    assert auc(labels[order], np.exp(3 * scores[order])) == auc(labels, scores)


def test_auc_of_constant_scores_is_a_half_and_of_one_class_undefined():
    assert auc(np.array([1, 0, 0]), np.zeros(3)) == 0.5
    assert math.isnan(auc(np.ones(3), np.arange(3)))
    assert math.isnan(auc(np.zeros(0), np.zeros(0)))


def test_infinite_scores_are_ordered():
    assert auc(np.array([1, 0]), np.array([np.inf, -np.inf])) == 1.0


def test_a_weight_of_zero_masks_and_a_weight_of_two_repeats():
    labels, scores = np.array([1, 0, 1, 0]), np.array([0.4, 0.6, 0.7, 0.1])
    without = auc(labels[1:], scores[1:])
    assert auc(labels, scores, np.array([0, 1, 1, 1])) == without
    assert auc(labels, scores, mask=np.array([False, True, True, True])) == without
    repeated = auc(np.append(labels, 1), np.append(scores, 0.4))
    assert auc(labels, scores, np.array([2, 1, 1, 1])) == repeated


def test_gauc_equals_the_loop_over_groups():
    rng = np.random.default_rng(1)
    labels, groups = rng.integers(0, 2, 120), rng.integers(0, 15, 120) * 10
    scores, weights = rng.integers(0, 9, 120).astype(float), rng.random(120)
    labels[groups == 30] = 1
    values, totals = [], []
    for group in np.unique(groups):
        own = groups == group
        value = loop_auc(labels[own], scores[own], weights[own])
        if not math.isnan(value):
            values.append(value)
            totals.append(weights[own].sum())
    mean = gauc(labels, scores, groups, weights)
    assert mean.value == pytest.approx(np.average(values, weights=totals), abs=1e-12)
    assert mean.over == len(values)


def test_gauc_takes_one_group_per_row_of_padded_lists():
    labels = np.array([[1.0, 0.0, np.nan], [0.0, 1.0, 1.0]])
    scores = np.array([[2.0, 1.0, np.nan], [2.0, 1.0, 3.0]])
    mask = ~np.isnan(labels)
    mean = gauc(labels, scores, np.array([4, 9]), mask=mask)
    assert mean.value == pytest.approx((2 * 1.0 + 3 * 0.5) / 5)
    assert mean.over == 2
    assert gauc(labels, scores, np.array([4, 4]), mask=mask).over == 1


def test_gauc_without_a_group_of_both_classes_counts_none():
    mean = gauc(np.array([1, 1, 0]), np.arange(3), np.array([0, 0, 1]))
    assert math.isnan(mean.value)
    assert mean.over == 0
    assert gauc(np.zeros(0), np.zeros(0), np.zeros(0, int)).over == 0


def test_log_loss_equals_the_textbook_formula_and_is_finite_far_out():
    rng = np.random.default_rng(0)
    labels, logits, weights = (
        rng.integers(0, 2, 30),
        rng.normal(size=30),
        rng.random(30),
    )
    p = 1 / (1 + np.exp(-logits))
    terms = -(labels * np.log(p) + (1 - labels) * np.log(1 - p))
    assert log_loss(labels, logits) == pytest.approx(terms.mean())
    expected = np.average(terms, weights=weights)
    assert log_loss(labels, logits, weights) == pytest.approx(expected)
    assert log_loss(np.array([1.0, 0.0]), np.array([-1e4, 1e4])) == 1e4
    assert math.isnan(log_loss(np.zeros(1), np.zeros(1), mask=np.zeros(1, bool)))


@pytest.mark.parametrize("k", [1, 3, 10])
def test_ndcg_is_the_mean_over_the_orders_of_ties(k):
    labels, scores, mask = lists(seed=k, grades=4)

    def value(ranked):
        return dcg(ranked, k) / dcg(sorted(ranked, reverse=True), k)

    mean = ndcg_at_k(labels, scores, k, mask=mask)
    expected, over = loop_mean(labels, scores, mask, value)
    assert mean.value == pytest.approx(expected, abs=1e-12)
    assert mean.over == over


@pytest.mark.parametrize("k", [1, 3, 10])
def test_recall_is_the_mean_over_the_orders_of_ties(k):
    labels, scores, mask = lists(seed=k)
    mean = recall_at_k(labels, scores, k, mask=mask)
    expected, over = loop_mean(
        labels, scores, mask, lambda ranked: sum(ranked[:k]) / sum(ranked)
    )
    assert mean.value == pytest.approx(expected, abs=1e-12)
    assert mean.over == over


@pytest.mark.parametrize("seed", range(3))
def test_mrr_is_the_mean_over_the_orders_of_ties(seed):
    labels, scores, mask = lists(seed)
    mean = mrr(labels, scores, mask=mask)
    expected, over = loop_mean(labels, scores, mask, reciprocal)
    assert mean.value == pytest.approx(expected, abs=1e-12)
    assert mean.over == over


@pytest.mark.parametrize(
    "judge",
    [
        lambda y, s, m=None: ndcg_at_k(y, s, 2, mask=m),
        lambda y, s, m=None: recall_at_k(y, s, 2, mask=m),
        lambda y, s, m=None: mrr(y, s, mask=m),
    ],
    ids=["ndcg", "recall", "mrr"],
)
class TestEveryListMetric:
    def test_a_masked_item_is_the_same_as_no_item(self, judge):
        labels, scores = np.array([[1.0, 0.0, 1.0]]), np.array([[1.0, 2.0, 3.0]])
        mask = np.array([[True, True, False]])
        assert judge(labels, scores, mask) == judge(labels[:, :2], scores[:, :2])

    def test_a_score_of_minus_infinity_stands_before_padding(self, judge):
        labels, scores = np.array([[1.0, 0.0]]), np.array([[-np.inf, 9.0]])
        mask = np.array([[True, False]])
        assert judge(labels, scores, mask).value == 1.0

    def test_empty_lists_count_none(self, judge):
        for shape in [(0, 3), (2, 0), (2, 3)]:
            mask = np.zeros(shape, bool)
            mean = judge(np.zeros(shape), np.zeros(shape), mask)
            assert math.isnan(mean.value)
            assert mean.over == 0

    def test_nan_and_negative_labels_are_refused(self, judge):
        good, bad = np.array([[1.0, 0.0]]), np.array([[np.nan, 0.0]])
        with pytest.raises(ValueError, match="`scores` must not be NaN"):
            judge(good, bad)
        with pytest.raises(ValueError, match="`labels` must not be NaN"):
            judge(bad, good)
        with pytest.raises(ValueError, match="got -1"):
            judge(np.array([[-1.0, 1.0]]), good)
        with pytest.raises(ValueError, match=r"lists \[R, L\]"):
            judge(good[0], good[0])


@pytest.mark.parametrize("metric", [auc, log_loss])
def test_wrong_inputs_are_named(metric):
    labels, scores = np.array([1.0, 0.0]), np.array([0.5, 0.1])
    with pytest.raises(ValueError, match="must not be NaN where it counts, got 1"):
        metric(labels, np.array([np.nan, 0.1]))
    with pytest.raises(ValueError, match="0 or 1, got 4"):
        metric(np.array([4.0, 0.0]), scores)
    with pytest.raises(ValueError, match=r"shape \(2,\), got \(3,\)"):
        metric(np.zeros(3), scores)
    with pytest.raises(ValueError, match="`weights` must be >= 0, got -1"):
        metric(labels, scores, np.array([-1.0, 1.0]))
    with pytest.raises(ValueError, match="`mask` must be bool"):
        metric(labels, scores, mask=np.array([1, 0]))


def test_wrong_groups_and_cuts_are_named():
    with pytest.raises(ValueError, match="`groups` must have shape"):
        gauc(np.zeros((2, 3)), np.zeros((2, 3)), np.zeros(3, int))
    with pytest.raises(ValueError, match="`k` must be at least 1, got 0"):
        ndcg_at_k(np.ones((1, 1)), np.ones((1, 1)), 0)


@pytest.mark.skipif(_keras.VERSION == "3", reason="TF-Ranking's metrics need Keras 2")
def test_without_ties_ndcg_and_mrr_equal_tf_ranking_s():
    tfr = tf_ranking()
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, (40, 12)).astype(np.float32)
    labels[:3] = 0.0  # TF-Ranking counts lists without a relevant item as 0
    scores = rng.permuted(np.tile(np.arange(12.0, dtype=np.float32), (40, 1)), axis=1)
    mask = rng.random((40, 12)) < 0.8
    ndcg = ndcg_at_k(labels, scores, 5, mask=mask)
    for theirs, relevance, mean in (
        (tfr.keras.metrics.NDCGMetric(topn=5), labels, ndcg),
        (tfr.keras.metrics.MRRMetric(), labels > 0, mrr(labels, scores, mask=mask)),
    ):
        theirs.update_state(np.where(mask, relevance, -1.0), scores)  # -1 is padding
        assert mean.over == 37
        expected = float(theirs.result()) * 40
        assert mean.value * mean.over == pytest.approx(expected, rel=1e-5)
