"""FeatureEmbeddings: rows against numpy, one gather, sparse gradients, exact export."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.layers import FeatureEmbeddings, embed_features
from tfdistill.spec import Feature, FeatureSpec, Table

SPEC = FeatureSpec(
    features=(
        Feature("gender", "categorical", "user", table="gender", dtype="string"),
        Feature("history", "categorical", "user", table="item", shape=(3,)),
        Feature("device", "categorical", "user", table="device", dtype="string"),
        Feature("time", "numeric", "user", mean=1.6e9, scale=1e6),
        Feature("item_id", "categorical", "item", table="item"),
        Feature("year", "categorical", "item", table="year"),
        Feature("campaign", "categorical", "item", table="campaign"),
        Feature("prices", "numeric", "item", shape=(2,), mean=3.0, scale=2.0),
    ),
    tables=(
        Table("gender", 4, kind="vocabulary", vocabulary=("f", "m")),
        Table("item", 4, size=6, oov=2),
        Table("device", 3, kind="hash", size=5),
        Table("year", 4, kind="vocabulary", vocabulary=(-1, 1990, 2001), oov=2),
        Table("campaign", 3, kind="hash", size=7),
    ),
)
INTEGERS = ("history", "time", "item_id", "campaign", "prices")
USER = {
    "gender": np.array(["m", "f", "x"]),
    "history": np.array([[4, 1, -1], [2, 99, 2], [-1, -1, -1]]),
    "device": np.array(["tv", "", "phone"]),
    "time": np.array([1.6e9, 1.601e9, 1.599e9], np.float32),
}
ITEM = {
    "item_id": np.array([[0, 5], [6, 7], [-1, -2]]),
    "year": np.array([[1990, 2001], [1991, -1], [0, 1990]]),
    "campaign": np.array([[3, 2**40], [-9, 0], [1, 2]]),
    "prices": np.array(
        [[[3, 5], [1, 3]], [[0, 0], [2, 4]], [[9, 9], [5, 1]]], np.float32
    ),
}
INPUTS = {**USER, **ITEM}
# Rows inside each table, by hand; the padding of history has none.
ROWS = {
    "gender": np.array([2, 1, 0]),
    "item_id": np.array([[2, 7], [0, 1], [1, 0]]),
    "history": np.array([[6, 3, -1], [4, 1, 4], [-1, -1, -1]]),
    "year": np.array([[3, 4], [1, 2], [0, 3]]),
}


def build(spec: FeatureSpec = SPEC, **options: object) -> FeatureEmbeddings:
    """A layer whose every row is different."""
    tf.keras.utils.set_random_seed(2)
    layer = FeatureEmbeddings(spec, initializer="random_normal", **options)
    layer.build(None)
    return layer


def tensors(inputs, names=None) -> dict[str, tf.Tensor]:
    return {k: tf.constant(v) for k, v in inputs.items() if names is None or k in names}


def both_sides(layer: FeatureEmbeddings, names=None) -> dict[str, np.ndarray]:
    outputs = {}
    for inputs in (tensors(USER, names), tensors(ITEM, names)):
        outputs.update(layer(inputs) if inputs else {})
    return {name: value.numpy() for name, value in outputs.items()}


def block(layer: FeatureEmbeddings, name: str) -> np.ndarray:
    """The rows of one table: tables of one width follow each other in spec order."""
    start = 0
    for table in layer.spec.tables:
        rows = layer.tables[str(table.dim)].numpy()[start : start + table.num_rows]
        if table.name == name:
            return rows
        width = next(t.dim for t in layer.spec.tables if t.name == name)
        start += table.num_rows if table.dim == width else 0
    raise AssertionError(name)


def hashed(name: str, values: np.ndarray, size: int) -> np.ndarray:
    if name == "device":
        return tf.strings.to_hash_bucket_fast(values, size).numpy()
    golden = 0x9E3779B97F4A7C15
    return np.vectorize(lambda v: ((int(v) * golden) % 2**64 >> 33) % size)(values)


@pytest.mark.parametrize("name", SPEC.names)
def test_every_kind_equals_numpy(name):
    layer = build()
    feature, found = SPEC[name], both_sides(layer)[name]
    if feature.kind == "numeric":
        expected = (INPUTS[name] - feature.mean) / feature.scale
        expected = expected if feature.shape else expected[..., None]
    else:
        table = SPEC.table_of(feature)
        is_hash = table.kind == "hash"
        rows = hashed(name, INPUTS[name], table.size) if is_hash else ROWS[name]
        expected = block(layer, table.name)[rows]
        if feature.shape:
            kept = (rows >= 0)[..., None]
            expected = (expected * kept).sum(-2) / np.maximum(kept.sum(-2), 1)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)


def test_a_sequence_of_padding_is_zero_and_has_a_finite_gradient():
    layer = build()
    with tf.GradientTape() as tape:
        vectors = layer(tensors(USER, ["history"]))["history"]
    np.testing.assert_array_equal(vectors[2], np.zeros(4))
    gradient = tf.convert_to_tensor(tape.gradient(vectors, layer.tables["4"]))
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("oov", [1, 3])
@pytest.mark.parametrize("kind", ["integer", "vocabulary"])
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_unknown_ids_go_to_the_rows_kept_for_them(kind, oov, dtype):
    options = {"vocabulary": (0, 1, 2)} if kind == "vocabulary" else {"size": 3}
    spec = FeatureSpec(
        (Feature("f", "categorical", "user", table="t"),),
        (Table("before", 2, size=4), Table("t", 2, kind=kind, oov=oov, **options)),
    )
    layer, limits = build(spec), np.iinfo(dtype)
    values = [limits.min, -7, -2, -1, 0, 1, 2, 3, 4, 5, 6, limits.max]
    rows = layer.rows(spec["f"], tf.constant(values, dtype)).numpy()
    known = np.isin(values, [0, 1, 2])
    np.testing.assert_array_equal(rows[known], [oov, oov + 1, oov + 2])
    assert set(rows[~known]) == set(range(oov))


@pytest.mark.parametrize("listed", [(-1, 0, 5), ("[UNK]", "", "a")])
def test_every_listed_value_has_a_row_of_its_own(listed):
    dtype = "string" if isinstance(listed[0], str) else "int64"
    spec = FeatureSpec(
        (Feature("f", "categorical", "user", table="t", dtype=dtype),),
        (Table("t", 2, kind="vocabulary", vocabulary=listed),),
    )
    rows = build(spec).rows(spec["f"], tf.constant(listed, dtype))
    assert rows.numpy().tolist() == [1, 2, 3]


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_a_hash_of_ids_stays_inside_and_spreads(dtype):
    table, limits = Table("t", 2, kind="hash", size=50), np.iinfo(dtype)
    spec = FeatureSpec((Feature("f", "categorical", "user", table="t"),), (table,))
    values = np.append(np.arange(5000) * 64, [limits.min, -1, limits.max])
    rows = build(spec).rows(spec["f"], tf.constant(values, dtype)).numpy()
    assert rows.min() >= 0 and rows.max() < 50
    assert np.bincount(rows, minlength=50).max() < 2 * 5000 / 50


def test_hashes_of_strings_never_change():
    """Trained rows depend on them: these values are pinned."""
    feature = SPEC["device"]
    rows = build().rows(feature, tf.constant(["phone", "tv", "tablet", ""]))
    assert rows.numpy().tolist() == [1, 0, 3, 3]


def test_a_fused_table_equals_separate_tables():
    fused = build()
    assert {k: v.shape[0] for k, v in fused.tables.items()} == {"3": 12, "4": 16}
    together = both_sides(fused)
    for name in SPEC.names:
        alone = build(SPEC.select([name]))
        for variable in alone.tables.values():
            variable.assign(block(fused, str(SPEC[name].table)))
        np.testing.assert_array_equal(together[name], both_sides(alone, [name])[name])


def test_features_of_one_table_share_its_rows():
    layer = build()
    history = layer({"history": tf.constant([[4, -1, -1]])})["history"]
    item = layer({"item_id": tf.constant([[4]])})["item_id"]
    np.testing.assert_array_equal(history, item[:, 0])


def test_calls_that_mix_the_sides_or_name_no_feature_are_refused():
    layer = build()
    with pytest.raises(ValueError, match=r"one scope, got \['gender', 'year'\]"):
        layer(tensors(INPUTS, ["gender", "year"]))
    with pytest.raises(ValueError, match=r"No feature \['yaer'\]"):
        layer({"yaer": tf.constant([[1990]])})


USES = {
    "teacher": SPEC.names,
    "coarse": ("gender", "history", "item_id"),
    "fine": ("gender", "time", "item_id", "year"),
}
# side, widths and audience: user gender/history/device, item item_id/year/campaign
GATHERS = [
    ("user", 4, "teacher coarse fine"),
    ("user", 4, "teacher coarse"),
    ("user", 3, "teacher"),
    ("item", 4, "teacher coarse fine"),
    ("item", 4, "teacher fine"),
    ("item", 3, "teacher"),
]


def test_one_gather_per_side_audience_and_width():
    inputs, layer = SPEC.keras_inputs(), FeatureEmbeddings(SPEC)
    vectors = embed_features(layer, inputs, USES)
    model = tf.keras.Model(inputs, vectors)
    graph = tf.function(model).get_concrete_function(tensors(INPUTS)).graph
    ops = [op.type for op in graph.get_operations()]
    assert ops.count("ResourceGather") == len(GATHERS)
    found = model(tensors(INPUTS))
    for name, expected in both_sides(layer).items():
        np.testing.assert_array_equal(found[name], expected)


@pytest.mark.parametrize("net", USES)
def test_no_net_depends_on_a_feature_that_it_does_not_read(net):
    inputs = SPEC.keras_inputs()
    vectors = embed_features(FeatureEmbeddings(SPEC), inputs, USES)
    own = {name: inputs[name] for name in USES[net]}
    tf.keras.Model(own, [vectors[name] for name in USES[net]])  # else: disconnected


def test_nets_that_read_what_is_not_there_are_refused():
    inputs, layer = SPEC.keras_inputs(), build()
    with pytest.raises(ValueError, match=r"No feature \['ages'\]"):
        embed_features(layer, inputs, {"fine": ["ages"]})
    del inputs["year"]
    with pytest.raises(ValueError, match=r"no input for the features \['year'\]"):
        embed_features(layer, inputs, USES)


def test_gradients_touch_the_gathered_rows_only():
    layer = build()
    with tf.GradientTape() as tape:
        outputs = layer(tensors(ITEM, ["item_id", "year"]))
        loss = tf.add_n([tf.reduce_sum(x**2) for x in outputs.values()])
    gradient = tape.gradient(loss, layer.tables["4"])
    assert isinstance(gradient, tf.IndexedSlices)
    # item lies behind gender's 3 rows, year behind item's 8
    expected = {*(3 + ROWS["item_id"]).ravel(), *(11 + ROWS["year"]).ravel()}
    assert set(gradient.indices.numpy()) == expected


@pytest.mark.parametrize(
    ("names", "shapes"),
    [
        (("time", "year"), {"4": (5, 4)}),
        (("gender", "year", "campaign"), {"4": (8, 4), "3": (7, 3)}),
        (("history",), {"4": (8, 4)}),
        (("time", "prices"), {}),
    ],
)
def test_a_restricted_layer_is_equal_to_the_bit_and_holds_its_rows_only(names, shapes):
    layer = build(name="shared")
    small = layer.restrict(names)
    assert small.name == "shared" and small.spec == SPEC.select(names)
    assert {k: tuple(v.shape) for k, v in small.tables.items()} == shapes
    assert len(small.weights) == len(shapes)
    outputs = both_sides(layer)
    for name, value in both_sides(small, names).items():
        np.testing.assert_array_equal(value, outputs[name])


def test_a_layer_without_tables_yet_cannot_be_restricted():
    with pytest.raises(ValueError, match="not built"):
        FeatureEmbeddings(SPEC).restrict(["year"])


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_narrows_the_outputs_alone(policy):
    """Raw numbers are standardised first: 1.6e9 is infinite in float16."""
    full, half = both_sides(build()), build(dtype=policy)
    assert all(v.dtype == tf.float32 for v in half.variables)
    for name, value in both_sides(half).items():
        assert value.dtype == tf.as_dtype(half.compute_dtype).as_numpy_dtype
        np.testing.assert_allclose(np.float32(value), full[name], rtol=1e-2, atol=1e-3)


def test_xla_equals_eager_for_integer_features():
    layer = build(SPEC.select(INTEGERS))
    compiled = tf.function(layer, jit_compile=True)
    expected = both_sides(layer, INTEGERS)
    for side in (USER, ITEM):
        for name, value in compiled(tensors(side, INTEGERS)).items():
            np.testing.assert_allclose(value, expected[name], rtol=1e-6)


def test_one_seeded_initializer_serves_every_width():
    initializer = tf.keras.initializers.RandomNormal(stddev=0.5, seed=7)
    one, two = (FeatureEmbeddings(SPEC, initializer) for _ in range(2))
    for layer in (one, two):
        layer.build(None)
    for dim in ("3", "4"):
        np.testing.assert_array_equal(one.tables[dim], two.tables[dim])
        assert 0.3 < float(tf.math.reduce_std(one.tables[dim])) < 0.7


LOAD = """
import sys
import numpy as np
import tensorflow as tf

folder = sys.argv[1]
features = {k: tf.constant(v) for k, v in np.load(folder + "/user.npz").items()}
served = tf.saved_model.load(folder + "/saved").signatures["serving_default"]
outputs = {"served": served(**features)}
assert not any(name.startswith("tfdistill") for name in sys.modules)
import tfdistill.layers

model = tf.keras.models.load_model(folder + "/model.keras", compile=False)
config = model.get_layer("shared").get_config()
assert config["initializer"]["config"]["stddev"] == 0.3, config
assert config["dtype"]["config"]["name"] == "mixed_bfloat16", config
assert config["trainable"] is False, config
outputs["model.keras"] = model(features)
for name, values in outputs.items():
    values = {k: tf.cast(v, tf.float32).numpy() for k, v in values.items()}
    np.savez(f"{folder}/{name}.npz", **values)
"""


def test_another_process_loads_it_with_all_arguments(tmp_path):
    spec = SPEC.select(USER)
    layer = FeatureEmbeddings(
        spec,
        tf.keras.initializers.RandomNormal(stddev=0.3),
        name="shared",
        dtype="mixed_bfloat16",
        trainable=False,
    )
    inputs = spec.keras_inputs()
    model = tf.keras.Model(inputs, layer(inputs))
    signature = {k: tf.TensorSpec(x.shape, x.dtype, k) for k, x in inputs.items()}
    model.save(tmp_path / "model.keras")
    served = tf.Module()
    served.model, served.serve = model, tf.function(model, input_signature=[signature])
    tf.saved_model.save(served, tmp_path / "saved", signatures=served.serve)
    np.savez(tmp_path / "user.npz", **USER)
    subprocess.run([sys.executable, "-c", LOAD, str(tmp_path)], check=True)
    for name in ("served", "model.keras"):
        found = np.load(tmp_path / f"{name}.npz")
        for key, value in model(tensors(USER)).items():
            np.testing.assert_array_equal(found[key], tf.cast(value, tf.float32))
