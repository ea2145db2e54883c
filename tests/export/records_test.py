"""Signatures of records: tf.Examples per request or candidate, and ELWC."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from export_fixture import FINE, SPEC, batch, of
from tensorflow.core.protobuf import saved_model_pb2

from tfdistill.export import candidate_examples, elwc, ranker_servable

FINE_SPEC = SPEC.select(FINE)
LOWEST = np.finfo(np.float32).min


@pytest.fixture(scope="module")
def saved(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("fine")
    ranker_servable(network.part("fine"), SPEC).save(path)
    return path


@pytest.fixture(scope="module")
def fine(saved):
    return tf.saved_model.load(str(saved))


def scores(network, features) -> np.ndarray:
    return network.part("fine")(of(features, FINE))["fine"].numpy()


def called(model, signature: str, records) -> dict[str, np.ndarray]:
    """The outputs for records, which every such signature takes as its one input."""
    function = model.signatures[signature]
    (name,) = function.structured_input_signature[1]
    outputs = function(**{name: tf.constant(records, tf.string)})
    return {key: value.numpy() for key, value in outputs.items()}


def test_lists_with_context_are_padded_and_masked(fine, network):
    short, long = batch(1, 2, seed=1), batch(2, 5, seed=2)
    records = [*elwc(short, FINE_SPEC), *elwc(long, FINE_SPEC)]
    found = called(fine, "elwc", records)["scores"]
    np.testing.assert_allclose(found[:1, :2], scores(network, short), atol=1e-6)
    np.testing.assert_allclose(found[1:], scores(network, long), atol=1e-6)
    assert (found[0, 2:] == LOWEST).all()


@pytest.mark.parametrize("size", [1, 3])
def test_lists_without_candidates_have_no_scores(fine, size):
    records = elwc(batch(size, 0), FINE_SPEC)
    assert called(fine, "elwc", records)["scores"].shape == (size, 0)


@pytest.mark.parametrize("signature", ["tf_example", "classify", "regress", "elwc"])
def test_no_requests_have_no_scores(fine, signature):
    found = called(fine, signature, np.zeros([0], object))
    assert all(values.shape[0] == 0 for values in found.values())


def test_candidates_one_by_one_score_as_in_their_list(fine, network):
    features = batch(2, 3)
    records, expected = (
        candidate_examples(features, FINE_SPEC),
        scores(network, features),
    )
    found = called(fine, "regress", records)
    assert list(found) == ["outputs"]
    np.testing.assert_allclose(found["outputs"], expected.ravel(), atol=1e-6)
    found = called(fine, "classify", records)
    assert found["classes"].tolist() == [[b"0", b"1"]] * 6
    rates = 1 / (1 + np.exp(-expected.ravel()))
    np.testing.assert_allclose(found["scores"][:, 1], rates, atol=1e-6)
    np.testing.assert_allclose(found["scores"].sum(1), 1, atol=1e-6)


@pytest.mark.parametrize("signature", ["tf_example", "classify", "elwc"])
def test_what_a_record_lacks_has_its_default(fine, network, signature):
    record = tf.train.Example().SerializeToString()
    defaults = {
        f.name: tf.fill([1, *([1] * (f.scope == "item")), *f.shape], f.default)
        for f in FINE_SPEC.features
    }
    if signature == "classify":
        found = called(fine, signature, [record])["scores"][:, 1]
        expected = tf.sigmoid(scores(network, defaults))[0]
        np.testing.assert_allclose(found, expected, atol=1e-6)
    elif signature == "tf_example":
        assert called(fine, signature, [record])["scores"].shape == (1, 0)
    else:
        with pytest.raises(tf.errors.DataLossError):
            called(fine, signature, [b"\x0a\xff broken"])


def test_methods_are_what_a_server_checks(saved):
    model = saved_model_pb2.SavedModel.FromString(
        (saved / "saved_model.pb").read_bytes()
    )
    (graph,) = model.meta_graphs
    methods = {
        name: signature.method_name.rsplit("/")[-1]
        for name, signature in graph.signature_def.items()
        if not name.startswith("__")
    }
    assert methods == {
        "serving_default": "predict",
        "packed": "predict",
        "tf_example": "predict",
        "elwc": "predict",
        "classify": "classify",
        "regress": "regress",
    }
