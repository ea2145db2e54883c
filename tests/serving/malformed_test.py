"""A thousand malformed requests: errors or well-formed answers, and the server goes on.

What reaches the model is also run by the C++ loader in a process of its own: the graph
itself maps, masks or rejects what the server does not.
"""

from __future__ import annotations

import grpc
import numpy as np
import pytest
import tensorflow as tf
from serving_fixture import SPEC, features
from tensorflow_serving.apis import predict_pb2

from tfdistill.export import elwc, pack, tf_examples
from tfdistill.export.c_loader import Failure, arrays, call
from tfdistill.export.server_files import predict_request
from tfdistill.serving.messages import to_wire

REQUESTS = 1000
HUGE_STRINGS = 5


def valid(rng) -> tuple[str, dict[str, np.ndarray]]:
    drawn = features(int(rng.integers(1, 4)), int(rng.integers(1, 9)))
    forms = {
        "serving_default": drawn,
        "packed": pack(drawn, SPEC),
        "tf_example": {"serialized": tf_examples(drawn, SPEC)},
        "elwc": {"serialized": elwc(drawn, SPEC)},
    }
    signature = str(rng.choice(list(forms)))
    return signature, dict(forms[signature])


def with_values(values: np.ndarray, rng, drawn) -> np.ndarray:
    """A part of the values replaced."""
    chosen = rng.random(values.shape) < 0.5
    return np.where(chosen, drawn, values) if values.size else values


def malformed(rng, number: int) -> predict_pb2.PredictRequest | bytes:
    """One request with one thing wrong; bytes that may be no request at all."""
    signature, inputs = valid(rng)
    name = str(rng.choice(list(inputs)))
    values = inputs[name]
    text = values.dtype == object
    kind = int(rng.integers(0, 12))
    if number < HUGE_STRINGS and text:
        inputs[name] = np.full(values.shape, b"\xff" * (10_000_000 // values.size))
    elif kind == 0:
        inputs[name] = np.zeros(values.shape, rng.choice([np.float64, np.int32, bool]))
    elif kind == 1:
        del inputs[name]
    elif kind == 2:
        inputs["surplus"] = values
    elif kind == 3:
        inputs[name] = values[..., np.newaxis] if rng.random() < 0.5 else values.ravel()
    elif kind == 4:
        inputs[name] = values[: len(values) // 2]
    elif kind == 5:
        inputs[name] = np.concatenate([values, values], axis=-1)
    elif kind == 6:
        inputs[name] = values[..., :0]
    elif kind == 7 and not text:
        extremes = [-(2**63), -1, 2**31, 2**63 - 1]
        wild = [np.nan, np.inf, -np.inf, 3e38] if values.dtype.kind == "f" else extremes
        inputs[name] = with_values(values, rng, rng.choice(wild)).astype(values.dtype)
    elif kind in (7, 8) and text:
        broken = rng.choice([b"\xff\xfe", b"\x00", b"", b"\x0a\xff\xff", b"x" * 5000])
        inputs[name] = with_values(values, rng, broken)
    elif kind == 9:
        signature = str(rng.choice(["", "Packed", "\u00fc", "classify"]))
    request = predict_request(inputs, model="fine", signature=signature)
    if kind == 10 and name in request.inputs:
        sizes = request.inputs[name].tensor_shape.dim
        sizes[0].size = int(rng.choice([-1, 0, 7, 2**40]))
    content = request.SerializeToString()
    if kind == 11:
        return content[: rng.integers(0, len(content))] + rng.bytes(5)
    return request


def reaches_the_model(request) -> tuple[str, dict[str, np.ndarray]] | None:
    """Signature and arrays, if the request's tensors can be read."""
    try:
        wired = {name: to_wire(name, tensor) for name, tensor in request.inputs.items()}
        return request.model_spec.signature_name or "serving_default", arrays(wired)
    except (ValueError, KeyError):
        return None


@pytest.fixture(scope="module")
def outcomes(channel, stub, servable):
    """All requests with what the server answered: outputs, or a status."""
    send = channel.unary_unary(
        "/tensorflow.serving.PredictionService/Predict",
        request_serializer=lambda request: (
            request if isinstance(request, bytes) else request.SerializeToString()
        ),
        response_deserializer=predict_pb2.PredictResponse.FromString,
    )
    right = predict_request(
        servable.requests["packed"], model="fine", signature="packed"
    )
    expected = stub.Predict(right)
    rng = np.random.default_rng(0)
    found = []
    for number in range(REQUESTS):
        request = malformed(rng, number)
        try:
            response = send(request, timeout=60)
            outputs = {name: tf.make_ndarray(x) for name, x in response.outputs.items()}
            found.append((request, outputs))
        except grpc.RpcError as error:
            found.append((request, error.code()))
        if number % 20 == 0:
            assert stub.Predict(right) == expected, number
    assert stub.Predict(right) == expected
    return found


def test_each_is_refused_or_answered(outcomes):
    refused = [answer for _, answer in outcomes if isinstance(answer, grpc.StatusCode)]
    answered = [answer for _, answer in outcomes if isinstance(answer, dict)]
    assert len(refused) + len(answered) == REQUESTS
    assert min(len(refused), len(answered)) > REQUESTS // 10
    assert grpc.StatusCode.UNAVAILABLE not in refused
    assert grpc.StatusCode.DEADLINE_EXCEEDED not in refused
    for outputs in answered:
        names = set(outputs) - {"classes"}
        assert names == {"scores"} and outputs["scores"].dtype == np.float32


def test_the_model_alone_gives_the_same_outcome(outcomes, base):
    jobs, answers = [], []
    for request, answer in outcomes:
        job = None if isinstance(request, bytes) else reaches_the_model(request)
        if job is not None:
            jobs.append(job)
            answers.append(answer)
    assert len(jobs) > REQUESTS // 2
    for found, answer in zip(call(base / "12", jobs), answers):
        if isinstance(found, Failure):
            assert answer.value[0] == found.args[0]
        else:
            assert set(found) == set(answer)
            np.testing.assert_array_equal(found["scores"], answer["scores"])
