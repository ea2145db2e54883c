"""What lies in a store's folder is this store's, whole, and written by one process."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf
from store_fixture import batches, dearer, dying, files, price, requests, store

from tfdistill.scores import Manifest, ScoreLookup, ScoreStore, Shard, StoreWriter


def test_a_second_writer_is_refused(tmp_path):
    def meanwhile(features):
        with pytest.raises(ValueError, match="Another run is writing to"):
            store(tmp_path)
        return price(features)

    store(tmp_path, teacher=meanwhile)
    store(tmp_path)


def test_records_without_their_manifest_are_not_taken_over(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        store(tmp_path, teacher=dying(price))
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(KeyboardInterrupt):
        store(tmp_path, teacher=dying(dearer, 4))
    values = np.concatenate(
        [b["score"] for b in store(tmp_path, teacher=dearer).blocks()]
    )
    data = requests()
    wanted = data.items["price"][data.candidates].ravel() + np.float32(1.0)
    np.testing.assert_array_equal(values, wanted)


def test_a_damaged_record_is_scored_again(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        store(tmp_path / "a", teacher=dying(price))
    (tmp_path / "a" / "shard-00000.json").write_text('{"name": ')
    (tmp_path / "a" / "shard-00001.hashes").unlink()
    store(tmp_path / "a")
    store(tmp_path / "b")
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_a_store_without_identity_is_read_but_not_gone_on_with(tmp_path):
    store(tmp_path)
    path = tmp_path / "manifest.json"
    content = json.loads(path.read_text())
    del content["identity"], content["library"]
    for shard in content["shards"]:
        del shard["features"]
    path.write_text(json.dumps(content))
    assert ScoreStore.open(tmp_path, teacher="t").manifest.rows == 360
    with pytest.raises(ValueError, match="did not record what it was scored from"):
        store(tmp_path)


def test_the_version_of_the_library_is_told_and_not_compared(tmp_path):
    store(tmp_path)
    manifest = Manifest.load(tmp_path)
    assert manifest.library
    dataclasses.replace(manifest, library="0.0.1").save(tmp_path)
    assert store(tmp_path).manifest.library == "0.0.1"


@pytest.mark.parametrize(
    "name", ["../x.parquet", "/tmp/x", "a/b.parquet", "..\\x", "C:x", "..", ".", ""]
)
def test_a_shard_stays_in_its_folder(tmp_path, name):
    with pytest.raises(ValueError, match="a plain one inside its folder"):
        Shard(name, 1, "")
    store(tmp_path)
    path = tmp_path / "manifest.json"
    path.write_text(
        path.read_text().replace("shard-00001.parquet", json.dumps(name)[1:-1])
    )
    with pytest.raises(ValueError, match="manifest.json' is not the manifest of a"):
        ScoreStore.open(tmp_path)


def test_names_of_values_do_not_leave_the_sorted_files(tmp_path):
    writer = StoreWriter(
        tmp_path / "s", teacher="t", version="1", kind="scores", keys=["item"]
    )
    writer.write(0, {"item": np.array([4]), "../../z": np.float32([2.0])})
    lookup = ScoreLookup(writer.finish(1), {"../../z": "z"})
    (found,) = lookup(tf.data.Dataset.from_tensors({"item": [4]}))
    assert found["z"].numpy().tolist() == [2.0]
    assert {path.name for path in tmp_path.iterdir()} == {"s"}


@pytest.mark.parametrize("at_once", [1 << 22, 7])
def test_a_key_in_two_shards_is_refused_before_the_store_is_finished(
    tmp_path, monkeypatch, at_once
):
    monkeypatch.setattr("tfdistill.scores.distinct._AT_ONCE", at_once)
    doubled = [
        *batches()[:11],
        {"item_id": np.array([90, 12]), "price": np.zeros(2, "f")},
    ]
    with pytest.raises(ValueError, match="has the key {'item_id': 12} twice"):
        store(tmp_path, doubled, keys=["item_id"])
    with pytest.raises(ValueError, match="is unfinished"):
        ScoreStore.open(tmp_path)


def test_what_a_killed_sorting_left_is_removed(tmp_path):
    scored = store(tmp_path / "s", batches(), keys=["item_id"])
    left = tmp_path / "s" / ".sorted-sorting-abc"
    left.mkdir()
    (left / "bucket-0").write_bytes(b"half")
    ScoreLookup(scored, {"score": "z"})
    assert not left.exists()
