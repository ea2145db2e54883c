"""Keras' own ways with a Distiller: any teacher, plain data, .keras files, no rows."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import tensorflow as tf

from tfdistill import _keras
from tfdistill.losses import (
    BPR,
    DeltaNDCG,
    GroupedBPR,
    PlackettLuce,
    RankDistil,
    RankNet,
    SigmoidCrossEntropy,
    SigmoidSoftLabel,
)
from tfdistill.trainers import (
    Distiller,
    FrozenTeacher,
    LoggedTeacher,
    Transfer,
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 4)).astype("f")
Y = (X.sum(1, keepdims=True) > 0).astype("f")
LAYERS = tf.keras.layers


def functional(units=4, name="x"):
    x = tf.keras.Input([4], name=name)
    hidden = LAYERS.Dropout(0.5)(LAYERS.BatchNormalization()(LAYERS.Dense(units)(x)))
    return tf.keras.Model(x, LAYERS.Dense(1)(hidden))


def student(name="fine"):
    x = tf.keras.Input([4], name="x")
    return tf.keras.Model(x, LAYERS.Dense(1, name=name)(x))


class Subclassed(tf.keras.Model):
    def __init__(self):
        super().__init__()
        self.norm, self.dense = LAYERS.BatchNormalization(), LAYERS.Dense(1)

    def call(self, x):
        return self.dense(self.norm(x))


def recommender():
    tfrs = pytest.importorskip("tensorflow_recommenders", exc_type=ImportError)

    class Recommender(tfrs.Model):
        def __init__(self):
            super().__init__()
            self.dense = LAYERS.Dense(1)

        def call(self, features):
            return {"logit": self.dense(features["x"])}

    return Recommender()


def of_a_list():
    one, two = (tf.keras.Input([4], name=name) for name in ("x", "other"))
    return tf.keras.Model([one, two], LAYERS.Dense(1)(LAYERS.Add()([one, two])))


def of_other_keys():
    inputs = {"x": tf.keras.Input([4], name="first"), "other": tf.keras.Input([4])}
    added = LAYERS.Add()(list(inputs.values()))
    return _keras.functional(inputs, LAYERS.Dense(1)(added))


def of_two_outputs():
    x = tf.keras.Input([4], name="x")
    outputs = [LAYERS.Dense(1, name=name)(x) for name in ("score", "like")]
    return tf.keras.Model(x, outputs)


FEATURES = {"x": X, "other": X[::-1], "unread": np.zeros(24, "f")}
PLAIN = {
    "functional": functional,
    "sequential": lambda: tf.keras.Sequential([tf.keras.Input([4]), LAYERS.Dense(1)]),
    "sequential without a shape": lambda: tf.keras.Sequential([LAYERS.Dense(1)]),
    "subclassed": Subclassed,
    "function": lambda: lambda x: tf.reduce_sum(x, 1, keepdims=True),
}
NAMED = {
    "functional": functional,
    "tfrs.Model": recommender,
    "list of inputs": of_a_list,
    "dict of other keys": of_other_keys,
    "two outputs": of_two_outputs,
    "function": lambda: lambda x: {"logit": x["x"][:, :1]},
}


def soft(teacher, target="fine", network=None):
    transfer = Transfer("soft", "score", target, SigmoidSoftLabel())
    distiller = Distiller(network or student(), [transfer], teacher=teacher)
    distiller.compile("sgd", loss=SigmoidCrossEntropy())
    return distiller


def check_frozen(model, distiller, data, expected, tmp_path):
    """Trains; the teacher taught what it says in inference, and is nowhere in it."""
    before = model.get_weights() if isinstance(model, tf.keras.Model) else []
    found = distiller.evaluate(data, return_dict=True, verbose=0)["transfer_soft"]
    z = distiller.predict(data, verbose=0)
    value = SigmoidSoftLabel()(expected, z["fine"] if isinstance(z, dict) else z)
    np.testing.assert_allclose(found, value, rtol=1e-4)
    distiller.fit(data, epochs=2, verbose=0)
    if before:
        for old, new in zip(before, model.get_weights()):
            np.testing.assert_array_equal(old, new)
    assert len(distiller.trainable_variables) == 2
    distiller.save_weights(tmp_path / "w.weights.h5")
    stored = arrays(tmp_path / "w.weights.h5")
    assert any(np.array_equal(distiller.network.get_weights()[0], x) for x in stored)
    for old in before:  # Keras makes biases and means of equal numbers
        assert np.ptp(old) == 0 or not any(np.array_equal(old, x) for x in stored)


def arrays(path):
    """All arrays of an HDF5 file."""
    found = []

    def keep(name, node):
        if isinstance(node, h5py.Dataset):
            found.append(node[()])

    with h5py.File(path) as file:
        file.visititems(keep)
    return found


@pytest.mark.parametrize("kind", PLAIN)
def test_any_model_teaches_plain_data(kind, tmp_path):
    model = PLAIN[kind]()
    expected = model(X) if kind == "function" else model(X, training=False)
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(24)
    check_frozen(model, soft(FrozenTeacher(model)), data, expected, tmp_path)


@pytest.mark.parametrize("kind", NAMED)
def test_any_model_reads_its_features_by_name(kind, tmp_path):
    model = NAMED[kind]()
    signals = {"score": "logit"} if kind in ("tfrs.Model", "function") else None
    reads = {"list of inputs": [X, X[::-1]], "functional": X, "two outputs": X}
    expected = model(reads.get(kind, {"x": X, "other": X[::-1]}))
    if isinstance(expected, dict):
        expected = expected["logit"]
    if isinstance(expected, list):
        expected = expected[0]
    data = tf.data.Dataset.from_tensor_slices((FEATURES, {"fine": Y})).batch(24)
    x = tf.keras.Input([4], name="x")
    network = tf.keras.Model({"x": x}, {"fine": LAYERS.Dense(1)(x)})
    teacher = FrozenTeacher(model, signals)
    check_frozen(model, soft(teacher, network=network), data, expected, tmp_path)


def test_tuples_of_features_reach_the_teacher_as_they_are():
    one, two = tf.keras.Input([4], name="a"), tf.keras.Input([4], name="b")
    network = tf.keras.Model([one, two], LAYERS.Dense(1)(LAYERS.Add()([one, two])))
    teacher = FrozenTeacher(of_a_list())
    distiller = soft(teacher, network.output_names[0], network)
    assert len(distiller.fit((X, X[::-1]), Y, verbose=0).history) == 2


def test_teachers_that_cannot_teach_are_refused():
    with pytest.raises(ValueError, match="no weights yet"):
        FrozenTeacher(Subclassed())(X)
    with pytest.raises(ValueError, match="Keras model or a function"):
        FrozenTeacher("model.keras")
    with pytest.raises(ValueError, match=r"would be trained.*FrozenTeacher"):
        soft(functional())
    with pytest.raises(ValueError, match="2 outputs without names"):
        FrozenTeacher(lambda x: (x, x))(X)
    with pytest.raises(ValueError, match=r"needs the features \['other'\]"):
        FrozenTeacher(of_a_list())({"x": X, "y": X})
    with pytest.raises(ValueError, match="Give a dict of features"):
        LoggedTeacher({"score": "t"})(X)


@pytest.mark.parametrize("named", [False, True])
def test_one_output_trains_like_a_keras_model(named):
    """Without transfers, numbers are Keras' own: plain labels, weights and metrics."""
    tf.keras.utils.set_random_seed(1)
    network = student()
    if named:
        network = tf.keras.Model(network.input, {"fine": network.output})
    weights = RNG.uniform(size=24).astype("f")
    loss = tf.keras.losses.BinaryCrossentropy(from_logits=True)
    copy = tf.keras.models.clone_model(student())
    copy.set_weights(network.get_weights())
    logs = []
    for model in (Distiller(network), copy):
        model.compile("sgd", loss, metrics=["mae"], weighted_metrics=["mse"])
        logs.append(model.fit(X, Y, 8, sample_weight=weights, shuffle=False).history)
        logs.append(model.evaluate(X, Y, sample_weight=weights, return_dict=True))
    for ours, keras in zip(logs[:2], logs[2:]):
        assert list(ours) == list(keras)
        for key in keras:
            np.testing.assert_allclose(ours[key], keras[key], rtol=1e-6)


LISTS = {
    "x": RNG.normal(size=(8, 5, 4)).astype("f"),
    "t": RNG.normal(size=(8, 5)).astype("f"),
}


@pytest.mark.parametrize(
    "loss",
    [
        *(RankNet(), BPR(), DeltaNDCG(), PlackettLuce(2), RankDistil(2)),
        GroupedBPR(),
    ],
    ids=lambda loss: loss.name,
)
def test_a_replica_without_a_row_adds_nothing(two_replicas, loss):
    """The last batch has one row: the other replica's mean is 0, and half is learnt."""
    x = {**LISTS, "group": np.zeros((8, 5), np.int32)}
    x = {key: values[:5] for key, values in x.items()}
    inputs = {name: name for name in loss.inputs}
    step = {"step": lambda step: step} if "step" in loss.overrides else {}
    with two_replicas.scope():
        i = tf.keras.Input([5, 4], name="x")
        z = LAYERS.Reshape([5])(LAYERS.Dense(1, kernel_initializer="ones")(i))
        transfer = Transfer("t", "score", "fine", loss, inputs=inputs, overrides=step)
        teacher = LoggedTeacher({"score": "t"})
        network = tf.keras.Model({"x": i}, {"fine": z})
        distiller = Distiller(network, [transfer], teacher=teacher)
        distiller.compile(tf.keras.optimizers.SGD(0.1))
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.OFF
    )
    data = tf.data.Dataset.from_tensor_slices((x, {})).batch(4).with_options(options)

    def value(rows, kernel):
        part = {key: x[key][rows] for key in loss.inputs}
        if "step" in loss.overrides:
            part["step"] = 0
        z = tf.tensordot(x["x"][rows], kernel, 1)[..., 0]
        return loss.reduce(student=z, teacher=x["t"][rows], **part)

    kernel, expected = tf.ones([4, 1]), []
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        expected = [value(slice(*rows), kernel) for rows in ((0, 2), (2, 4), (4, 5))]
    of_replicas = [float(x) for x in (*expected, 0.0)]
    # Keras 2 reports the mean over replicas and batches, Keras 3 that over rows.
    counts = (2, 2, 1, 0) if _keras.VERSION == "3" else (1, 1, 1, 1)
    found = distiller.evaluate(data, return_dict=True, verbose=0)
    mean = np.average(of_replicas, weights=counts)
    np.testing.assert_allclose(found["loss"], mean, rtol=1e-4)
    np.testing.assert_allclose(found["transfer_t"], np.mean(of_replicas), rtol=1e-4)
    distiller.fit(data.skip(1), verbose=0)
    learnt = 1.0 - 0.1 * tape.gradient(expected[2], kernel).numpy() / 2.0
    np.testing.assert_allclose(
        distiller.network.trainable_weights[0].numpy(), learnt, rtol=1e-4
    )
