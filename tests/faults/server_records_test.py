"""Inputs that do not belong together: refused by the model itself, so by any server.

TensorFlow's C++ loader runs the requests without Python code of the package.
"""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from server_fixture import SPEC, ranker
from tensorflow_serving.apis.input_pb2 import ExampleListWithContext

from tfdistill.export import (
    candidate_examples,
    elwc,
    example_batch,
    pack,
    recall_servable,
    tf_examples,
)
from tfdistill.export.c_loader import Failure, arrays, loaded, wire
from tfdistill.spec import Feature, FeatureSpec

ONE = example_batch(SPEC, batch_size=1, list_size=3)
TWO = example_batch(SPEC, batch_size=2, list_size=3, seed=1)
RECORD = tf_examples(ONE, SPEC)[0]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("fine")
    ranker().save(path)
    return loaded(path)


def refused(model, signature: str, inputs) -> str:
    with pytest.raises(Failure) as failure:
        model.answer(signature, wire(inputs))
    code, text = failure.value.args
    assert code == 3  # INVALID_ARGUMENT
    return text


def scores(model, signature: str, inputs) -> np.ndarray:
    return arrays(model.answer(signature, wire(inputs)))["scores"]


def changed(record: bytes, name: str, count: int) -> bytes:
    """The tf.Example with another number of values of a feature."""
    example = tf.train.Example.FromString(record)
    feature = example.features.feature[name]
    values = getattr(feature, feature.WhichOneof("kind")).value
    kept = [*values, *values][:count]
    del values[:]
    values.extend(kept)
    return example.SerializeToString()


def records(*given: bytes) -> dict[str, np.ndarray]:
    return {"serialized": np.array(given, object)}


@pytest.mark.parametrize("name", SPEC.names)
def test_two_users_and_one_list_are_no_request(name, model):
    text = refused(model, "serving_default", {**ONE, name: TWO[name]})
    assert "same size in axis 0" in text and f"{name}" in text


@pytest.mark.parametrize("name", ["item_id", "tag", "pair", "price"])
def test_one_candidate_is_not_broadcast_to_the_others(name, model):
    text = refused(model, "serving_default", {**ONE, name: ONE[name][:, :1]})
    assert "same size in axis 1" in text and f"{name}" in text


@pytest.mark.parametrize("name", ["mask", "user_numbers", "item_ids", "item_numbers"])
def test_packed_tensors_belong_together(name, model):
    one, two = pack(ONE, SPEC), pack(TWO, SPEC)
    text = refused(model, "packed", {**one, name: two[name]})
    assert "same size in axis 0" in text and name in text
    if name != "user_numbers":
        text = refused(model, "packed", {**one, name: one[name][:, :1]})
        assert "same size in axis 1" in text


def test_exclusions_belong_to_users(tmp_path):
    spec = FeatureSpec(
        (
            Feature("taste", "numeric", "user", shape=(2,)),
            Feature("genre", "numeric", "item", shape=(2,)),
        )
    )
    inputs = spec.keras_inputs()
    towers = [tf.keras.Model(x, 1.0 * x) for x in inputs.values()]
    items = {"genre": np.eye(2, dtype=np.float32)}
    servable = recall_servable(*towers, spec, items, ["a", "b"], k=1)
    servable.save(tmp_path)
    request = dict(servable.requests["top_k_dynamic"])
    request["exclude"] = np.repeat(request["exclude"][:1], 3, axis=0)
    assert "exclude" in refused(loaded(tmp_path), "top_k_dynamic", request)


@pytest.mark.parametrize(
    ("name", "count"),
    [("price", 2), ("item_id", 2), ("tag", 1), ("price", 4), ("pair", 5), ("pair", 4)],
)
def test_an_example_has_a_value_for_each_candidate(name, count, model):
    """Two prices for three candidates is the given case."""
    wrong = changed(RECORD, name, count)
    assert name in refused(model, "tf_example", records(wrong))
    # A longer list beside it has as many values as the batch is wide.
    long = tf_examples(example_batch(SPEC, batch_size=1, list_size=5), SPEC)[0]
    assert name in refused(model, "tf_example", records(long, wrong))


def test_lists_of_several_lengths_score_as_each_alone(model):
    long = tf_examples(example_batch(SPEC, batch_size=1, list_size=5), SPEC)[0]
    both = scores(model, "tf_example", records(RECORD, long))
    alone = scores(model, "tf_example", records(RECORD))
    np.testing.assert_allclose(both[:1, :3], alone, atol=1e-6)
    expected = scores(model, "serving_default", ONE)
    np.testing.assert_allclose(alone, expected, atol=1e-6)


@pytest.mark.parametrize("name", ["item_id", "tag", "pair", "price"])
def test_a_feature_that_is_left_out_has_its_default(name, model):
    (feature,) = (f for f in SPEC.features if f.name == name)
    default = np.full(ONE[name].shape, feature.default, ONE[name].dtype)
    expected = scores(model, "serving_default", {**ONE, name: default})
    found = scores(model, "tf_example", records(changed(RECORD, name, 0)))
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("name", ["price", "item_id", "pair", "age"])
@pytest.mark.parametrize("signature", ["classify", "regress"])
def test_an_example_of_a_candidate_has_one_value(signature, name, model):
    first, *others = candidate_examples(ONE, SPEC)
    count = len(np.ravel(ONE[name][0, 0] if name != "age" else 0)) + 1
    wrong = np.array([changed(first, name, count), *others], object)
    assert f"Key: {name}" in refused(model, signature, {"inputs": wrong})


def test_a_candidate_of_a_list_with_context_has_one_value(model):
    record = ExampleListWithContext.FromString(elwc(ONE, SPEC)[0])
    price = record.examples[1].features.feature["price"].float_list.value
    price.append(3.0)
    text = refused(model, "elwc", records(record.SerializeToString()))
    assert "Key: price" in text


def test_a_batch_of_lists_of_like_sizes_is_answered(model):
    """The bound on padding is far from what clients send."""
    sizes = [1, 200, *[20] * 30]
    batches = [example_batch(SPEC, batch_size=1, list_size=size) for size in sizes]
    given = records(*(tf_examples(x, SPEC)[0] for x in batches))
    assert scores(model, "tf_example", given).shape == (32, 200)
    given = records(*(elwc(x, SPEC)[0] for x in batches))
    assert scores(model, "elwc", given).shape == (32, 200)
