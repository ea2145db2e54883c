"""Messages of clients as tensors, of no more bytes than they sent and a fixed rest."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfdistill.export.c_loader import DTYPES, STRING, WIDTHS, Head, Model, Wire

__all__ = ["head_of", "inputs_of", "records_of", "to_wire"]

_FIELDS = {
    1: "float_val",
    2: "double_val",
    3: "int_val",
    7: "string_val",
    9: "int64_val",
    10: "bool_val",
}
_REPEATED = 2**18
_COPIES = 16
_COPIED = 2**24


def inputs_of(
    model: Model, signature: str, tensors: Mapping[str, Any]
) -> dict[str, Wire]:
    """Takes the TensorProtos of a request apart, after a look at all of them.

    Args:
        model: The model that is asked.
        signature: Its signature.
        tensors: Protocol buffers `TensorProto` by name.

    Returns:
        What `Model.answer` takes.

    Raises:
        Failure: If they are not what the signature takes.
        ValueError: If the values of one do not fill its shape.
    """
    model.check(signature, {name: head_of(name, x) for name, x in tensors.items()})
    return {name: to_wire(name, tensor) for name, tensor in tensors.items()}


def head_of(name: str, tensor: Any) -> Head:
    """Number of the dtype and shape of a TensorProto; a full shape, or ValueError."""
    shape = tuple(dim.size for dim in tensor.tensor_shape.dim)
    if tensor.tensor_shape.unknown_rank or any(size < 0 for size in shape):
        raise ValueError(f"Input {name!r} must have a full shape, got {shape}.")
    return tensor.dtype, shape


def to_wire(name: str, tensor: Any) -> Wire:
    """Takes a TensorProto apart.

    As in TensorFlow, the last value stands for those that are left out; here it may
    fill at most 256 KiB.

    Args:
        name: Name of the input, for errors.
        tensor: The protocol buffer.

    Returns:
        Number of the dtype, shape, and the bytes or the list of strings.

    Raises:
        ValueError: If its values do not fill its shape.
    """
    number, shape = head_of(name, tensor)
    if number not in _FIELDS:
        raise ValueError(f"Input {name!r} has dtype {number}, which is not served.")
    count, width = math.prod(shape), WIDTHS[number]
    if tensor.tensor_content:
        if number == STRING or len(tensor.tensor_content) != count * width:
            raise ValueError(
                f"Input {name!r} of shape {shape} can't be read from "
                f"{len(tensor.tensor_content)} bytes of {DTYPES[number]} content."
            )
        return number, shape, tensor.tensor_content
    sent = getattr(tensor, _FIELDS[number])
    missing = count - len(sent)
    if missing < 0 or (missing and not sent):
        raise ValueError(
            f"Input {name!r} of shape {shape} must have {count} values in "
            f"{_FIELDS[number]}, got {len(sent)}."
        )
    width += len(sent[-1]) if missing and number == STRING else 0
    if missing * width > _REPEATED:
        raise ValueError(
            f"Input {name!r} of shape {shape} has {len(sent)} values and would repeat "
            f"the last one in more than {_REPEATED} bytes; send all of them."
        )
    if number == STRING:
        return number, shape, [*sent, *sent[-1:] * missing]
    values = np.fromiter(sent, DTYPES[number], len(sent))
    return number, shape, values.tobytes() + values[-1:].tobytes() * missing


def records_of(given: Any) -> Wire:
    """Makes a tensor of the tf.Examples of an `Input`, each with the context.

    Args:
        given: The protocol buffer.

    Returns:
        Serialized Examples `[n]`.

    Raises:
        ValueError: If there is no kind of list, or the copies of the context are over
            16 MiB and over 16 times what was sent.
    """
    kind = given.WhichOneof("kind")
    if kind is None:
        raise ValueError("Input is empty.")
    lists = getattr(given, kind)
    context = b""
    if kind == "example_list_with_context":
        context = lists.context.SerializeToString()
        copied = len(context) * len(lists.examples)
        if copied > max(_COPIED, _COPIES * given.ByteSize()):
            raise ValueError(
                f"{len(lists.examples)} examples would each have a copy of a context "
                f"of {len(context)} bytes. Send fewer examples at once, or the "
                "signature `elwc`."
            )
    # Messages one after the other are one message; of a feature the last one counts.
    records = [context + example.SerializeToString() for example in lists.examples]
    return tf.string.as_datatype_enum, (len(records),), records
