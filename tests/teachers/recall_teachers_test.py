"""Recall teachers: EASE and LightGCN against their formulas in plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.data.implicit import ImplicitFeedback
from tfdistill.metrics import scored_top_k, top_k
from tfdistill.pairs import Pairs
from tfdistill.teachers import Ease, fused_scores, lightgcn_vectors, tuned_ease
from tfdistill.teachers.ease import _inverted
from tfdistill.teachers.lightgcn import GraphEmbeddings


def interactions(users: int, items: int, share: float = 0.4) -> np.ndarray:
    """Zeros and ones `[U, I]`; every user has item 0, and the last item has nobody."""
    matrix = np.random.default_rng(0).random((users, items)) < share
    matrix[:, 0], matrix[:, -1] = True, False
    return matrix.astype(np.float64)


def as_pairs(matrix: np.ndarray) -> Pairs:
    return Pairs(*np.nonzero(matrix), matrix.shape[1])


@pytest.mark.parametrize("shape", [(7, 12), (12, 7), (8, 8)])
def test_ease_is_the_closed_form_on_either_side(shape):
    x, l2 = interactions(*shape), 2.0
    p = np.linalg.inv(x.T @ x + l2 * np.eye(shape[1]))
    b = np.eye(shape[1]) - p / np.diag(p)
    np.testing.assert_allclose(np.diag(b), 0.0, atol=1e-12)
    model = Ease(as_pairs(x), shape[0], l2=l2)
    rows = np.array([3, 0, 6])
    np.testing.assert_allclose(model(rows), (x @ b)[rows], atol=1e-5)


@pytest.mark.parametrize("shape", [(7, 12), (12, 7)])
def test_ease_asks_with_the_newest_items_first(shape):
    x, l2 = interactions(*shape), 2.0
    p = np.linalg.inv(x.T @ x + l2 * np.eye(shape[1]))
    b = np.eye(shape[1]) - p / np.diag(p)
    recent = np.full((shape[0], 3), -1)
    recent[:, 0] = 0
    recent[2, :2] = 1, 0
    asked = np.zeros(shape)
    asked[:, 0] = 1.0
    asked[2, [1, 0]] = 1.0, np.exp(-1 / 4)
    model = Ease(as_pairs(x), shape[0], l2=l2, recent=recent, memory=4.0)
    np.testing.assert_allclose(model(np.arange(5)), (asked @ b)[:5], atol=1e-5)


def test_many_blocks_of_users_are_the_same(monkeypatch):
    x = interactions(9, 14)
    whole = Ease(as_pairs(x), 9, l2=1.0)(np.arange(9))
    monkeypatch.setattr("tfdistill.teachers.ease._USERS_AT_ONCE", 5)
    some = Ease(as_pairs(x), 9, l2=1.0)(np.arange(9))
    np.testing.assert_allclose(some, whole, rtol=1e-6)


def test_the_penalty_is_chosen_on_validation():
    x = interactions(30, 20)
    train, valid = as_pairs(x), Pairs(np.arange(30), np.arange(30) % 20, 20)
    model, found = tuned_ease(train, valid, 30, penalties=(1.0, 10.0, 100.0))
    assert list(found) == [1.0, 10.0, 100.0]
    assert found[model.l2] == max(found.values())
    with pytest.raises(ValueError, match="at least one candidate"):
        tuned_ease(train, valid, 30, penalties=())


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"l2": 0.0}, "`l2` and `memory` must be above 0, got 0.0 and 10.0"),
        ({"l2": 1.0, "memory": -1.0}, "got 1.0 and -1.0"),
        ({"l2": 1.0, "num_users": 2}, "users below 2, got 4"),
    ],
)
def test_ease_refuses(settings, text):
    with pytest.raises(ValueError, match=text):
        Ease(Pairs([4], [0], 3), **{"num_users": 5, **settings})


def test_ease_says_when_a_penalty_is_too_small_for_an_inverse():
    same = Pairs([0, 0], [0, 1], num_items=2)  # two items that nothing tells apart
    with pytest.raises(ValueError, match="raise `l2`"):
        Ease(same, 2, l2=1e-300)


def test_ease_inverts_in_the_memory_of_its_matrix():
    x = np.random.default_rng(0).random((40, 50))
    matrix = x @ x.T + np.eye(40)
    expected, memory = np.linalg.inv(matrix), matrix
    inverse = _inverted(matrix)
    assert np.shares_memory(inverse, memory)
    np.testing.assert_allclose(inverse, expected, atol=1e-12)


def test_propagation_is_the_formula_in_loops():
    x = interactions(5, 8)
    layer = GraphEmbeddings(as_pairs(x), 5, dim=3, depth=2)
    layer((tf.constant([0]), tf.constant([[0]])))
    before = layer.free.numpy()
    users, items = before[:5], before[5:]
    total_users, total_items = users.copy(), items.copy()
    degree_u, degree_i = x.sum(1), x.sum(0)
    for _ in range(2):
        next_users, next_items = np.zeros_like(users), np.zeros_like(items)
        for u, i in zip(*np.nonzero(x)):
            weight = 1 / np.sqrt(degree_u[u] * degree_i[i])
            next_users[u] += weight * items[i]
            next_items[i] += weight * users[u]
        users, items = next_users, next_items
        total_users += users
        total_items += items
    found_users, found_items = layer.propagated()
    np.testing.assert_allclose(found_users, total_users / 3, atol=1e-6)
    np.testing.assert_allclose(found_items, total_items / 3, atol=1e-6)
    query, candidates = layer((tf.constant([4, 1]), tf.constant([[7, 2], [0, 3]])))
    np.testing.assert_allclose(query, (total_users / 3)[[4, 1]], atol=1e-6)
    np.testing.assert_allclose(
        candidates, (total_items / 3)[[[7, 2], [0, 3]]], atol=1e-6
    )


def blocks(users: int = 24, items: int = 36, seed: int = 0) -> ImplicitFeedback:
    """Users take items of their own group, of three, which is easy to find."""
    rng = np.random.default_rng(seed)
    parts = {name: ([], []) for name in ("train", "valid", "test")}
    for user in range(users):
        taken = rng.permutation(np.arange(user % 3, items, 3))
        for part, chosen in zip(parts, (taken[:6], taken[6:8], taken[8:10])):
            parts[part][0].extend([user] * len(chosen))
            parts[part][1].extend(chosen)
    return ImplicitFeedback(
        "blocks", users, *(Pairs(*p, items) for p in parts.values())
    )


def test_lightgcn_finds_the_groups_and_resumes(tmp_path):
    data, settings = blocks(), {"dim": 8, "batch_size": 8, "epochs": 10}
    users, items = lightgcn_vectors(data, tmp_path, **settings)
    seen = data.train
    top = top_k(lambda rows: users[rows] @ items.T, data.num_users, 6, seen=seen)
    assert (top % 3 == np.arange(data.num_users)[:, np.newaxis] % 3).mean() > 0.95
    again = lightgcn_vectors(data, tmp_path, **settings)
    np.testing.assert_array_equal(again[0], users)


def test_fusion_is_the_sum_of_standardised_scores():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 4, 9)) * [[[1.0]], [[50.0]]] + 7.0
    fused = fused_scores([lambda r: one[r], lambda r: other[r]], weights=(2.0, 1.0))
    parts = [
        (s - s.mean(1, keepdims=True)) / s.std(1, keepdims=True) for s in (one, other)
    ]
    expected = 2 * parts[0] + parts[1]
    np.testing.assert_allclose(fused(np.array([2, 0])), expected[[2, 0]], atol=1e-5)
    constant = fused_scores([lambda r: np.ones((len(r), 3))])
    assert (constant(np.array([0])) == 0).all()


@pytest.mark.parametrize(
    ("count", "weights"), [(0, None), (2, (1.0,)), (2, (1.0, 0.0))]
)
def test_fusion_refuses(count, weights):
    teachers = [lambda rows: np.zeros((len(rows), 3))] * count
    with pytest.raises(ValueError, match="fused_scores takes at least one teacher"):
        fused_scores(teachers, weights)


def test_a_teacher_is_asked_once_for_a_block_of_its_list():
    asked = []

    def score(rows):
        asked.append(len(rows))
        return np.tile(np.arange(7.0), (len(rows), 1))

    seen = Pairs([1], [6])
    rows, scores = scored_top_k(score, 5, 2, seen=seen, block=2)
    assert asked == [2, 2, 1]
    assert rows[:2].tolist() == [[6, 5], [5, 4]]
    assert scores[:2].tolist() == [[6, 5], [5, 4]]
