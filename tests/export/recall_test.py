"""Recall servables: exclusions, any ids, inverted lists, and other items later."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from export_fixture import ITEMS, SPEC, answered, batch, catalogue, of, towers
from tensorflow_serving.apis import prediction_log_pb2

from tfdistill import _keras
from tfdistill.export import (
    IndexReport,
    Ivf,
    example_batch,
    publish,
    publishing,
    recall_servable,
    reindexed,
)

USERS = SPEC.select(f.name for f in SPEC.scope("user") if not f.privileged)
IDS = np.array([f"film {row}" for row in range(ITEMS)])
LOWEST = np.float32(tf.float32.min)


def loaded(servable, path):
    servable.save(path)
    return tf.saved_model.load(str(path))  # must outlive its signatures


@pytest.fixture(scope="module")
def scores(network):
    """Keras' scores `[3, I]` of the users of `batch()`."""
    query, item = towers(network)
    items = {
        k: tf.constant(catalogue()[k])[tf.newaxis] for k in _keras.input_names(item)
    }
    vectors = item(items)
    queries = query(of(batch(), USERS.names))["recall_query"]
    return queries.numpy() @ vectors["recall_item"][0].numpy().T


@pytest.fixture(scope="module", params=["strings", "integers"])
def ids(request):
    return IDS if request.param == "strings" else np.arange(1000, 1000 + ITEMS)


@pytest.fixture(scope="module")
def recall(network, ids, tmp_path_factory):
    servable = recall_servable(*towers(network), SPEC, catalogue(), ids, k=5)
    return loaded(servable, tmp_path_factory.mktemp("recall"))


def dynamic(recall, exclude, k):
    function = recall.signatures["top_k_dynamic"]
    dtype = function.structured_input_signature[1]["exclude"].dtype
    exclude = tf.constant(exclude, dtype)
    users = of(batch(), USERS.names)
    found = function(**users, exclude=exclude, k=tf.constant(k))
    return {name: x.numpy() for name, x in found.items()}


def in_order(scores, ids):
    return np.array(ids)[np.argsort(-scores, axis=1)]


def plain(found):
    """Ids as numpy has them."""
    return found.astype("U") if found.dtype == object else found


def test_excluded_items_are_left_out_and_others_come(recall, scores, ids):
    order = in_order(scores, ids)
    padding = "" if ids.dtype.kind == "U" else -1
    exclude = [[*row[:2], row[4], padding] for row in order.tolist()]
    found = dynamic(recall, exclude, k=6)
    wanted = np.concatenate([order[:, 2:4], order[:, 5:9]], axis=1)
    np.testing.assert_array_equal(plain(found["ids"]), wanted)
    assert found["mask"].all()
    best = -np.sort(-scores, axis=1)
    np.testing.assert_allclose(found["scores"][:, 0], best[:, 2], atol=1e-5)


def test_without_exclusions_it_is_the_fixed_signature(recall):
    nothing = np.zeros([3, 0], object)
    fixed = recall.signatures["serving_default"](**of(batch(), USERS.names))
    found = dynamic(recall, nothing, k=5)
    np.testing.assert_array_equal(found["ids"], fixed["ids"])
    np.testing.assert_array_equal(found["scores"], fixed["scores"])


@pytest.mark.parametrize("k", [0, -3, ITEMS, 10**6, 2**31 - 1])
def test_k_and_exclusions_are_cut_to_the_catalogue(recall, ids, k):
    exclude = np.array([ids[:7]] * 3)
    found = dynamic(recall, exclude, k)
    size = min(max(k, 0), ITEMS)
    assert found["ids"].shape == (3, size)
    assert found["mask"].sum(1).tolist() == [min(size, ITEMS - 7)] * 3
    assert (found["scores"][~found["mask"]] == LOWEST).all()
    none = "" if ids.dtype.kind == "U" else -1
    assert (plain(found["ids"])[~found["mask"]] == none).all()


def test_all_items_may_be_excluded_and_more_often_than_once(recall, ids):
    found = dynamic(recall, np.array([[*ids, *ids]] * 3), k=4)
    assert found["ids"].shape == (3, 4) and not found["mask"].any()


def test_no_request_gets_an_empty_answer(recall):
    users = {name: x[:0] for name, x in of(batch(), USERS.names).items()}
    found = recall.signatures["serving_default"](**users)
    assert found["ids"].shape == found["scores"].shape == (0, 5)


@pytest.fixture
def one_process(monkeypatch, same_process):
    """Publishing's own tests have the process without this package."""
    monkeypatch.setattr(publishing, "in_fresh_process", same_process)


@pytest.fixture(scope="module")
def example():
    return example_batch(SPEC, batch_size=200, seed=7)


@pytest.mark.usefixtures("one_process")
def test_inverted_lists_are_measured_and_verified(network, example, tmp_path):
    servable = recall_servable(
        *towers(network),
        SPEC,
        catalogue(),
        IDS,
        k=5,
        index=Ivf(recall=0.9),
        example=example,
    )
    (report,) = publish({tmp_path: servable}).values()
    assert report.max_difference < 1e-5
    assert report.index.recall >= 0.9 and report.index.queries == 200
    assert (report.index.items, report.index.k) == (ITEMS, 5)
    assert 1 <= report.index.probes <= report.index.lists
    kept = pathlib.Path(report.path, "assets.extra", "index.json").read_text()
    assert IndexReport(**json.loads(kept)) == report.index
    assert f"{100 * report.index.recall:.1f} % of the exact top 5" in str(report.index)


def test_inverted_lists_need_users_to_be_measured_on(network):
    with pytest.raises(ValueError, match="measured on users: give the features"):
        recall_servable(*towers(network), SPEC, catalogue(), IDS, k=5, index=Ivf())


@pytest.mark.usefixtures("one_process")
def test_the_index_is_made_anew_from_other_items(network, example, tmp_path):
    """Half of the items are gone and the others have other ids and another order."""
    directory = tmp_path / "recall"
    first = recall_servable(*towers(network), SPEC, catalogue(), IDS, k=5)
    (report,) = publish({directory: first}).values()
    rows = np.random.default_rng(0).permutation(ITEMS)[: ITEMS // 2]
    items = {name: column[rows] for name, column in catalogue().items()}
    again = reindexed(report.path, SPEC, items, rows, k=4, example=example)
    assert again.signatures.keys() == first.signatures.keys()
    (second,) = publish({directory: again}).values()
    assert second.version == 2 and second.max_difference < 1e-5
    assert sum(vars(second.parameters).values()) == sum(
        vars(report.parameters).values()
    )
    fresh = recall_servable(*towers(network), SPEC, items, rows, k=4)
    users = of(batch(), USERS.names)
    served = tf.saved_model.load(second.path)
    np.testing.assert_array_equal(
        served.signatures["serving_default"](**users)["ids"],
        fresh.signatures["serving_default"](**users)["ids"],
    )


def test_only_a_recall_model_is_made_anew(tmp_path):
    tf.saved_model.save(tf.Module(), str(tmp_path))
    with pytest.raises(ValueError, match=r"lacks the signatures \['item', 'query'\]"):
        reindexed(tmp_path, SPEC, catalogue(), IDS)


def test_a_wrong_answer_is_far_from_the_keras_models(network):
    servable = recall_servable(*towers(network), SPEC, catalogue(), IDS, k=5)
    answers = answered(servable)
    assert servable.difference(answers) < 1e-5
    for name in ("serving_default", "top_k_dynamic"):
        for wrong in (IDS[0], "no such film"):
            changed = {**answers[name], "ids": answers[name]["ids"].copy()}
            changed["ids"][0, 0] = wrong
            assert servable.difference({**answers, name: changed}) > 1e-3
        changed = {**answers[name], "ids": answers[name]["ids"].copy()}
        changed["ids"][0, 0] = changed["ids"][0, 1]
        assert servable.difference({**answers, name: changed}) == np.inf


def test_a_server_warms_up_with_the_dtypes_of_the_signatures(network, tmp_path):
    """As pandas gives them: numbers of 64 bits."""
    users = example_batch(SPEC, batch_size=3)
    users["age"] = users["age"].astype(np.float64)
    ids = np.arange(ITEMS, dtype=np.int16)
    recall_servable(*towers(network), SPEC, catalogue(), ids, k=3, example=users).save(
        tmp_path
    )
    file = tmp_path / "assets.extra" / "tf_serving_warmup_requests"
    signatures = tf.saved_model.load(str(tmp_path)).signatures
    written = [
        prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request
        for record in tf.data.TFRecordDataset(str(file))
    ]
    assert {r.model_spec.signature_name for r in written} == set(signatures)
    for request in written:
        function = signatures[request.model_spec.signature_name]
        inputs = function.structured_input_signature[1]
        found = {name: tf.as_dtype(x.dtype) for name, x in request.inputs.items()}
        assert found == {name: spec.dtype for name, spec in inputs.items()}
