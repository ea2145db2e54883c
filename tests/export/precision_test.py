"""Mixed precision and XLA are the user's choice: what was trained so is served."""

from __future__ import annotations

import export_fixture
import numpy as np
import pytest
import tensorflow as tf
from export_fixture import ITEMS, SPEC, answered, batch, catalogue, of, towers

from tfdistill.export import ranker_servable, recall_servable
from tfdistill.export.c_loader import call
from tfdistill.losses import SigmoidCrossEntropy
from tfdistill.models import Dnn, Net, joint_network
from tfdistill.names import feature_names
from tfdistill.trainers import Distiller

SIXTEEN = ["mixed_float16", "mixed_bfloat16"]


@pytest.fixture(params=SIXTEEN)
def network(request):
    """Layers that compute in 16 bits and keep variables of 32."""
    before = tf.keras.mixed_precision.global_policy()
    tf.keras.mixed_precision.set_global_policy(request.param)
    try:
        yield export_fixture.network()
    finally:
        tf.keras.mixed_precision.set_global_policy(before)


def test_a_ranker_of_16_bits_serves_float32(network, tmp_path):
    """From Python and from the C++ loader of a server."""
    part = network.part("fine")
    assert {weight.dtype for weight in map(np.asarray, part.get_weights())} <= {
        np.dtype("float32"),
        np.dtype("int64"),  # counts of steps
    }
    servable = ranker_servable(part, SPEC)
    # A graph may round once more or less to 16 bits: `publish` has a `tolerance`.
    assert servable.difference(answered(servable)) < 0.01
    servable.save(tmp_path)
    (found,) = call(
        tmp_path, [("serving_default", servable.requests["serving_default"])]
    )
    assert found["scores"].dtype == np.float32
    features = of(
        {k: tf.constant(v) for k, v in servable.requests["serving_default"].items()},
        feature_names(part),
    )
    expected = tf.cast(part(features)["fine"], tf.float32)
    np.testing.assert_allclose(found["scores"], expected, atol=0.05, rtol=0.02)


def test_recall_of_16_bits_finds_the_same_items(network):
    ids = [f"film {row}" for row in range(ITEMS)]
    servable = recall_servable(*towers(network), SPEC, catalogue(), ids, k=5)
    answers = answered(servable)
    assert answers["query"]["vector"].dtype == np.float32
    assert servable.difference(answers) < 0.05


def test_a_network_that_xla_trained_is_served(tmp_path):
    """Of numbers alone: XLA knows no text."""
    names = ("age", "item_id", "price")
    trained = joint_network(SPEC, {"fine": Net(Dnn(units=(8,)), names)})
    distiller = Distiller(trained.model)
    distiller.compile("adam", {"fine": SigmoidCrossEntropy()}, jit_compile=True)
    features = of(batch(8, 5), names)
    labels = {"fine": tf.cast(features["price"] > 0, tf.float32)}
    before = trained.model(features)["fine"].numpy()
    data = tf.data.Dataset.from_tensors((features, labels)).repeat(3)
    distiller.fit(data, verbose=0)
    expected = trained.model(features)["fine"].numpy()
    assert np.abs(expected - before).max() > 1e-4
    ranker_servable(trained.part("fine"), SPEC).save(tmp_path)
    loaded = tf.saved_model.load(str(tmp_path))
    scores = loaded.signatures["serving_default"](**features)["scores"]
    np.testing.assert_allclose(scores, expected, atol=1e-5)
