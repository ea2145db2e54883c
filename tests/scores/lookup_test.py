"""Stored scores inside tf.data, and students that can't tell where they came from."""

from __future__ import annotations

import numpy as np
import pytest
import scores_fixture as fixture
import tensorflow as tf

from tfdistill.data import RequestBatches, read_tfrecords, write_tfrecords
from tfdistill.layers import ConcatUserItem
from tfdistill.losses import SigmoidSoftLabel
from tfdistill.scores import (
    ScoreLookup,
    StoreWriter,
    join_requests,
    keys,
    score_batches,
    score_top_k,
)
from tfdistill.scores import lookup as module
from tfdistill.spec import Feature, FeatureSpec
from tfdistill.trainers import Distiller, FrozenTeacher, LoggedTeacher, Transfer

SPEC = FeatureSpec(
    (Feature("age", "numeric", "user"), Feature("price", "numeric", "item"))
)


def stored(folder, requests, teacher=fixture.teacher, **settings):
    return score_batches(
        requests,
        teacher,
        folder,
        teacher_name="sum",
        keys=["request_id", "item_row"],
        batch_size=8,
        batches_per_shard=2,
        **settings,
    )


@pytest.mark.parametrize("bucket", [1 << 20, 16])
def test_the_lookup_adds_what_the_join_in_memory_adds(tmp_path, monkeypatch, bucket):
    monkeypatch.setattr(module, "_BUCKET", bucket)
    requests = fixture.requests()
    store = stored(tmp_path, requests.select(slice(0, 40)))
    joined, coverage = join_requests(requests, store, {"score": "sum"})
    data = RequestBatches(requests, batch_size=16).once()
    lookup = ScoreLookup(store, {"score": "sum"})
    added = np.concatenate([x["sum"] for x, _, _ in lookup(data)])
    np.testing.assert_array_equal(added, joined.scores["sum"])
    assert lookup.coverage == coverage


def test_it_joins_files_that_are_not_in_memory(tmp_path):
    requests = fixture.requests()
    store = stored(tmp_path / "store", requests)
    write_tfrecords(requests, SPEC, tmp_path / "mine.tfrecord")
    data = read_tfrecords(
        tmp_path / "mine.tfrecord",
        SPEC,
        batch_size=9,
        keys={"request_id": "string"},
    )
    added = ScoreLookup(store, {"score": "sum"}, index=tmp_path / "sorted")(data)
    assert added.element_spec[0]["sum"].shape.as_list() == [None, None]
    wanted = fixture.expected(requests)
    for place, (x, _, _) in enumerate(added):
        part = wanted[place * 9 : place * 9 + 9]
        found, mask = x["sum"].numpy(), x["mask"].numpy()
        np.testing.assert_array_equal(found[mask], part[~np.isnan(part)])
        assert np.isnan(found[~mask]).all()
    assert (tmp_path / "sorted" / "ids.npy").exists()


def test_the_sorted_files_are_kept_until_the_store_is_another(tmp_path):
    requests = fixture.requests()
    store = stored(tmp_path / "a", requests)
    ScoreLookup(store, {"score": "sum"}, index=tmp_path / "sorted")
    before = (tmp_path / "sorted/ids.npy").stat().st_mtime_ns
    ScoreLookup(store, {"score": "sum"}, index=tmp_path / "sorted")
    assert (tmp_path / "sorted/ids.npy").stat().st_mtime_ns == before
    less = stored(tmp_path / "b", requests.select(slice(0, 10)))
    ScoreLookup(less, {"score": "sum"}, index=tmp_path / "sorted")
    pairs = int(np.sum(requests.candidates[:10] >= 0))
    assert len(np.load(tmp_path / "sorted/ids.npy")) == pairs


def test_vectors_of_users_and_items(tmp_path):
    items = {"item_id": 1000 + np.arange(40), "v": np.eye(40, dtype=np.float32)}
    store = score_batches(
        [items],
        lambda x: {"vector": x["v"]},
        tmp_path,
        teacher_name="tower",
        keys=["item_id"],
        signals=["vector"],
        kind="embeddings",
    )
    requests = fixture.requests()
    data = RequestBatches(requests, batch_size=16).once()
    for x, _, _ in ScoreLookup(store, {"vector": "item_vector"})(data):
        assert x["item_vector"].shape[1:] == (6, 40)
        row, mask = x["item_row"].numpy(), x["mask"].numpy()
        found = x["item_vector"].numpy()
        np.testing.assert_array_equal(found[mask], np.eye(40)[row[mask]])
        assert np.isnan(found[~mask]).all()


def test_what_does_not_fit_is_refused(tmp_path):
    requests = fixture.requests()
    store = stored(tmp_path / "a", requests)
    data = RequestBatches(requests, batch_size=16).once()
    with pytest.raises(ValueError, match=r"no values \['z'\]; it has \['score'\]"):
        ScoreLookup(store, {"z": "z"})
    other = data.map(lambda x, y, w: {"item_row": x["item_row"]})
    with pytest.raises(
        ValueError, match="has the keys .*request_id.*, the data {'item_"
    ):
        ScoreLookup(store, {"score": "sum"})(other)
    lists = score_top_k(
        lambda rows: np.ones([1, 3]),
        np.array([1]),
        np.arange(3),
        2,
        tmp_path / "lists",
        teacher_name="t",
    )
    with pytest.raises(ValueError, match="holds lists; read them with listed_rows"):
        ScoreLookup(lists, {"score": "sum"})


def test_a_key_in_two_shards_is_named(tmp_path, monkeypatch):
    writer = StoreWriter(
        tmp_path, teacher="t", version="1", kind="scores", keys=["user", "item"]
    )
    for number in range(2):
        users = np.array(["ann", f"b{number}"])
        writer.write(
            number, {"user": users, "item": np.array([5, 5]), "z": np.float32([1, 2])}
        )
    store = fixture.finished_unchecked(writer, 2, monkeypatch)
    with pytest.raises(
        ValueError, match="has the key {'user': 'ann', 'item': 5} twice"
    ):
        ScoreLookup(store, {"z": "z"})
    assert set(fixture.fingerprint(tmp_path)) == {
        "manifest.json",
        "shard-00000.parquet",
        "shard-00001.parquet",
    }


def trained(data, teacher, steps=12):
    """Losses of a student, from the same start."""
    tf.keras.utils.set_random_seed(3)
    inputs = SPEC.keras_inputs()
    both = ConcatUserItem()((inputs["age"][:, None], inputs["price"][..., None]))
    hidden = tf.keras.layers.Dense(8, activation="tanh")(both)
    logit = tf.keras.layers.Dense(1)(hidden)[..., 0]
    transfer = Transfer("soft", "score", "fine", SigmoidSoftLabel(), mask="mask")
    student = Distiller(
        tf.keras.Model(inputs, {"fine": logit}), [transfer], teacher=teacher
    )
    student.compile(tf.keras.optimizers.Adam(0.05))
    losses = []
    for x, y, w in data.take(steps):
        losses.append(student.train_on_batch(x, y, w, return_dict=True)["loss"])
    return losses


def test_a_student_of_the_store_trains_as_under_the_teacher(tmp_path):
    tf.keras.utils.set_random_seed(1)
    inputs = SPEC.keras_inputs()
    score = inputs["price"] * 2.0 - tf.keras.activations.tanh(inputs["age"])[:, None]
    teacher = FrozenTeacher(tf.keras.Model(inputs, {"score": score}))
    requests = fixture.requests()
    store = stored(tmp_path, requests, teacher)
    scored, _ = join_requests(requests, store, {"score": "logged"})
    batches = RequestBatches(scored, batch_size=8, seed=5)
    frozen = trained(batches(), teacher)
    logged = trained(batches(), LoggedTeacher({"score": "logged"}))
    plain = RequestBatches(requests, batch_size=8, seed=5)
    looked_up = trained(
        ScoreLookup(store, {"score": "logged"})(plain()),
        LoggedTeacher({"score": "logged"}),
    )
    assert frozen[-1] < frozen[0]
    np.testing.assert_allclose(logged, frozen, rtol=1e-5)
    np.testing.assert_allclose(looked_up, logged, rtol=1e-6)


def test_keys_of_one_bucket_and_of_one_hash_are_told_apart(monkeypatch):
    monkeypatch.setattr(keys, "hashes", lambda ids: ids[:, 0] << np.uint64(60))
    ids = np.array([[7, 1], [7, 2], [7, 3], [7, 4], [9, 1]], np.uint64)
    index = keys.KeyIndex(ids)
    asked = np.array([[7, 3], [9, 1], [7, 5], [8, 1], [15, 0], [7, 1]], np.uint64)
    assert index.find(asked).tolist() == [2, 4, -1, -1, -1, 0]


def test_buckets_are_found_block_by_block(monkeypatch):
    hashed = np.sort(np.random.default_rng(0).integers(0, 2**64, 1000, np.uint64))
    monkeypatch.setattr(keys, "_EDGES", 100)
    starts = keys.bucket_starts(hashed)
    for number in range(1024):
        inside = hashed >> np.uint64(54) == number
        assert np.flatnonzero(inside).tolist() == list(
            range(starts[number], starts[number + 1])
        )
