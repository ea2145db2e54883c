import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.data.batching import RequestBatches
from tfdistill.data.requests import Requests
from tfdistill.data.tfrecords import read_tfrecords, write_tfrecords
from tfdistill.spec import Feature, FeatureSpec, Table

SPEC = FeatureSpec(
    features=(
        Feature("age", "numeric", "user"),
        Feature("history", "categorical", "user", table="item_id", shape=(3,)),
        Feature("item_id", "categorical", "item", table="item_id"),
        Feature("tags", "categorical", "item", table="tag", shape=(2,), dtype="string"),
        Feature("size", "numeric", "item", shape=(2,)),
    ),
    tables=(Table("item_id", 4, size=100), Table("tag", 4, "hash", size=10)),
)


def make(num_requests=7, list_size=5, num_items=9):
    rng = np.random.default_rng(0)
    candidates = rng.integers(0, num_items, (num_requests, list_size)).astype(np.int32)
    length = np.r_[list_size, rng.integers(1, list_size + 1, num_requests - 1)]
    candidates[np.arange(list_size) >= length[:, np.newaxis]] = -1
    labels = rng.choice([0, 1, np.nan], candidates.shape).astype(np.float32)
    return Requests(
        users={
            "age": rng.random(num_requests, np.float32),
            "history": rng.integers(-1, 9, (num_requests, 3)),
        },
        items={
            "item_id": np.arange(num_items),
            "tags": np.array(["ä", "b", ""])[rng.integers(0, 3, (num_items, 2))],
            "size": rng.random((num_items, 2), np.float32),
        },
        candidates=candidates,
        labels=labels,
        group=np.arange(num_requests),
    )


@pytest.fixture
def path(tmp_path):
    write_tfrecords(make(), SPEC, tmp_path / "a.tfrecord")
    return tmp_path / "a.tfrecord"


def test_round_trip_gives_the_batches_of_memory(path):
    read = read_tfrecords(path, SPEC, batch_size=3, outputs=("recall", "fine"))
    memory = RequestBatches(make(), batch_size=3, outputs=("recall", "fine")).once()
    batches = list(zip(read.as_numpy_iterator(), memory.as_numpy_iterator()))
    assert len(batches) == 3
    for (x, y, w), (mx, my, mw) in batches:
        size = x["mask"].shape[1]
        assert set(x) == set(mx) - {"log_q"}
        for name, values in x.items():
            expected = mx[name]
            if expected.ndim > 1 and name != "history":
                expected = expected[:, :size]
                values = values[x["mask"]]
                expected = expected[x["mask"]]
            np.testing.assert_array_equal(values, expected, err_msg=name)
            assert values.dtype == expected.dtype
        np.testing.assert_array_equal(x["mask"], mx["mask"][:, :size])
        for output in ("recall", "fine"):
            np.testing.assert_array_equal(y[output], my[output][:, :size])
            np.testing.assert_array_equal(w[output], mw[output][:, :size])


def make_rich():
    """With labels of a second task, a teacher's scores and weights."""
    requests, rng = make(), np.random.default_rng(1)
    size = requests.candidates.shape
    return dataclasses.replace(
        requests,
        tasks={"like": rng.choice([0, 1, np.nan], size).astype(np.float32)},
        scores={"big": np.where(rng.random(size) < 0.3, np.nan, rng.random(size))
                .astype(np.float32)},
        weights=rng.random(size, np.float32),
    )  # fmt: skip


def test_round_trip_keeps_tasks_scores_and_weights(tmp_path):
    requests, outputs = make_rich(), {"fine": "", "fine_like": "like", "aux": ""}
    write_tfrecords(requests, SPEC, tmp_path / "rich")
    read = read_tfrecords(
        tmp_path / "rich",
        SPEC,
        batch_size=3,
        outputs=outputs,
        scores=["big"],
        weight="weight",
    )
    memory = RequestBatches(requests, batch_size=3, outputs=outputs).once()
    batches = list(zip(read.as_numpy_iterator(), memory.as_numpy_iterator()))
    assert len(batches) == 3
    for (x, y, w), (mx, my, mw) in batches:
        size = x["mask"].shape[1]
        assert set(x) == set(mx) - {"log_q"}
        for name in ("big", "pair_weight"):
            np.testing.assert_array_equal(x[name], mx[name][:, :size])
        for output in outputs:
            np.testing.assert_array_equal(y[output], my[output][:, :size])
            np.testing.assert_array_equal(w[output], mw[output][:, :size])


def test_padding_holds_the_defaults(path):
    x, _, _ = next(iter(read_tfrecords(path, SPEC, batch_size=7)))
    padded = ~x["mask"].numpy()
    assert padded.any()
    assert (x["item_id"].numpy()[padded] == -1).all()
    assert (x["item_row"].numpy()[padded] == -1).all()
    assert (x["tags"].numpy()[padded] == b"").all()
    assert (x["size"].numpy()[padded] == 0).all()


def test_repeat_gives_full_batches_and_resumes_by_skip(path):
    def ages(dataset, count):
        return [
            x["age"].tolist() for x, _, _ in dataset.take(count).as_numpy_iterator()
        ]

    endless = read_tfrecords([path, path], SPEC, batch_size=4, repeat=True)
    rows = np.concatenate(ages(endless, 7))
    np.testing.assert_array_equal(rows, np.tile(make().users["age"], 4))
    assert ages(endless.skip(3), 2) == ages(endless, 5)[3:]


def write_by_hand(path, **lists):
    def feature(values):
        if isinstance(values[0] if values else 0.0, float):
            return tf.train.Feature(float_list=tf.train.FloatList(value=values))
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    features = tf.train.Features(feature={k: feature(v) for k, v in lists.items()})
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(tf.train.Example(features=features).SerializeToString())


SMALL = SPEC.select(["age", "item_id"])


def test_reads_what_others_wrote_without_item_row(tmp_path):
    path = tmp_path / "b"
    write_by_hand(path, age=[3.0], item_id=[4, 5], click=[0.0, 1.0])
    x, y, _ = next(iter(read_tfrecords(path, SMALL, batch_size=2, label="click")))
    assert x["item_id"].numpy().tolist() == [[4, 5]]
    assert x["item_row"].numpy().tolist() == [[-1, -1]]
    assert x["positive"].numpy().tolist() == [1]
    assert y["fine"].numpy().tolist() == [[0.0, 1.0]]


def test_refuses_lists_that_do_not_fit(tmp_path):
    path = tmp_path / "b"
    write_by_hand(path, age=[3.0], item_id=[4, 5], label=[0.0])
    with pytest.raises(tf.errors.InvalidArgumentError, match="item_id and the labels"):
        next(iter(read_tfrecords(path, SMALL, batch_size=1)))
    write_by_hand(path, age=[3.0], item_id=[4], label=[0.0], like=[])
    with pytest.raises(tf.errors.InvalidArgumentError, match="like and label differ"):
        next(iter(read_tfrecords(path, SMALL, batch_size=1, outputs={"fine": "like"})))
    write_by_hand(path, age=[3.0], label=[])
    with pytest.raises(tf.errors.InvalidArgumentError, match="empty list of label"):
        next(iter(read_tfrecords(path, SMALL, batch_size=1)))


def test_refuses_paths_and_specs(tmp_path):
    with pytest.raises(ValueError, match="No TFRecord file at .*absent"):
        read_tfrecords(tmp_path / "absent", SPEC, batch_size=1)
    with pytest.raises(ValueError, match="No TFRecord file"):
        read_tfrecords([], SPEC, batch_size=1)
    other = FeatureSpec((Feature("price", "numeric", "item"),))
    with pytest.raises(ValueError, match="no item feature 'price'"):
        write_tfrecords(make(), other, tmp_path / "c")
    clash = dataclasses.replace(make_rich(), tasks={"weight": make().labels})
    with pytest.raises(ValueError, match=r"would have \['weight'\] twice"):
        write_tfrecords(clash, SPEC, tmp_path / "c")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("lists", [{"scores": ["mask"]}, {"outputs": {"fine": "age"}}])
def test_refuses_lists_with_the_names_of_others(path, lists):
    with pytest.raises(ValueError, match=r"\['(mask|age)'\] have names of"):
        read_tfrecords(path, SPEC, batch_size=1, **lists)


def test_a_failed_write_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "tfdistill.data.tfrecords._encode", lambda values: values["nothing"]
    )
    with pytest.raises(KeyError):
        write_tfrecords(make(), SPEC, tmp_path / "c")
    assert list(tmp_path.iterdir()) == []
