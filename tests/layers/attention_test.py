"""Attention to behaviours: values against loops, and what masked slots may not do."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.layers import BehaviourTokens, TargetAttention, TransformerBlock

WIDTH, SLOTS = 4, 5
MASK = np.array([[1, 1, 0, 1, 0], [0, 0, 0, 0, 0]], bool)


def vectors(length: int, size: int = 2, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(size, length, WIDTH)).astype(np.float32)


def shaken(layer: tf.keras.layers.Layer, *inputs) -> tf.keras.layers.Layer:
    """Builds a layer and gives every weight a part, biases too."""
    layer(inputs)
    for index, weight in enumerate(layer.trainable_weights):
        weight.assign_add(tf.random.stateless_normal(weight.shape, [index, 1]))
    return layer


def relevance(layer: TargetAttention, query: np.ndarray, key: np.ndarray) -> float:
    hidden = np.concatenate([query, key, query * key]) @ layer.kernel.numpy()
    hidden = np.maximum(hidden + layer.bias.numpy(), 0)
    for dense in layer.hidden:
        hidden = np.maximum(hidden @ dense.kernel.numpy() + dense.bias.numpy(), 0)
    return (hidden @ layer.relevance.kernel.numpy() + layer.relevance.bias.numpy())[0]


@pytest.mark.parametrize("units", [(6,), (6, 3)])
def test_target_attention_sums_behaviours_by_relevance(units):
    candidates, behaviours = vectors(3), vectors(SLOTS, seed=1)
    layer = shaken(TargetAttention(units), candidates, behaviours, MASK)
    found = layer((candidates, behaviours, MASK))
    for row in range(2):
        for place in range(3):
            expected = np.zeros(WIDTH)
            for slot in np.flatnonzero(MASK[row]):
                key = behaviours[row, slot]
                expected += relevance(layer, candidates[row, place], key) * key
            np.testing.assert_allclose(found[row, place], expected, rtol=1e-3)
    np.testing.assert_array_equal(found[1], np.zeros([3, WIDTH]))


def test_tokens_are_a_start_and_behaviours_with_positions():
    layer, behaviours = BehaviourTokens(), vectors(SLOTS)
    tokens, mask = layer((behaviours, MASK))
    start = np.broadcast_to(layer.start, [2, 1, WIDTH])
    placed = behaviours + layer.positions.numpy()
    np.testing.assert_allclose(tokens, np.concatenate([start, placed], axis=1))
    np.testing.assert_array_equal(mask[:, 1:], MASK)
    assert np.all(mask[:, 0])


def normed(norm: tf.keras.layers.LayerNormalization, x: np.ndarray) -> np.ndarray:
    scaled = (x - x.mean()) / np.sqrt(x.var() + norm.epsilon)
    return scaled * norm.gamma.numpy() + norm.beta.numpy()


def attended(layer, query: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """Scaled attention of one query, head by head."""
    w = [x.numpy() for x in layer.weights]  # query, key, value and output; biases too
    out = w[7].copy()
    for head in range(w[0].shape[1]):
        q = query @ w[0][:, head] + w[1][head]
        keys = tokens @ w[2][:, head] + w[3][head]
        values = tokens @ w[4][:, head] + w[5][head]
        scores = np.exp(keys @ q / np.sqrt(len(q)))
        out += (scores / scores.sum() @ values) @ w[6][head]
    return out


def test_a_block_is_attention_and_two_dense_layers():
    queries, tokens, mask = vectors(3), vectors(SLOTS, seed=1), MASK.copy()
    mask[1, 2] = True
    layer = shaken(TransformerBlock(2), queries, tokens, mask)
    found = layer((queries, tokens, mask))
    wide, narrow = (
        [w.numpy() for w in dense.weights] for dense in (layer.wide, layer.narrow)
    )
    for row in range(2):
        for place in range(3):
            query = queries[row, place]
            x = query + attended(layer.attention, query, tokens[row][mask[row]])
            x = normed(layer.norms[0], x)
            dense = np.maximum(x @ wide[0] + wide[1], 0) @ narrow[0] + narrow[1]
            expected = normed(layer.norms[1], x + dense)
            np.testing.assert_allclose(found[row, place], expected, atol=2e-4)


LAYERS = {
    "target": lambda: TargetAttention((6,), "l2"),
    "block": lambda: TransformerBlock(2, 0.0, "l2"),
}


@pytest.mark.parametrize("name", LAYERS)
def test_masked_behaviours_and_more_padding_change_nothing(name):
    layer, candidates = LAYERS[name](), vectors(3)
    behaviours, mask = vectors(SLOTS, seed=1), MASK.copy()
    mask[1, 2] = True
    found = layer((candidates, behaviours, mask))
    other = np.where(mask[..., None], behaviours, 1e3).astype(np.float32)
    longer = np.concatenate([other, vectors(2, seed=2)], axis=1)
    padded = np.concatenate([mask, np.zeros([2, 2], bool)], axis=1)
    for again in ((other, mask), (longer, padded)):
        np.testing.assert_allclose(layer((candidates, *again)), found, atol=1e-5)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize(("size", "length"), [(2, 0), (0, 3)])
def test_lists_may_be_empty(name, size, length):
    inputs = vectors(length, size), vectors(SLOTS, size), np.ones([size, SLOTS], bool)
    assert LAYERS[name]()(inputs).shape == (size, length, WIDTH)


@pytest.mark.parametrize("name", LAYERS)
def test_configs_make_the_layer_again(name):
    config = LAYERS[name]().get_config()
    assert type(LAYERS[name]()).from_config(config).get_config() == config


def test_dropout_acts_in_training_alone():
    layer = TransformerBlock(2, dropout=0.5)
    inputs = vectors(3), vectors(SLOTS), np.ones([2, SLOTS], bool)
    found = layer(inputs)
    np.testing.assert_array_equal(layer(inputs), found)
    assert np.abs(layer(inputs, training=True) - found).max() > 0


def test_what_does_not_fit_is_refused():
    inputs = vectors(3), vectors(SLOTS)[..., :3], MASK
    for layer in (TargetAttention((6,)), TransformerBlock(2)):
        with pytest.raises(ValueError, match=r"one width, got \[4, 3\].*the table"):
            layer(inputs)
    with pytest.raises(ValueError, match="heads=3 must divide the width 4"):
        TransformerBlock(3)((vectors(3), vectors(SLOTS), MASK))
    with pytest.raises(ValueError, match=r"at least one layer, got units=\(\)"):
        TargetAttention(())
