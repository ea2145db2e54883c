"""Baselines and the powerful teacher on made-up tastes that drift."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

import tfdistill as td
from tfdistill.data import Asked, asked_in_windows
from tfdistill.metrics.retrieval import hits
from tfdistill.scorers import (
    Candidates,
    CandidateTeacher,
    EaseScorer,
    PairFeatures,
    Popular,
    Transitions,
    boosted_trees,
)

ITEMS = 60


def frame(users=60, length=30, seed=0):
    """Each user walks through the items in order, from a place of its own."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(users):
        steps = np.cumsum(rng.integers(1, 3, length)) + rng.integers(ITEMS)
        for place, item in enumerate(dict.fromkeys((steps % ITEMS).tolist())):
            rows.append((user, item, 1000 * place + user))
    return pd.DataFrame(rows, columns=["user", "film", "when"])


@pytest.fixture(scope="module")
def problem():
    return td.Problem.from_interactions(frame(), user="user", item="film", time="when")


@pytest.fixture(scope="module")
def teacher(problem):
    pytest.importorskip("lightgbm")
    scorers = [Popular(), EaseScorer(20.0), Transitions(3.0, 3.0, 5)]
    return CandidateTeacher.fit(
        problem,
        scorers=scorers,
        listed_by=(),
        size=25,
        cuts=(0.5, 0.75, 1.0, 2.0),
        learn=boosted_trees(rounds=40, threads=1),
    )


def test_baselines_are_judged_as_nets_are(problem):
    found = td.baselines(problem)
    metrics = td.evaluate(found, problem.test)
    assert list(metrics) == ["popular", "EASE", "EASE of the newest"]
    assert all(0 <= m["ndcg@10"] <= 1 for m in metrics.values())
    best = td.best_simple(problem, found)
    valid = td.evaluate(found, problem.valid)
    assert valid[best]["ndcg@10"] == max(m["ndcg@10"] for m in valid.values())


def test_popularity_is_counted_up_to_the_part_that_is_judged(problem):
    """By hand: items by their count before the part, without the user's own."""
    log = problem.log
    baseline = td.baselines(problem)["popular"]
    baseline = dataclasses.replace(baseline, scorer=Popular())
    for evaluator, cut in ((problem.valid, 1.0), (problem.test, 2.0)):
        counts = np.bincount(log.item[log.clock < cut], minlength=ITEMS)
        top = baseline.top(evaluator, 10)
        users = evaluator.requests.group[evaluator.first]
        for row, user in enumerate(users):
            own = log.item[(log.user == user) & (log.clock < cut)]
            order = np.argsort(-counts, kind="stable")
            assert top[row].tolist() == [i for i in order if i not in own][:10]


def test_a_problem_without_a_log_has_no_baselines(problem):
    with pytest.raises(ValueError, match="log of interactions"):
        td.baselines(dataclasses.replace(problem, log=None))


def test_impressions_have_a_log_and_baselines():
    rng = np.random.default_rng(0)
    shown = pd.DataFrame(
        {
            "request": np.arange(600) // 5,
            "user": np.arange(600) // 5 % 20,
            "film": rng.integers(0, 30, 600),
            "click": rng.integers(0, 2, 600),
            "when": np.arange(600) // 5,
        }
    )
    spec = td.FeatureSpec(
        (td.Feature("film", "categorical", "item", "film"),),
        (td.Table("film", 4, size=30),),
    )
    problem = td.Problem.from_impressions(
        shown,
        spec,
        request="request",
        label="click",
        item="film",
        user="user",
        time="when",
    )
    assert len(problem.log.positives) <= shown["click"].sum()
    assert (problem.log.histories([0], 1.0).sizes > 0).all()
    assert td.best_simple(problem) in td.baselines(problem)


def test_windows_ask_whoever_has_a_past_and_a_future(problem):
    asked = asked_in_windows(problem.log, [(0.5, 0.75), (0.75, 1.0)])
    log = problem.log
    for user, clock, until in zip(asked.user, asked.clock, asked.until):
        mine = log.user == user
        assert (mine & (log.clock < clock)).any()
        assert (mine & (log.clock >= clock) & (log.clock < until)).any()
    assert set(zip(asked.clock, asked.until)) == {(0.5, 0.75), (0.75, 1.0)}


def test_candidates_are_new_and_labelled_by_what_comes(problem):
    features = PairFeatures(problem.log, [Popular(), EaseScorer(20.0)], (0.5, 1.0))
    asked = Asked(np.array([3, 5]), np.array([0.5, 1.0]), np.array([1.0, 2.0]))
    log = problem.log
    for shown in (False, True):
        made = Candidates(features, size=9).requests(asked, problem.train, shown=shown)
        for row, (user, clock, until) in enumerate(
            zip(asked.user, asked.clock, asked.until)
        ):
            items = made.candidates[row][made.candidates[row] >= 0]
            mine = log.user == user
            past = log.item[mine & (log.clock < clock)]
            future = log.item[mine & (log.clock >= clock) & (log.clock < until)]
            assert len(set(items)) == len(items)
            assert not np.isin(items, past).any()
            labels = made.labels[row][made.candidates[row] >= 0]
            assert labels.tolist() == np.isin(items, future).astype(float).tolist()
            assert not shown or np.isin(future, items).all()
            newest = made.users["history"][row]
            ids = problem.item_ids[log.histories([user], clock).newest(3)[0]]
            assert newest[:3].tolist() == ids.tolist()


def test_requests_get_the_features_of_any_item(problem):
    """What is listed has its values, and a source says the same of all items."""
    features = PairFeatures(problem.log, [Popular(), EaseScorer(20.0)], (1.0,))
    requests = problem.valid.requests
    assert not features.covers(problem.train).any()
    joined = features.join(requests)
    assert set(joined.pair_sources) == set(features.names)
    rows = np.array([4, 0, 4])
    items = np.array([[3, 9], [1, 0], [5, 5]])
    log = problem.log
    expected = features.at(log.of(requests)[rows], items)
    found = joined.pair_values(features.names, rows, items)
    chosen = joined.select([4, 0]).pair_values(features.names, [0, 1, 0], items)
    for name in features.names:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5)
        np.testing.assert_allclose(chosen[name], expected[name], rtol=1e-5)
        listed = joined.listed_pairs[name]
        np.testing.assert_array_equal(listed, features.of(requests)[name])


def test_candidates_lead_some_list(problem):
    scorers = [Popular(), Transitions(3.0, 3.0, 5)]
    features = PairFeatures(problem.log, scorers, (1.0,))
    histories = problem.log.histories(np.arange(20), 1.0)
    found = Candidates(features, size=4).of(histories)
    for scorer in scorers:
        scores = scorer.fit(problem.log.before(1.0))(histories)
        scores = np.where(histories.seen, -np.inf, scores)
        first = scores.argmax(axis=1)
        assert (found == first[:, np.newaxis]).any(axis=1).all()


def test_the_teacher_is_better_than_what_it_reads(problem, teacher):
    metrics = td.evaluate({"teacher": teacher, **td.baselines(problem)}, problem.test)
    best = max(m["ndcg@10"] for name, m in metrics.items() if name != "teacher")
    assert metrics["teacher"]["ndcg@10"] > 1.05 * best


def test_lists_are_of_new_items_and_teach_recall(problem, teacher):
    lists = teacher.lists(problem.train, cut=1.0, size=15)
    assert lists.items.shape == lists.scores.shape == (problem.log.num_users, 15)
    histories = problem.log.histories(np.arange(len(lists.items)), 1.0)
    there = lists.items >= 0
    seen = np.take_along_axis(histories.seen, np.maximum(lists.items, 0), axis=1)
    assert there.any(axis=1).all()
    assert not (seen & there).any()
    assert (np.diff(lists.scores, axis=1)[there[:, 1:]] <= 0).all()
    assert np.isneginf(lists.scores[~there]).all()
    recipe = td.zoo.list_student(lists)
    assert recipe is not None


def test_lists_are_what_the_judge_sees(problem, teacher):
    """At the part's beginning: the same users, the same order."""
    lists = teacher.lists(problem.valid.requests, cut=1.0, size=10)
    users = problem.valid.requests.group[problem.valid.first]
    np.testing.assert_array_equal(lists.items[users], teacher.top(problem.valid, 10))
    assert hits(lists.items[users], problem.valid.relevant).any()


def test_scores_of_given_candidates_are_logged_for_rankers(problem, teacher):
    requests = problem.valid.requests
    scores = teacher.scores(requests)
    there = requests.candidates >= 0
    assert scores.shape == requests.candidates.shape
    assert np.isnan(scores[~there]).all()
    assert np.isfinite(scores[there]).all()
    logged = requests.with_scores({"teacher": scores})
    np.testing.assert_array_equal(logged.scores["teacher"], scores)


def test_the_teacher_does_not_know_what_is_later(problem, teacher):
    """The leak test of the whole: its lists before test, with test removed."""
    features = teacher.candidates.features
    blind = dataclasses.replace(features, log=problem.log.before(2.0))
    other = dataclasses.replace(
        teacher, candidates=dataclasses.replace(teacher.candidates, features=blind)
    )
    first, second = (t.lists(problem.train, cut=2.0, size=20) for t in (teacher, other))
    np.testing.assert_array_equal(first.items, second.items)
    np.testing.assert_array_equal(first.scores, second.scores)


def test_several_seeds_are_averaged(problem, teacher):
    both = dataclasses.replace(teacher, rankers=teacher.rankers * 2)
    requests = problem.valid.requests
    np.testing.assert_allclose(
        both.scores(requests), teacher.scores(requests), rtol=1e-5
    )


def test_refuses_scorers_that_are_not_there(problem):
    features = PairFeatures(problem.log, [Popular()], (1.0,))
    with pytest.raises(ValueError, match="must name scorers"):
        Candidates(features, ("EASE",))
