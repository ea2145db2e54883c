"""A ranker that reads how candidates stand with the stage before it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from rich.console import Console

from tfdistill.data import FoldedPairs, Requests
from tfdistill.layers.standing import standing
from tfdistill.models import CoarseTwoTower, Dnn, Net, TwoTower, joint_network
from tfdistill.pairs import Pairs
from tfdistill.spec import Feature, FeatureSpec, Table
from tfdistill.study.evaluators import CatalogueEvaluator
from tfdistill.study.nets import Cascade, Nets
from tfdistill.study.problem import Problem
from tfdistill.study.recipe import Recipe
from tfdistill.study.trained import taken_out
from tfdistill.study.ways import train

USERS, ITEMS = 30, 40
SPEC = FeatureSpec(
    (
        Feature("user", "categorical", "user", table="user"),
        Feature("item", "categorical", "item", table="item"),
        Feature("stood", "numeric", "pair", shape=(2,), stage="recall"),
        Feature("coarsely", "numeric", "pair", shape=(2,), stage="coarse"),
    ),
    (Table("user", 8, size=USERS), Table("item", 8, size=ITEMS)),
)


def requests(size=90) -> Requests:
    rng = np.random.default_rng(0)
    candidates = np.argsort(rng.random((size, ITEMS)), 1)[:, :6].astype(np.int32)
    user = np.arange(size) % USERS
    return Requests(
        {"user": user},
        {"item": np.arange(ITEMS)},
        candidates,
        ((candidates + user[:, np.newaxis]) % 3 == 0).astype(np.float32),
        user,
    )


def net(name, architecture, features, task="ranking"):
    tf.keras.utils.set_random_seed(len(name))
    made = joint_network(SPEC, {name: Net(architecture, features, task=task)})
    for weight in made.model.trainable_weights:
        weight.assign_add(tf.random.normal(weight.shape, stddev=0.5))
    return taken_out(made, name, SPEC, {})


@pytest.fixture(scope="module")
def nets() -> Nets:
    made = {
        "retrieval": net("retrieval", TwoTower((), 8), ("user", "item"), "recall"),
        "coarse": net("coarse", CoarseTwoTower((), 4, 3), ("user", "item", "stood")),
        "fine": net("fine", Dnn((5,)), ("user", "item", "stood", "coarsely")),
    }
    return Nets(made)


@pytest.fixture(scope="module")
def evaluator() -> CatalogueEvaluator:
    data = requests().select(np.arange(45, 90))
    rng = np.random.default_rng(3)
    seen = Pairs(rng.integers(0, USERS, 90), rng.integers(0, ITEMS, 90), ITEMS)
    return CatalogueEvaluator(data, seen, np.arange(ITEMS) < 5)


def by_hand(nets, evaluator, keep):
    """Each stage's rows, one user at a time, from vectors and Keras models."""
    recall = nets["retrieval"].models
    vectors = recall["item"]({"item": np.arange(ITEMS)[np.newaxis]})
    (vectors,) = (x.numpy()[0] for x in vectors.values())
    kept = {"recall": [], "coarse": [], "fine": []}
    for row in evaluator.first:
        user = evaluator.requests.group[row]
        (query,) = (
            x.numpy()[0] for x in recall["query"]({"user": np.array([user])}).values()
        )
        scores = vectors @ query
        seen = evaluator.before.item[evaluator.before.user == user]
        order = [i for i in np.argsort(-scores, kind="stable") if i not in seen]
        kept["recall"].append(order[: keep[0]])
        values = {}
        for stage, size in zip(("coarse", "fine"), keep[1:]):
            rows = kept["coarse" if stage == "fine" else "recall"][-1]
            last = kept["recall"][-1] if stage == "coarse" else rows
            name = "stood" if stage == "coarse" else "coarsely"
            values[name] = (scores, np.array([scores[i] for i in last]))
            features = {"user": np.array([user]), "item": np.array([rows])}
            for feature, (own, passed) in values.items():
                features[feature] = standing(
                    tf.constant(own[rows][np.newaxis], tf.float32),
                    tf.constant(passed[np.newaxis], tf.float32),
                ).numpy()
            model = nets[stage].model
            (found,) = model({k: features[k] for k in model.input}).values()
            found = found.numpy()[0]
            best = np.argsort(-found, kind="stable")[:size]
            kept[stage].append([rows[place] for place in best])
            scores = np.full(ITEMS, np.nan)
            scores[rows] = found
            if stage == "coarse":
                values = {"stood": values["stood"]}
    return kept


def test_a_cascade_hands_scores_on(nets, evaluator):
    keep = (17, 8, 4)
    found = Cascade(dict(nets), keep).kept(evaluator)
    expected = by_hand(nets, evaluator, keep)
    for stage, rows in expected.items():
        assert found[stage].tolist() == rows, stage


def test_candidates_of_requests_know_how_they_stand(nets):
    data, seen = requests(), Pairs([0, 0, 7], [3, 4, 5], ITEMS)
    scored = Cascade({"retrieval": nets["retrieval"]}, (12,)).scored(
        data, seen.among(data.group)
    )
    assert set(scored.listed_pairs) == {"stood"}
    ranker = nets["retrieval"].ranker(data)
    for row in (0, 7, 30, 88):
        scores = ranker.catalogue(np.array([row]))[0]
        user = data.group[row]
        known = seen.item[seen.user == user]
        passed = sorted((s for i, s in enumerate(scores) if i not in known))[::-1][:12]
        expected = standing(
            tf.constant(scores[data.candidates[row]][np.newaxis], tf.float32),
            tf.constant([passed], tf.float32),
        )
        found = scored.listed_pairs["stood"][row]
        np.testing.assert_allclose(found, expected[0], atol=1e-4)


def test_out_of_fold_each_request_asks_its_own_net(nets):
    data = requests()
    other = net("others", TwoTower((), 8), ("user", "item"), "recall")
    each = [
        Cascade({"recall": one}, (9,)).scored(data)
        for one in (nets["retrieval"], other)
    ]
    fold = np.arange(90) // 45
    source = FoldedPairs(fold, [one.pair_sources["stood"] for one in each])
    joined = data.with_pair_sources({"stood": source})
    for row in (3, 44, 45, 80):
        np.testing.assert_allclose(
            joined.listed_pairs["stood"][row],
            each[fold[row]].listed_pairs["stood"][row],
            atol=1e-5,
        )


def knowing():
    """A recall net whose product is high where the label is 1."""
    made = net("recall", TwoTower((), None), ("user", "item"), "recall")
    for tower, sign in (("query", -1), ("item", 1)):
        (layer,) = (x for x in made.models[tower].layers if hasattr(x, "tables"))
        name = "user" if tower == "query" else "item"
        values = np.arange(USERS if tower == "query" else ITEMS)
        rows = layer.rows(SPEC[name], tf.constant(values)).numpy()
        table = layer.tables["8"].numpy()
        table[rows] = np.eye(8)[sign * values % 3] + 0.01 * table[rows]
        layer.tables["8"].assign(table)
    return made


def test_a_ranker_learns_from_the_stage_before(tmp_path):
    data, quiet = requests(240), Console(quiet=True)
    cuts = (slice(150), slice(150, 195), slice(195, 240))
    first, *later = (data.select(cut) for cut in cuts)
    known = first.positives()
    evaluators = [
        CatalogueEvaluator(part, known, np.arange(ITEMS) < 5) for part in later
    ]
    problem = Problem(SPEC, first, *evaluators, known=known, item_ids=np.arange(ITEMS))
    recall = knowing()
    taught = Cascade({"recall": recall}, (20,)).before(problem)
    assert taught.valid.requests.listed_pairs["stood"].shape == (45, 6, 2)
    found = {}
    for features in (("item", "stood"), ("item",)):
        recipe = Recipe({"fine": Net(Dnn((8,)), features)}).changed(
            epochs=8,
            batch_size=16,
            negatives=5,
            learning_rate=0.02,
        )
        nets = train(recipe, taught, tmp_path / features[-1], console=quiet)
        found[features] = nets["fine"]
    judged = [net.metrics(taught.test)["auc"] for net in found.values()]
    assert judged[0] > 0.95 > 0.7 > judged[1]
    cascade = Cascade({"recall": recall, "fine": found["item", "stood"]}, (20, 5))
    for one, other in zip(
        cascade.kept(problem.test).values(), cascade.kept(taught.test).values()
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "change",
    [{"kind": "categorical", "table": "item"}, {"scope": "item"}, {"shape": ()}],
)
def test_the_score_of_a_stage_is_two_numbers_of_a_pair(change):
    given = {"kind": "numeric", "scope": "pair", "shape": (2,), **change}
    with pytest.raises(ValueError, match="the score of a stage is"):
        Feature("stood", stage="recall", **given)


def test_the_score_of_a_stage_exists_when_serving():
    assert not SPEC["stood"].privileged
    assert dataclasses.replace(SPEC["stood"], privileged=True).privileged
    assert FeatureSpec.from_json(SPEC.to_json()) == SPEC
