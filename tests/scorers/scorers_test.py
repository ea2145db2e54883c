"""Scorers by loops from their formulas, and what they may not know."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from tfdistill.data.interactions import InteractionLog
from tfdistill.scorers import (
    ContentTaste,
    EaseScorer,
    GroupTaste,
    LightGcn,
    PairFeatures,
    Popular,
    Rated,
    RatingEase,
    SimilarItems,
    Sum,
    Transitions,
    pair_scores,
    rolling_cuts,
)

USERS, ITEMS = 15, 12
KINDS = (np.random.default_rng(5).random((ITEMS, 4)) < 0.5).astype(float) + 0.01
SCORERS = [
    Popular(),
    Popular(0.2),
    Rated(),
    EaseScorer(3.0),
    RatingEase(3.0),
    EaseScorer(5.0, memory=2.0, positives=False),
    Transitions(2.0, 3.0, 4),
    SimilarItems(1),
    SimilarItems(3),
    GroupTaste("age", np.arange(USERS) % 3),
    ContentTaste("kind", KINDS),
    ContentTaste("kind", KINDS, memory=2.0, positives=True),
    Sum((EaseScorer(3.0), Popular())),
    Sum((Transitions(), Popular()), (2.0, 1.0), by_rank=True),
    LightGcn(Path(), dim=2, epochs=1),
]


@pytest.fixture(params=SCORERS, ids=lambda scorer: scorer.name)
def scorer(request, tmp_path_factory):
    if isinstance(request.param, LightGcn):
        return dataclasses.replace(
            request.param, directory=tmp_path_factory.getbasetemp()
        )
    return request.param


def make_log(seed=0, rows=200):
    rng = np.random.default_rng(seed)
    clock = rng.random(rows) * 3
    return InteractionLog(
        rng.integers(0, USERS, rows),
        rng.integers(0, ITEMS, rows),
        clock,
        USERS,
        ITEMS,
        value=rng.integers(1, 6, rows),
        time=clock * 1000,
        positive_from=4,
    )


LOG = make_log()
KNOWN = LOG.before(1.0)
ASKED = LOG.histories(np.arange(USERS), 1.3)


def history(user, clock=1.3, positives=False):
    """A user's items before, newest first."""
    rows = [
        (c, i)
        for u, i, c, v in zip(LOG.user, LOG.item, LOG.clock, LOG.value)
        if u == user and c < clock and (v >= 4 or not positives)
    ]
    return [item for _, item in sorted(rows, reverse=True)]


def weights(items, memory):
    found = np.zeros(ITEMS)
    for place, item in reversed(list(enumerate(items))):
        found[item] = 1.0 if memory is None else np.exp(-place / memory)
    return found


def test_every_scorer_scores_the_catalogue(scorer):
    scores = scorer.fit(KNOWN)(ASKED)
    assert scores.shape == (USERS, ITEMS)
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()


def test_blocks_of_requests_change_nothing(scorer):
    fitted = scorer.fit(KNOWN)
    whole = fitted(ASKED)
    parts = [fitted(ASKED[rows]) for rows in (slice(0, 4), slice(4, USERS))]
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-5, atol=1e-6)


def test_pairs_are_taken_from_the_catalogue(scorer):
    items = np.random.default_rng(1).integers(-1, ITEMS, (USERS, 5))
    found = pair_scores(scorer.fit(KNOWN), ASKED, items)
    whole = scorer.fit(KNOWN)(ASKED)
    for row, column in np.ndindex(items.shape):
        item = items[row, column]
        if item < 0:
            assert np.isnan(found[row, column])
        else:
            assert found[row, column] == pytest.approx(whole[row, item], rel=1e-5)


def test_nothing_later_than_a_request_is_known(scorer):
    """Scores and features don't change by a bit when all that is later is removed."""
    cuts = (0.5, 1.0, 2.0)
    for clock in (0.7, 1.0, 1.8, 2.5):
        items = np.tile(np.arange(ITEMS), (USERS, 1))
        found = []
        for log in (LOG, LOG.before(clock)):
            features = PairFeatures(log, [scorer], cuts)
            at = log.histories(np.arange(USERS), clock)
            found.append(features.at(at, items))
        for name, values in found[0].items():
            np.testing.assert_array_equal(values, found[1][name])


def test_what_came_before_is_known():
    """The counterpart, so that the test above can't pass by knowing nothing."""
    features = [
        PairFeatures(log, [Transitions()], (0.5,)).at(
            log.histories(np.arange(USERS), 2.0), np.tile(np.arange(ITEMS), (USERS, 1))
        )["transitions, memory 10, decay 10"]
        for log in (LOG, LOG.before(1.5))
    ]
    assert (features[0] != features[1]).any()


def test_popular_counts_what_is_near_in_time():
    scores = Popular(0.2).fit(KNOWN)(ASKED)
    span = KNOWN.time.max() - KNOWN.time.min()
    for user in range(USERS):
        now = LOG.time[(LOG.user == user) & (LOG.clock < 1.3)].max()
        total = np.zeros(ITEMS)
        for item, time in zip(KNOWN.item, KNOWN.time):
            if time <= now:
                total[item] += np.exp((time - now) / (0.2 * span))
        np.testing.assert_allclose(scores[user], np.log1p(total), rtol=1e-5)


@pytest.mark.parametrize("memory", [None, 2.0])
@pytest.mark.parametrize("positives", [True, False])
def test_ease_by_its_formula(memory, positives):
    scores = EaseScorer(3.0, memory, positives).fit(KNOWN)(ASKED)
    taken = np.zeros((USERS, ITEMS))
    for user, item, value in zip(KNOWN.user, KNOWN.item, KNOWN.value):
        taken[user, item] = max(taken[user, item], float(value >= 4 or not positives))
    inverse = np.linalg.inv(taken.T @ taken + 3.0 * np.eye(ITEMS))
    table = np.eye(ITEMS) - inverse / np.diag(inverse)
    for user in range(USERS):
        asked = weights(history(user, positives=positives), memory)
        np.testing.assert_allclose(scores[user], asked @ table, atol=1e-5)


def test_rating_ease_by_its_formula():
    """Of an item that was rated twice the newest rating counts."""

    def opinions(cut):
        found = np.full((USERS, ITEMS), np.nan)
        for row in np.argsort(LOG.clock):
            if LOG.clock[row] < cut:
                found[LOG.user[row], LOG.item[row]] = LOG.value[row]
        centred = found - np.nanmean(found, axis=1, keepdims=True)
        return np.nan_to_num(centred)

    taken = opinions(1.0)
    inverse = np.linalg.inv(taken.T @ taken + 3.0 * np.eye(ITEMS))
    table = np.eye(ITEMS) - inverse / np.diag(inverse)
    scores = RatingEase(3.0).fit(KNOWN)(ASKED)
    np.testing.assert_allclose(scores, opinions(1.3) @ table, atol=1e-4)


def test_ease_by_the_users_side_is_the_same():
    """With fewer users than items the users' matrix is inverted instead."""
    few = LOG.select(LOG.user < 3)
    few = InteractionLog(
        few.user, few.item, few.clock, 3, ITEMS, few.value, positive_from=4
    )
    asked = few.histories(np.arange(3), 2.0)
    scores = EaseScorer(3.0, 2.0).fit(few)(asked)
    taken = few.positives.matrix().toarray().astype(float)
    inverse = np.linalg.inv(taken.T @ taken + 3.0 * np.eye(ITEMS))
    table = np.eye(ITEMS) - inverse / np.diag(inverse)
    expected = asked.positives.weights(2.0).toarray() @ table
    np.testing.assert_allclose(scores, expected, atol=1e-4)


def test_transitions_by_their_formula():
    scores = Transitions(2.0, 3.0, 4).fit(KNOWN)(ASKED)
    table = np.zeros((ITEMS, ITEMS))
    for user in range(USERS):
        rows = np.flatnonzero(KNOWN.user == user)
        rows = rows[np.lexsort((KNOWN.item[rows], KNOWN.clock[rows]))]
        for at, first in enumerate(rows):
            for lag in range(1, 5):
                if at + lag < len(rows) and KNOWN.value[rows[at + lag]] >= 4:
                    pair = KNOWN.item[first], KNOWN.item[rows[at + lag]]
                    table[pair] += np.exp(-lag / 3.0)
    taken = np.bincount(KNOWN.item, minlength=ITEMS)
    common = (taken[:, np.newaxis] + 10.0) ** 0.7 * (table.sum(0) + 10.0) ** 0.4
    for user in range(USERS):
        expected = weights(history(user), 2.0) @ (table / common)
        np.testing.assert_allclose(scores[user], expected, rtol=1e-4, atol=1e-6)


def test_similar_items_by_their_formula():
    scores = SimilarItems(3).fit(KNOWN)(ASKED)
    fans = KNOWN.positives.matrix().toarray().astype(float)
    norm = np.sqrt(np.maximum(fans.sum(0), 1.0))
    cosine = fans.T @ fans / norm / norm[:, np.newaxis]
    for user in range(USERS):
        expected = weights(history(user)[:3], 3.0) @ cosine
        np.testing.assert_allclose(scores[user], expected, rtol=1e-4, atol=1e-6)


def test_features_are_scores_on_one_scale_and_ranks_of_what_is_new():
    features = PairFeatures(LOG, [EaseScorer(3.0)], (1.0,))
    items = np.tile(np.arange(ITEMS), (USERS, 1))
    found = features.at(ASKED, items)
    scores = EaseScorer(3.0).fit(KNOWN)(ASKED)
    name = "EASE of positives, l2 3"
    assert found[name].mean(axis=1) == pytest.approx(0, abs=1e-5)
    liked = ASKED.positives.sizes > 0  # else all scores are 0
    assert found[name].std(axis=1) == pytest.approx(liked.astype(float), abs=1e-3)
    for user in range(USERS):
        new = np.setdiff1d(np.arange(ITEMS), history(user))
        order = new[np.argsort(-scores[user, new], kind="stable")]
        places = np.expm1(found[f"{name}, rank"][user, order])
        np.testing.assert_allclose(places, np.arange(len(order)), atol=1e-4)


def test_each_request_has_the_largest_cut_before_it():
    features = PairFeatures(LOG, [Popular()], (0.5, 1.0))
    clock = np.array([0.5, 0.99, 1.0, 2.7])
    assert features.cut_of(clock).tolist() == [0.5, 0.5, 1.0, 1.0]
    with pytest.raises(ValueError, match="before the first cut"):
        features.at(LOG.histories([0], 0.4), np.array([[1]]))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"scorers": []}, "at least one scorer"),
        ({"scorers": [Popular(), Popular()]}, "another name"),
        ({"cuts": (1.0, 1.0)}, "must rise"),
        ({"cuts": ()}, "must rise"),
    ],
)
def test_refuses_what_makes_no_features(change, match):
    with pytest.raises(ValueError, match=match):
        PairFeatures(**{"log": LOG, "scorers": [Popular()], "cuts": (1.0,), **change})


def test_rolling_cuts_leave_something_before_them():
    assert rolling_cuts(1, 0.25) == (0.75, 1.0, 2.0)
    with pytest.raises(ValueError, match="leave a part"):
        rolling_cuts(8, 0.125)


def test_a_sum_needs_a_weight_for_each():
    with pytest.raises(ValueError, match="as many weights"):
        Sum((Popular(), Rated()), (1.0,)).fit(KNOWN)
