"""What chooses the epoch where a metric is undefined, and known before a training."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tfdistill.data import Requests
from tfdistill.models import Dnn, Net, TwoTower
from tfdistill.pairs import Pairs
from tfdistill.spec import Feature, FeatureSpec, Table
from tfdistill.study.evaluators import CatalogueEvaluator, ListEvaluator
from tfdistill.study.problem import Problem
from tfdistill.study.recipe import Recipe, Schedule
from tfdistill.study.validation import measurable
from tfdistill.study.ways import train

SPEC = FeatureSpec(
    (
        Feature("age", "numeric", "user"),
        Feature("item", "categorical", "item", table="item"),
        Feature("price", "numeric", "item"),
    ),
    (Table("item", 4, size=30),),
)
ONE = Recipe(
    {"fine": Net(Dnn((8,)), SPEC.names)},
    schedule=Schedule(epochs=4, batch_size=8, negatives=0),
)


def alone(part: Requests) -> Requests:
    """Each list cut to its first item, of a user of its own."""
    return dataclasses.replace(
        part,
        candidates=part.candidates[:, :1],
        labels=part.labels[:, :1],
        group=np.arange(part.num_requests),
    )


def labelled(part: Requests, labels) -> Requests:
    return dataclasses.replace(part, labels=np.asarray(labels, np.float32))


def made(size: int = 24) -> Requests:
    rng = np.random.default_rng(0)
    return Requests(
        users={"age": rng.normal(size=size).astype(np.float32)},
        items={"item": np.arange(30), "price": np.linspace(-1, 1, 30, dtype="f4")},
        candidates=rng.integers(0, 30, (size, 5)).astype(np.int32),
        labels=rng.integers(0, 2, (size, 5)).astype(np.float32),
        group=np.arange(size) % 6,
    )


PART = made()
BY_ROW = np.broadcast_to(PART.group[:, np.newaxis] % 2, PART.labels.shape)


@pytest.mark.parametrize(
    ("part", "chosen"),
    [
        (PART, "gauc"),
        (alone(PART), "auc"),
        (labelled(PART, BY_ROW), "auc"),
        (labelled(PART, np.where(BY_ROW == 1, np.nan, PART.labels)), "gauc"),
        (labelled(PART, np.ones_like(PART.labels)), "log_loss"),
        (labelled(PART, np.zeros_like(PART.labels)), "log_loss"),
        (labelled(PART.select([0]), [[1, np.nan, np.nan, np.nan, np.nan]]), "log_loss"),
    ],
)
def test_the_metric_is_one_that_the_lists_define(part, chosen):
    evaluator = ListEvaluator(part)
    recipe = measurable(ONE, evaluator)
    assert recipe.schedule.chosen_by == chosen
    assert recipe == measurable(recipe, evaluator)
    scores = np.random.default_rng(0).normal(size=part.labels.shape)
    assert not np.isnan(evaluator.ranking(scores)[chosen])


def test_a_metric_that_was_asked_for_stays_where_it_is_defined():
    recipe = ONE.changed(chosen_by="ndcg@10")
    assert measurable(recipe, ListEvaluator(PART)).schedule.chosen_by == "ndcg@10"
    everything = labelled(PART, np.zeros_like(PART.labels))
    assert (
        measurable(recipe, ListEvaluator(everything)).schedule.chosen_by == "log_loss"
    )


def test_the_best_epoch_has_the_lowest_log_loss(tmp_path):
    evaluator = ListEvaluator(labelled(PART, np.zeros_like(PART.labels)))
    net = train(
        ONE.changed(learning_rate=0.3),
        Problem(SPEC, PART, evaluator, evaluator),
        tmp_path,
    )["fine"]
    logits = evaluator.logits(net.models["fine"])["fine"]
    history = net.history["val_fine_log_loss"]
    assert max(history) - min(history) > 0.01
    np.testing.assert_allclose(
        evaluator.ranking(logits)["log_loss"], min(history), rtol=1e-5
    )


def test_the_best_epoch_has_the_highest_auc(tmp_path):
    evaluator = ListEvaluator(alone(PART))
    net = train(
        ONE.changed(learning_rate=0.1),
        Problem(SPEC, PART, evaluator, evaluator),
        tmp_path,
    )["fine"]
    logits = evaluator.logits(net.models["fine"])["fine"]
    np.testing.assert_allclose(
        evaluator.ranking(logits)["auc"], max(net.history["val_fine_auc"])
    )


def refused(recipe, evaluator, message, folder):
    with pytest.raises(ValueError, match=message):
        train(recipe, Problem(SPEC, PART, evaluator, evaluator), folder)
    assert not folder.exists()


def test_validation_without_a_label_is_refused_before_training(tmp_path):
    nothing = labelled(PART, np.full_like(PART.labels, np.nan))
    refused(ONE, ListEvaluator(nothing), "have no label", tmp_path / "run")


def test_grades_choose_the_epoch_by_their_gain():
    """Where a loss of lists is learned: log loss takes none."""
    evaluator = ListEvaluator(labelled(PART, PART.labels * 2))
    recipe = ONE.changed(loss_weights={"fine": 0.0})
    assert measurable(recipe, evaluator).schedule.chosen_by == "ndcg@10"


def test_labels_that_no_metric_takes_are_refused_before_training(tmp_path):
    strange = labelled(PART, PART.labels * 3)
    refused(ONE, ListEvaluator(strange), "must be 0 or 1", tmp_path / "run")


def test_recall_without_a_relevant_item_is_refused_before_training(tmp_path):
    recipe = Recipe(
        {"recall": Net(TwoTower((4,), 4), SPEC.names, task="recall")},
        schedule=Schedule(negatives=0, epochs=1),
    )
    nothing = labelled(PART, np.zeros_like(PART.labels))
    evaluator = CatalogueEvaluator(nothing, Pairs([0], [0], 30), np.zeros(30, bool))
    refused(recipe, evaluator, "no user of the validation part", tmp_path / "run")
