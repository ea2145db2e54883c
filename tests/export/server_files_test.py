"""Files for a server: warm-up requests that run, texts that it parses."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf
from export_fixture import FINE, SPEC
from google.protobuf import text_format
from tensorflow_serving.apis import prediction_log_pb2
from tensorflow_serving.config import model_server_config_pb2

from tfdistill.export import packing, ranker_servable
from tfdistill.export.server_files import (
    batching_parameters,
    model_config,
    write_warm_up,
)


@pytest.fixture(scope="module")
def saved(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("fine")
    servable = ranker_servable(network.part("fine"), SPEC)
    servable.save(path)
    return servable, path


def test_every_signature_is_warmed_up_by_a_request_of_its_kind(saved):
    servable, path = saved
    file = path / "assets.extra" / "tf_serving_warmup_requests"
    sent = {}
    for record in tf.data.TFRecordDataset(str(file)):
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        kind = log.WhichOneof("log_type")
        request = getattr(log, kind).request
        sent[request.model_spec.signature_name] = kind, request
    methods = {"classify": "classify_log", "regress": "regress_log"}
    assert {name: kind for name, (kind, _) in sent.items()} == {
        name: methods.get(name, "predict_log") for name in servable.signatures
    }
    _, packed = sent["packed"]
    for name, values in servable.requests["packed"].items():
        found = tf.make_ndarray(packed.inputs[name])
        texts = values.dtype == object
        expected = np.vectorize(tf.compat.as_bytes)(values) if texts else values
        np.testing.assert_array_equal(found, expected)
    _, classify = sent["classify"]
    records = servable.requests["classify"]["inputs"]
    assert len(classify.input.example_list.examples) == len(records)


def test_the_order_of_the_columns_lies_beside_the_model(saved):
    _, path = saved
    written = json.loads((path / "assets.extra" / "packing.json").read_text())
    assert written == json.loads(json.dumps(packing(SPEC.select(FINE))))


def test_a_server_accepts_a_thousand_warm_up_requests(tmp_path):
    with pytest.raises(ValueError, match="at most 1000 requests, got 1001"):
        write_warm_up(tmp_path / "x", {str(i): {} for i in range(1001)})


def test_labelled_versions_are_the_ones_that_are_served():
    text = model_config(
        {"fine": "/models/fine", "recall": "/models/recall"},
        labels={"fine": {"stable": 1, "canary": 3}},
    )
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    fine, recall = config.model_config_list.config
    assert list(fine.model_version_policy.specific.versions) == [1, 3]
    assert dict(fine.version_labels) == {"stable": 1, "canary": 3}
    assert recall.base_path == "/models/recall" and not recall.version_labels
    with pytest.raises(ValueError, match=r"labels of the models \['coarse'\]"):
        model_config({"fine": "x"}, labels={"coarse": {"stable": 1}})


def test_the_largest_batch_is_the_last_allowed_size():
    text = batching_parameters(sizes=(2, 8), timeout_micros=100, threads=3)
    assert "max_batch_size { value: 8 }" in text
    assert text.count("allowed_batch_sizes") == 2
    with pytest.raises(ValueError, match=r"rise from 1 or more, got \(4, 4\)"):
        batching_parameters(sizes=(4, 4))
