"""Rankers of what recall returns: their lists, no leak, and that they do no harm."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from rich.console import Console
from walks_fixture import ITEMS, walks

import tfdistill as td
from tfdistill.data import Asked, States, asked_in_windows
from tfdistill.data.teacher_lists import RankedLists
from tfdistill.zoo import (
    rankers_after_recall,
    recall_from_history,
    recall_from_lists,
)

QUIET, CUT, KEEP = Console(quiet=True), 0.75, 20


@pytest.fixture(scope="module")
def problem():
    made = walks()
    spec = rankers_after_recall.with_standing(made.spec)
    return dataclasses.replace(made, spec=spec)


class Oracle:
    """A teacher who knows the walk: the next items come first."""

    def __init__(self, log):
        self.log = log

    def scores(self, requests):
        last = self.log.of(requests).newest(1)
        return -((requests.candidates - last) % ITEMS) / 3.0

    def lists(self, known, *, cut):
        users = np.arange(self.log.num_users)
        ahead = self.log.histories(users, cut).newest(1) + np.arange(1, 21)
        scores = np.broadcast_to(-np.arange(20.0), ahead.shape)
        return RankedLists((ahead % ITEMS).astype(np.int32), scores)


def small_recall(spec, lists, states):
    form = dataclasses.replace(recall_from_lists.FORMS["rank-weighted"], interesting=20)
    states = dataclasses.replace(states, window=0.2)
    recipe = recall_from_history.recipe(spec, lists, form, states=states)
    net = recipe.nets["recall"]
    towers = dataclasses.replace(net.architecture, shared=1)
    nets = {"recall": dataclasses.replace(net, architecture=towers)}
    return recipe.changed(nets=nets, batch_size=32, negatives=1, epochs=3)


def small_rankers(spec):
    return rankers_after_recall.recipe(spec).changed(epochs=8, batch_size=8)


def stages(problem, folder, teacher):
    return rankers_after_recall.train_stages(
        problem,
        folder,
        teacher=teacher,
        cut=CUT,
        keep=KEEP,
        recall=small_recall,
        rankers=small_rankers,
        console=QUIET,
    )


@pytest.fixture(scope="module")
def early(problem, tmp_path_factory):
    """A student from labels alone, of what came before the cut."""
    recipe = small_recall(problem.spec, {}, States.rolling(end=CUT))
    folder = tmp_path_factory.mktemp("early")
    options = {"training": "independent", "console": QUIET}
    return td.train(recipe, problem, folder, **options)["recall"]


@pytest.fixture(scope="module")
def lists(problem, early):
    asked = asked_in_windows(problem.log, [(CUT, 1.0)])
    return rankers_after_recall.recalled(early, problem, asked, keep=KEEP)


def test_lists_are_recalls_best_new_items_with_what_came(problem, early, lists):
    log, ranker = problem.log, early.ranker(lists)
    scores = ranker.catalogue(np.arange(lists.num_requests))
    for row, user in enumerate(lists.group):
        mine = log.user == user
        had = log.item[mine & (log.clock < CUT)]
        order = [i for i in np.argsort(-scores[row], kind="stable") if i not in had]
        assert lists.candidates[row].tolist() == order[:KEEP]
        later = mine & (log.clock >= CUT) & (log.clock < 1.0) & (log.value >= 4)
        liked = np.isin(lists.candidates[row], log.item[later])
        assert lists.labels[row].tolist() == liked.astype(float).tolist()
        best = scores[row, lists.candidates[row]]
        stands = lists.listed_pairs[rankers_after_recall.STANDING][row, :, 0]
        z = (best - best.mean()) / best.std()
        np.testing.assert_allclose(stands, z, atol=1e-3)


def test_an_early_student_and_its_lists_know_nothing_of_the_window(problem, early):
    """Neither its examples nor its lists change when all that is later is removed."""
    known = problem.log.before(CUT)
    states = States.rolling(0.2, 0.125, 0.2, CUT)
    one, two = (states.examples(log, problem.train) for log in (problem.log, known))
    assert one.liked.fingerprint == two.liked.fingerprint
    assert one.clock.max() < CUT
    asked = Asked(np.arange(9), np.full(9, CUT), np.full(9, CUT))
    blind = dataclasses.replace(problem, log=known)
    found, other = (
        rankers_after_recall.recalled(early, p, asked, keep=KEEP)
        for p in (problem, blind)
    )
    np.testing.assert_array_equal(found.candidates, other.candidates)
    for name, values in found.users.items():
        np.testing.assert_array_equal(values, other.users[name])


def test_a_taught_page_is_better_than_its_recall_and_than_one_alone(problem, tmp_path):
    pages = {}
    for name, teacher in (("taught", Oracle(problem.log)), ("alone", None)):
        nets = stages(problem, tmp_path / name, teacher)
        assert nets.students == ("recall", "coarse", "fine")
        page = nets.cascade(recall=KEEP, coarse=15, page=10).metrics(problem.test)
        pages[name] = page["ndcg@10"]
        pages[f"{name}, recall"] = nets["recall"].metrics(problem.test)["ndcg@10"]
    assert pages["taught"] >= 0.95 * pages["taught, recall"]
    assert pages["taught"] > pages["alone"]


def test_alone_they_learn_from_labels(problem):
    recipe = rankers_after_recall.recipe(problem.spec)
    assert "user_id" not in recipe.nets["fine"].features
    assert rankers_after_recall.STANDING in recipe.nets["coarse"].features
    alone = recipe.only("fine")
    assert [t.name for t in alone.terms.transfers] == ["fine_labels"]
