"""Packed features: the same vectors to the bit, and few operations on the way."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.layers import FeatureEmbeddings
from tfdistill.layers.packed import PackedEmbeddings, packed_order, unpacked
from tfdistill.spec import Feature, FeatureSpec, Table

# Every kind of table twice, of other sizes, in an order that mixes kinds and widths.
SPEC = FeatureSpec(
    features=(
        Feature("shop", "categorical", "item", table="shop"),
        Feature("price", "numeric", "item", mean=3.0, scale=2.0),
        Feature("year", "categorical", "item", table="year"),
        Feature("tag", "categorical", "item", table="tag", dtype="string"),
        Feature("item_id", "categorical", "item", table="item"),
        Feature("similar", "categorical", "item", table="item", shape=(3,)),
        Feature("word", "categorical", "item", table="word", dtype="string"),
        Feature("sizes", "numeric", "item", shape=(2,), mean=1.0),
        Feature("maker", "categorical", "item", table="maker"),
        Feature("campaign", "categorical", "item", table="campaign"),
        Feature("colour", "categorical", "item", table="colour", dtype="string"),
        Feature("age", "numeric", "user"),
    ),
    tables=(
        Table("shop", 4, size=6),
        Table("item", 4, size=9, oov=2),
        Table("tag", 4, kind="hash", size=5),
        Table("word", 4, kind="hash", size=8),
        Table("year", 3, kind="vocabulary", vocabulary=(1990, 2001)),
        Table("maker", 4, kind="hash", size=7),
        Table("campaign", 4, kind="hash", size=4),
        Table("colour", 4, kind="vocabulary", vocabulary=("red", "blue")),
    ),
)
ITEM = FeatureSpec(SPEC.scope("item"), SPEC.tables)


@pytest.fixture(scope="module")
def embeddings():
    tf.keras.utils.set_random_seed(1)
    layer = FeatureEmbeddings(SPEC, initializer="random_normal")
    layer.build(None)
    return layer


def drawn(feature: Feature, rng: np.random.Generator) -> np.ndarray:
    shape = (2, 5, *feature.shape) if feature.scope == "item" else (2, *feature.shape)
    if feature.kind == "numeric":
        return rng.normal(size=shape).astype(np.float32)
    if feature.dtype == "string":
        return rng.choice(np.array(["", "red", "blue", "Zürich"], object), shape)
    extremes = [-1, 0, 3, 8, 9, 1990, 2**40, np.iinfo(np.int64).max, -(2**63)]
    return rng.choice(np.array(extremes), shape)


def features() -> dict[str, tf.Tensor]:
    rng = np.random.default_rng(0)
    return {f.name: tf.constant(drawn(f, rng)) for f in SPEC.features}


def packed(values: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    return {
        name: tf.concat(
            [values[f.name] if f.shape else values[f.name][..., None] for f in group],
            axis=-1,
        )
        for name, group in packed_order(SPEC).items()
    }


def test_the_order_is_that_of_the_spec_by_side_and_dtype():
    names = {k: [f.name for f in v] for k, v in packed_order(SPEC).items()}
    assert names == {
        "user_numbers": ["age"],
        "item_ids": ["shop", "year", "item_id", "similar", "maker", "campaign"],
        "item_strings": ["tag", "word", "colour"],
        "item_numbers": ["price", "sizes"],
    }


def test_cutting_gives_the_features_back():
    values = features()
    found = unpacked(packed(values), SPEC)
    for name, value in values.items():
        np.testing.assert_array_equal(found[name], value)


@pytest.mark.parametrize("names", [ITEM.names, ITEM.names[::-1], ("sizes",), ("tag",)])
def test_vectors_are_those_of_the_layer_to_the_bit(embeddings, names):
    values = features()
    expected = embeddings({name: values[name] for name in names})
    found = PackedEmbeddings(embeddings, SPEC, packed(values)).joined(names)
    joined = tf.concat([expected[name] for name in names], axis=-1)
    np.testing.assert_array_equal(found, joined)


def test_empty_lists_give_empty_vectors(embeddings):
    values = {
        f.name: x[:, :0] if f.scope == "item" else x
        for f, x in zip(SPEC.features, features().values())
    }
    found = PackedEmbeddings(embeddings, SPEC, packed(values)).joined(ITEM.names)
    assert found.shape == (2, 0, 4 * 8 + 3 + 3)


def test_strings_of_several_tables_are_hashed_as_each_alone(embeddings):
    texts = [b"", b"a", b"\xff\xfe", b"x" * 100_000, "Zürich".encode()]
    columns = tf.constant([[text, text] for text in texts])
    tables = [SPEC["tag"], SPEC["word"]]
    vectors = embeddings.gather(tables, columns)
    for place, feature in enumerate(tables):
        rows = embeddings.rows(feature, tf.constant(texts))
        expected = tf.gather(embeddings.tables["4"], rows)
        np.testing.assert_array_equal(vectors[:, place], expected)


def test_a_side_of_ids_and_numbers_costs_one_gather():
    """However many features it has: no slice, no split, one concatenation."""
    count = 20
    spec = FeatureSpec(
        (
            *(Feature(f"c{i}", "categorical", "item", f"c{i}") for i in range(count)),
            *(Feature(f"n{i}", "numeric", "item") for i in range(count)),
        ),
        tuple(Table(f"c{i}", 4, size=5 + i) for i in range(count)),
    )
    layer = FeatureEmbeddings(spec)
    layer.build(None)

    @tf.function
    def side(item_ids, item_numbers):
        values = {"item_ids": item_ids, "item_numbers": item_numbers}
        return PackedEmbeddings(layer, spec, values).joined(spec.names)

    shape = [None, None, count]
    graph = side.get_concrete_function(
        tf.TensorSpec(shape, tf.int64), tf.TensorSpec(shape, tf.float32)
    ).graph
    types = [op.type for op in graph.get_operations()]
    assert types.count("ResourceGather") == 1
    assert not {"Split", "SplitV", "FloorMod"} & set(types)
    assert len(types) < 40
