"""Nets and trees that read features of pairs, trained and judged."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from rich.console import Console

from tfdistill.data import Requests
from tfdistill.jobs.exports import request_of
from tfdistill.losses import SigmoidSoftLabel
from tfdistill.models import CoarseTwoTower, Dnn, Net, TwoTower, joint_network
from tfdistill.pairs import Pairs
from tfdistill.scores import join_requests, score_batches
from tfdistill.spec import Feature, FeatureSpec, Table
from tfdistill.study.evaluators import CatalogueEvaluator, ListEvaluator, Ranker
from tfdistill.study.problem import Problem
from tfdistill.study.recipe import Recipe
from tfdistill.study.ways import train
from tfdistill.teachers import GbdtTeacher
from tfdistill.trainers import Transfer
from tfdistill.zoo.coarse_from_lists import with_recalled
from tfdistill.zoo.unified_cascade import default_nets

USERS, ITEMS = 60, 25
SPEC = FeatureSpec(
    (
        Feature("age", "numeric", "user"),
        Feature("item_id", "categorical", "item", table="item"),
        Feature("taste", "numeric", "pair"),
    ),
    (Table("item", 4, size=ITEMS),),
)
WITHOUT = ("age", "item_id")
TASTE = np.random.default_rng(7).normal(size=(USERS, ITEMS)).astype(np.float32)


def taste(rows, items):
    """What decides the label: of user `row % USERS`."""
    return TASTE[rows[:, np.newaxis] % USERS, items]


def requests(size=240, length=6) -> Requests:
    rng = np.random.default_rng(1)
    candidates = np.argsort(rng.random((size, ITEMS)), 1)[:, :length].astype(np.int32)
    candidates[:, 4:][rng.random((size, length - 4)) < 0.5] = -1
    rows = np.arange(size)
    labels = (taste(rows, np.maximum(candidates, 0)) > 0).astype(np.float32)
    return Requests(
        {"age": rng.normal(size=size).astype(np.float32)},
        {"item_id": np.arange(ITEMS)},
        candidates,
        labels,
        rows % USERS,
        pair_sources={"taste": taste},
    )


def recipe(net, names=SPEC.names, **options) -> Recipe:
    settings = {"negatives": 0, "epochs": 12, "batch_size": 16, "learning_rate": 0.02}
    return Recipe({"fine": Net(net, names)}).changed(**{**settings, **options})


@pytest.mark.parametrize("net", [Dnn((8,)), CoarseTwoTower((4,), 4, 8)])
def test_a_ranker_learns_from_the_pairs_what_nothing_else_tells(tmp_path, net):
    data = requests()
    evaluator = ListEvaluator(data.select(slice(200, 240)))
    found = {
        names: train(
            recipe(net, names),
            Problem(SPEC, data.select(slice(200)), evaluator, evaluator),
            tmp_path / names[-1],
        )["fine"].metrics(evaluator)["auc"]
        for names in (SPEC.names, WITHOUT)
    }
    assert found[SPEC.names] > 0.98 > 0.75 > found[WITHOUT]


def test_drawn_items_of_a_training_have_their_values(tmp_path):
    data = requests()
    evaluator = ListEvaluator(data.select(slice(200, 240)))
    made = recipe(Dnn((8,)), negatives=4, label_negatives=False)
    trained = train(
        made, Problem(SPEC, data.select(slice(200)), evaluator, evaluator), tmp_path
    )["fine"]
    assert trained.metrics(evaluator)["auc"] > 0.99


def test_pairs_that_no_net_reads_need_no_source(tmp_path):
    data = requests()
    logged = dataclasses.replace(
        data, pair_sources={}, pair_features=dict(data.listed_pairs)
    )
    made = recipe(Dnn((4,)), WITHOUT, negatives=2, epochs=1)
    train(
        made,
        Problem(SPEC, logged, ListEvaluator(logged), ListEvaluator(logged)),
        tmp_path,
    )


def test_a_training_says_which_values_drawn_items_lack(tmp_path):
    data = requests()
    logged = dataclasses.replace(
        data, pair_sources={}, pair_features=dict(data.listed_pairs)
    )
    evaluator = ListEvaluator(logged)
    train(
        recipe(Dnn((4,)), epochs=1),
        Problem(SPEC, logged, evaluator, evaluator),
        tmp_path / "lists",
    )
    with pytest.raises(ValueError, match=r"drawn items needs .*\['taste'\]"):
        train(
            recipe(Dnn((4,)), negatives=2),
            Problem(SPEC, logged, evaluator, evaluator),
            tmp_path / "drawn",
        )
    absent = dataclasses.replace(data, pair_sources={})
    with pytest.raises(ValueError, match=r"lacks the features \['taste'\]"):
        train(
            recipe(Dnn((4,))),
            Problem(SPEC, absent, evaluator, evaluator),
            tmp_path / "absent",
        )


@pytest.fixture(scope="module")
def ranker(tmp_path_factory):
    data = requests()
    evaluator = ListEvaluator(data.select(slice(200, 240)))
    folder = tmp_path_factory.mktemp("ranker")
    problem = Problem(SPEC, data.select(slice(200)), evaluator, evaluator)
    return train(recipe(Dnn((8,))), problem, folder)["fine"]


def judged(data: Requests) -> CatalogueEvaluator:
    first = Pairs(data.group[:1], data.candidates[:1, 0], ITEMS)
    return CatalogueEvaluator(data, first, np.arange(ITEMS) < 5)


def test_the_whole_catalogue_is_ranked_by_the_source(ranker):
    data = requests().select(np.arange(130, 190))
    evaluator = judged(data)
    top = ranker.top(evaluator, ITEMS)
    for place, row in enumerate(evaluator.first):
        unseen = [item for item in top[place] if item >= 0]
        scores = ranker.model(
            {
                "age": data.users["age"][[row]],
                "item_id": np.array([unseen]),
                "taste": TASTE[(130 + row) % USERS, unseen][np.newaxis],
            }
        )["fine"].numpy()[0]
        assert (np.diff(scores) <= 0).all()
        assert len(unseen) == ITEMS - (data.group[row] == data.group[0])


def test_the_whole_catalogue_needs_a_source(ranker):
    data = requests()
    logged = dataclasses.replace(
        data, pair_sources={}, pair_features=dict(data.listed_pairs)
    )
    assert ranker.logits(ListEvaluator(logged)).shape == logged.candidates.shape
    with pytest.raises(
        ValueError, match=r"any items needs the pair features \['taste'"
    ):
        ranker.top(judged(logged), 5)


def test_candidates_of_any_ranker_may_be_padded(ranker):
    found = Ranker(ranker.model, requests())
    scores = found(np.array([3, 4]), np.array([[7, -1, 2], [1, 5, -1]], np.int32))
    assert np.isfinite(scores).all()


def test_trees_split_on_pairs():
    data = requests()
    teacher = GbdtTeacher.fit(
        SPEC,
        data.select(slice(200)),
        data.select(slice(200, 240)),
        rounds=30,
        threads=1,
    )
    evaluator = ListEvaluator(data.select(slice(200, 240)))
    assert evaluator.ranking(teacher.logits(evaluator.requests))["auc"] > 0.99


def test_a_stored_score_becomes_a_feature_of_pairs(tmp_path):
    data = dataclasses.replace(requests(), ids=np.arange(240))
    store = score_batches(
        data, lambda x: 2 * x["taste"], tmp_path, teacher_name="twice"
    )
    joined, coverage = join_requests(data, store, {"score": "twice"})
    assert coverage.missing == 0
    again = dataclasses.replace(
        data, pair_features={"twice": np.nan_to_num(joined.scores["twice"])}
    )
    listed = data.candidates >= 0
    np.testing.assert_allclose(
        again.pairs()["twice"], 2 * data.listed_pairs["taste"][listed]
    )


def test_a_student_without_pairs_learns_from_a_teacher_with_them(tmp_path):
    data = requests()
    parts = {"train": slice(160), "valid": slice(160, 200), "test": slice(200, 240)}
    train_part, valid, test = (data.select(part) for part in parts.values())
    problem = Problem(SPEC, train_part, ListEvaluator(valid), ListEvaluator(test))
    made = recipe(Dnn((8,)), epochs=2).changed(
        nets={"teacher": Net(Dnn((8,)), SPEC.names), "fine": Net(Dnn((4,)), WITHOUT)},
        transfers=(Transfer("soft", "teacher", "fine", SigmoidSoftLabel()),),
    )
    for way in ("joint", "frozen"):
        nets = train(
            made, problem, tmp_path / way, training=way, console=Console(quiet=True)
        )
        assert set(nets["fine"].model.input) == set(WITHOUT)
        assert nets["teacher"].metrics(problem.test)["auc"] > 0.9


def test_recall_refuses_pairs(tmp_path):
    made = recipe(Dnn((4,)))
    nets = {"recall": Net(TwoTower((4,), dim=4), SPEC.names, task="recall")}
    with pytest.raises(ValueError, match="no place"):
        made.changed(nets=nets).network(SPEC)


def test_a_measured_request_has_pairs_of_its_own_candidates():
    data = requests()
    found = request_of(data, 3, 20)
    listed = [item for item in data.candidates[3] if item >= 0]
    expected = [TASTE[3, listed[at % len(listed)]] for at in range(20)]
    assert found["taste"].tolist() == [expected]
    assert found["item_id"].shape == (1, 20)


def test_lists_that_recall_adds_have_the_values_of_their_user():
    data = requests(70)
    recalled = np.tile(np.arange(12, dtype=np.int32), (USERS, 1))
    both = with_recalled(data, recalled, width=6)
    for row in (0, 69, 70, 75, 189):
        user = both.group[row]
        items = np.maximum(both.candidates[row], 0)
        assert both.listed_pairs["taste"][row].tolist() == TASTE[user, items].tolist()
    logged = dataclasses.replace(
        data, pair_sources={}, pair_features=dict(data.listed_pairs)
    )
    with pytest.raises(ValueError, match=r"with_recalled needs .*\['taste'\]"):
        with_recalled(logged, recalled, width=6)


def test_nets_of_a_cascade_read_the_pairs_that_they_can():
    served = Feature("seen", "numeric", "pair", privileged=False)
    stages = [
        Feature(f"of {stage}", "numeric", "pair", shape=(2,), stage=stage)
        for stage in ("recall", "coarse")
    ]
    spec = FeatureSpec((*SPEC.features, served, *stages), SPEC.tables)
    nets = default_nets(spec)
    joint_network(spec, nets)
    read = {name: set(net.features) - set(WITHOUT) for name, net in nets.items()}
    assert read == {
        "teacher": {"taste", "seen", "of recall", "of coarse"},
        "recall": set(),
        "coarse": {"seen", "of recall"},
        "fine": {"seen", "of recall", "of coarse"},
    }
