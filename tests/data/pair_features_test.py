"""Features of pairs, from files and functions to batches, against loops."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from tfdistill.data import (
    RequestBatches,
    Requests,
    read_tfrecords,
    requests_from_frame,
    write_tfrecords,
)
from tfdistill.data.pair_features import SelectedPairs, source_fingerprints
from tfdistill.data.readers import read_frame
from tfdistill.data.summary import summarise
from tfdistill.spec import Feature, FeatureSpec, Table

SPEC = FeatureSpec(
    (
        Feature("age", "numeric", "user"),
        Feature("item_id", "categorical", "item", table="item"),
        Feature("score", "numeric", "pair"),
        Feature("words", "categorical", "pair", "word", (2,), "string"),
    ),
    (Table("item", dim=4, size=30), Table("word", dim=4, kind="hash", size=9)),
)
ITEMS = 12


def make(size=7, length=4, seed=0) -> Requests:
    """Requests with a logged and a computed feature of pairs."""
    rng = np.random.default_rng(seed)
    candidates = np.argsort(rng.random((size, ITEMS)), 1)[:, :length].astype(np.int32)
    candidates[rng.random(candidates.shape) < 0.2] = -1
    candidates[:, 0] = np.maximum(candidates[:, 0], 0)
    labels = rng.integers(0, 2, candidates.shape).astype(np.float32)
    words = rng.choice(["a", "b", ""], (*candidates.shape, 2))
    return Requests(
        {"age": rng.normal(size=size).astype(np.float32)},
        {"item_id": np.arange(ITEMS)},
        candidates,
        labels,
        np.arange(size) % 3,
        pair_features={"words": words},
        pair_sources={"score": score},
    )


def score(rows, items):
    return 100.0 * rows[:, np.newaxis] + items


def named(rows, items):
    return np.stack([np.char.mod("%d", items), np.char.mod("r%d", items)], -1)


def test_a_pair_feature_is_privileged_unless_the_spec_says_that_it_is_served():
    assert [f.privileged for f in SPEC.features] == [False, False, True, True]
    served = dataclasses.replace(SPEC["score"], privileged=False)
    assert FeatureSpec((served,)).non_privileged().names == ("score",)
    assert FeatureSpec.from_json(SPEC.to_json()) == SPEC
    assert SPEC.scope("item", "pair") == SPEC.features[1:]
    assert SPEC["words"].batch_shape == (None, 2)


def test_values_follow_the_requests_that_are_selected():
    requests = make()
    rows = np.array([5, 1, 3, 1])
    chosen = requests.select(rows).select([3, 0])
    for new, old in ((0, 1), (1, 5)):
        np.testing.assert_array_equal(
            chosen.listed_pairs["words"][new], requests.pair_features["words"][old]
        )
        listed = np.maximum(requests.candidates[old], 0)
        assert (
            chosen.listed_pairs["score"][new].tolist() == (100 * old + listed).tolist()
        )
    found = chosen.pair_values(["score"], np.array([1, 0]), np.array([[2], [3]]))
    assert found["score"].tolist() == [[502.0], [103.0]]


def test_pairs_of_requests_have_their_values():
    requests = make()
    pairs, at = requests.pairs(), 0
    for row, listed in enumerate(requests.candidates):
        for place, item in enumerate(listed):
            if item >= 0:
                assert pairs["score"][at] == 100 * row + item
                words = requests.pair_features["words"][row, place]
                assert pairs["words"][at].tolist() == words.tolist()
                at += 1
    assert len(pairs["score"]) == at


def test_batches_have_logged_values_of_lists_and_computed_ones_of_drawn_items():
    requests = dataclasses.replace(
        make(), pair_sources={"score": score, "words": named}
    )
    pool = np.tile(np.arange(ITEMS, dtype=np.int32), (3, 1))
    batches = RequestBatches(
        requests, batch_size=4, negatives=3, pool=pool, from_pool=2
    )
    own = requests.list_size
    users = requests.users["age"].tolist()
    for x, _, _ in batches().take(5).as_numpy_iterator():
        assert x["words"].dtype == object
        for line, age in enumerate(x["age"]):
            row = users.index(age)
            items = np.maximum(x["item_row"][line], 0)
            assert x["score"][line].tolist() == (100 * row + items).tolist()
            logged = requests.pair_features["words"][row].tolist()
            found = np.char.decode(x["words"][line].astype("S")).tolist()
            assert found[:own] == logged
            assert found[own:] == [[f"{i}", f"r{i}"] for i in items[own:]]


def test_batches_resume_at_any_step_and_give_the_wanted_features_alone():
    def refused(rows, items):
        raise AssertionError("a feature that no net reads was computed")

    requests = make().with_pair_sources({"words": refused})
    batches = RequestBatches(requests, batch_size=3, negatives=2, pairs=["score"])
    one, other = (
        list(dataset.take(3).as_numpy_iterator())
        for dataset in (batches(4), batches().skip(4))
    )
    for (a, _, _), (b, _, _) in zip(one, other):
        assert "words" not in a
        np.testing.assert_array_equal(a["score"], b["score"])
    sizes = [len(x["score"]) for x, _, _ in batches.once().as_numpy_iterator()]
    assert sizes == [3, 3, 1]


def test_drawn_items_need_a_source():
    with pytest.raises(ValueError, match=r"drawn items needs .*\['words'\].*with_pair"):
        RequestBatches(make(), batch_size=2, negatives=1)
    with pytest.raises(ValueError, match=r"have no pair features \['absent'\]"):
        RequestBatches(make(), batch_size=2, pairs=["absent"])
    with pytest.raises(ValueError, match="items that no list has needs"):
        make().pair_values(["words"], np.arange(1), np.zeros([1, 1], np.int32))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (lambda r, i: i[:, :1], r"\[b, N, \*shape\].*\[7, 4\] it gave int.*\[7, 1\]"),
        (lambda r, i: i > 3, "it gave bool"),
        (lambda r, i: np.where(i == 2, np.nan, 1.0), "NaN for request .* row 2"),
    ],
)
def test_a_source_must_give_a_value_for_each_pair(source, message):
    candidates = np.tile(np.arange(4, dtype=np.int32), (7, 1))
    requests = dataclasses.replace(make(), candidates=candidates, pair_features={})
    with pytest.raises(ValueError, match=message):
        RequestBatches(requests.with_pair_sources({"score": source}), batch_size=2)


def test_a_source_must_agree_with_the_lists():
    requests = dataclasses.replace(make(), pair_sources={"words": score})
    with pytest.raises(ValueError, match=r"float32 of shape \[\].*<U1 of shape \[2\]"):
        RequestBatches(requests, batch_size=2, negatives=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pair_features": {"p": np.zeros([7, 3], np.float32)}}, "agree in .*7, 3"),
        ({"pair_features": {"p": np.zeros([7, 4])}}, "float32, int64 or strings"),
        ({"pair_features": {"p": np.full([7, 4], np.nan, np.float32)}}, "is NaN"),
        (
            {"pair_features": {"age": np.zeros([7, 4], np.float32)}},
            "users and in pairs",
        ),
        ({"pair_sources": {"item_id": score}}, "items and in pairs"),
        ({"scores": {"score": np.zeros([7, 4], np.float32)}}, "names of features"),
    ],
)
def test_requests_refuse_what_is_no_pair_feature(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(make(), **change)


def test_an_identity_tells_sources_apart_by_what_they_say():
    requests = make()
    again = requests.with_pair_sources({"score": lambda r, i: 100 * r[:, None] + i / 1})
    other = requests.with_pair_sources(
        {"score": lambda r, i: score(r, i) + (r == 6)[:, None]}
    )
    assert requests.fingerprint == again.fingerprint != other.fingerprint
    batches = RequestBatches(requests, batch_size=2)
    assert batches.identity["pairs"] == ("score", "words")
    selected = SelectedPairs(score, np.arange(7))
    assert source_fingerprints(
        {"score": selected}, requests.candidates
    ) == source_fingerprints({"score": score}, requests.candidates)


def frame() -> pd.DataFrame:
    """Impressions in mixed order; one item has another value in each request."""
    return pd.DataFrame(
        {
            "request": [1, 0, 1, 0, 2],
            "age": [3.0, 2.0, 3.0, 2.0, 4.0],
            "item_id": [5, 5, 6, 7, 5],
            "score": [1.5, 0.5, 1.6, 0.7, 2.5],
            "words": [["a"], ["b", "c"], [], ["d"], ["e", "f", "g"]],
            "label": [1, 0, 0, 1, 1],
        }
    )


def check(requests: Requests) -> None:
    rows = {int(key): row for row, key in enumerate(requests.ids.tolist())}
    for line in frame().itertuples():
        row = rows[line.request]
        items = requests.items["item_id"][requests.candidates[row]]
        place = items.tolist().index(line.item_id)
        found = requests.pair_features
        assert found["score"][row, place] == np.float32(line.score)
        words = [str(word) for word in found["words"][row, place]]
        assert words == (line.words + ["", ""])[:2]
    assert requests.pair_features["score"][rows[2], 1:].tolist() == [0.0]


@pytest.mark.parametrize("kind", ["frame", "parquet", "csv"])
@pytest.mark.parametrize("item", [None, "item_id"])
def test_a_column_may_differ_within_request_and_item(tmp_path, kind, item):
    table = frame()
    if kind == "parquet":
        table.to_parquet(tmp_path / "mine.parquet")
        table = read_frame(tmp_path / "mine.parquet", SPEC.names)
    elif kind == "csv":
        table["words"] = table["words"].map("|".join)
        table.to_csv(tmp_path / "mine.csv", index=False)
        table = read_frame(tmp_path / "mine.csv", SPEC.names)
    check(requests_from_frame(table, SPEC, request="request", label="label", item=item))


def test_a_column_of_pairs_is_checked_like_any_other():
    table = frame()
    table.loc[2, "score"] = np.nan
    with pytest.raises(ValueError, match="'score' is nan"):
        requests_from_frame(table, SPEC, request="request", label="label")


def test_a_summary_counts_the_values_of_pairs():
    requests = requests_from_frame(frame(), SPEC, request="request", label="label")
    shares = {f.name: f for f in summarise(requests, SPEC).features}
    assert shares["words"].missing == 0.2


def test_records_keep_pairs(tmp_path):
    requests = requests_from_frame(
        frame(), SPEC, request="request", label="label", item="item_id"
    )
    path = tmp_path / "mine.tfrecord"
    write_tfrecords(requests, SPEC, path)
    (read, _, _), (direct, _, _) = (
        next(iter(dataset))
        for dataset in (
            read_tfrecords(path, SPEC, batch_size=3),
            RequestBatches(requests, batch_size=3).once(),
        )
    )
    mask = direct["mask"].numpy()
    for name in ("score", "words"):
        np.testing.assert_array_equal(read[name][mask], direct[name][mask])
    assert read["words"].shape == (3, 2, 2)


def test_records_with_too_few_values_of_pairs_are_refused(tmp_path):
    floats = {"age": [1.0], "score": [1.0], "label": [1.0, 0.0]}
    values = {
        name: tf.train.Feature(float_list=tf.train.FloatList(value=v))
        for name, v in floats.items()
    }
    example = tf.train.Example(features=tf.train.Features(feature=values))
    path = str(tmp_path / "mine.tfrecord")
    with tf.io.TFRecordWriter(path) as writer:
        writer.write(example.SerializeToString())
    spec = SPEC.select(["age", "score"])
    with pytest.raises(tf.errors.InvalidArgumentError, match="pair feature score and"):
        next(iter(read_tfrecords(path, spec, batch_size=1)))
