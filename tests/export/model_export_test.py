"""`model.export` of either Keras and an export of this package answer alike."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from export_fixture import SPEC, batch, catalogue, of, towers

from tfdistill import _keras
from tfdistill.export import ranker_servable, recall_servable
from tfdistill.names import feature_names


def answer(model, path, features):
    """What Keras' own export answers, read by TensorFlow alone."""
    model.export(str(path))
    loaded = tf.saved_model.load(str(path))  # must outlive its functions
    if _keras.VERSION == "2":  # which takes a list, in the order of the inputs
        return loaded.serve([features[name] for name in _keras.input_names(model)])
    return loaded.serve(features)


@pytest.mark.parametrize("name", ["fine", "recall", "teacher"])
@pytest.mark.parametrize(("size", "length"), [(3, 7), (1, 1)])
def test_rankers(network, tmp_path, name, size, length):
    part = network.part(name)
    features = of(batch(size, length), feature_names(part))
    ranker_servable(part, SPEC, allow_privileged=True).save(tmp_path / "ours")
    ours = tf.saved_model.load(str(tmp_path / "ours"))
    scores = ours.signatures["serving_default"](**features)["scores"]
    theirs = answer(part, tmp_path / "theirs", features)[name]
    assert scores.shape == theirs.shape == (size, length)
    np.testing.assert_allclose(scores, theirs, atol=1e-6)


def test_towers(network, tmp_path):
    query, item = towers(network)
    ids = [f"film {row}" for row in range(len(catalogue()["price"]))]
    servable = recall_servable(query, item, SPEC, catalogue(), ids, k=5)
    servable.save(tmp_path / "ours")
    loaded = tf.saved_model.load(str(tmp_path / "ours"))
    ours = loaded.signatures
    users = of(batch(), feature_names(query))
    vectors = answer(query, tmp_path / "query", users)["recall_query"]
    np.testing.assert_allclose(ours["query"](**users)["vector"], vectors, atol=1e-6)
    items = {name: tf.constant(catalogue()[name]) for name in feature_names(item)}
    lists = {name: values[tf.newaxis] for name, values in items.items()}
    vectors = answer(item, tmp_path / "item", lists)["recall_item"][0]
    np.testing.assert_allclose(ours["item"](**items)["vector"], vectors, atol=1e-6)


@pytest.mark.parametrize("output", ["one tensor", "a dict"])
def test_plain_keras_models(tmp_path, output):
    """Of layers that are all Keras' own, in the order of `model.inputs`."""
    inputs = SPEC.select(["age", "price"]).keras_inputs()
    wide = tf.keras.layers.Dense(3)(inputs["price"][..., tf.newaxis])
    score = tf.keras.layers.Dense(1)(wide)[..., 0] + inputs["age"][:, tf.newaxis]
    model = tf.keras.Model(inputs, {"x": score} if output == "a dict" else score)
    features = of(batch(), feature_names(model))
    ranker_servable(model, SPEC).save(tmp_path / "ours")
    ours = tf.saved_model.load(str(tmp_path / "ours"))
    scores = ours.signatures["serving_default"](**features)["scores"]
    theirs = answer(model, tmp_path / "theirs", features)
    theirs = theirs["x"] if output == "a dict" else theirs
    np.testing.assert_allclose(scores, theirs, atol=1e-6)
