"""An existing teacher into an existing student: one step is that of both losses."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import tfdistill as td

RNG = np.random.default_rng(0)
X = RNG.normal(size=(32, 3)).astype("f")
LOSSES = tf.keras.losses


def linear(activation=None, units=1):
    return tf.keras.Sequential(
        [
            tf.keras.Input([3]),
            tf.keras.layers.Dense(units, activation, kernel_initializer="ones"),
        ]
    )


@pytest.mark.parametrize(
    ("loss", "units", "activation"),
    [
        ("binary_crossentropy", 1, "sigmoid"),
        (LOSSES.BinaryCrossentropy(from_logits=True), 1, None),
        ("categorical_crossentropy", 4, "softmax"),
        (LOSSES.CategoricalCrossentropy(from_logits=True), 4, None),
        ("mean_squared_error", 1, None),
    ],
)
def test_a_step_is_that_of_both_losses(loss, units, activation):
    """One SGD step, beside the gradient of `(1 - soft) loss(y) + soft loss(t)`."""
    y = RNG.integers(0, 2, (32, 1)).astype("f")
    if units > 1:
        y = np.eye(units, dtype="f")[RNG.integers(0, units, 32)]
    logits = X @ RNG.normal(size=(3, units)).astype("f")
    kernel = tf.constant(logits)  # the teacher is asked in the order of the batch
    probabilities = {1: tf.sigmoid, 4: tf.nn.softmax}[units](kernel)
    is_logits = activation is None and loss != "mean_squared_error"
    said = kernel if activation is None else probabilities
    target = probabilities if is_logits or activation else kernel

    student, twin = linear(activation, units), linear(activation, units)
    measure = tf.keras.losses.get(loss)
    with tf.GradientTape() as tape:
        values = twin(X)
        mixed = 0.7 * tf.reduce_mean(measure(y, values))
        mixed += 0.3 * tf.reduce_mean(measure(target, values))
    gradient = tape.gradient(mixed, twin.trainable_variables[0])

    td.distill(
        student,
        lambda x: said,
        tf.data.Dataset.from_tensors((X, y)),
        loss=loss,
        soft=0.3,
        optimizer=tf.keras.optimizers.SGD(0.1),
        verbose=0,
    )
    expected = np.ones((3, units)) - 0.1 * gradient.numpy()
    np.testing.assert_allclose(student.get_weights()[0], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": "hinge"}, "loss must be one of.*got 'hinge'"),
        ({"soft": 1.5}, "soft must be from 0 to 1, got 1.5"),
        ({"soft": float("nan")}, "soft must be from 0 to 1, got nan"),
    ],
)
def test_what_it_cannot_do_is_refused(change, message):
    data = tf.data.Dataset.from_tensors((X, X[:, :1]))
    with pytest.raises(ValueError, match=message):
        td.distill(linear(), linear(), data, verbose=0, **change)


def test_a_teacher_of_another_shape_is_refused():
    data = tf.data.Dataset.from_tensors((X, X[:, :1]))
    with pytest.raises(ValueError, match="the teacher predicts .*4.*the labels are"):
        td.distill(linear(), linear(units=4), data, verbose=0)
