"""Five hundred malformed requests: errors or sound answers, and the server goes on.

The shapes are those of `benchmarks/malformed_requests.py`, which measures ten thousand.
What reaches the model is also run by the C++ loader in a process of its own: the graph
itself maps, masks or rejects what the server does not.
"""

from __future__ import annotations

import sys
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from tfdistill.export.c_loader import Failure, arrays, call
from tfdistill.export.server_files import predict_request
from tfdistill.serving.messages import to_wire

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from mutations import MUTATIONS, REFUSED  # noqa: E402

REQUESTS = 500
SIGNATURES = ("serving_default", "packed", "tf_example", "elwc")


def reaches_the_model(request) -> tuple[str, dict[str, np.ndarray]] | None:
    """Signature and arrays, if the request's tensors can be read."""
    try:
        wired = {name: to_wire(name, tensor) for name, tensor in request.inputs.items()}
        return request.model_spec.signature_name or "serving_default", arrays(wired)
    except ValueError:
        return None


@pytest.fixture(scope="module")
def outcomes(channel, stub, servable):
    """All requests with what the server answered: outputs, or a status."""
    send = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    rights = {
        signature: predict_request(
            servable.requests[signature], model="fine", signature=signature
        )
        for signature in SIGNATURES
    }
    expected = {signature: stub.Predict(x) for signature, x in rights.items()}
    rng = np.random.default_rng(0)
    found = []
    for number in range(REQUESTS):
        mutation = list(MUTATIONS)[number % len(MUTATIONS)]
        signature = SIGNATURES[number // len(MUTATIONS) % len(SIGNATURES)]
        copied = predict_pb2.PredictRequest.FromString(
            rights[signature].SerializeToString()
        )
        request = MUTATIONS[mutation](rng, copied)
        content = request if isinstance(request, bytes) else request.SerializeToString()
        try:
            answer = send(content, timeout=60)
            response = predict_pb2.PredictResponse.FromString(answer)
            outputs = {name: tf.make_ndarray(x) for name, x in response.outputs.items()}
            found.append((mutation, request, outputs))
        except grpc.RpcError as error:
            found.append((mutation, request, error))
        if number % 20 == 0:
            assert stub.Predict(rights[signature]) == expected[signature], number
    for signature, right in rights.items():
        assert stub.Predict(right) == expected[signature]
    return found


def test_there_are_many_shapes():
    assert len(MUTATIONS) >= 30


def test_each_is_refused_or_answered(outcomes):
    refused = [(m, r, x) for m, r, x in outcomes if isinstance(x, grpc.RpcError)]
    answered = [(m, x) for m, _, x in outcomes if isinstance(x, dict)]
    assert len(refused) + len(answered) == REQUESTS
    assert len(answered) > REQUESTS // 20
    assert {mutation for mutation, _ in answered}.isdisjoint(REFUSED)
    # Bytes are no message, perhaps; that is found before the service is asked.
    codes = {x.code(): m for m, r, x in refused if not isinstance(r, bytes)}
    assert set(codes) == {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.DATA_LOSS,  # what is no ExampleListWithContext
    }, codes
    lost = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
    assert not lost & {x.code() for _, _, x in refused}
    for _, outputs in answered:
        names = set(outputs) - {"classes"}
        assert names == {"scores"} and outputs["scores"].dtype == np.float32


def test_the_model_alone_gives_the_same_outcome(outcomes, base):
    jobs, answers = [], []
    for mutation, request, answer in outcomes:
        if isinstance(request, bytes) or "output" in mutation:
            continue
        job = reaches_the_model(request)
        known = request.model_spec.name == "fine"
        if job and known and not request.model_spec.HasField("version"):
            jobs.append(job)
            answers.append(answer)
    assert len(jobs) > REQUESTS // 5
    for found, answer in zip(call(base / "12", jobs), answers):
        if isinstance(found, Failure):
            assert answer.code().value[0] == found.args[0]
        else:
            assert set(found) == set(answer)
            np.testing.assert_array_equal(found["scores"], answer["scores"])
