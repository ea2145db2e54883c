"""A coarse ranker under lists of recalled items: what it sees, and what it learns."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from zoo_fixture import SPEC, requests

from tfdistill.models import CoarseTwoTower, Net
from tfdistill.study.evaluators import ListEvaluator
from tfdistill.study.problem import Problem
from tfdistill.study.ways import train
from tfdistill.trainers import LoggedTeacher
from tfdistill.zoo.coarse_from_lists import recipe, with_recalled

WIDTH = 8


def shown():
    return dataclasses.replace(requests(), tasks={})


def recalled(users=6):
    rng = np.random.default_rng(1)
    lists = np.stack([rng.permutation(30)[: 2 * WIDTH] for _ in range(users)])
    lists[0, -3:] = -1
    return lists.astype(np.int32)


def test_every_recalled_item_comes_once_without_a_label_and_with_its_users_features():
    first, lists = shown(), recalled()
    both = with_recalled(first, lists, width=WIDTH)
    labelled = first.num_requests
    np.testing.assert_array_equal(both.labels[:labelled, :5], first.labels)
    assert (both.candidates[:labelled, 5:] == -1).all()
    assert np.isnan(both.labels[labelled:]).all()
    for user, items in enumerate(lists):
        own = labelled + np.flatnonzero(both.group[labelled:] == user)
        assert sorted(both.candidates[own].ravel()) == sorted(items)
        of_user = np.argmax(first.group == user)
        assert (both.users["age"][own] == first.users["age"][of_user]).all()


def test_a_student_follows_the_teacher_where_there_is_no_label(tmp_path):
    lists = with_recalled(shown(), recalled(), width=WIDTH)
    prices = lists.items["price"][np.maximum(lists.candidates, 0)]
    taught = lists.with_scores({"taught": np.where(lists.candidates >= 0, prices, 0)})
    net = Net(CoarseTwoTower((8,), dim=4), ("age", "item_id", "price"))
    student = recipe(net).changed(epochs=15, batch_size=6, learning_rate=1e-2)
    model = train(
        student,
        Problem(SPEC, taught, ListEvaluator(shown()), ListEvaluator(shown())),
        tmp_path,
        teacher=LoggedTeacher({"score": "taught"}),
    )["coarse"].models["coarse"]
    (logits,) = ListEvaluator(lists).logits(model).values()
    there = (lists.candidates >= 0) & np.isnan(lists.labels)
    assert np.corrcoef(logits[there], prices[there])[0, 1] > 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 7}, "multiple of width"),
        ({"width": 4}, "at least the lists' 5"),
        ({"recalled": recalled(5)}, "a row per user"),
        ({"requests": requests()}, r"tasks \['click', 'like'\]"),
    ],
)
def test_what_does_not_fit_is_named(change, message):
    given = {"requests": shown(), "recalled": recalled(), "width": WIDTH, **change}
    with pytest.raises(ValueError, match=message):
        with_recalled(**given)
