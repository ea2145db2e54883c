"""The programs that a user writes first, on data of no public set."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from rich.console import Console

import tfdistill as td

QUIET = Console(quiet=True)
ITEMS = 40


@pytest.fixture(scope="module")
def impressions(tmp_path_factory):
    """A shop: who likes cheap things clicks on them; the dwell time tells more."""
    rng = np.random.default_rng(0)
    rows = []
    for visit in range(400):
        user = visit % 50
        for item in rng.permutation(ITEMS)[:6]:
            taste = 2.0 * ((item + user) % 5 == 0) - 0.1 * (item % 7)
            click = rng.random() < 1 / (1 + np.exp(0.5 - 2 * taste))
            rows.append(
                (
                    f"v{visit:03}",
                    f"u{user}",
                    user % 5,
                    f"sku-{item}",
                    float(item % 7),
                    taste + rng.normal(),
                    int(click),
                    visit,
                )
            )
    names = "visit user segment sku price dwell click at".split()
    path = tmp_path_factory.mktemp("shop") / "mine.parquet"
    pd.DataFrame(rows, columns=names).to_parquet(path)
    return path


SPEC = td.FeatureSpec(
    (
        td.Feature("user", "categorical", "user", table="user", dtype="string"),
        td.Feature("segment", "categorical", "user", table="segment"),
        td.Feature("sku", "categorical", "item", table="sku", dtype="string"),
        td.Feature("price", "numeric", "item", mean=3.0, scale=2.0),
    ),
    (
        td.Table("user", 8, "hash", size=100),
        td.Table("segment", 4, size=5),
        td.Table("sku", 8, "hash", size=200),
    ),
)


@pytest.fixture(scope="module")
def problem(impressions):
    return td.Problem.from_impressions(
        impressions,
        SPEC,
        request="visit",
        label="click",
        item="sku",
        user="user",
        time="at",
    )


def small(recipe, epochs=2, batch_size=32):
    return recipe.changed(epochs=epochs, batch_size=batch_size, candidates=None)


def test_an_existing_teacher_into_an_existing_student():
    x = tf.random.stateless_normal([256, 4], seed=[0, 1])
    data = tf.data.Dataset.from_tensor_slices((x, x[:, 0] > 0)).batch(32)
    teacher = tf.keras.Sequential([tf.keras.layers.Dense(1, "sigmoid")])
    teacher(x)
    student = tf.keras.Sequential([tf.keras.layers.Dense(1, "sigmoid")])

    student = td.distill(
        student,
        teacher,
        data,
        loss="binary_crossentropy",
        soft=1.0,
        epochs=60,
        optimizer=tf.keras.optimizers.Adam(0.05),
        verbose=0,
    )

    np.testing.assert_allclose(student(x), teacher(x), atol=0.02)


@pytest.mark.parametrize("training", ["joint", "frozen", "distilled", "independent"])
def test_a_cascade_of_impressions_in_any_way(problem, tmp_path, training):
    nets = td.train(
        small(td.zoo.cascade(problem.spec)),
        problem,
        tmp_path / "run",
        training=training,
        console=QUIET,
    )
    students = ["recall", "coarse", "fine"]
    taught = training != "independent"
    assert set(nets) == {*students, *(["teacher"] if taught else [])}
    page = nets.cascade(recall=30, coarse=20, page=10)
    found = td.evaluate({**nets, "page": page}, problem.test)
    assert 0 <= found["page"]["ndcg@10"] <= 1 and 0 < found["fine"]["auc"] < 1
    assert "recall@50" in found["recall"]


def test_a_cascade_is_published_as_one_model(problem, tmp_path):
    nets = td.train(
        small(td.zoo.cascade(problem.spec), 1),
        problem,
        tmp_path / "run",
        console=QUIET,
    )
    td.publish(nets["fine"], tmp_path / "serving/fine")
    td.publish(nets["recall"], tmp_path / "serving/recall", catalogue=problem.items)
    page = nets.cascade(recall=30, coarse=20, page=5)
    report = td.publish(page, tmp_path / "serving/page", catalogue=problem.items)
    served = tf.saved_model.load(report.path).signatures["serving_default"]
    first = problem.test.first[:1]
    users = {k: tf.constant(v[first]) for k, v in problem.test.requests.users.items()}
    answer = served(**users)
    shown = [sku.decode() for sku in answer["ids"].numpy()[0]]
    assert len(set(shown)) == 5 and set(shown) <= {f"sku-{n}" for n in range(ITEMS)}


def test_a_cascade_of_nets_that_were_trained_apart_is_published_too(problem, tmp_path):
    """Its rankers read features that its recall net does not."""
    recipe = td.zoo.cascade(problem.spec)
    ids = dataclasses.replace(recipe.nets["recall"], features=("user", "sku"))
    recipe = recipe.changed(nets={**recipe.nets, "recall": ids})
    nets = td.train(
        small(recipe, 1),
        problem,
        tmp_path / "run",
        training="independent",
        console=QUIET,
    )
    page = nets.cascade(recall=30, coarse=20, page=5)
    report = td.publish(page, tmp_path / "page", catalogue=problem.items)
    served = tf.saved_model.load(report.path).signatures["serving_default"]
    assert set(served.structured_input_signature[1]) == {"user", "segment"}


def test_recall_from_the_lists_of_a_strong_teacher(tmp_path):
    rng = np.random.default_rng(1)
    rows = [
        (f"u{user}", f"film {item}", at)
        for user in range(120)
        for at, item in enumerate(rng.permutation(30)[:10] * 4 + user % 4)
    ]
    clicks = pd.DataFrame(rows, columns=["who", "what", "when"])
    clicks.to_csv(tmp_path / "clicks.csv", index=False)

    problem = td.Problem.from_interactions(
        tmp_path / "clicks.csv", user="who", item="what", time="when", dim=8
    )
    ease = td.teachers.Ease.tuned(problem.interactions)
    form = "point-wise"
    recipe = small(td.zoo.list_student(ease.lists(60), form), 3, batch_size=16)
    nets = td.train(recipe, problem, tmp_path / "run", console=QUIET)
    found = td.evaluate({**nets, "EASE": ease}, problem.test)

    assert set(found) == {"recall", "EASE"}
    assert found["recall"]["recall@50"] > 0.5  # chance: 0.42
    served = td.publish(nets["recall"], tmp_path / "serving", catalogue=problem.items)
    top = tf.saved_model.load(served.path).signatures["serving_default"]
    ids = top(user_id=tf.constant(["u5"]))["ids"].numpy()
    assert ids[0, 0].startswith(b"film ")
