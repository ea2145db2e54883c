"""The Distiller: one fit for every distillation, nothing leaks, names are checked."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfdistill import _keras
from tfdistill.losses import Hint, LogitMSE, SigmoidCrossEntropy, SigmoidSoftLabel
from tfdistill.models import DcnV2, Dnn, JointNetwork, Net, joint_network
from tfdistill.spec import Feature, FeatureSpec, Table
from tfdistill.trainers import (
    Distiller,
    EnsembleTeacher,
    FrozenTeacher,
    LoggedTeacher,
    Transfer,
)

SPEC = FeatureSpec(
    features=(
        Feature("user_id", "categorical", "user", table="user"),
        Feature("age", "numeric", "user"),
        Feature("item_id", "categorical", "item", table="item"),
    ),
    tables=(Table("user", dim=4, size=6), Table("item", dim=4, size=9)),
)


def network(**options: object) -> JointNetwork:
    tf.keras.utils.set_random_seed(3)
    nets = {
        "teacher": Net(DcnV2(cross_layers=1, units=(6,)), SPEC.names),
        "fine": Net(Dnn(units=(3,)), ("age", "item_id")),
    }
    return joint_network(
        SPEC, nets, hints=[("fine_hidden", "teacher_hidden")], **options
    )


def batch(size: int = 8, length: int = 5, seed: int = 0):
    rng = np.random.default_rng(seed)
    x = {
        "user_id": rng.integers(0, 6, size),
        "age": rng.normal(size=size).astype(np.float32),
        "item_id": rng.integers(0, 9, (size, length)),
        "mask": rng.random((size, length)) < 0.8,
        "score": rng.normal(size=(size, length)).astype(np.float32),
    }
    y = (rng.random((size, length)) < 0.4).astype(np.float32)
    y, w = tf.constant(y), tf.constant(x["mask"].astype(np.float32))
    tensors = {name: tf.constant(value) for name, value in x.items()}
    return tensors, {"teacher": y, "fine": y}, {"teacher": w, "fine": w}


SOFT = Transfer("soft", "teacher", "fine", SigmoidSoftLabel(2.0), mask="mask")
HINT = Transfer(
    "hint", "teacher_hidden", "fine_hidden_hint", Hint(), weight=0.5, mask="mask"
)
HARD_FINE = {"fine": SigmoidCrossEntropy()}
HARD = {"teacher": SigmoidCrossEntropy(), "fine": SigmoidCrossEntropy()}


def compiled(transfers=(SOFT, HINT), joint=None, hard=HARD, teacher=None, **options):
    distiller = Distiller((joint or network()).model, transfers, teacher=teacher)
    distiller.compile("sgd", loss=hard, **options)
    return distiller


def gradients(distiller: Distiller, data) -> dict[str, object]:
    x, y, w = data
    with tf.GradientTape() as tape:
        loss = distiller.compute_loss(x, y, distiller(x, training=True), w)
    variables = distiller.trainable_variables
    slopes = tape.gradient(loss, variables)
    return {_keras.path_of(v): g for v, g in zip(variables, slopes)}


def test_the_loss_is_the_sum_of_hard_losses_and_weighted_transfers():
    distiller, (x, y, w) = compiled(), batch()
    z = distiller(x)
    bce = tf.nn.sigmoid_cross_entropy_with_logits
    count = w["fine"].numpy().sum()
    hard = sum(
        float(tf.reduce_sum(bce(y[name], z[name]) * w[name])) / count for name in HARD
    )
    soft = 4 * bce(tf.sigmoid(z["teacher"] / 2), z["fine"] / 2)
    soft = float(tf.reduce_sum(soft * w["fine"])) / count
    valid = x["mask"].numpy()
    gap = (z["fine_hidden_hint"] - z["teacher_hidden"]).numpy()[valid]
    logs = distiller.evaluate(tf.data.Dataset.from_tensors((x, y, w)), return_dict=True)
    assert logs["transfer_soft"] == pytest.approx(soft, rel=1e-5)
    hint = 0.5 * (gap**2).sum(-1).mean()
    assert logs["transfer_hint"] == pytest.approx(hint, rel=1e-5)
    total = hard + soft + 0.5 * logs["transfer_hint"]
    assert logs["loss"] == pytest.approx(total, rel=1e-5)


def test_gradient_block_of_the_hint_is_exact():
    """The transfers alone leave every weight of the teacher without gradient."""
    blocked = gradients(compiled(hard=None, joint=network()), batch())
    private = {n: g for n, g in blocked.items() if n.startswith("teacher")}
    assert private and all(g is None for g in private.values())
    opened = Transfer("soft", "teacher", "fine", LogitMSE(), teacher_gradient=True)
    free = gradients(compiled([opened], hard=None), batch())
    assert np.abs(free["teacher_logit/kernel"].numpy()).max() > 0


@pytest.mark.parametrize("blocked", [(), ("fine",)])
def test_a_block_on_the_gathered_embedding(blocked):
    """Without the teacher's loss, a block leaves the tables without gradient."""
    joint = network(blocked=blocked)
    found = gradients(compiled(joint=joint, hard={"fine": HARD["fine"]}), batch())
    table = found["embeddings/width_4"]
    if blocked:
        assert table is None
    else:
        assert np.abs(tf.convert_to_tensor(table).numpy()).max() > 0


def test_a_frozen_teacher_is_never_trained_nor_saved(tmp_path):
    teacher = network().part("teacher")
    before = [w.numpy().copy() for w in teacher.weights]
    tf.keras.utils.set_random_seed(4)
    student = joint_network(SPEC, {"fine": Net(Dnn((3,)), ("age", "item_id"))})
    distiller = compiled([SOFT], student, HARD_FINE, FrozenTeacher(teacher))
    x, y, w = batch()
    data = tf.data.Dataset.from_tensors((x, {"fine": y["fine"]}, {"fine": w["fine"]}))
    distiller.fit(data.repeat(3), verbose=0)
    for old, weight in zip(before, teacher.weights):
        np.testing.assert_array_equal(old, weight.numpy())
    owned = {id(v) for v in distiller.variables}
    assert not owned & {id(v) for v in teacher.variables}
    path = tf.train.Checkpoint(model=distiller).write(str(tmp_path / "weights"))
    saved = [name for name, _ in tf.train.list_variables(path)]
    assert saved and not any("teacher" in name for name in saved)
    outputs = {"fine", "fine_hidden", "fine_hidden_0"}
    assert set(distiller.predict(data, verbose=0)) == outputs


def test_logged_scores_with_nan_are_left_out():
    student = joint_network(SPEC, {"fine": Net(Dnn((3,)), ("age", "item_id"))})
    transfer = Transfer("soft", "score", "fine", LogitMSE())
    teacher = LoggedTeacher({"score": "score"})
    distiller = compiled([transfer], student, HARD_FINE, teacher)
    x, y, w = batch()
    missing = np.zeros((8, 5), bool)
    missing[2, 3] = missing[5] = True
    x["score"] = tf.where(missing, np.nan, x["score"])
    distiller.compute_loss(x, {"fine": y["fine"]}, distiller(x), {"fine": w["fine"]})
    gap = (distiller(x)["fine"] - x["score"]).numpy()[~missing]
    value = distiller.get_metrics_result()["transfer_soft"]
    assert float(value) == pytest.approx((gap**2).mean(), rel=1e-5)


def test_logged_vectors_with_nan_are_left_out_as_a_whole():
    student = joint_network(
        SPEC,
        {"fine": Net(Dnn((3,)), ("age", "item_id"))},
        hints=[("fine_hidden", 2)],
    )
    transfer = Transfer("hint", "vector", "fine_hidden_hint", Hint())
    teacher = LoggedTeacher({"vector": "vector"})
    distiller = compiled([transfer], student, HARD_FINE, teacher)
    x, y, w = batch()
    vector = np.random.default_rng(0).normal(size=(8, 5, 2)).astype(np.float32)
    vector[2, 3, 1] = vector[5] = np.nan  # half a vector is none
    x["vector"] = tf.constant(vector)
    distiller.compute_loss(x, {"fine": y["fine"]}, distiller(x), {"fine": w["fine"]})
    gap = (distiller(x)["fine_hidden_hint"] - vector).numpy()
    whole = ~np.isnan(vector).any(axis=-1)
    expected = 0.5 * (gap[whole] ** 2).sum(axis=-1).mean()
    value = distiller.get_metrics_result()["transfer_hint"]
    assert float(value) == pytest.approx(expected, rel=1e-5)


def test_a_transfer_is_weighted_by_sample_weights_or_by_a_feature():
    """Twice the weight of a request is twice its share, labelled or not."""
    x, _, w = batch()
    x["pair_weight"] = tf.cast(x["mask"], tf.float32)
    scale = tf.constant([[2.0 if row == 3 else 1.0] for row in range(8)])
    twice = {**x, "pair_weight": x["pair_weight"] * scale}
    source = tf.random.stateless_normal(x["mask"].shape, (1, 2))
    target = tf.random.stateless_normal(x["mask"].shape, (3, 4))

    def value(features, key, **batch):
        transfer = Transfer(
            "t", "teacher", "fine", LogitMSE(), mask="mask", weights=key
        )
        return transfer.value(source, target, step=0, features=features, **batch)

    gap = tf.where(x["mask"], (source - target) ** 2, 0.0)
    share = tf.reduce_sum(gap[3]) / tf.reduce_sum(x["pair_weight"])
    once = value(x, "pair_weight")
    np.testing.assert_allclose(value(twice, "pair_weight"), once + share, rtol=1e-5)
    np.testing.assert_array_equal(once, value(x, None))
    labelled = {"fine": w["fine"] * 3.0}
    np.testing.assert_allclose(value(x, "fine", weights=labelled), 3 * once, rtol=1e-6)
    named = {"pair_weight": 0 * x["pair_weight"]}  # a sample weight comes first
    assert float(value(x, "pair_weight", weights=named)) == 0
    with pytest.raises(ValueError, match="needs 'w' among .*sample weights and feat"):
        value(x, "w", weights=labelled)


def test_a_transfer_leaves_out_what_is_labelled_as_positive():
    source, target = tf.constant([[1.0, 2.0, 3.0]]), tf.zeros([1, 3])
    features = {"mask": tf.constant([[True, False, True]])}
    labels = {"fine": tf.constant([[0.0, 0.0, 1.0]])}

    def value(**options):
        transfer = Transfer("t", "teacher", "fine", LogitMSE(), **options)
        found = {"features": features, "labels": labels}
        return float(transfer.value(source, target, step=0, **found))

    assert value() == pytest.approx((1 + 4 + 9) / 3)
    assert value(without="fine") == pytest.approx((1 + 4) / 2)
    assert value(without="fine", mask="mask") == pytest.approx(1)
    with pytest.raises(ValueError, match="needs 'coarse' among the batch's labels"):
        value(without="coarse")


def test_an_ensemble_gives_the_weighted_mean_of_logits():
    parts = [LoggedTeacher({"score": name}) for name in "ab"]
    features = {"a": tf.constant([1.0]), "b": tf.constant([5.0])}
    signal = EnsembleTeacher(parts, weights=[3, 1])(features)["score"]
    assert signal.numpy() == pytest.approx([2.0])
    with pytest.raises(ValueError, match="one weight"):
        EnsembleTeacher(parts, weights=[1])


def test_weight_and_temperature_follow_the_optimizer_step():
    decay = tf.keras.optimizers.schedules.PiecewiseConstantDecay([1], [0.0, 1.0])
    transfer = Transfer(
        "soft",
        "teacher",
        "fine",
        SigmoidSoftLabel(),
        weight=decay,
        overrides={"temperature": lambda step: 1.0 + tf.cast(step, tf.float32)},
    )
    distiller, (x, _, _) = compiled([transfer], hard=None), batch()
    values = []
    for step in range(4):
        distiller.optimizer.iterations.assign(step)
        distiller.reset_metrics()
        total = distiller.compute_loss(x, {}, distiller(x), {})
        values.append((float(total), float(distiller.metrics[-1].result())))
    totals, terms = zip(*values)
    assert totals[:2] == (0.0, 0.0) and totals[2:] == pytest.approx(terms[2:])
    assert len(set(terms)) == 4  # the temperature changed at each step


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_unlabelled_batches_train_on_the_transfers_alone():
    distiller = compiled()
    x, _, _ = batch()
    history = distiller.fit(
        tf.data.Dataset.from_tensors((x, {}, {})), verbose=0
    ).history
    expected = history["transfer_soft"][0] + 0.5 * history["transfer_hint"][0]
    assert history["loss"][0] == pytest.approx(expected, rel=1e-5)


def test_evaluate_and_predict_change_no_variable():
    distiller, data = compiled(), tf.data.Dataset.from_tensors(batch())
    distiller.fit(data, verbose=0)
    state = [*distiller.network.variables, *distiller.optimizer.variables]
    before = [v.numpy().copy() for v in state]
    distiller.evaluate(data, verbose=0)
    distiller.predict(data, verbose=0)
    for old, variable in zip(before, state):
        np.testing.assert_array_equal(old, variable.numpy())


def losses_of(distiller: Distiller, steps: int = 4) -> list[float]:
    data = tf.data.Dataset.from_tensors(batch()).repeat(steps)
    history = distiller.fit(data, steps_per_epoch=1, epochs=steps, verbose=0).history
    return history["loss"]


@pytest.mark.parametrize(
    "options", [{"run_eagerly": True}, {"jit_compile": True}], ids=["eager", "xla"]
)
def test_ways_to_run_agree_with_the_graph(options):
    np.testing.assert_allclose(
        losses_of(compiled()), losses_of(compiled(**options)), rtol=1e-5
    )


def test_two_replicas_equal_one_device(two_replicas):
    x, y, w = batch()
    x["mask"] = tf.ones_like(x["mask"])  # equal counts: Keras averages replica means
    data = tf.data.Dataset.from_tensor_slices(
        (x, y, tf.nest.map_structure(tf.ones_like, w))
    )
    data = data.batch(8, drop_remainder=True).repeat(3)
    with two_replicas.scope():
        mirrored = compiled(joint=network())
    assert two_replicas.num_replicas_in_sync == 2
    plain = compiled(joint=network())
    one, two = (d.fit(data, verbose=0).history["loss"] for d in (plain, mirrored))
    assert one == pytest.approx(two, rel=1e-5)
    for one, two in zip(plain.network.weights, mirrored.network.weights):
        np.testing.assert_allclose(one.numpy(), two.numpy(), atol=1e-6)


def test_mixed_precision_scales_the_loss_and_agrees():
    plain = losses_of(compiled())
    tf.keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        distiller = compiled()
        mixed = losses_of(distiller)
        kind = tf.keras.mixed_precision.LossScaleOptimizer
        assert isinstance(distiller.optimizer, kind)
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")
    np.testing.assert_allclose(plain, mixed, rtol=2e-2)


def test_a_student_part_scores_alone_as_in_the_network(tmp_path):
    joint = network()
    part = joint.part("fine")
    x, _, _ = batch()
    inputs = {name: x[name] for name in ("age", "item_id")}
    np.testing.assert_array_equal(part(inputs)["fine"], joint.model(dict_of(x))["fine"])
    part.save(tmp_path / "fine.keras")
    loaded = tf.keras.models.load_model(tmp_path / "fine.keras")
    np.testing.assert_array_equal(loaded(inputs)["fine"], part(inputs)["fine"])
    assert not any("teacher" in weight.name for weight in part.weights)


def dict_of(x):
    return {name: x[name] for name in SPEC.names}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hard": {"fin": HARD["fine"]}}, r"compile\(loss=\) \['fin'\] is no output"),
        ({"metrics": {"fin": "mae"}}, r"compile\(metrics=\) \['fin'\]"),
        ({"loss_weights": {"fin": 1}}, r"compile\(loss_weights=\) \['fin'\]"),
        ({"hard": "mse"}, "by output name"),
        ({"hard": [LogitMSE(), LogitMSE()]}, "by output name.*got list"),
        ({"hard": ["teacher", "fine"]}, "by output name"),
        ({"transfers": [Transfer("t", "techer", "fine", LogitMSE())]}, "'techer'"),
        ({"transfers": [Transfer("t", "teacher", "fin", LogitMSE())]}, r"\['fin'\]"),
        ({"transfers": [SOFT, SOFT]}, "name repeats"),
    ],
)
def test_names_that_are_no_outputs_are_rejected(change, message):
    with pytest.raises(ValueError, match=message):
        compiled(**change)


def test_labels_and_weights_that_are_no_outputs_are_rejected():
    distiller, (x, y, w) = compiled(), batch()
    with pytest.raises(ValueError, match=r"labels \['fin'\].*'fine'"):
        distiller.compute_loss(x, {"fin": y["fine"]}, distiller(x), w)
    with pytest.raises(ValueError, match=r"sample weights \['fin'\]"):
        distiller.compute_loss(x, y, distiller(x), {"fin": w["fine"]})
    with pytest.raises(ValueError, match=r"needs 'mask'.*features"):
        del x["mask"]
        distiller.compute_loss(x, y, distiller(x), w)
    with pytest.raises(ValueError, match=r"lacks the features \['age'\]"):
        del x["age"]
        distiller(x)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": tf.keras.losses.MeanSquaredError()}, "must be a DistillationLoss"),
        ({"loss": LogitMSE(), "weight": -1.0}, "weight must be >= 0, got -1.0"),
        ({"loss": LogitMSE(), "inputs": {"log_q": "q"}}, r"inputs \[\], got"),
        ({"loss": LogitMSE(), "overrides": {"tau": 1.0}}, "takes the overrides"),
    ],
)
def test_transfers_that_contradict_themselves_are_rejected(options, message):
    with pytest.raises(ValueError, match=message):
        Transfer("t", "teacher", "fine", **options)


def test_a_network_without_named_outputs_is_rejected():
    x = tf.keras.Input([2])
    with pytest.raises(ValueError, match="dict of names"):
        Distiller(tf.keras.Model(x, [tf.keras.layers.Dense(1)(x) for _ in range(2)]))
