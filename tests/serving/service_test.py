"""The gRPC service: a model's scores through every method, and a server's statuses."""

from __future__ import annotations

import grpc
import numpy as np
import pytest
import tensorflow as tf
from serving_fixture import SPEC, features
from tensorflow_serving.apis import get_model_metadata_pb2

from tfdistill.export import candidate_examples, pack
from tfdistill.export.server_files import (
    classification_request,
    predict_request,
    regression_request,
)
from tfdistill.serving import serve


def predicted(stub, signature, inputs) -> dict[str, np.ndarray]:
    request = predict_request(inputs, model="fine", signature=signature)
    response = stub.Predict(request)
    assert response.model_spec.version.value == 12
    return {name: tf.make_ndarray(x) for name, x in response.outputs.items()}


def status(call, request) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as error:
        call(request)
    return error.value.code(), error.value.details()


def test_every_predict_signature_gives_the_model_s_scores(stub, servable):
    for name in ("serving_default", "packed", "tf_example", "elwc"):
        answer = predicted(stub, name, servable.requests[name])
        assert servable.difference({name: answer}) <= 1e-5, name


def test_classify_and_regress_give_the_scores_of_each_example(stub, servable):
    records = candidate_examples(features(), SPEC)
    scores = predicted(stub, "packed", pack(features(), SPEC))["scores"].ravel()
    response = stub.Regress(regression_request(records, model="fine"))
    found = [regression.value for regression in response.result.regressions]
    np.testing.assert_allclose(found, scores, atol=1e-5)
    response = stub.Classify(classification_request(records, model="fine"))
    for answer, score in zip(response.result.classifications, scores):
        assert [found.label for found in answer.classes] == ["0", "1"]
        rate = 1 / (1 + np.exp(-score))
        np.testing.assert_allclose(answer.classes[1].score, rate, atol=1e-5)


def test_a_context_is_part_of_every_example(stub):
    records = candidate_examples(features(1, 3), SPEC)
    whole = regression_request(records, model="fine")
    split = regression_request([], model="fine")
    lists = split.input.example_list_with_context
    for example in whole.input.example_list.examples:
        added = lists.examples.add()
        added.CopyFrom(example)
        for feature in SPEC.scope("user"):
            value = added.features.feature.pop(feature.name)
            lists.context.features.feature[feature.name].CopyFrom(value)
    assert stub.Regress(split).result == stub.Regress(whole).result


def test_metadata_has_the_signatures(stub, servable):
    request = get_model_metadata_pb2.GetModelMetadataRequest()
    request.model_spec.name = "fine"
    code, text = status(stub.GetModelMetadata, request)
    assert code == grpc.StatusCode.INVALID_ARGUMENT and "signature_def" in text
    request.metadata_field.append("signature_def")
    response = stub.GetModelMetadata(request)
    found = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(found)
    assert set(found.signature_def) == set(servable.signatures)
    assert found.signature_def["regress"].method_name == "tensorflow/serving/regress"


def test_only_the_outputs_that_are_asked_for_are_sent(stub):
    request = predict_request(pack(features(), SPEC), model="fine", signature="packed")
    request.output_filter.append("scores")
    assert list(stub.Predict(request).outputs) == ["scores"]
    request.output_filter.append("hidden")
    code, text = status(stub.Predict, request)
    assert code == grpc.StatusCode.INVALID_ARGUMENT and "['hidden']" in text


def test_what_is_not_there_is_named(stub):
    request = predict_request(features(), model="coarse")
    code, text = status(stub.Predict, request)
    assert code == grpc.StatusCode.NOT_FOUND and "'coarse'" in text
    request = predict_request(features(), model="fine")
    request.model_spec.version.value = 3
    code, text = status(stub.Predict, request)
    assert code == grpc.StatusCode.NOT_FOUND and "Version 3 of 'fine'" in text
    request = predict_request(features(), model="fine", signature="top_k")
    code, text = status(stub.Predict, request)
    assert code == grpc.StatusCode.FAILED_PRECONDITION and '"top_k" not found' in text
    request = classification_request([b""], model="fine")
    request.model_spec.signature_name = "packed"
    code, text = status(stub.Classify, request)
    assert code == grpc.StatusCode.INVALID_ARGUMENT and "serving/classify" in text


def test_a_server_needs_models(tmp_path):
    with pytest.raises(ValueError, match="at least one model"):
        serve({})
    with pytest.raises(ValueError, match="There is no SavedModel in"):
        serve({"fine": tmp_path})
    (tmp_path / "saved_model.pb").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="can't be served: .*Export it again"):
        serve({"fine": tmp_path})


def test_a_port_has_one_server(server, base):
    port = int(server.address.partition(":")[2])
    with pytest.raises(ValueError, match=f"listen on 127.0.0.1:{port}; is another"):
        serve({"fine": base}, port)
