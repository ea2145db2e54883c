"""Interactions of fields against loops over the papers' formulas."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.layers import (
    BilinearInteraction,
    CompressedInteraction,
    FieldPairs,
    FlattenFields,
    SqueezeExcitation,
)

LAYERS = {
    "cin": CompressedInteraction((3, 2), "l2"),
    "senet": SqueezeExcitation(2, "l2"),
    "bilinear": BilinearInteraction("l2"),
    "flat": FlattenFields(),
}


def fields(size: int = 2, length: int = 3) -> np.ndarray:
    shape = (size, length, 4, 5)
    return np.random.default_rng(3).normal(size=shape).astype(np.float32)


def cin(layer, x: np.ndarray) -> list[np.ndarray]:
    """One candidate: [F, d]."""
    found, maps = [], x
    for kernel, size in zip(layer.kernels, layer.maps):
        kernel = kernel.numpy().reshape(len(maps), len(x), size)
        maps = [
            sum(
                kernel[i, j, h] * maps[i] * x[j]
                for i in range(len(maps))
                for j in range(len(x))
            )
            for h in range(size)
        ]
        found += [row.sum() for row in maps]
    return found


def senet(layer, x: np.ndarray) -> np.ndarray:
    middle = np.maximum(x.mean(axis=1) @ layer.squeeze.numpy(), 0)
    weights = 1 / (1 + np.exp(-middle @ layer.excite.numpy()))
    return np.stack([weight * row for weight, row in zip(weights, x)])


def bilinear(layer, x: np.ndarray) -> list[np.ndarray]:
    kernels = layer.kernels.numpy()
    pairs = [(i, j) for i in range(len(x)) for j in range(i + 1, len(x))]
    return [(x[i] @ kernels[i]) * x[j] for i, j in pairs]


def flat(layer, x: np.ndarray) -> np.ndarray:
    return np.concatenate(list(x))


@pytest.mark.parametrize("reference", [cin, senet, bilinear, flat])
def test_values_equal_the_formula(reference):
    layer, x = LAYERS[reference.__name__], fields()
    found = layer(x)
    expected = [[reference(layer, row) for row in request] for request in x]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize(("size", "length"), [(2, 0), (0, 3)])
def test_lists_may_be_empty(name, size, length):
    layer = LAYERS[name]
    last = layer(fields()).shape[2:]
    assert layer(fields(size, length)).shape == (size, length, *last)


@pytest.mark.parametrize("name", LAYERS)
def test_configs_make_the_layer_again(name):
    config = LAYERS[name].get_config()
    assert type(LAYERS[name]).from_config(config).get_config() == config


@pytest.mark.parametrize("users", [1, 3])
@pytest.mark.parametrize("items", [1, 2])
def test_pairs_are_summed_over_both_sides_and_within_them(users, items):
    rng = np.random.default_rng(users)
    user = rng.normal(size=(users, 2, 5)).astype(np.float32)
    item = rng.normal(size=(items, 2, 3, 5)).astype(np.float32)
    found = FieldPairs()((list(user), list(item)))
    for row in range(2):
        for place in range(3):
            every = [*user[:, row], *item[:, row, place]]
            expected = sum(
                every[i] @ every[j] for i in range(len(every)) for j in range(i)
            )
            np.testing.assert_allclose(found[row, place, 0], expected, rtol=1e-4)


def test_pairs_of_half_floats_are_summed_in_single_precision():
    """The square of the sum is no float16, 2.3 million; the sum of the pairs is."""
    user = tf.constant([[1500.0, 0.0]], tf.float16)
    item = tf.constant([[[0.5, 9.0]]], tf.float16)
    found = FieldPairs(dtype="mixed_float16")(([user], [item]))
    assert found.dtype == tf.float16
    assert float(found[0, 0, 0]) == 750.0


def test_bilinear_kernels_start_as_wide_as_a_dense_layers():
    layer = BilinearInteraction()
    layer.build((None, None, 7, 32))
    limit = np.sqrt(6 / (32 + 32))
    assert 0.9 * limit < np.abs(layer.kernels).max() <= limit


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match=r"at least one map, got maps=\(\)"):
        CompressedInteraction(())
    with pytest.raises(ValueError, match="ratio must be at least 1, got 0"):
        SqueezeExcitation(0)
    with pytest.raises(ValueError, match="at least two fields, got one"):
        BilinearInteraction()(tf.ones([2, 3, 1, 4]))
    with pytest.raises(ValueError, match=r"widths \[4, 5\].*representation"):
        FieldPairs()(([tf.ones([2, 4])], [tf.ones([2, 3, 5])]))
