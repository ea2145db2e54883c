"""Requests that ended the server's process, or took its memory or its time.

The server is another process: what ends it must not end the tests.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from server_fixture import SPEC, ranker, running, stub_of
from tensorflow.core.framework.tensor_pb2 import TensorProto

from tfdistill.export import candidate_examples, example_batch, pack, tf_examples
from tfdistill.export.c_loader import STRING, arrays, loaded, wire
from tfdistill.export.c_session import Library
from tfdistill.export.server_files import (
    classification_request,
    predict_request,
    regression_request,
)

INVALID = grpc.StatusCode.INVALID_ARGUMENT
FEATURES = example_batch(SPEC, batch_size=1, list_size=3)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The process, a client, and the right answer to the packed request."""
    base = tmp_path_factory.mktemp("fine")
    ranker().save(base / "1")
    with running(base) as (process, address), stub_of(address) as stub:
        yield process, stub, stub.Predict(right("packed", pack(FEATURES, SPEC)))


def right(signature="serving_default", inputs=FEATURES):
    return predict_request(inputs, model="fine", signature=signature)


def peak(process) -> float:
    """The most megabytes that a process ever had."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    (line,) = (row for row in status.splitlines() if row.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def shaped(request, name: str, *sizes: int):
    """The request with another shape of an input, whose values stay."""
    shape = request.inputs[name].tensor_shape
    del shape.dim[:]
    for size in sizes:
        shape.dim.add(size=size)
    return request


def of_dtype(name: str, number: int):
    request = right()
    request.inputs[name].dtype = number
    return request


def repeated(name: str, value: object, *sizes: int):
    request = right()
    request.inputs[name].CopyFrom(tf.make_tensor_proto(np.array([value])))
    return shaped(request, name, *sizes)


def valueless(name: str, *sizes: int):
    request = right()
    request.inputs[name].CopyFrom(TensorProto(dtype=request.inputs[name].dtype))
    return shaped(request, name, *sizes)


def padded(signature: str, long: bytes):
    return right(signature, {"serialized": np.array([long, *[b""] * 30_000], object)})


def with_context():
    """A context of a megabyte for each of a thousand examples."""
    request = regression_request([], model="fine")
    lists = request.input.example_list_with_context
    lists.context.features.feature["x"].bytes_list.value.append(b"x" * 2**20)
    for _ in range(1000):
        lists.examples.add()
    return request


def filtered():
    request = right()
    request.output_filter.extend(["scores"] * 100_000)
    return request


LONG = tf_examples(example_batch(SPEC, batch_size=1, list_size=9000), SPEC)[0]
HOSTILE = {
    "a reference, the given case": (of_dtype("age", 103), "'age'"),
    "a reference to a string": (of_dtype("tag", 107), "'tag'"),
    "a resource": (of_dtype("age", 20), "'age'"),
    "a variant": (of_dtype("item_id", 21), "'item_id'"),
    "a quantised dtype": (of_dtype("price", 11), "'price'"),
    "a half float": (of_dtype("price", 19), "'price'"),
    "one value for 2^26, the given case": (repeated("age", 1.0, 2**26), "'age'"),
    "one id for 2^26": (repeated("item_id", 7, 1, 2**26), "'item_id'"),
    "a long text for 2^20": (repeated("tag", b"x" * 999, 1, 2**20), "'tag'"),
    "no value for 2^26": (valueless("price", 1, 2**26), "'price'"),
    "a size over all memory": (shaped(right(), "age", 2**62), "'age'"),
    "a product that overflows": (shaped(right(), "price", 2**32, 2**32), "'price'"),
    "a huge empty shape": (valueless("pair", 2**40, 0, 2), "'pair'"),
    "a negative size": (shaped(right(), "age", -1), "'age'"),
    "hundreds of axes": (shaped(right(), "age", *[1] * 300), "'age'"),
    "lists padded to a long one": (padded("tf_example", LONG), "Lists are padded"),
    "padded lists with context": (padded("elwc", b"\x12\0" * 9000), "Lists are padded"),
    "a context for each example": (with_context(), "copy of a context"),
    "an output many times": (filtered(), "duplicate output"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_it_is_refused_before_anything_is_made_of_it(name, server):
    process, stub, expected = server
    request, named = HOSTILE[name]
    before = peak(process)
    call = stub.Regress if hasattr(request, "input") else stub.Predict
    with pytest.raises(grpc.RpcError) as error:
        call(request, timeout=30)
    assert (error.value.code(), process.poll()) == (INVALID, None)
    assert named in error.value.details()
    assert peak(process) - before < 64
    assert stub.Predict(right("packed", pack(FEATURES, SPEC))) == expected


def test_a_value_for_a_few_is_repeated_as_in_tensorflow(server):
    _, stub, _ = server
    request = repeated("price", np.float32(4), 1, 3)
    whole = right(inputs={**FEATURES, "price": np.full([1, 3], 4, np.float32)})
    assert stub.Predict(request).outputs == stub.Predict(whole).outputs


@pytest.mark.parametrize(
    ("name", "dtype", "wanted"),
    [
        ("item_id", np.int32, "takes int64, got int32"),
        ("age", np.float64, "takes float32, got float64"),
        ("tag", np.int64, "takes string, got int64"),
    ],
)
def test_errors_name_the_input_and_what_it_takes(name, dtype, wanted, server):
    _, stub, _ = server
    inputs = {**FEATURES, name: np.zeros(FEATURES[name].shape, dtype)}
    with pytest.raises(grpc.RpcError, match=f"Input '{name}' .*{wanted}"):
        stub.Predict(right(inputs=inputs))


def test_errors_name_the_shape(server):
    _, stub, _ = server
    inputs = {**FEATURES, "pair": FEATURES["pair"][..., :1]}
    with pytest.raises(grpc.RpcError, match=r"'pair' .*\[any, any, 2\], got \[1, 3, 1"):
        stub.Predict(right(inputs=inputs))


def test_examples_of_candidates_are_checked_too(server):
    _, stub, _ = server
    (record, *_) = candidate_examples(FEATURES, SPEC)
    example = tf.train.Example.FromString(record)
    example.features.feature["price"].float_list.value.append(3.0)
    records = [record, example.SerializeToString()]
    for call, made in [
        (stub.Regress, regression_request),
        (stub.Classify, classification_request),
    ]:
        with pytest.raises(grpc.RpcError, match="Key: price") as error:
            call(made(records, model="fine"))
        assert error.value.code() == INVALID


@pytest.fixture(scope="module")
def echo(tmp_path_factory):
    """A model that gives back the texts that it takes, and each of them twice."""
    path = tmp_path_factory.mktemp("echo")
    module = tf.Module()
    double = tf.function(lambda x: {"same": x, "twice": tf.strings.join([x, x])})
    spec = tf.TensorSpec([None, None], tf.string, name="x")
    signatures = {"echo": double.get_concrete_function(spec)}
    tf.saved_model.save(module, str(path), signatures=signatures)
    return loaded(path)


@pytest.mark.parametrize("columns", [1, 3])
def test_texts_of_all_sizes_go_in_and_out(columns, echo):
    sizes = [0, 1, 21, 22, 23, 24, 25, 100, 2**16]
    texts = np.array([bytes([65 + n % 7]) * n for n in sizes * columns], object)
    texts = texts.reshape(-1, columns)
    found = arrays(echo.answer("echo", wire({"x": texts})))
    assert found["same"].tolist() == texts.tolist()
    assert found["twice"].tolist() == (texts + texts).tolist()


def test_many_texts_cost_as_few_calls_as_one(monkeypatch, echo):
    calls = []
    original = Library.__call__

    def counted(self, name, *arguments):
        calls.append(name)
        return original(self, name, *arguments)

    monkeypatch.setattr(Library, "__call__", counted)
    counts = []
    for size in (1, 50_000):
        calls.clear()
        texts = (STRING, (size, 1), [b"x" * 30] * size)
        assert len(echo.answer("echo", {"x": texts})["twice"][2]) == size
        counts.append(len(calls))
    assert counts[0] == counts[1]


def test_texts_are_laid_out_as_tensorflow_does(echo):
    """Our bytes of a TF_TString are those of its own function."""
    library, text = echo._c, b"some text that is longer than a small string is"
    address = ctypes.c_char_p(text)
    own = (ctypes.c_uint64 * 3)()
    place = ctypes.c_void_p(ctypes.addressof(own))
    library("StringInit", None, place)
    library("StringAssignView", None, place, address, ctypes.c_size_t(len(text)))
    tensor, kept = library.tensor((STRING, (1,), [text]))
    data = library("TensorData", ctypes.c_void_p, ctypes.c_void_p(tensor))
    made = (ctypes.c_uint64 * 3).from_address(data)
    assert made[0] == own[0]
    assert ctypes.string_at(made[1], len(text)) == text == kept
    library("DeleteTensor", None, ctypes.c_void_p(tensor))
