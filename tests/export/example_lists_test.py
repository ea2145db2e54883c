"""Records of lists are read as TF-Ranking reads them."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import input_pb2

from tfdistill.export.example_lists import parse_lists
from tfdistill.losses import tf_ranking

CONTEXT = {
    "age": tf.io.FixedLenFeature([], tf.float32, 7.0),
    "words": tf.io.FixedLenFeature([2], tf.string, ["", "none"]),
}
ITEM = {
    "id": tf.io.FixedLenFeature([], tf.int64, -1),
    "vector": tf.io.FixedLenFeature([2], tf.float32, [0.5, 0.25]),
}


def example(**columns) -> tf.train.Example:
    result = tf.train.Example()
    for name, values in columns.items():
        feature = result.features.feature[name]
        kind = {bytes: "bytes_list", int: "int64_list", float: "float_list"}
        getattr(feature, kind[type(values[0])]).value.extend(values)
    return result


def record(items, context=None) -> bytes:
    lists = input_pb2.ExampleListWithContext(examples=items)
    if context is not None:
        lists.context.CopyFrom(context)
    return lists.SerializeToString()


THREE = record(
    [example(id=[1], vector=[1.0, 2.0]), example(), example(id=[3])],
    example(age=[30.0], words=[b"a", "\u00e9".encode()]),
)
ONE = record([example(id=[9], other=[1.0])], example(age=[1.0]))
NONE = record([], example(words=[b"x", b"y"]))
BARE = record([example(id=[4])])


@pytest.mark.parametrize(
    "records",
    [[THREE], [THREE, ONE], [ONE, NONE, THREE], [NONE], [NONE, NONE], [BARE, ONE]],
    ids=lambda records: str([len(record) for record in records]),
)
@pytest.mark.parametrize("context", [CONTEXT, {}], ids=["context", "items alone"])
def test_equal_to_the_parser_of_tf_ranking(records, context):
    serialized = tf.constant(records)
    columns, sizes = parse_lists(serialized, context, ITEM)
    theirs = tf_ranking().data.parse_from_example_list(
        serialized,
        context_feature_spec=context,
        example_feature_spec=ITEM,
        size_feature_name="sizes",
    )
    np.testing.assert_array_equal(sizes, theirs.pop("sizes"))
    assert set(columns) == set(theirs)
    longest = int(tf.reduce_max(sizes))  # theirs is one at least
    for name, found in columns.items():
        wanted = theirs[name][:, :longest] if name in ITEM else theirs[name]
        assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(found, wanted, err_msg=name)


def test_a_record_without_a_context_has_its_defaults():
    columns, _ = parse_lists(tf.constant([BARE]), CONTEXT, ITEM)
    assert columns["age"].numpy().tolist() == [7.0]
    assert columns["words"].numpy().tolist() == [[b"", b"none"]]
    assert columns["id"].numpy().tolist() == [[4]]


def test_no_records_give_no_lists():
    columns, sizes = parse_lists(tf.zeros([0], tf.string), CONTEXT, ITEM)
    assert sizes.shape == (0,)
    assert columns["vector"].shape == (0, 0, 2) and columns["age"].shape == (0,)


def test_what_is_no_list_is_refused():
    with pytest.raises(tf.errors.OpError):
        parse_lists(tf.constant([b"\x0a\xff broken"]), CONTEXT, ITEM)
