"""Students that know users by a history, and a net as the teacher, on made-up walks."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from rich.console import Console
from walks_fixture import walks

import tfdistill as td
from tfdistill.data import States
from tfdistill.models import DcnV2
from tfdistill.scorers import CandidateTeacher, EaseScorer, Popular, Transitions
from tfdistill.zoo import candidate_ranker, recall_from_history

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def problem():
    return walks()


def fitted(problem, folder, **options):
    return CandidateTeacher.fit(
        problem,
        scorers=[Popular(), EaseScorer(20.0), Transitions(3.0, 3.0, 5)],
        listed_by=(),
        size=25,
        cuts=(0.5, 0.75, 1.0, 2.0),
        learn=candidate_ranker.network(folder, console=QUIET, **options),
    )


@pytest.fixture(scope="module")
def teacher(problem, tmp_path_factory):
    return fitted(problem, tmp_path_factory.mktemp("teacher"), epochs=8)


@pytest.fixture(scope="module")
def lists(problem, teacher):
    cuts = (0.75, 1.0)
    return {cut: teacher.lists(problem.train, cut=cut, size=20) for cut in cuts}


def small(recipe, epochs=6):
    net = recipe.nets["recall"]
    towers = dataclasses.replace(net.architecture, shared=1)
    nets = {"recall": dataclasses.replace(net, architecture=towers)}
    return recipe.changed(nets=nets, batch_size=32, negatives=1, epochs=epochs)


def taught(problem, lists):
    form = dataclasses.replace(
        td.zoo.recall_from_lists.FORMS["rank-weighted"], interesting=20
    )
    states = States.rolling(0.25, 0.125, 0.25)
    return small(recall_from_history.recipe(problem.spec, lists, form, states=states))


def test_a_net_ranks_candidates_better_than_what_it_reads(problem, teacher):
    metrics = td.evaluate({"net": teacher, **td.baselines(problem)}, problem.test)
    simple = max(m["ndcg@10"] for name, m in metrics.items() if name != "net")
    assert metrics["net"]["ndcg@10"] > 1.05 * simple


def test_a_net_scores_candidates_for_rankers(problem, teacher):
    requests = problem.valid.requests
    scores, there = teacher.scores(requests), requests.candidates >= 0
    assert np.isnan(scores[~there]).all() and np.isfinite(scores[there]).all()
    some = teacher.scores(requests.select([3, 0]))
    np.testing.assert_allclose(some, scores[[3, 0]], rtol=1e-4, atol=1e-4)


def test_a_net_of_another_kind_is_trained_once_and_read_again(problem, tmp_path):
    options = {"architecture": DcnV2(1, (8,)), "epochs": 1}
    first, again = (fitted(problem, tmp_path, **options) for _ in range(2))
    requests = problem.valid.requests
    np.testing.assert_array_equal(first.scores(requests), again.scores(requests))


def test_the_net_does_not_know_what_is_later(problem, teacher):
    """Its lists before validation, with validation and test removed from the log."""
    features = teacher.candidates.features
    blind = dataclasses.replace(features, log=problem.log.before(1.0))
    candidates = dataclasses.replace(teacher.candidates, features=blind)
    other = dataclasses.replace(teacher, candidates=candidates)
    one, two = (t.lists(problem.train, cut=1.0, size=20) for t in (teacher, other))
    np.testing.assert_array_equal(one.items, two.items)
    np.testing.assert_array_equal(one.scores, two.scores)


def test_a_student_of_a_history_learns_from_lists_and_alone(problem, lists, tmp_path):
    recipe = taught(problem, lists)
    assert recipe.nets["recall"].features == ("group", "history", "item_id")
    student, alone = (
        td.train(recipe, problem, tmp_path, training=way, console=QUIET)["recall"]
        for way in ("joint", "independent")
    )
    loss = student.history["transfer_lists_0"]
    assert loss[-1] < loss[0] and "transfer_lists_0" not in alone.history
    found = [net.metrics(problem.valid)["ndcg@10"] for net in (student, alone)]
    popular = td.baselines(problem)["popular"].metrics(problem.valid)["ndcg@10"]
    assert min(found) > 1.5 * popular


def test_its_batches_hold_nothing_of_what_is_later(problem, lists):
    """They are the same to the bit when validation and test are not there."""
    recipe = taught(problem, lists)
    blind = dataclasses.replace(problem, log=problem.log.before(1.0))
    some, early = (recipe.source(p, recipe, 0) for p in (problem, blind))
    assert some.identity == early.identity
    for one, two in zip(some().take(2), early().take(2)):
        for first, second in zip(one, two):
            for name, values in first.items():
                np.testing.assert_array_equal(values.numpy(), second[name].numpy())


def test_lists_are_those_of_an_examples_user_and_cut(problem, lists):
    recipe = taught(problem, lists)
    made = recipe.source.states.examples(problem.log, problem.train, tuple(lists))
    heads = recipe.source(problem, recipe, 0).lists.head
    assert len(heads) == len(made.user)
    for row, (user, clock) in enumerate(zip(made.user, made.clock)):
        expected = lists[clock].items[user] if clock in lists else -1
        assert (heads[row] == expected).all()


def test_students_of_lists_need_a_log(problem, lists, tmp_path):
    with pytest.raises(ValueError, match="learn from a log of interactions"):
        bare = dataclasses.replace(problem, log=None)
        td.train(taught(problem, lists), bare, tmp_path, console=QUIET)


def test_a_tower_needs_a_user_feature_that_is_no_id():
    spec = td.FeatureSpec(
        (
            td.Feature("user_id", "categorical", "user", "user_id"),
            td.Feature("item_id", "categorical", "item", "item_id"),
        ),
        (td.Table("user_id", 8, size=9), td.Table("item_id", 8, size=9)),
    )
    with pytest.raises(ValueError, match="has no user feature left"):
        recall_from_history.tower(spec)
