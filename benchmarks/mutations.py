"""Shapes of malformed requests: what a broken or a hostile client sends.

Each takes a right `PredictRequest`, which it may change, and gives the message to send,
or its bytes. `malformed_requests.py` measures a server under them; tests hold it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis.input_pb2 import ExampleListWithContext

Mutation = Callable[[np.random.Generator, Any], Any]

_TEXT = tf.string.as_datatype_enum


def _one(rng: np.random.Generator, request: Any, *, text: bool | None = None) -> Any:
    """One of the request's tensors; of those with strings, or of those without."""
    found = [
        x
        for _, x in sorted(request.inputs.items())
        if text is None or (x.dtype == _TEXT) == text
    ]
    return found[rng.integers(len(found))] if found else tf.make_tensor_proto(0)


def _tensor(change: Callable[..., None], *, text: bool | None = None) -> Mutation:
    """Changes one of the tensors in its place."""

    def mutate(rng: np.random.Generator, request: Any) -> Any:
        change(rng, _one(rng, request, text=text))
        return request

    return mutate


def _dtype(numbers: Iterable[int]) -> Mutation:
    def change(rng: np.random.Generator, tensor: Any) -> None:
        wrong = [number for number in numbers if number != tensor.dtype]
        tensor.dtype = int(rng.choice(wrong))

    return _tensor(change)


def _of_reference(rng: np.random.Generator, tensor: Any) -> None:
    tensor.dtype += 100


def _sized(tensor: Any, sizes: Iterable[int]) -> None:
    del tensor.tensor_shape.dim[:]
    for size in sizes:
        tensor.tensor_shape.dim.add(size=size)


def _shape(change: Callable[[list[int]], list[int]]) -> Mutation:
    def reshape(rng: np.random.Generator, tensor: Any) -> None:
        _sized(tensor, change([dim.size for dim in tensor.tensor_shape.dim]))

    return _tensor(reshape)


def _unknown_rank(rng: np.random.Generator, tensor: Any) -> None:
    _sized(tensor, [])
    tensor.tensor_shape.unknown_rank = True


def _broadcast(rng: np.random.Generator, request: Any) -> Any:
    """One value for 2^26 requests."""
    for tensor in request.inputs.values():
        values = tf.make_ndarray(tensor).ravel()[:1]
        sizes = [dim.size for dim in tensor.tensor_shape.dim]
        tensor.CopyFrom(tf.make_tensor_proto(values))
        _sized(tensor, [2**26, *sizes[1:]])
    return request


def _array(change: Callable[[np.ndarray], Any]) -> Mutation:
    """Another array in one tensor, of a shape that fits its values."""

    def replace(rng: np.random.Generator, tensor: Any) -> None:
        tensor.CopyFrom(tf.make_tensor_proto(change(tf.make_ndarray(tensor))))

    return _tensor(replace)


def _values(drawn: Mapping[str, list[Any]]) -> Mutation:
    """Values that the model may take or refuse, in half of a tensor's places."""

    def replace(rng: np.random.Generator, tensor: Any) -> None:
        values = tf.make_ndarray(tensor)
        kind = values.dtype.kind
        if kind in drawn:
            value = drawn[kind][rng.integers(len(drawn[kind]))]
            chosen = rng.random(values.shape) < 0.5
            wide = "i8" if kind == "i" else values.dtype  # wraps in int32
            other = np.array(value, wide).astype(values.dtype)
            values = np.where(chosen, other, values)
            tensor.CopyFrom(tf.make_tensor_proto(values))

    return _tensor(replace, text="O" in drawn)


def _content(change: Callable[[bytes], bytes]) -> Mutation:
    def replace(rng: np.random.Generator, tensor: Any) -> None:
        values = tf.make_ndarray(tensor)
        tensor.ClearField("string_val")
        tensor.tensor_content = change(values.tobytes())

    return _tensor(replace)


def _no_values(rng: np.random.Generator, tensor: Any) -> None:
    for field in ("tensor_content", "string_val", "int64_val", "float_val", "bool_val"):
        tensor.ClearField(field)


def _wrong_field(rng: np.random.Generator, tensor: Any) -> None:
    _no_values(rng, tensor)
    tensor.uint32_val.extend([1] * 12)


def _many_strings(rng: np.random.Generator, tensor: Any) -> None:
    """A hundred thousand empty strings where a few are expected."""
    tensor.dtype = _TEXT
    tensor.string_val.extend([b""] * 100_000)


def _long_string(rng: np.random.Generator, tensor: Any) -> None:
    """A string of a megabyte."""
    values = np.full(tf.make_ndarray(tensor).shape, b"\xff", object)
    if values.size:
        values.flat[0] = b"\xff" * 1_000_000
    tensor.CopyFrom(tf.make_tensor_proto(values))


def _without_input(rng: np.random.Generator, request: Any) -> Any:
    del request.inputs[str(rng.choice(sorted(request.inputs)))]
    return request


def _surplus(count: int) -> Mutation:
    def mutate(rng: np.random.Generator, request: Any) -> Any:
        for number in range(count):
            request.inputs[f"surplus {number}"].dtype = 1
        return request

    return mutate


def _spec(field: str, value: Any) -> Mutation:
    def mutate(rng: np.random.Generator, request: Any) -> Any:
        if field == "version":
            request.model_spec.version.value = value
        else:
            setattr(request.model_spec, field, value)
        return request

    return mutate


def _filter(names: list[str]) -> Mutation:
    def mutate(rng: np.random.Generator, request: Any) -> Any:
        request.output_filter.extend(names)
        return request

    return mutate


def _value_more(rng: np.random.Generator, request: Any) -> Any:
    """One value more than candidates in every feature of the first record."""
    tensor = request.inputs.get("serialized")
    if tensor is None:
        return _cut(rng, request)
    if request.model_spec.signature_name == "elwc":
        record = ExampleListWithContext.FromString(tensor.string_val[0])
        example = record.examples[0]
    else:
        record = example = tf.train.Example.FromString(tensor.string_val[0])
    for _, feature in sorted(example.features.feature.items()):
        values = getattr(feature, feature.WhichOneof("kind")).value
        values.append(values[0])
    tensor.string_val[0] = record.SerializeToString()
    return request


def _padding(rng: np.random.Generator, request: Any) -> Any:
    """A long list and ten thousand empty ones."""
    if "serialized" not in request.inputs:
        return _cut(rng, request)
    long = ExampleListWithContext()
    for _ in range(10_000):
        long.examples.add()
    records = [long.SerializeToString(), *[b""] * 10_000]
    request.inputs["serialized"].CopyFrom(tf.make_tensor_proto(records))
    return request


def _cut(rng: np.random.Generator, request: Any) -> bytes:
    content = request.SerializeToString()
    return content[: rng.integers(1, len(content))] + rng.bytes(5)


def _flipped(rng: np.random.Generator, request: Any) -> bytes:
    content = bytearray(request.SerializeToString())
    for place in rng.integers(0, len(content), 8):
        content[place] ^= 1 << int(rng.integers(8))
    return bytes(content)


def _misaligned(rng: np.random.Generator, request: Any) -> Any:
    """Twice the requests in one tensor: two users against one list."""
    if len(request.inputs) < 2:
        return _cut(rng, request)
    return _array(lambda x: np.concatenate([x, x]))(rng, request)


REFUSED: dict[str, Mutation] = {
    "a reference dtype": _tensor(_of_reference),
    "a dtype without plain values": _dtype([20, 21]),
    "a quantised dtype": _dtype([11, 12, 13, 15, 16]),
    "a dtype of other numbers": _dtype([4, 5, 6, 8, 14, 17, 18, 19, 22, 23]),
    "a dtype of another input": _dtype([1, 3, 7, 9, 10]),
    "no dtype": _dtype([0]),
    "a dtype that does not exist": _dtype([99, 4242, 2**30]),
    "a negative size": _shape(lambda sizes: [-1, *sizes[1:]]),
    "the lowest size": _shape(lambda sizes: [*sizes[:-1], -(2**63)]),
    "a huge size": _shape(lambda sizes: [2**62, *sizes[1:]]),
    "sizes whose product overflows": _shape(lambda sizes: [2**32] * len(sizes)),
    "sizes whose product overflows to 0": _shape(lambda sizes: [2**32, 2**32]),
    "huge and empty": _shape(lambda sizes: [2**40, *sizes[1:-1], 0]),
    "three hundred axes": _shape(lambda sizes: [1] * 300),
    "an axis more": _shape(lambda sizes: [*sizes, 1]),
    "no axis": _shape(lambda sizes: []),
    "an unknown rank": _tensor(_unknown_rank),
    "a size that its values overfill": _shape(lambda s: [0, *s[1:]]),
    "one value for 2^26": _broadcast,
    "no values": _tensor(_no_values),
    "values of another field": _tensor(_wrong_field),
    "content that is too short": _content(lambda x: x[:-1]),
    "content that is too long": _content(lambda x: x + b"\0\0\0"),
    "a hundred thousand strings": _tensor(_many_strings, text=True),
    "a missing input": _without_input,
    "a surplus input": _surplus(1),
    "a thousand surplus inputs": _surplus(1000),
    "two users against one list": _misaligned,
    "another signature": _spec("signature_name", "top_k"),
    "a signature of examples": _spec("signature_name", "classify"),
    "another model": _spec("name", "\u00fc"),
    "another version": _spec("version", 2**40),
    "another output": _filter(["hidden"]),
    "one output ten thousand times": _filter(["scores"] * 10_000),
    "a value more than candidates": _value_more,
    "padding without end": _padding,
    "a cut message": _cut,
    "no message": lambda rng, request: b"",
}
"""What no server may answer with outputs."""

TAKEN: dict[str, Mutation] = {
    "a size that its values do not fill": _shape(lambda s: [s[0] + 7, *s[1:]]),
    "ids out of range": _values({"i": [-(2**63), -1, 2**31, 2**63 - 1]}),
    "numbers that are none": _values({"f": [np.nan, np.inf, -np.inf, 3e38]}),
    "other bytes as text": _values({"O": [b"\xff\xfe", b"\0", b"", b"x" * 5000]}),
    "a string of a megabyte": _tensor(_long_string, text=True),
    "an empty axis": _array(lambda x: x[..., :0]),
    "half of the requests": _array(lambda x: x[: len(x) // 2]),
    "some flipped bits": _flipped,
}
"""What the model may map, mask or refuse."""

MUTATIONS: dict[str, Mutation] = {**REFUSED, **TAKEN}
