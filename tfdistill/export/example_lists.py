"""ExampleListWithContext records as columns, with TensorFlow's own operations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
from google.protobuf import descriptor_pb2

__all__ = ["parse_lists"]


def parse_lists(
    serialized: tf.Tensor, context: Mapping[str, Any], examples: Mapping[str, Any]
) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    """Parses one list of tf.Examples and its context from each record.

    Equal to `tfr.data.parse_from_example_list`, except that a batch of empty lists has
    no candidate.

    Args:
        serialized: Records `[B]`.
        context: How the context is parsed, as for `tf.io.parse_example`.
        examples: How an example is parsed; each feature has a default, for padding.

    Returns:
        Columns `[B, ...]` of the context and `[B, L, ...]` of the examples, with L of
        the longest list, and the lists' sizes `[B]`.

    Example:
        >>> one = {"n": tf.io.FixedLenFeature([], tf.int64, 0)}
        >>> columns, sizes = parse_lists(tf.constant([b""]), {}, one)
        >>> tuple(columns["n"].shape), sizes.numpy().tolist()
        ((1, 0), [0])
    """
    records = tf.concat([serialized, [""]], axis=0)  # it takes one at least
    sizes, (contexts, lists) = tf.io.decode_proto(
        records,
        message_type="tfdistill.Lists",
        field_names=["context", "examples"],
        output_types=[tf.string, tf.string],
        descriptor_source=b"bytes://" + _descriptor(),
    )
    sizes, contexts = sizes[:-1, 1], contexts[:-1]
    lists = lists[:-1, : tf.reduce_max(tf.concat([sizes, [0]], axis=0))]
    columns = dict(tf.io.parse_example(tf.reshape(lists, [-1]), examples))
    for name, column in columns.items():
        shape = tf.concat([tf.shape(lists), column.shape[1:]], axis=0)
        columns[name] = tf.reshape(column, shape)
    if context:  # a record without one has the default of each feature
        first = tf.concat([contexts, tf.fill([tf.shape(contexts)[0], 1], "")], axis=1)
        columns.update(tf.io.parse_example(first[:, 0], context))
    return columns, sizes


def _descriptor() -> bytes:
    """ExampleListWithContext, whose two fields are left as bytes."""
    files = descriptor_pb2.FileDescriptorSet()
    file = files.file.add(name="lists.proto", package="tfdistill", syntax="proto3")
    message = file.message_type.add(name="Lists")
    of = descriptor_pb2.FieldDescriptorProto
    message.field.add(
        name="examples", number=1, type=of.TYPE_BYTES, label=of.LABEL_REPEATED
    )
    message.field.add(
        name="context", number=2, type=of.TYPE_BYTES, label=of.LABEL_OPTIONAL
    )
    return files.SerializeToString()
