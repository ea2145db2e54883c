"""The sweep equals running every cascade on its own; regret and overlap by loops."""

import math

import numpy as np
import pytest

from tfdistill.metrics import (
    FunnelPoint,
    RequestCost,
    Reranker,
    cheapest,
    pareto,
    regret,
    retrieval_ndcg,
    run_cascade,
    size_grid,
    sweep,
    teacher_overlap,
    top_k,
)
from tfdistill.pairs import Pairs

USERS, ITEMS, WIDTH = 300, 60, 20
TABLES = np.random.default_rng(0).normal(size=(3, USERS, ITEMS)).astype("f")


def scorer(table, calls=None):
    def score(rows, items):
        if calls is not None:
            calls.append(items.size)
        return np.where(items >= 0, table[rows[:, None], np.maximum(items, 0)], np.nan)

    return score


def recalled():
    found = top_k(lambda rows: TABLES[0][rows], USERS, WIDTH)
    found[4, 6:] = -1
    return found


def relevant():
    users, items = np.nonzero(np.random.default_rng(1).random((USERS, ITEMS)) < 0.1)
    return Pairs(users, items)


def quality(page):
    return retrieval_ndcg(page, relevant(), 3).value


def cost(sizes):
    return RequestCost(mflops=float(sum(sizes)), p50_ms=1.0)


def test_a_sweep_equals_every_cascade_on_its_own_and_scores_once():
    calls = []
    stages = {"coarse": scorer(TABLES[1], calls), "fine": scorer(TABLES[2], calls)}
    sizes = size_grid([5, 20], [3, 8], [3])
    points = sweep(recalled(), stages, sizes, quality=quality, cost=cost)
    assert [point.sizes for point in points] == [(5, 3, 3), (20, 3, 3), (20, 8, 3)]
    assert sum(calls) == 2 * USERS * WIDTH
    for point in points:
        first, coarse, fine = point.sizes
        sets = run_cascade(
            recalled()[:, :first],
            [
                Reranker("coarse", scorer(TABLES[1]), coarse),
                Reranker("fine", scorer(TABLES[2]), fine),
            ],
        )
        assert point.quality == quality(sets["fine"])
        assert point.cost.mflops == sum(point.sizes)


def test_recall_alone_is_swept_too():
    (point,) = sweep(recalled(), {}, [(3,)], quality=quality, cost=cost)
    assert point.quality == quality(recalled()[:, :3])


def test_the_frontier_and_the_cheapest_of_a_quality():
    def point(quality, mflops):
        return FunnelPoint((9,), quality, RequestCost(mflops, 1.0))

    a, b, c, d = point(0.2, 3), point(0.3, 5), point(0.3, 4), point(0.1, 1)
    assert pareto([a, b, c, d], "mflops") == [d, a, c]
    assert cheapest([a, b, c, d], 0.25, "mflops") is c
    assert cheapest([a, b], 0.4, "mflops") is None


def test_sizes_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"of its 20 items.*\['fine'\]"):
        sweep(recalled(), {"fine": scorer(TABLES[1])}, [(9,)], quality=len, cost=cost)
    with pytest.raises(ValueError, match="of its 20 items"):
        sweep(recalled(), {}, [(21,)], quality=len, cost=cost)


def test_regret_is_the_missing_true_relevance():
    value = 1.0 / (1.0 + np.exp(-TABLES[2]))
    best = top_k(lambda rows: value[rows], USERS, 4)
    page = recalled()[:, :4].copy()
    page[7, 2:] = -1
    lost = []
    for user in range(USERS):
        most = sum(sorted(value[user], reverse=True)[:4])
        lost.append((most, most - sum(value[user, i] for i in page[user] if i >= 0)))
    found = regret(page, best, scorer(value))
    assert found.absolute == pytest.approx(np.mean([x for _, x in lost]), rel=1e-5)
    share = np.sum([x for _, x in lost]) / np.sum([x for x, _ in lost])
    assert found.relative == pytest.approx(share, rel=1e-5)
    assert regret(best, best, scorer(value)) == (0.0, 0.0)
    assert math.isnan(regret(page, page, lambda rows, items: items * 0.0).relative)
    with pytest.raises(ValueError, match=r"\(300, 4\) and \(300, 3\)"):
        regret(page, best[:, :3], scorer(value))


def test_overlap_comes_with_the_quality_of_both():
    reference = top_k(lambda rows: TABLES[1][rows], USERS, WIDTH)
    found = teacher_overlap(recalled(), reference, relevant(), [1, 5])
    assert [entry.cut for entry in found] == [1, 5]
    for entry in found:
        shared = [
            len(set(a[: entry.cut]) & set(b[: entry.cut])) / entry.cut
            for a, b in zip(recalled(), reference)
        ]
        assert entry.overlap == pytest.approx(np.mean(shared))
        teacher = retrieval_ndcg(reference, relevant(), entry.cut).value
        assert entry.teacher_ndcg == teacher
        assert entry.ndcg == retrieval_ndcg(recalled(), relevant(), entry.cut).value
