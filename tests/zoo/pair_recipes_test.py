"""Recipes of a pair: each trains, counts sample weights, and blocks what it should."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

import numpy as np
import pytest
import tensorflow as tf
from zoo_fixture import SPEC, requests

from tfdistill import _keras
from tfdistill.data import RequestBatches
from tfdistill.losses import SigmoidCrossEntropy
from tfdistill.models import (
    AutoInt,
    CoarseTwoTower,
    DcnV2,
    Dnn,
    Mmoe,
    Net,
    Representation,
)
from tfdistill.study.evaluators import ListEvaluator
from tfdistill.study.problem import Problem
from tfdistill.study.recipe import Recipe
from tfdistill.study.ways import train
from tfdistill.teachers import GbdtTeacher
from tfdistill.trainers import Distiller
from tfdistill.zoo import (
    dual_dnn,
    ensemble_to_dnn,
    gbdt_to_dnn,
    multi_task,
    privileged_coarse,
    ranking_pair,
    rocket,
)
from tfdistill.zoo.ranking_pair import Pair

SERVED = SPEC.non_privileged().names
TEACHER = Net(DcnV2(1, (8, 6)), SPEC.names)
PAIR = Pair(TEACHER, Net(Dnn((6, 4)), SERVED))
COARSE = Net(CoarseTwoTower((5,), dim=3), ("age", "item_id"))
TASKS = ("click", "like")
TWO_TASKS = Pair(
    Net(Mmoe(TASKS, experts=2, units=(8,), tower=(6,)), SPEC.names),
    Net(Mmoe(TASKS, experts=1, units=(5,), tower=(4,)), SERVED),
)
SHARED = Representation(4, "relu")


def teacher(features):
    return {"score": 2.0 * features["price"]}


JOINT = {
    "joint": ranking_pair.joint(PAIR),
    "rocket": rocket.recipe(PAIR),
    "rocket, representation": rocket.recipe(PAIR, representation=SHARED),
    "rocket, blocked": rocket.recipe(PAIR, blocked=("fine",), representation=SHARED),
    "dual-DNN": dual_dnn.recipe(PAIR),
    "privileged": privileged_coarse.recipe(TEACHER, COARSE, warm_up=1),
    "multi-task": multi_task.recipe(TWO_TASKS, hard={"like": 0.7}),
}
OPEN = {
    "rocket, open": rocket.recipe(PAIR, teacher_gradient=True),
    "rocket, open, blocked": rocket.recipe(
        PAIR, teacher_gradient=True, blocked=("fine",)
    ),
}
UNDER_A_TEACHER = {
    "two stages": ranking_pair.two_stage(PAIR),
    "auxiliary head": ranking_pair.auxiliary_head(PAIR),
}
ALONE = {"alone": ranking_pair.alone(PAIR)}
UNLABELLED = {"unlabelled": ranking_pair.two_stage(PAIR, hard=0.0, unlabelled=4)}
RECIPES = {**JOINT, **OPEN, **UNDER_A_TEACHER, **ALONE}
EVERY = {**RECIPES, **UNLABELLED}


def small(recipe: Recipe, **changes: object) -> Recipe:
    return recipe.changed(epochs=2, batch_size=8, **changes)


def given(name: str):
    return teacher if name in {**UNDER_A_TEACHER, **UNLABELLED} else None


@pytest.mark.parametrize("name", EVERY)
def test_a_recipe_trains_every_net(name, tmp_path):
    recipe, part = small(EVERY[name]), requests()
    evaluator = ListEvaluator(part)
    trained = train(
        recipe, Problem(SPEC, part, evaluator, evaluator), tmp_path, teacher=given(name)
    )
    assert set(trained) == set(recipe.nets)
    tf.keras.utils.set_random_seed(0)
    start = recipe.network(SPEC)
    for net, result in trained.items():
        before = evaluator.logits(start.part(net))
        after = evaluator.logits(result.models[net])
        assert set(after) == set(recipe.nets[net].scores(net))
        for output, logits in after.items():
            assert np.isfinite(logits).all()
            assert np.abs(logits - before[output]).max() > 1e-3
    history = next(iter(trained.values())).history
    for transfer in recipe.terms.transfers:
        assert min(history[f"transfer_{transfer.name}"]) > 0
    assert all(np.isfinite(values).all() for values in history.values())


def loss_of(recipe: Recipe, part, hard: Collection[str], foreign=None):
    """The network's loss with the hard losses of some outputs, and its gradients."""
    tf.keras.utils.set_random_seed(1)
    network = recipe.network(SPEC)
    always = [dataclasses.replace(t, weight=1.0) for t in recipe.terms.transfers]
    distiller = Distiller(network.model, always, teacher=foreign)
    losses = {output: SigmoidCrossEntropy() for output in hard}
    distiller.compile("sgd", loss=losses or None)
    batches = RequestBatches(
        part, batch_size=8, negatives=recipe.schedule.negatives, outputs=recipe.labelled
    )
    x, y, w = next(iter(batches()))
    with tf.GradientTape() as tape:
        loss = distiller.compute_loss(x, y, distiller(x, training=True), w)
    weights = {
        _keras.path_of(weight): _keras.tf_variable(weight)
        for weight in network.model.trainable_weights
    }
    found = tape.gradient(
        loss, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO
    )
    return float(loss), {n: tf.convert_to_tensor(g).numpy() for n, g in found.items()}


@pytest.mark.parametrize("name", RECIPES)
def test_twice_the_weight_is_twice_the_loss_of_labels_and_transfers(name):
    recipe, part = RECIPES[name], requests()
    weights = np.random.default_rng(3).uniform(0.5, 2, part.labels.shape)
    once, twice = (
        dataclasses.replace(part, weights=(factor * weights).astype(np.float32))
        for factor in (1, 2)
    )
    for hard in [recipe.labelled, ()] if recipe.terms.transfers else [recipe.labelled]:
        expected, found = (
            loss_of(recipe, p, hard, given(name))[0] for p in (once, twice)
        )
        assert found == pytest.approx(2 * expected, rel=1e-5) and expected > 0


def test_a_transfer_needs_no_labels_and_drawn_pairs_no_weights():
    recipe, part = UNLABELLED["unlabelled"], requests()
    listed = recipe.changed(negatives=0)
    bare = dataclasses.replace(part, labels=np.full_like(part.labels, np.nan))
    found, expected = (loss_of(recipe, p, (), teacher)[0] for p in (bare, part))
    assert found == expected
    light = dataclasses.replace(part, weights=np.zeros_like(part.labels))
    assert loss_of(listed, light, (), teacher)[0] == 0
    assert loss_of(recipe, light, (), teacher)[0] > 0


def reached(recipe: Recipe, hard: Collection[str]) -> set[str]:
    """Parts of the network with a gradient that is not exactly zero everywhere."""
    _, gradients = loss_of(recipe, requests(), hard)
    parts = ("teacher", "embeddings", "representation")
    return {
        next((part for part in parts if name.startswith(part)), "student")
        for name, gradient in gradients.items()
        if (gradient != 0).any()
    }


SHARED_PARTS = {
    "joint": {"embeddings"},
    "rocket": {"embeddings"},
    "rocket, representation": {"embeddings", "representation"},
    "rocket, blocked": set(),
    "dual-DNN": set(),
    "privileged": {"embeddings"},
    "multi-task": {"embeddings"},
}


@pytest.mark.parametrize("name", JOINT)
def test_what_the_student_learns_from_is_exactly_zero_for_the_booster(name):
    """Hints and the student's labels; behind a block the shared layers too."""
    recipe = JOINT[name]
    student = [output for output in recipe.labelled if "teacher" not in output]
    assert reached(recipe, ()) == {"student", *SHARED_PARTS[name]}
    assert reached(recipe, student) == {"student", *SHARED_PARTS[name]}
    shared = {"representation"} if recipe.sharing.representation else set()
    everything = {"student", "teacher", "embeddings", *shared}
    assert reached(recipe, recipe.labelled) == everything


@pytest.mark.parametrize("name", OPEN)
def test_without_the_block_the_hint_trains_the_booster(name):
    """Its own tables too: the light net's share of that gradient stays blocked."""
    assert reached(OPEN[name], ()) == {"student", "teacher", "embeddings"}


def test_fine_tuning_starts_at_the_students_weights_and_keeps_its_tables(tmp_path):
    recipe, part = small(dual_dnn.recipe(PAIR)), requests()
    evaluator = ListEvaluator(part)
    nets = train(recipe, Problem(SPEC, part, evaluator, evaluator), tmp_path / "joint")
    start = {"fine": nets["fine"]}
    tuned = small(dual_dnn.fine_tuned(recipe))
    assert tuned.schedule.learning_rate == recipe.schedule.learning_rate / 4
    window = requests(seed=1)
    last = train(
        tuned,
        Problem(SPEC, window, evaluator, evaluator),
        tmp_path / "tuned",
        start=start,
    )
    before, after = (n["fine"].models["fine"].weights for n in (start, last))
    moved = {
        _keras.path_of(a): (a.numpy() != b.numpy()).any() for a, b in zip(before, after)
    }
    assert not moved.pop("embeddings/width_4")
    assert moved["fine_folded/item_kernel"]
    assert any(moves for name, moves in moved.items() if "representation" in name)


@pytest.mark.parametrize(
    ("pair", "options", "message"),
    [
        (PAIR, {}, r"student has the tasks \[\]"),
        (
            dataclasses.replace(TWO_TASKS, teacher=Net(Mmoe(("click",)), SERVED)),
            {},
            r"\['like'\] must be tasks of both",
        ),
        (TWO_TASKS, {"soft": {"lik": 1.0}}, r"\['lik'\] must be tasks"),
        (TWO_TASKS, {"hard": {"lik": 1.0}}, r"\['lik'\] must be tasks"),
    ],
)
def test_tasks_that_do_not_fit_are_refused(pair, options, message):
    with pytest.raises(ValueError, match=message):
        multi_task.recipe(pair, **options)


def test_a_student_may_learn_some_of_the_tasks():
    fine = Net(Mmoe(("like",), experts=1, units=(5,), tower=(4,)), SERVED)
    pair = dataclasses.replace(multi_task.default_pair(SPEC, TASKS), fine=fine)
    recipe = multi_task.recipe(pair, soft={"like": 0.5}, hard={"like": 0.0})
    assert [(t.source, t.target, t.weight) for t in recipe.terms.transfers] == [
        ("teacher_like", "fine_like", 0.5)
    ]
    assert recipe.terms.loss_weights == {"fine_like": 0.0}
    assert "dwell" in pair.teacher.features and "dwell" not in fine.features


TEACHERS = {"dcn": DcnV2(1, (8,)), "autoint": AutoInt(1, 1, 4, (8,))}


def test_an_ensemble_teaches_by_its_mean_or_by_a_trained_gate(tmp_path):
    student, part, window = small(ranking_pair.two_stage(PAIR)), requests(), requests(1)
    evaluator = ListEvaluator(part)
    problem = Problem(SPEC, part, evaluator, evaluator)
    taught = {
        name: small(recipe)
        for name, recipe in ensemble_to_dnn.teachers(PAIR, TEACHERS).items()
    }
    found = {}
    for name, gate_on in (("mean", None), ("gate", window)):
        nets = ensemble_to_dnn.run(student, taught, problem, tmp_path, gate_on=gate_on)
        assert set(nets) == {"ensemble", "fine", *TEACHERS}
        logits = {
            net: evaluator.logits(result.models[net])[net]
            for net, result in nets.items()
        }
        mean = np.mean([logits[net] for net in TEACHERS], axis=0)
        found[name] = {**logits, "gap": np.abs(logits["ensemble"] - mean).max()}
        (tmp_path / "student").rename(tmp_path / name)
    assert found["mean"]["gap"] < 1e-6 < 1e-5 < found["gate"]["gap"]
    for net in TEACHERS:  # the second run reads what the first one trained
        np.testing.assert_array_equal(found["mean"][net], found["gate"][net])
    assert len(nets["ensemble"].history["loss"]) == student.schedule.epochs
    assert (found["mean"]["fine"] != found["gate"]["fine"]).any()


def test_teachers_of_an_ensemble_need_names_and_a_net_each(tmp_path):
    student, evaluator = ranking_pair.two_stage(PAIR), ListEvaluator(requests())
    bad = {"fine": ranking_pair.teacher(PAIR), "both": ranking_pair.joint(PAIR)}
    with pytest.raises(ValueError, match=r"\['fine'\] are taken and \['both'\] have"):
        problem = Problem(SPEC, requests(), evaluator, evaluator)
        ensemble_to_dnn.run(student, bad, problem, tmp_path)
    assert not list(tmp_path.iterdir())


def test_scored_by_another_model_the_student_follows_it(tmp_path):
    """Without labels, and of features that the student does not read."""
    part = requests(size=60)
    evaluator = ListEvaluator(part)

    def trees(pairs):
        return 2 * pairs["price"] + pairs["dwell"]

    recipe = ranking_pair.two_stage(PAIR, hard=0.0, stored="trees")
    recipe = recipe.changed(epochs=30, batch_size=8, learning_rate=0.01)
    scored = part.with_scores({"trees": trees})
    nets = train(recipe, Problem(SPEC, scored, evaluator, evaluator), tmp_path)
    listed = scored.scores["trees"]
    logits = evaluator.logits(nets["fine"].models["fine"])["fine"]
    assert np.corrcoef(logits.ravel(), listed.ravel())[0, 1] > 0.8


def test_boosted_trees_teach_a_student(tmp_path):
    pytest.importorskip("lightgbm")
    part, valid = requests(size=60), requests(1)
    trees = GbdtTeacher.fit(SPEC, part, valid, rounds=5, threads=1)
    recipe = small(ranking_pair.two_stage(PAIR, stored="trees"))
    evaluator, scored = ListEvaluator(valid), part.with_scores({"trees": trees})
    nets = train(recipe, Problem(SPEC, scored, evaluator, evaluator), tmp_path)
    assert min(nets["fine"].history["transfer_fine_soft"]) > 0


@pytest.mark.parametrize("name", ["lr", "fm"])
def test_the_incumbents_of_a_pair_train_on_its_students_features(name, tmp_path):
    recipe, part = small(gbdt_to_dnn.incumbents(PAIR)[name]), requests()
    assert recipe.nets[name].features == SERVED
    trained = train(
        recipe, Problem(SPEC, part, ListEvaluator(part), ListEvaluator(part)), tmp_path
    )
    assert np.isfinite(trained[name].history["loss"]).all()
