"""Several devices: where Keras 3 can't, the library says so and names what can."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tfdistill import _keras
from tfdistill.losses import (
    Hint,
    ListSoftmaxKL,
    LogitMSE,
    RankNet,
    SigmoidCrossEntropy,
)
from tfdistill.trainers import Distiller, LoggedTeacher, Transfer, fit

SCRIPT = Path(__file__).with_name("parameter_server_script.py")
X, Y = {"x": np.ones([12, 4], "f")}, np.ones([12, 1], "f")


def mixed():
    """Hard losses of ours and of Keras', four transfers and a regulariser."""
    tf.keras.utils.set_random_seed(1)
    layers, l2 = tf.keras.layers, tf.keras.regularizers.L2(0.1)
    x = tf.keras.Input([5, 4], name="x")
    wide = layers.Dense(6, "tanh", kernel_regularizer=l2)(x)
    outputs = {"wide": wide, "narrow": layers.Dense(6)(x)}
    for name, below in (("teacher", wide), ("fine", x), ("other", x)):
        outputs[name] = layers.Reshape([5], name=name)(
            layers.Dense(1, use_bias=False)(below)
        )
    transfers = [
        Transfer("kl", "teacher", "fine", ListSoftmaxKL(2.0), weight=0.7),
        Transfer("mse", "logged", "fine", LogitMSE(), weight=lambda step: 0.5),
        Transfer("pairs", "teacher", "other", RankNet(), mask="mask"),
        Transfer("hint", "wide", "narrow", Hint(), teacher_gradient=True),
    ]
    model = Distiller(
        tf.keras.Model({"x": x}, outputs),
        transfers,
        teacher=LoggedTeacher({"logged": "logged"}),
    )
    model.compile(
        tf.keras.optimizers.SGD(0.1),
        loss={"teacher": SigmoidCrossEntropy(), "fine": "mse"},
        loss_weights={"fine": 0.3},
    )
    return model


def test_a_step_on_two_replicas_is_the_step_on_one_device(two_replicas):
    """With as many valid items on each: Keras means replicas alike."""
    rng = np.random.default_rng(0)
    x = {
        "x": rng.normal(size=(8, 5, 4)).astype("f"),
        "logged": rng.normal(size=(8, 5)).astype("f"),
        "mask": np.tile(np.arange(5) < 4, [8, 1]),
    }
    labels = (rng.random((8, 5)) < 0.5).astype("f")
    y = {"teacher": labels, "fine": labels}
    w = {name: rng.uniform(1, 2, 8).astype("f") for name in y}
    data = tf.data.Dataset.from_tensors((x, y, w)).unbatch().batch(8)
    models = [mixed()]
    with two_replicas.scope():
        models.append(mixed())
    before = models[0].get_weights()
    logs = [model.fit(data, shuffle=False, verbose=0).history for model in models]
    for key, value in logs[0].items():
        np.testing.assert_allclose(value, logs[1][key], rtol=1e-5)
    one, two = (model.network.trainable_weights for model in models)
    for old, alone, together in zip(before, one, two):
        step = alone.numpy() - old
        assert np.abs(step).max() > 1e-3
        np.testing.assert_allclose(together.numpy() - old, step, rtol=1e-3, atol=1e-6)


def test_parameter_servers_train_or_are_refused():
    found = subprocess.run(
        [sys.executable, SCRIPT], capture_output=True, text=True, timeout=120
    )
    said = found.stdout.strip()
    if _keras.VERSION == "2":
        assert said == "trained 2", found.stderr
    else:
        assert said.startswith("refused Keras 3 can't train under a Parameter")
        assert "TF_USE_LEGACY_KERAS=1" in said


def distiller(**options):
    x = tf.keras.Input([4], name="x")
    model = Distiller(tf.keras.Model({"x": x}, tf.keras.layers.Dense(1)(x)))
    model.compile("sgd", loss=SigmoidCrossEntropy(), **options)
    return model


def own_fit(model, data, steps):
    return fit(model, lambda start: data, steps_per_epoch=steps, epochs=2, verbose=0)


def keras_fit(model, data, steps):
    return model.fit(data, steps_per_epoch=steps, epochs=2, shuffle=False, verbose=0)


@pytest.mark.parametrize("train", [own_fit, keras_fit])
def test_an_epoch_has_the_steps_that_were_asked_for(train):
    """Keras 3 trains six steps where five are asked for, two at a time."""
    model = distiller(steps_per_execution=2)
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(4).repeat()
    if _keras.VERSION == "3":
        with pytest.raises(ValueError, match=r"multiple.*5 and 2.*LEGACY_KERAS=1"):
            train(model, data, 5)
    else:
        train(model, data, 5)
        assert int(model.optimizer.iterations) == 10
    before = int(model.optimizer.iterations)
    train(model, data, 4)
    assert int(model.optimizer.iterations) == before + 8


@pytest.mark.parametrize("train", [own_fit, keras_fit])
def test_several_steps_per_execution_on_several_replicas(train, two_replicas):
    with two_replicas.scope():
        model = distiller(steps_per_execution=2)
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(4).repeat()
    if _keras.VERSION == "3":
        with pytest.raises(ValueError, match=r"several replicas.*LEGACY_KERAS=1"):
            train(model, data, 4)
    else:
        train(model, data, 4)
        assert int(model.optimizer.iterations.numpy()) == 8


@pytest.mark.parametrize("asked", [None, True])
def test_xla_is_used_where_it_is_asked_for(asked, monkeypatch):
    """Keras 3 alone turns it on wherever there is a GPU."""
    devices = [*tf.config.list_physical_devices(), tf.config.PhysicalDevice("g", "GPU")]
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: devices)
    x = tf.keras.Input([4])
    model = Distiller(tf.keras.Model(x, tf.keras.layers.Dense(1)(x)), [])
    model.compile("sgd", "mse", **({} if asked is None else {"jit_compile": asked}))
    assert bool(model.jit_compile) == bool(asked)
