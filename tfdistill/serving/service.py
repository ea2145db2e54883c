"""TensorFlow Serving's PredictionService over gRPC, for tests and local use."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import grpc  # type: ignore[import-untyped]
import tensorflow as tf
from tensorflow_serving.apis import (  # type: ignore[import-untyped]
    classification_pb2,
    get_model_metadata_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from tfdistill.export.c_loader import Failure, arrays
from tfdistill.serving.messages import inputs_of, records_of
from tfdistill.serving.models import ServedModel, Versions

__all__ = ["PredictionService"]

_CODES = {code.value[0]: code for code in grpc.StatusCode}


def _answering(method: Callable[..., Any]) -> Callable[..., Any]:
    """Turns what goes wrong in a method into the status that a server gives."""

    @functools.wraps(method)
    def answer(self: Any, request: Any, context: grpc.ServicerContext) -> Any:
        try:
            with self._turn(context):
                return method(self, request)
        except Failure as failure:
            code, message = failure.args
        except ValueError as error:
            code, message = grpc.StatusCode.INVALID_ARGUMENT.value[0], str(error)
        # A status of more than 8 KB is lost.
        text = message[:2000].encode("ascii", "backslashreplace").decode()[:2000]
        context.abort(_CODES[code], text)

    return answer


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):  # type: ignore[misc]
    """Answers Predict, Classify, Regress and GetModelMetadata.

    Models run in TensorFlow's C++ runtime, so that answers, errors of the graph and
    their codes are those of TensorFlow Serving. Its batching and its REST interface are
    not here. What a client sends is compared with the signature before anything is made
    of it, and a request that nobody waits for any more is not begun.

    Args:
        models: What is served, by name.
        workers: Requests that are answered at the same time.
    """

    def __init__(self, models: Mapping[str, Versions], workers: int) -> None:
        self._models = dict(models)
        self._workers = threading.Semaphore(workers)

    @contextlib.contextmanager
    def _turn(self, context: grpc.ServicerContext) -> Iterator[None]:
        """Waits for a worker, at most until the client's deadline."""
        gone = Failure(
            grpc.StatusCode.DEADLINE_EXCEEDED.value[0],
            "The deadline passed, or the client left, before the work was begun.",
        )
        left = min(context.time_remaining(), threading.TIMEOUT_MAX)
        if not self._workers.acquire(timeout=left):
            raise gone
        try:
            if not context.is_active():
                raise gone
            yield
        finally:
            self._workers.release()

    @_answering
    def Predict(self, request: Any) -> Any:
        """Runs any signature on named tensors."""
        model, signature = self._found(request.model_spec)
        gives = model.signatures[signature].outputs
        wanted = list(request.output_filter) or list(gives)
        unknown = sorted(set(wanted) - set(gives))
        if unknown:
            raise ValueError(f"output tensor alias not found in signature: {unknown}")
        if len(set(wanted)) < len(wanted):
            raise ValueError(f"duplicate output tensor alias: {wanted}")
        inputs = inputs_of(model.model, signature, request.inputs)
        outputs = arrays(model.model.answer(signature, inputs))
        response = predict_pb2.PredictResponse()
        self._describe(response.model_spec, request, model, signature)
        for name in wanted:
            values = outputs[name]
            dtype = tf.string if values.dtype == object else values.dtype
            tensor = tf.make_tensor_proto(values, dtype, values.shape)
            response.outputs[name].CopyFrom(tensor)
        return response

    @_answering
    def Classify(self, request: Any) -> Any:
        """Gives classes and their scores for each example."""
        response = classification_pb2.ClassificationResponse()
        outputs = self._of_examples(request, response, "classify")
        for labels, scores in zip(outputs["classes"], outputs["scores"]):
            added = response.result.classifications.add()
            for label, score in zip(labels, scores):
                added.classes.add(label=label, score=score)
        return response

    @_answering
    def Regress(self, request: Any) -> Any:
        """Gives a value for each example."""
        response = regression_pb2.RegressionResponse()
        outputs = self._of_examples(request, response, "regress")
        for value in outputs["outputs"]:
            response.result.regressions.add(value=value)
        return response

    @_answering
    def GetModelMetadata(self, request: Any) -> Any:
        """Gives the signatures."""
        if list(request.metadata_field) != ["signature_def"]:
            raise ValueError(
                "Metadata field must be 'signature_def', got "
                f"{list(request.metadata_field)}."
            )
        model = self._model(request.model_spec)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        self._describe(response.model_spec, request, model, "")
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for name, signature in model.signatures.items():
            signatures.signature_def[name].CopyFrom(signature)
        response.metadata["signature_def"].Pack(signatures)
        return response

    def _of_examples(
        self, request: Any, response: Any, method: str
    ) -> Mapping[str, Any]:
        """Runs a signature of that method on the examples of a request."""
        model, signature = self._found(request.model_spec)
        found = model.signatures[signature].method_name
        wanted = f"tensorflow/serving/{method}"
        if found != wanted:
            raise ValueError(
                f"Expected the signature's method_name to be {wanted}. Was: {found}"
            )
        self._describe(response.model_spec, request, model, signature)
        inputs = {"inputs": records_of(request.input)}
        return arrays(model.model.answer(signature, inputs))

    def _model(self, spec: Any) -> ServedModel:
        versions = self._models.get(spec.name)
        model = versions.current if versions else None
        asked = spec.version.value if spec.HasField("version") else None
        if model is None or asked not in (None, model.version):
            which = "Latest" if asked is None else f"Version {asked} of"
            raise Failure(
                grpc.StatusCode.NOT_FOUND.value[0],
                f"Servable not found for request: {which} {spec.name!r}; there are "
                f"{ {name: m.current.version for name, m in self._models.items()} }.",
            )
        return model

    def _found(self, spec: Any) -> tuple[ServedModel, str]:
        model = self._model(spec)
        signature = spec.signature_name or "serving_default"
        if signature not in model.signatures:
            raise Failure(
                grpc.StatusCode.FAILED_PRECONDITION.value[0],
                f'Serving signature key "{signature}" not found.',
            )
        return model, signature

    def _describe(
        self, spec: Any, request: Any, model: ServedModel, signature: str
    ) -> None:
        """Says in the response which model answered."""
        spec.name = request.model_spec.name
        spec.version.value = model.version
        spec.signature_name = signature
