"""Projections of features and stacks of fields, against loops."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.layers import FieldProjection, StackFields


def vectors(lead: tuple[int, ...]) -> dict[str, tf.Tensor]:
    rng = np.random.default_rng(len(lead))
    widths = {"b": 2, "a": 5, "c": 2}
    return {
        name: tf.constant(rng.normal(size=(*lead, width)), tf.float32)
        for name, width in widths.items()
    }


@pytest.mark.parametrize("lead", [(3,), (3, 4), (3, 0)])
def test_every_feature_has_a_kernel_of_its_own(lead):
    layer, x = FieldProjection(3, "tanh"), vectors(lead)
    found = layer(x)
    assert list(found) == ["b", "a", "c"]
    for name in x:
        layer.biases[name].assign(tf.random.normal([3]))
    for name, values in layer(x).items():
        kernel, bias = layer.kernels[name].numpy(), layer.biases[name].numpy()
        expected = np.tanh(x[name].numpy() @ kernel + bias)
        np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-6)


def test_a_projection_is_serialised_with_its_arguments(tmp_path):
    inputs = {k: tf.keras.Input(v.shape[1:], name=k) for k, v in vectors((3,)).items()}
    model = tf.keras.Model(inputs, FieldProjection(3, "relu")(inputs))
    model.save(tmp_path / "model.keras")
    loaded = tf.keras.models.load_model(tmp_path / "model.keras")
    for name, values in model(vectors((3,))).items():
        np.testing.assert_array_equal(loaded(vectors((3,)))[name], values)


def test_fields_stand_in_order_and_the_users_are_tiled():
    rng = np.random.default_rng(0)
    users = [rng.normal(size=(2, 3)).astype(np.float32) for _ in range(2)]
    items = [rng.normal(size=(2, 5, 3)).astype(np.float32) for _ in range(3)]
    found = StackFields()((users, items)).numpy()
    assert found.shape == (2, 5, 5, 3)
    for row in range(2):
        for place in range(5):
            expected = [u[row] for u in users] + [i[row, place] for i in items]
            np.testing.assert_array_equal(found[row, place], expected)


def test_items_alone_are_fields_without_a_user():
    items = [tf.ones([2, 5, 3]), tf.zeros([2, 5, 3])]
    np.testing.assert_array_equal(StackFields()(([], items)), np.stack(items, 2))


def test_what_is_no_field_is_refused():
    with pytest.raises(ValueError, match="units must be at least 1, got 0"):
        FieldProjection(0)
    with pytest.raises(ValueError, match="1 of users and 0 of items"):
        StackFields()(([tf.ones([2, 4])], []))
