"""States of users at cuts of the log: what is known, what is to be found, no leak."""

import numpy as np
import pytest

from tfdistill.data import InteractionLog, Requests, States

USERS, ITEMS, WIDTH = 9, 25, 4


def make_log(seed=0, rows=260):
    rng = np.random.default_rng(seed)
    return InteractionLog(
        rng.integers(0, USERS, rows),
        rng.integers(0, ITEMS, rows),
        rng.integers(0, 60, rows) / 20.0,  # up to test, some at one moment
        USERS,
        ITEMS,
        value=rng.integers(1, 6, rows),
        positive_from=4,
    )


def known():
    """Two requests of each user; the features are the users' own."""
    group = np.arange(2 * USERS) % USERS
    return Requests(
        {"age": 20 + group, "history": np.full((2 * USERS, WIDTH), -1)},
        {"item_id": 100 + np.arange(ITEMS)},
        np.zeros((2 * USERS, 1), np.int32),
        np.zeros((2 * USERS, 1), np.float32),
        group,
    )


def rows_of(log, user, begin, end, least=0):
    """Items from `begin` to before `end`, newest first."""
    rows = zip(log.user, log.clock, log.item, log.value)
    found = [
        (c, i) for u, c, i, v in rows if u == user and begin <= c < end and v >= least
    ]
    return [item for _, item in sorted(found, reverse=True)]


@pytest.mark.parametrize("also", [(), (0.7, 1.0)])
def test_examples_are_what_was_known_and_liked_after(also):
    log, states = make_log(), States((0.3, 0.6, 0.9), window=0.25)
    made = states.examples(log, known(), also)
    expected = []
    for user in range(USERS):
        for cut in sorted({*states.cuts, *also}):
            before = rows_of(log, user, 0.0, cut)
            end = min(cut + 0.25, 1.0) if cut in states.cuts else cut
            liked = set(rows_of(log, user, cut, end, least=4))
            if before and (liked or cut in also):
                expected.append((user, cut, before, liked))
    assert len(expected) == len(made.user) > USERS
    for row, (user, cut, before, liked) in enumerate(expected):
        assert (made.user[row], made.clock[row]) == (user, cut)
        assert set(made.liked.item[made.liked.user == row]) == liked
        assert set(made.had.item[made.had.user == row]) == set(before)
        assert made.features["age"][row] == 20 + user
        newest = [100 + item for item in before[:WIDTH]]
        assert made.features["history"][row].tolist() == (newest + 4 * [-1])[:WIDTH]


def test_without_a_window_a_user_is_one_example_of_all_that_it_liked():
    log = make_log()
    made = States().examples(log, known(), also=[1.0])
    assert made.user.tolist() == list(range(USERS))
    for user in range(USERS):
        liked = set(made.liked.item[made.liked.user == user])
        assert liked == set(rows_of(log, user, 0.0, 1.0, least=4))


@pytest.mark.parametrize("states", [States(), States.rolling(0.2, 0.2, 0.4)])
def test_nothing_later_than_training_is_in_any_example(states):
    log = make_log()
    some = states.examples(log, known(), [1.0])
    blind = states.examples(log.before(1.0), known(), [1.0])
    for name in ("user", "clock"):
        np.testing.assert_array_equal(getattr(some, name), getattr(blind, name))
    assert some.liked.fingerprint == blind.liked.fingerprint
    assert some.had.fingerprint == blind.had.fingerprint
    np.testing.assert_array_equal(some.features["history"], blind.features["history"])


def test_a_state_is_the_same_without_what_comes_after_its_window():
    log, states = make_log(), States((0.3, 0.6), window=0.1)
    some, early = (states.examples(part, known()) for part in (log, log.before(0.4)))
    first = some.clock == 0.3
    assert first.any() and (early.clock == 0.3).all()
    np.testing.assert_array_equal(some.user[first], early.user)
    np.testing.assert_array_equal(
        some.features["history"][first], early.features["history"]
    )
    rows = np.flatnonzero(first)
    assert some.liked.among(rows).fingerprint == early.liked.fingerprint


@pytest.mark.parametrize(
    "settings", [{"cuts": ()}, {"cuts": (1.5,)}, {"cuts": (0.0,)}, {"window": -0.1}]
)
def test_refuses_cuts_beyond_training(settings):
    with pytest.raises(ValueError, match="up to 1, where training ends"):
        States(**settings)
