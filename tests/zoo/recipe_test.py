"""Recipes: several tasks, a second head, and fine-tuning from trained weights."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf
from zoo_fixture import SPEC, requests

from tfdistill import _keras
from tfdistill.losses import LogitMSE
from tfdistill.models import Dnn, Net, NetInputs
from tfdistill.study.evaluators import ListEvaluator
from tfdistill.study.problem import Problem
from tfdistill.study.recipe import Recipe, Schedule
from tfdistill.study.ways import train
from tfdistill.trainers import Transfer

SERVED = SPEC.non_privileged().names


@dataclasses.dataclass(frozen=True)
class TwoHeads:
    """A net with a logit for each of two tasks."""

    tasks: tuple[str, ...] = ("click", "like")

    def __call__(self, inputs: NetInputs, *, name: str) -> dict[str, tf.Tensor]:
        outputs = {}
        for task in self.tasks:
            outputs.update(Dnn((4,))(inputs, name=f"{name}_{task}"))
        return outputs


ONE = Recipe(
    {"fine": Net(Dnn((8,)), SERVED)},
    schedule=Schedule(epochs=2, batch_size=8, negatives=0),
)


def test_each_task_has_its_labels_and_its_output(tmp_path):
    recipe = ONE.changed(
        nets={"fine": Net(TwoHeads(), SERVED)},
        epochs=30,
        learning_rate=0.02,
        loss_weights={"fine_like": 2.0},
    )
    assert recipe.labelled == {"fine_click": "click", "fine_like": "like"}
    part = requests()
    evaluator = ListEvaluator(part)
    trained = train(recipe, Problem(SPEC, part, evaluator, evaluator), tmp_path)["fine"]
    logits = evaluator.logits(trained.models["fine"])
    right = {
        task: evaluator.ranking(logits[f"fine_{task}"], task)["auc"]
        for task in ("click", "like")
    }
    wrong = evaluator.ranking(logits["fine_click"], "like")["auc"]
    assert min(right.values()) > 0.75 and wrong < 0.25
    gauc = [
        evaluator.ranking(logits[f"fine_{task}"], task)["gauc"]
        for task in ("click", "like")
    ]
    chosen = max(trained.history["val_fine_gauc"])
    assert chosen == pytest.approx(np.mean(gauc), abs=1e-6)


def test_fine_tuning_starts_at_the_trained_net_and_can_freeze_its_tables(tmp_path):
    part = requests()
    evaluator = ListEvaluator(part)
    first = train(ONE, Problem(SPEC, part, evaluator, evaluator), tmp_path / "first")
    model = first["fine"].models["fine"]
    still = ONE.changed(learning_rate=0.0, epochs=1)
    same = train(
        still,
        Problem(SPEC, part, evaluator, evaluator),
        tmp_path / "same",
        start=first,
        seed=7,
    )
    expected = evaluator.logits(model)["fine"]
    found = evaluator.logits(same["fine"].models["fine"])["fine"]
    np.testing.assert_array_equal(found, expected)
    window = requests(seed=1)
    tuned = ONE.changed(frozen_tables=True, epochs=1)
    moved = train(
        tuned,
        Problem(SPEC, window, evaluator, evaluator),
        tmp_path / "tuned",
        start=first,
    )
    pairs = zip(model.weights, moved["fine"].models["fine"].weights)
    changed = {
        _keras.path_of(a): bool((a.numpy() != b.numpy()).any()) for a, b in pairs
    }
    assert {n: moves for n, moves in changed.items() if "width_" in n} == {
        "embeddings/width_4": False
    }
    assert changed["fine_folded/item_kernel"]


def test_a_net_that_the_recipe_lacks_is_no_start(tmp_path):
    part = requests()
    with pytest.raises(ValueError, match=r"\['coarse'\] .* none of the recipe's \['fi"):
        train(
            ONE,
            Problem(SPEC, part, ListEvaluator(part), ListEvaluator(part)),
            tmp_path,
            start={"coarse": None},
        )


def test_a_run_is_identified_by_all_of_its_transfers():
    soft = Transfer("soft", "score", "fine", LogitMSE(), mask="mask")
    decay = tf.keras.optimizers.schedules.ExponentialDecay
    others = [
        dataclasses.replace(soft, **change)
        for change in (
            {"mask": None},
            {"weights": "pair_weight"},
            {"weight": 0.5},
            {"weight": decay(1.0, 10, 0.5)},
            {"weight": decay(1.0, 20, 0.5)},
            {"teacher_gradient": True},
        )
    ]
    runs = [
        json.dumps(ONE.changed(transfers=(t,)).identity()["transfers"])
        for t in (soft, *others)
    ]
    assert len(set(runs)) == len(runs)


def test_fine_tuning_may_drop_out_otherwise(tmp_path):
    part = requests()
    evaluator = ListEvaluator(part)
    net = Net(Dnn((8,), dropout=0.5), SERVED)
    first = train(ONE, Problem(SPEC, part, evaluator, evaluator), tmp_path / "first")
    still = ONE.changed(nets={"fine": net}, learning_rate=0.0, epochs=1)
    same = train(
        still, Problem(SPEC, part, evaluator, evaluator), tmp_path / "same", start=first
    )
    found, expected = (
        evaluator.logits(nets["fine"].models["fine"])["fine"] for nets in (same, first)
    )
    np.testing.assert_array_equal(found, expected)


def test_another_net_is_no_start(tmp_path):
    part = requests()
    evaluator = ListEvaluator(part)
    first = train(ONE, Problem(SPEC, part, evaluator, evaluator), tmp_path / "first")
    wider = ONE.changed(nets={"fine": Net(Dnn((9,)), SERVED)})
    with pytest.raises(ValueError, match="can't start .*'fine_folded/bias', .9,"):
        train(
            wider,
            Problem(SPEC, part, evaluator, evaluator),
            tmp_path / "second",
            start=first,
        )


def test_a_second_head_takes_the_distillation_and_is_not_taken_out(tmp_path):
    """A teacher on the second head alone moves the trunk, not the served head."""
    soft = Transfer("aux", "score", "fine_aux", LogitMSE(), mask="mask")
    recipe = ONE.changed(
        transfers=(soft,), auxiliary=("fine",), loss_weights={"fine": 0.0}
    )
    part = requests()
    evaluator = ListEvaluator(part)

    def teacher(features):
        return {"score": 5.0 * tf.cast(features["mask"], tf.float32)}

    runs = {}
    for rate in (0.0, 0.01):
        trained = train(
            recipe.changed(learning_rate=rate),
            Problem(SPEC, part, evaluator, evaluator),
            tmp_path / str(rate),
            teacher=teacher,
        )
        runs[rate] = trained["fine"].models["fine"]
    before, after = (
        {_keras.path_of(w): w.numpy() for w in m.weights} for m in runs.values()
    )
    assert not [name for name in after if "aux" in name]
    head = [name for name in after if "fine_logit" in name]
    assert len(head) == 2
    for name in head:
        np.testing.assert_array_equal(before[name], after[name])
    trunk = "fine_folded/item_kernel"
    assert np.abs(before[trunk] - after[trunk]).max() > 0


def test_a_net_that_shares_tables_may_not_stop_alone(tmp_path):
    recipe = ONE.changed(stops_early=("fine",))
    with pytest.raises(ValueError, match="must be among own_tables"):
        train(
            recipe,
            Problem(
                SPEC, requests(), ListEvaluator(requests()), ListEvaluator(requests())
            ),
            tmp_path,
        )
