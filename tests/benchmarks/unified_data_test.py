"""The problems of the unified cascade's benchmark, made of small data."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from tfdistill.data import ImplicitFeedback
from tfdistill.metrics import dot_scores, top_k
from tfdistill.pairs import Pairs

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def unified_data(monkeypatch):
    """The module, which is no part of the package."""
    monkeypatch.syspath_prepend(str(FOLDER))
    import unified_data

    small = dataclasses.replace(unified_data.SIMULATOR, users=60, items=80)
    monkeypatch.setattr(unified_data, "SIMULATOR", small)
    for judged in ("JUDGED", "JUDGED_CITEULIKE"):
        monkeypatch.setattr(unified_data, judged, {"test": 25, "valid": 4})
    return unified_data


def test_the_oracles_own_page_has_no_regret_and_a_random_one_has(unified_data):
    problem = unified_data.simulator(None)
    evaluator = problem.test
    users = evaluator.requests.group[evaluator.first]
    assert len(users) <= 25 and problem.train.num_items == 80
    others = problem.valid.requests.group
    assert len(np.unique(others)) == 4 and not np.isin(others, users).any()
    vectors = problem.oracle.user_vectors[users], problem.oracle.item_vectors
    best = top_k(dot_scores(*vectors), len(users), 10)
    drawn = np.random.default_rng(0).random((len(users), 80)).argsort(1)[:, :10]
    found = problem.truths("test", {"fine": drawn, "teacher": best, "recall": drawn})
    assert found["teacher/regret"] == pytest.approx(0.0)
    assert found["teacher/true ndcg@10"] == pytest.approx(1.0)
    assert found["page/regret"] > 0.1
    assert {name.split("/")[0] for name in found} == {"page", "recall alone", "teacher"}
    gain, most = 0.0, 0.0
    for user, shown, ideal in zip(users, drawn, best):
        for place in range(10):
            discount = 1 / np.log2(place + 2)
            gain += problem.oracle.click_probability(user, shown[place]) * discount
            most += problem.oracle.click_probability(user, ideal[place]) * discount
    assert found["page/true ndcg@10"] == pytest.approx(gain / most)


def test_random_traffic_is_clicked_as_the_oracle_says(unified_data):
    problem = unified_data.simulator(None)
    requests, oracle = problem.test.requests, problem.oracle
    clicks = unified_data.clicked(oracle, requests, 2000)  # every item, often
    users = np.unique(requests.group)
    assert set(clicks.user) <= set(users)
    asked = np.zeros((len(users), requests.num_items))
    asked[np.searchsorted(users, clicks.user), clicks.item] = 1
    p = oracle.click_probability(users[:, np.newaxis], np.arange(asked.shape[1]))
    often = 1 - (1 - p) ** (2000 / asked.shape[1])
    assert asked.mean() == pytest.approx(often.mean(), abs=0.03)
    assert np.corrcoef(asked.ravel(), often.ravel())[0, 1] > 0.3


def test_citeulike_becomes_lists_of_positives(unified_data, monkeypatch):
    rng = np.random.default_rng(0)
    chosen = np.array([rng.permutation(190)[:27] for _ in range(30)])
    user = np.arange(30).repeat(25)
    train = Pairs(user, chosen[:, :25].ravel(), 190)
    valid, test = (Pairs(np.arange(30), chosen[:, i], 190) for i in (25, 26))
    data = ImplicitFeedback("made up", 30, train, valid, test)
    monkeypatch.setattr(unified_data.extracts, "citeulike", lambda path: data)
    problem = unified_data.citeulike(Path("nowhere"))
    for stage in ("recall", "coarse", "fine"):
        assert problem.nets[stage].features == ("user_id", "item_id")
    assert problem.nets["teacher"].features == ("user_wide", "item_wide")
    assert [problem.spec.table_of(f).dim for f in problem.spec.features] == [
        *(32, 32, 128, 128)
    ]
    for requests in (problem.train, problem.test.requests):
        ids, wide = requests.users["user_id"], requests.users["user_wide"]
        np.testing.assert_array_equal(ids, wide)
    assert problem.train.num_requests == 60 and problem.train.list_size <= 20
    listed = problem.train.candidates >= 0
    assert listed.sum() == 750 and (problem.train.labels[listed] == 1).all()
    assert problem.test.relevant.user.size == 25
    assert problem.truths("test", {}) == {}
