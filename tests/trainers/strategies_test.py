"""Several devices: where Keras 3 can't, the library says so and names what can."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tfdistill import _keras
from tfdistill.losses import SigmoidCrossEntropy
from tfdistill.trainers import Distiller, fit

SCRIPT = Path(__file__).with_name("parameter_server_script.py")
X, Y = {"x": np.ones([12, 4], "f")}, np.ones([12, 1], "f")


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
