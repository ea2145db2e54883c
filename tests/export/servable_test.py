"""Servables: bit-equal scores on cut tables, and nothing privileged or forbidden."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from export_fixture import FINE, ITEMS, SENTINEL, SPEC, batch, catalogue, of, towers

from tfdistill import _keras
from tfdistill.export import ranker_servable, recall_servable, tf_examples
from tfdistill.layers import restricted
from tfdistill.spec import FeatureSpec

USERS = tuple(f.name for f in SPEC.scope("user") if not f.privileged)
IDS = [f"ID-{row}" for row in range(ITEMS)]
SENTINEL_BYTES = np.float32(SENTINEL).tobytes()


@pytest.fixture(scope="module")
def fine(network, tmp_path_factory):
    """The ranker as a server loads it: the object must outlive its signatures."""
    path = tmp_path_factory.mktemp("fine")
    ranker_servable(network.part("fine"), SPEC).save(path)
    return tf.saved_model.load(str(path))


@pytest.fixture(scope="module")
def recall(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("recall")
    recall_servable(*towers(network), SPEC, catalogue(), IDS, k=5).save(path)
    return tf.saved_model.load(str(path))


@pytest.mark.parametrize("name", ["fine", "recall", "teacher"])
def test_cut_tables_give_the_same_scores_to_the_bit(network, name):
    part = network.part(name)
    features = of(batch(), _keras.input_names(part))
    copy = restricted([part])[0]
    np.testing.assert_array_equal(part(features)[name], copy(features)[name])
    joint = network.model(batch())[name]
    np.testing.assert_array_equal(joint, copy(features)[name])


def test_towers_keep_sharing_a_table_and_other_layers_are_not_copied(network):
    models = restricted(towers(network))
    tables = [
        {id(v) for v in model.weights if "width_8" in _keras.path_of(v)}
        for model in models
    ]
    assert len(tables[0]) == 1 and tables[0] == tables[1]
    own = {id(v) for v in models[0].weights if "width" not in _keras.path_of(v)}
    assert own <= {id(v) for v in network.model.weights}


@pytest.mark.parametrize(("size", "length"), [(1, 1), (1, 500), (4, 9), (2, 0)])
def test_any_number_of_requests_and_candidates(fine, network, size, length):
    features = of(batch(size, length), FINE)
    scores = fine.signatures["serving_default"](**features)["scores"]
    assert scores.shape == (size, length)
    expected = network.part("fine")(features)["fine"]
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_inputs_are_named_dense_tensors(fine):
    inputs = fine.signatures["serving_default"].structured_input_signature[1]
    assert set(inputs) == set(FINE)
    assert inputs["genres"] == tf.TensorSpec([None, None, 3], tf.string, "genres")
    assert inputs["age"] == tf.TensorSpec([None], tf.float32, "age")
    serialized = fine.signatures["tf_example"].structured_input_signature[1]
    assert serialized == {"serialized": tf.TensorSpec([None], tf.string, "serialized")}


def test_values_never_seen_are_served(fine, network):
    features = of(batch(1, 2), FINE)
    unseen = {"city": ["Timbuktu"], "item_id": tf.constant([[-7, 10**15]], tf.int64)}
    features.update({name: tf.constant(value) for name, value in unseen.items()})
    scores = fine.signatures["serving_default"](**features)["scores"]
    assert np.isfinite(scores).all()
    expected = network.part("fine")(features)["fine"]
    np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_tf_examples_score_as_columns(fine):
    features = of(batch(), FINE)
    serialized = tf_examples(features, SPEC.select(FINE))
    columns = fine.signatures["serving_default"](**features)["scores"]
    parsed = fine.signatures["tf_example"](serialized=tf.constant(serialized))["scores"]
    np.testing.assert_array_equal(columns, parsed)


def test_tf_examples_of_two_lengths_and_with_a_missing_feature(fine):
    spec, signature = SPEC.select(FINE), fine.signatures
    short, long = of(batch(1, 2), FINE), of(batch(1, 6, seed=2), FINE)
    del short["genres"]  # served with its default
    records = [
        tf_examples(short, SPEC.select(short))[0],
        tf_examples(long, spec)[0],
    ]
    scores = signature["tf_example"](serialized=tf.constant(records))["scores"]
    assert scores.shape == (2, 6)
    short["genres"] = tf.fill([1, 2, 3], "")
    for row, features in enumerate((short, long)):
        expected = signature["serving_default"](**features)["scores"]
        np.testing.assert_allclose(
            scores[row, : expected.shape[1]], expected[0], atol=1e-6
        )


def test_top_k_equals_brute_force(recall, network):
    users = of(batch(), USERS)
    query_model, item_model = towers(network)
    queries = query_model(users)["recall_query"].numpy()
    items = {name: tf.constant(x)[None] for name, x in catalogue().items()}
    vectors = item_model(of(items, _keras.input_names(item_model)))["recall_item"][
        0
    ].numpy()
    scores = queries @ vectors.T
    order = np.argsort(-scores, axis=1)[:, :5]
    answer = recall.signatures["serving_default"](**users)
    assert answer["ids"].numpy().astype("U").tolist() == np.array(IDS)[order].tolist()
    np.testing.assert_allclose(
        answer["scores"], np.take_along_axis(scores, order, 1), atol=1e-5
    )
    serialized = tf.constant(tf_examples(users, SPEC.select(USERS)))
    parsed = recall.signatures["tf_example"](serialized=serialized)
    np.testing.assert_array_equal(parsed["ids"], answer["ids"])
    query = recall.signatures["query"](**users)["vector"]
    np.testing.assert_allclose(query, queries, atol=1e-5)
    rows = {name: tf.constant(x[:4]) for name, x in catalogue().items()}
    item = recall.signatures["item"](**of(rows, _keras.input_names(item_model)))[
        "vector"
    ]
    np.testing.assert_allclose(item, vectors[:4], atol=1e-5)


def bytes_of(path) -> bytes:
    return b"".join(p.read_bytes() for p in path.rglob("*") if p.is_file())


def test_no_privileged_row_is_in_the_files(network, tmp_path):
    ranker_servable(network.part("fine"), SPEC).save(tmp_path / "fine")
    two = recall_servable(*towers(network), SPEC, catalogue(), IDS, k=5)
    two.save(tmp_path / "recall")
    assert SENTINEL_BYTES not in bytes_of(tmp_path)
    teacher = ranker_servable(network.part("teacher"), SPEC, allow_privileged=True)
    teacher.save(tmp_path / "teacher")
    assert SENTINEL_BYTES in bytes_of(tmp_path)  # the search does find it


def test_only_what_the_signatures_use_is_stored(network, tmp_path):
    ranker_servable(network.part("fine"), SPEC).save(tmp_path)
    stored = tf.train.list_variables(str(tmp_path / "variables" / "variables"))
    shapes = sorted(tuple(shape) for _, shape in stored if shape)
    # city 4 + item 51 rows of width 8, genre 20 of width 4; dropout's step is not there
    assert shapes == sorted(
        [(55, 8), (20, 4), (9, 16), (13, 16), (16,), (16, 8), (8,), (8, 1), (1,)]
    )


def test_a_privileged_feature_is_refused(network):
    with pytest.raises(ValueError, match=r"privileged features \['secret', 'dwell'\]"):
        ranker_servable(network.part("teacher"), SPEC)


def test_a_variable_of_the_teacher_is_refused(network):
    """Here the student reads a layer of the teacher, not only the shared tables."""
    served = network.model.get_layer("fine_hidden_hint")
    cheat = tf.keras.Model(network.part("fine").input, served.output)
    teacher = tf.keras.Model(served.input, served.output, name="teacher")
    with pytest.raises(
        ValueError, match=r"forbidden model: \['fine_hidden_hint/bias:0'"
    ):
        ranker_servable(cheat, SPEC, forbidden=[teacher])


def test_shared_tables_do_not_make_a_student_forbidden(network):
    ranker_servable(network.part("fine"), SPEC, forbidden=[network.part("teacher")])


def test_tables_in_a_nested_model_are_refused(network):
    part = network.part("fine")
    inputs = SPEC.select(FINE).keras_inputs()
    with pytest.raises(ValueError, match="'embeddings' lie inside a nested model"):
        ranker_servable(tf.keras.Model(inputs, part(inputs)), SPEC)


def test_what_is_no_score_is_not_served(network):
    part = network.part("fine")
    outputs = {name: network.model.output[name] for name in ("fine", "fine_hidden")}
    both = tf.keras.Model(part.input, outputs)
    with pytest.raises(ValueError, match=r"\{'fine_hidden': \(None, None, 8\)\}; name"):
        ranker_servable(both, SPEC)
    assert "classify" in ranker_servable(both, SPEC, output="fine").signatures
    with pytest.raises(ValueError, match=r"outputs \['fine', 'fine_hidden'\].*'x'"):
        ranker_servable(both, SPEC, output="x")


def test_models_that_do_not_fit_are_refused(network):
    class Subclassed(tf.keras.Model):
        pass

    with pytest.raises(ValueError, match="functional Keras model.*Subclassed"):
        ranker_servable(Subclassed(), SPEC)
    small = FeatureSpec((SPEC["age"],))
    with pytest.raises(ValueError, match=r"No feature .*'item_id'"):
        ranker_servable(network.part("fine"), small)
    with pytest.raises(ValueError, match=r"no values of \['city'.*only of \['age'\]"):
        ranker_servable(network.part("fine"), SPEC, example={"age": [1.0]})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ids": IDS[:-1]}, r"39 ids, 39 of them different"),
        ({"ids": [*IDS[:-1], IDS[0]]}, r"40 ids, 39 of them different"),
        ({"k": 41}, "k must be from 1 to the 40 items, got 41"),
        ({"items": {"item_id": np.arange(40)}}, r"no values of \['genres', 'price'\]"),
    ],
)
def test_catalogues_that_do_not_fit_are_refused(network, change, message):
    arguments = {"items": catalogue(), "ids": IDS, "k": 5, **change}
    with pytest.raises(ValueError, match=message):
        recall_servable(*towers(network), SPEC, **arguments)


def test_a_tower_that_reads_the_other_side_is_refused(network):
    query, item = towers(network)
    with pytest.raises(ValueError, match=r"tower of the user side reads \['item_id'"):
        recall_servable(item, query, SPEC, catalogue(), IDS, k=5)
