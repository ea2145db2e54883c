"""Objectives over stages: values by loops, a gradient by differences, in a recipe."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.models import Dnn, Net
from tfdistill.study.recipe import Recipe
from tfdistill.trainers import Distiller
from tfdistill.zoo.stage_objectives import cascade_survival, next_stage_teaching

STAGES = {"recall": 4, "coarse": 3, "fine": 1}
MASK = np.array([[1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1]], bool)
LABELS = np.array([[1, 0, 0, 1, 0, 0], [0, 1, 0, 0, 1, 1]], "f")
SCORES = {
    name: np.random.default_rng(seed).normal(0, 2, MASK.shape).astype("f")
    for seed, name in enumerate(STAGES)
}


def softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def best(scores: np.ndarray, items: list[int], keep: int) -> list[int]:
    return sorted(items, key=lambda i: -scores[i])[:keep]


def by_loop(scores) -> dict[str, float]:
    """All terms of next-stage teaching, list by list and pair by pair."""
    found = {}
    names = list(STAGES)
    for this, after in zip(names, names[1:]):
        hard, squared, order = [], [], []
        for row, valid in enumerate(MASK):
            kept = list(np.flatnonzero(valid))
            for name in names[: names.index(after)]:
                kept = best(scores[name][row], kept, STAGES[name])
            z, z_next, y = scores[this][row], scores[after][row], LABELS[row]
            chosen = best(z_next, kept, STAGES[after])
            hard += [softplus(z_next[i]) - y[i] * z_next[i] for i in kept]
            squared += [(z[i] - z_next[i]) ** 2 for i in kept]
            pairs = [(i, j) for i in chosen for j in kept if j not in chosen]
            order.append(np.mean([softplus(z[j] - z[i]) for i, j in pairs]))
        found[f"{after}_on_kept"] = np.mean(hard)
        found[f"{this}_score"] = np.mean(squared)
        found[f"{this}_order"] = np.mean(order)
    return found


def passing_on() -> tf.keras.Model:
    """A network whose outputs are its inputs."""
    inputs = {name: tf.keras.Input([6], name=name) for name in STAGES}
    linear = tf.keras.layers.Activation("linear")
    return tf.keras.Model(inputs, {name: linear(x) for name, x in inputs.items()})


def run(objective):
    """The terms by name, and the gradient of their sum for each stage's scores."""
    distiller = Distiller(passing_on(), objective.transfers, derived=objective.derived)
    distiller.compile("sgd", loss={})
    z = {name: tf.constant(scores) for name, scores in SCORES.items()}
    x = {**z, "mask": tf.constant(MASK)}
    y, w = (dict.fromkeys(STAGES, tf.constant(v)) for v in (LABELS, MASK.astype("f")))
    with tf.GradientTape() as tape:
        tape.watch(z)
        total = distiller.compute_loss(x, y, z, w)
    slopes = tape.gradient(total, z, unconnected_gradients="zero")
    terms = {k: float(v) for k, v in distiller.get_metrics_result().items()}
    terms["loss"] = float(total)
    return terms, {k: g.numpy() for k, g in slopes.items()}


def test_next_stage_teaching_is_the_loop_over_lists_and_pairs():
    terms, slopes = run(next_stage_teaching(STAGES))
    expected = by_loop(SCORES)
    for name, value in expected.items():
        assert terms[f"transfer_{name}"] == pytest.approx(value, rel=1e-4)
    assert sum(expected.values()) == pytest.approx(terms["loss"], rel=1e-4)
    step = 1e-3
    for place in np.ndindex(MASK.shape):
        moved = [SCORES["recall"].astype("d") for _ in range(2)]
        moved[0][place] += step
        moved[1][place] -= step
        up, down = (sum(by_loop({**SCORES, "recall": z}).values()) for z in moved)
        assert slopes["recall"][place] == pytest.approx(
            (up - down) / (2 * step), abs=1e-3
        )


def test_a_stage_learns_nothing_from_the_one_before():
    """Only its labels move the last stage: hints are blocked."""
    _, slopes = run(next_stage_teaching(STAGES, hard=0.0))
    assert not np.any(slopes["fine"]) and np.any(slopes["coarse"])


@pytest.mark.parametrize(
    "relevant", [{"teacher": "fine", "topk": 2}, {"labels": "fine"}]
)
def test_survival_trains_all_stages_at_once(relevant):
    stages = {"recall": 4, "coarse": 3}
    terms, slopes = run(cascade_survival(stages, **relevant))
    assert terms["loss"] == pytest.approx(terms["transfer_survival"], rel=1e-6)
    wanted = LABELS > 0
    if "teacher" in relevant:
        scores = np.where(MASK, SCORES["fine"], -np.inf)
        wanted = np.argsort(np.argsort(-scores, 1), 1) < 2
    for name in stages:
        assert np.all(slopes[name][MASK & wanted] < slopes[name][MASK].max())
        np.testing.assert_allclose(slopes[name].sum(1), np.zeros(2), atol=1e-6)
    assert not np.any(slopes["fine"])


def test_a_recipe_takes_objectives_and_its_baseline_drops_them():
    net = Net(Dnn((4,)), ("age",))
    recipe = Recipe(dict.fromkeys(STAGES, net))
    taught = next_stage_teaching(STAGES).added_to(recipe)
    both = cascade_survival(STAGES, labels="fine").added_to(taught)
    assert list(both.terms.derived) == [
        "recall_kept",
        "coarse_kept",
        "fine_kept",
        "survival",
    ]
    assert len(both.terms.transfers) == 7
    assert both.only("coarse") == recipe.only("coarse")
    other = next_stage_teaching({**STAGES, "fine": 2}).added_to(recipe)
    same = recipe.changed(**vars(next_stage_teaching(STAGES)))
    assert other.identity()["derived"] != taught.identity()["derived"]
    assert same.identity() == taught.identity()


def test_chains_that_are_none_are_rejected():
    with pytest.raises(ValueError, match="none keeps more than the one before, got"):
        next_stage_teaching({"recall": 3, "fine": 4})
    with pytest.raises(ValueError, match="two stages or more"):
        cascade_survival({"fine": 3}, labels="fine")
    with pytest.raises(ValueError, match="teacher=None and labels=None"):
        cascade_survival(STAGES)
