"""Indexes: exact against numpy to the row, inverted lists against exact."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.export import ExactIndex, Ivf, IvfIndex
from tfdistill.export.k_means import k_means, nearest
from tfdistill.metrics.retrieval import dot_scores, top_k


def clusters(size=700, dim=6, seed=0):
    """Vectors in 20 clusters and queries near to some, with products without error."""
    rng = np.random.default_rng(seed)
    centres = 2 * rng.normal(size=(20, dim))
    vectors = centres[rng.integers(0, 20, size)] + 0.4 * rng.normal(size=(size, dim))
    queries = centres[rng.integers(0, 20, 16)] + 0.4 * rng.normal(size=(16, dim))
    return tuple(np.round(8 * x).astype(np.float32) for x in (vectors, queries))


def best(queries, vectors, k):
    return top_k(dot_scores(queries, vectors), len(queries), k)


def scores_of(rows, queries, vectors):
    return np.take_along_axis(queries @ vectors.T, np.asarray(rows), axis=1)


@pytest.mark.parametrize("size", [1, 7, 399, 700, 5003])
@pytest.mark.parametrize("k", [1, 5, 300])
def test_exact_search_is_that_of_numpy(size, k):
    vectors, queries = clusters(size)
    k = min(k, size)
    rows, scores = ExactIndex(vectors).search(tf.constant(queries), k)
    expected = best(queries, vectors, k)
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_array_equal(scores, scores_of(expected, queries, vectors))


@pytest.mark.parametrize("k", [1, 40, 700])
def test_equal_scores_of_the_exact_index_are_in_the_order_of_the_rows(k):
    rng = np.random.default_rng(1)
    vectors = rng.integers(-1, 2, (700, 3)).astype(np.float32)  # 27 different items
    queries = rng.integers(-2, 3, (9, 3)).astype(np.float32)
    rows, _ = ExactIndex(vectors).search(tf.constant(queries), k)
    np.testing.assert_array_equal(rows, best(queries, vectors, k))


@pytest.mark.parametrize("k", [1, 30, 700])
def test_inverted_lists_are_exact_when_all_are_probed(k):
    vectors, queries = clusters()
    index = IvfIndex(vectors, width=40)
    index.probes = index.lists
    rows, scores = index.search(tf.constant(queries), k)
    np.testing.assert_array_equal(scores, scores_of(rows, queries, vectors))
    exact = ExactIndex(vectors).search(tf.constant(queries), k)[1]
    np.testing.assert_array_equal(scores, exact)


def test_more_lists_are_probed_where_few_could_hold_fewer_items():
    vectors, queries = clusters(60)
    index = IvfIndex(vectors, width=4)
    for k in (1, 5, 59, 60):
        rows = index.search(tf.constant(queries), k)[0].numpy()
        assert rows.shape == (16, k)
        assert all(len(set(row)) == k for row in rows.tolist())


def test_the_curve_is_what_the_search_finds():
    vectors, queries = clusters()
    exact = best(queries, vectors, 10)
    index = IvfIndex(vectors, width=20)
    curve = index.recall_by_probes(queries, exact)
    assert curve[-1] == 1 and (np.diff(curve) >= 0).all()
    assert index.least_probes(10) <= 2
    for probes in (2, 5, index.lists):
        index.probes = probes
        rows = index.search(tf.constant(queries), 10)[0].numpy()
        found = np.mean([np.isin(e, r).mean() for e, r in zip(exact, rows)])
        assert found == pytest.approx(curve[probes - 1])


def test_probes_are_chosen_for_the_wanted_recall():
    vectors, queries = clusters()
    reports = [Ivf(recall).build(vectors, queries, 10)[1] for recall in (0.5, 0.99, 1)]
    assert [r.recall >= wanted for r, wanted in zip(reports, (0.5, 0.99, 1))]
    probes = [report.probes for report in reports]
    assert probes == sorted(probes) and probes[0] < probes[-1] <= reports[0].lists
    first = reports[0]
    assert (first.items, first.k, first.queries) == (700, 10, 16)
    assert Ivf(width=100).build(vectors, queries, 10)[1].lists < first.lists


def test_equal_seeds_build_equal_indexes():
    vectors, queries = clusters()
    one, two, other = (
        IvfIndex(vectors, width=20, probes=3, seed=seed).search(queries, 20)[0].numpy()
        for seed in (4, 4, 5)
    )
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize(
    "kind", [ExactIndex, lambda x: IvfIndex(x, width=30, probes=2)]
)
def test_searches_in_a_graph_take_any_batch_and_k(kind):
    vectors, queries = clusters(300)
    index = kind(vectors)
    signature = [tf.TensorSpec([None, 6]), tf.TensorSpec([], tf.int32)]
    search = tf.function(index.search, input_signature=signature)
    for k in (0, 1, 300):
        rows, scores = search(queries, k)
        assert rows.shape == scores.shape == (16, k)
    fixed = tf.function(lambda q: index.search(q, 4), input_signature=signature[:1])
    assert fixed(queries[:0])[0].shape == (0, 4)


@pytest.mark.parametrize(
    "kind", [ExactIndex, lambda x: IvfIndex(x, width=30, probes=2)]
)
@pytest.mark.parametrize("value", [np.nan, np.inf, -3e38])
def test_queries_that_are_no_numbers_still_find_items(kind, value):
    vectors, queries = clusters(300)
    queries[0, 0] = value
    rows, scores = kind(vectors).search(tf.constant(queries), 300)
    assert sorted(rows[0].numpy()) == list(range(300)) and np.isfinite(scores).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ExactIndex(np.zeros(3)), r"matrix \[I, d\].*shape \(3,\)"),
        (lambda: ExactIndex(np.zeros([0, 3])), r"shape \(0, 3\)"),
        (lambda: ExactIndex([[1.0, np.nan]]), "with 1 that are not finite"),
        (lambda: IvfIndex(np.eye(3), width=-1), "width must be at least 1, got -1"),
        (lambda: IvfIndex(np.eye(3), probes=9), "probes must be from 1 to the"),
        (lambda: Ivf(recall=0.0), r"recall must be in \(0, 1\], got 0.0"),
    ],
)
def test_what_no_index_can_be_made_of_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_k_means_finds_clusters_and_leaves_no_centroid_alone():
    vectors = np.repeat(np.eye(4, dtype=np.float32), 50, axis=0)
    centroids = k_means(vectors, 8, seed=1)  # more than there are different vectors
    assert np.isfinite(centroids).all()
    assert len(np.unique(nearest(vectors, centroids))) == 4
