"""FeatureSpec: what it refuses, what it makes, and that JSON gives it back."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.spec import RESERVED_NAMES, Feature, FeatureSpec, Table

SPEC = FeatureSpec(
    features=(
        Feature("age", "numeric", "user", mean=35.0, scale=10.0, default=35.0),
        Feature("history", "categorical", "user", table="item", shape=(3,)),
        Feature("item_id", "categorical", "item", table="item"),
        Feature(
            "genres", "categorical", "item", table="genre", shape=(2,), dtype="string"
        ),
        Feature("dwell", "numeric", "item", privileged=True),
    ),
    tables=(
        Table("item", dim=8, size=100, oov=2),
        Table("genre", dim=4, kind="vocabulary", vocabulary=("drama", "war")),
        Table("left_over", dim=4, size=3),
    ),
)


def table(**change: object) -> Table:
    return Table(**{"name": "t", "dim": 4, "size": 9, **change})


def feature(**change: object) -> Feature:
    return Feature(
        **{"name": "f", "kind": "categorical", "scope": "user", "table": "t", **change}
    )


NUMERIC = {"kind": "numeric", "table": None}
VOCABULARY = {"kind": "vocabulary", "size": 0}


@pytest.mark.parametrize(
    ("make", "change", "message"),
    [
        (table, {"kind": "hashed"}, r"kind must be one of .*'hash'.*got 'hashed'"),
        (table, {"dim": 0}, "dim must be greater than or equal to 1, got 0"),
        (table, {"size": 0}, "takes size >= 1 and no vocabulary, got size=0"),
        (table, {"vocabulary": ("a",)}, "and 1 vocabulary entries"),
        (table, {"oov": 0}, "oov must be at least 1, got 0"),
        (table, VOCABULARY, "non-empty vocabulary"),
        (table, {**VOCABULARY, "vocabulary": ("a",), "size": 2}, "no size, got 1"),
        (table, {**VOCABULARY, "vocabulary": ("a", "a")}, "repeats a value"),
        (table, {**VOCABULARY, "vocabulary": ("a", 1)}, r"got \['int', 'str'\]"),
        (
            table,
            {**VOCABULARY, "vocabulary": (0.5,)},
            r"\[0\] must be .* valid integer, got 0.5",
        ),
        (feature, {"kind": "sequence"}, "kind must be one of .*got 'sequence'"),
        (feature, {"scope": "context"}, "scope must be one of .*got 'context'"),
        (feature, {"dtype": "float32"}, "dtype must be one of .*got 'float32'"),
        (feature, {**NUMERIC, "dtype": "int64"}, "dtype must be one of .*got 'int64'"),
        (feature, {"default": "x"}, "default 'x' is no value of dtype 'int64'"),
        (feature, {"default": 0.5}, "default 0.5 is no value of dtype 'int64'"),
        (feature, {"dtype": "string", "default": 0}, "default 0 is no value"),
        (feature, {"name": "mask"}, "'mask': a name must be none of"),
        (feature, {"shape": (2, 2)}, r"at most 1 item.*got \(2, 2\)"),
        (feature, {"shape": (0,)}, r"shape\[0\] must be greater than .*got 0"),
        (feature, {"table": None}, "names its table.*table=None"),
        (feature, {**NUMERIC, "table": "t"}, "a numeric one has none.*table='t'"),
        (feature, {"mean": 1.0}, "mean and scale are for numeric features only"),
        (feature, {**NUMERIC, "scale": 0.0}, "scale must not be 0"),
        *((feature, {"name": name}, "other keys") for name in sorted(RESERVED_NAMES)),
    ],
)
def test_contradictions_in_a_table_or_feature_are_refused(make, change, message):
    with pytest.raises(ValueError, match=f"'{change.get('name', '[ft]')}'") as error:
        make(**change)
    error.match(message)


@pytest.mark.parametrize(
    ("features", "tables", "message"),
    [
        ((), (), "at least one feature"),
        ((feature(), feature()), (table(),), "a feature name repeats"),
        ((feature(),), (table(), table(dim=2)), "a table name repeats"),
        ((feature(table="u"),), (table(),), "names table 'u', which is not in"),
        ((feature(dtype="string"),), (table(),), "of kind 'integer' takes dtype"),
        (
            (feature(), feature(name="g", dtype="string")),
            (table(kind="hash"),),
            "'g' has dtype 'string'.*'int64'",
        ),
        (
            (feature(),),
            (table(**VOCABULARY, vocabulary=("a",)),),
            "has dtype 'int64'.*holds 'string'",
        ),
    ],
)
def test_contradictions_between_features_and_tables_are_refused(
    features, tables, message
):
    with pytest.raises(ValueError, match=message):
        FeatureSpec(features, tables)


@pytest.mark.parametrize(
    ("change", "rows"),
    [
        ({"size": 9, "oov": 2}, 11),
        ({"size": 9, "kind": "hash"}, 9),
        ({**VOCABULARY, "vocabulary": ("a", "b"), "oov": 3}, 5),
    ],
)
def test_rows_of_a_table_count_those_for_unknown_values(change, rows):
    assert table(**change).num_rows == rows


def test_json_gives_the_spec_back(tmp_path):
    assert FeatureSpec.from_json(SPEC.to_json()) == SPEC
    SPEC.save(tmp_path / "spec.json")
    assert FeatureSpec.load(tmp_path / "spec.json") == SPEC


def test_a_vocabulary_may_come_from_numpy():
    """`np.unique(column)` is where vocabularies come from."""
    for values, dtype in ((np.array([3, 8]), "int64"), (np.array(["a"]), "string")):
        spec = FeatureSpec(
            (feature(dtype=dtype),), (table(**VOCABULARY, vocabulary=values),)
        )
        assert FeatureSpec.from_json(spec.to_json()) == spec
    with pytest.raises(ValueError, match="holds 'int64'"):
        FeatureSpec(
            (feature(dtype="string"),),
            (table(**VOCABULARY, vocabulary=np.array([3])),),
        )


def test_a_spec_written_by_hand_needs_no_defaults():
    text = json.dumps(
        {
            "features": [
                {"name": "f", "kind": "categorical", "scope": "user", "table": "t"}
            ],
            "tables": [{"name": "t", "dim": 4, "size": 9}],
        }
    )
    assert FeatureSpec.from_json(text) == FeatureSpec((feature(),), (table(),))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no JSON: EOF while parsing an object at line 1 column 1"),
        ("[]", r"it must be an object, got \[\]"),
        (
            '{"fields": []}',
            "lacks 'features'; fields is not known; .*'tables'",
        ),
        ('{"features": [3]}', r"features\[0\] must be an object, got 3"),
        (
            '{"features": [{"name": "f", "dims": 4}]}',
            r"\[0\].dims is not known; known .*'mean'",
        ),
        (
            '{"features": [{"name": "f"}]}',
            r"\[0\] lacks 'kind', lacks 'scope'",
        ),
        ('{"features": [], "tables": [{"name": "t"}]}', r"tables\[0\] lacks 'dim'"),
    ],
)
def test_json_that_does_not_fit_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        FeatureSpec.from_json(text)


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(
        ValueError, match="absent.json' can't be read as .*No such file"
    ):
        FeatureSpec.load(tmp_path / "absent.json")


def test_selections_keep_the_order_and_the_tables_they_name():
    assert [t.name for t in SPEC.tables] == ["item", "genre"]
    part = SPEC.select(["genres", "age"])
    assert part.names == ("age", "genres")
    assert [t.name for t in part.tables] == ["genre"]
    assert [f.name for f in SPEC.scope("user")] == ["age", "history"]
    assert [f.name for f in SPEC.scope("item")] == ["item_id", "genres", "dwell"]
    assert SPEC.non_privileged().names == ("age", "history", "item_id", "genres")
    assert SPEC["dwell"].privileged
    assert SPEC.table_of(SPEC["history"]) is SPEC.table_of(SPEC["item_id"])


def test_selections_of_what_is_not_there_are_refused():
    with pytest.raises(ValueError, match=r"No feature \['ages'\].*'age'"):
        SPEC.select(["age", "ages"])
    with pytest.raises(ValueError, match="scope must be one of .*got 'items'"):
        SPEC.scope("items")
    with pytest.raises(ValueError, match="at least one feature"):
        FeatureSpec((feature(privileged=True),), (table(),)).non_privileged()


def test_keras_inputs_have_a_batch_and_a_list_axis():
    found = {
        name: (x.name, list(x.shape), tf.as_dtype(x.dtype))
        for name, x in SPEC.keras_inputs().items()
    }
    assert found == {
        "age": ("age", [None], tf.float32),
        "history": ("history", [None, 3], tf.int64),
        "item_id": ("item_id", [None, None], tf.int64),
        "genres": ("genres", [None, None, 2], tf.string),
        "dwell": ("dwell", [None, None], tf.float32),
    }


def example(**columns: list) -> bytes:
    kinds = {
        bytes: lambda v: {"bytes_list": tf.train.BytesList(value=v)},
        int: lambda v: {"int64_list": tf.train.Int64List(value=v)},
        float: lambda v: {"float_list": tf.train.FloatList(value=v)},
    }
    features = {
        name: tf.train.Feature(**kinds[type(values[0])](values))
        for name, values in columns.items()
    }
    return tf.train.Example(
        features=tf.train.Features(feature=features)
    ).SerializeToString()


def test_the_parsing_spec_reads_tf_examples():
    """Two requests, of two and of one candidate; the second lacks age and genres."""
    full = example(
        age=[41.0],
        history=[5, 6, -1],
        item_id=[7, 8],
        genres=[b"war", b"", b"drama", b"war"],
        dwell=[0.5, 1.5],
    )
    poor = example(history=[1, 2, 3], item_id=[9], dwell=[2.5])
    parsed = tf.io.parse_example([full, poor], SPEC.parsing_spec())
    expected = {
        "age": [41.0, 35.0],
        "history": [[5, 6, -1], [1, 2, 3]],
        "item_id": [[7, 8], [9, -1]],
        "genres": [[[b"war", b""], [b"drama", b"war"]], [[b"", b""], [b"", b""]]],
        "dwell": [[0.5, 1.5], [2.5, 0.0]],
    }
    assert {k: v.numpy().tolist() for k, v in parsed.items()} == expected
    for name, keras_input in SPEC.keras_inputs().items():
        assert parsed[name].dtype == keras_input.dtype
        assert parsed[name].shape.is_compatible_with(keras_input.shape)
