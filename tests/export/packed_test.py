"""The packed signature: the scores of the columnar one, to the bit, for every net."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from export_fixture import FINE, SPEC, batch, of

from tfdistill import _keras
from tfdistill.export import Servable, pack, packing, ranker_servable
from tfdistill.models import Din, Dnn, Net, joint_network
from tfdistill.spec import Feature, FeatureSpec


def both(
    model: tf.keras.Model, features, servable: Servable | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Scores of the columnar and of the packed signature."""
    servable = servable or ranker_servable(model, SPEC, allow_privileged=True)
    spec = SPEC.select(_keras.input_names(model))
    packed = {k: tf.constant(v) for k, v in pack(features, spec).items()}
    columnar = of(features, spec.names)
    return (
        servable.signatures["serving_default"](**columnar)["scores"].numpy(),
        servable.signatures["packed"](**packed)["scores"].numpy(),
    )


@pytest.fixture(scope="module")
def servables(network):
    return {
        name: ranker_servable(network.part(name), SPEC, allow_privileged=True)
        for name in ("fine", "recall", "teacher")
    }


@pytest.mark.parametrize("name", ["fine", "recall", "teacher"])
@pytest.mark.parametrize(("size", "length"), [(1, 1), (3, 7), (2, 0), (0, 4)])
def test_scores_are_those_of_the_columnar_signature(
    network, servables, name, size, length
):
    part = network.part(name)
    columnar, packed = both(part, batch(size, length), servables[name])
    assert packed.shape == (size, length)
    np.testing.assert_array_equal(columnar, packed)


def test_a_net_that_reads_a_sequence_s_items_is_served_too():
    """Its features are cut apart again: attention wants each behaviour's vector."""
    din = Din((("history", "item_id"),), units=(16,))
    network = joint_network(SPEC, {"fine": Net(din, (*FINE, "history"))})
    columnar, packed = both(network.part("fine"), batch())
    np.testing.assert_array_equal(columnar, packed)


def test_the_widths_are_those_of_the_model_s_own_tables():
    """One spec describes the features of nets whose tables differ in width."""
    tables = tuple(dataclasses.replace(table, dim=3) for table in SPEC.tables)
    narrow = FeatureSpec(SPEC.features, tables)
    network = joint_network(narrow, {"fine": Net(Dnn((4,)), FINE)})
    columnar, packed = both(network.part("fine"), batch())
    np.testing.assert_array_equal(columnar, packed)


def test_a_model_of_another_kind_is_served_too():
    inputs = SPEC.select(["age", "price"]).keras_inputs()
    total = inputs["price"] + inputs["age"][:, tf.newaxis]
    columnar, packed = both(tf.keras.Model(inputs, total), batch())
    np.testing.assert_array_equal(columnar, packed)


def test_masked_candidates_come_last_and_leave_the_others_alone(network, servables):
    servable = servables["fine"]
    features = batch(2, 4)
    mask = np.array([[True, False, True, True], [False] * 4])
    packed = pack(features, SPEC.select(FINE), mask=mask)
    scores = servable.signatures["packed"](
        **{name: tf.constant(x) for name, x in packed.items()}
    )["scores"].numpy()
    expected = network.part("fine")(of(features, FINE))["fine"].numpy()
    np.testing.assert_array_equal(scores[mask], expected[mask])
    assert (scores[~mask] == np.finfo(np.float32).min).all()


def test_the_file_tells_a_client_without_this_package_where_each_feature_goes():
    spec = SPEC.select((*FINE, "history"))
    packed = pack(batch(), spec)
    order = packing(spec)
    assert {*order, "mask"} == set(packed)
    assert [entry["feature"] for entry in order["item_strings"]] == ["genres"]
    assert order["user_ids"] == [{"feature": "history", "columns": 4, "default": -1}]
    for name, entries in order.items():
        assert packed[name].shape[-1] == sum(entry["columns"] for entry in entries)


def test_requests_that_do_not_fit_are_refused():
    spec = FeatureSpec(
        (Feature("price", "numeric", "item"), Feature("clicks", "numeric", "item"))
    )
    with pytest.raises(ValueError, match=r"no values of \['clicks'\], only of"):
        pack({"price": [[1.0]]}, spec)
    with pytest.raises(ValueError, match=r"'price': \(1, 2\), 'clicks': \(1, 1\)"):
        pack({"price": [[1.0, 2.0]], "clicks": [[0.0]]}, spec)
