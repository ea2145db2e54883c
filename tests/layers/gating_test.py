"""Gated fields equal scaling and multiplying; experts are mixed by their gates."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.layers import GatedDense, GatedSum

WIDTHS = {"user_widths": (3, 1), "item_widths": (2, 4)}


def inputs(size: int = 2, length: int = 3) -> list[tf.Tensor]:
    rng = np.random.default_rng(1)
    shapes = (size, 4), (size, length, 6), (size, length, 4)
    return [tf.constant(rng.normal(size=shape), tf.float32) for shape in shapes]


def test_the_gated_layer_scales_each_field_of_each_candidate():
    layer = GatedDense(5, activation="tanh", **WIDTHS)
    user, item, gates = (x.numpy() for x in inputs())
    layer(inputs())
    layer.bias.assign([0.1, 0.2, 0.3, 0.4, 0.5])
    found = layer(inputs())
    kernel = np.concatenate([layer.user_kernel, layer.item_kernel])
    for row in range(2):
        for place in range(3):
            columns = np.concatenate([user[row], item[row, place]])
            scales = np.repeat(gates[row, place], (3, 1, 2, 4))
            expected = np.tanh((columns * scales) @ kernel + layer.bias.numpy())
            np.testing.assert_allclose(found[row, place], expected, rtol=1e-4)


@pytest.mark.parametrize(("size", "length"), [(2, 0), (0, 3)])
def test_lists_may_be_empty(size, length):
    assert GatedDense(5, **WIDTHS)(inputs(size, length)).shape == (size, length, 5)


def test_the_gated_layer_is_serialised_with_its_widths():
    layer = GatedDense(5, activation="relu", kernel_regularizer="l2", **WIDTHS)
    config = layer.get_config()
    assert GatedDense.from_config(config).get_config() == config


def test_widths_that_do_not_add_up_are_refused():
    layer = GatedDense(5, user_widths=(3,), item_widths=(2, 4))
    with pytest.raises(ValueError, match=r"must be \[3, 6, 3\] wide, got \[4, 6, 4\]"):
        layer(inputs())


def test_experts_are_mixed_by_their_gates():
    rng = np.random.default_rng(2)
    gates = rng.normal(size=(2, 3, 2))
    experts = rng.normal(size=(2, 2, 3, 4))
    expected = sum(gates[..., e, None] * experts[e] for e in range(2))
    found = GatedSum()((tf.constant(gates, "float32"), list(experts.astype("f"))))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
