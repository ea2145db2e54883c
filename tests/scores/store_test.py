"""The store gives back what was written, and refuses what is damaged or foreign."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scores_fixture as fixture

from tfdistill.metrics import dot_scores, top_k
from tfdistill.pairs import Pairs
from tfdistill.scores import (
    ScoreStore,
    StoreWriter,
    find,
    join_requests,
    listed_rows,
    score_batches,
    score_top_k,
)

SMALL = {"batch_size": 8, "batches_per_shard": 2}


def scored(folder, teacher=fixture.teacher, **settings):
    return score_batches(
        fixture.requests(),
        teacher,
        folder,
        teacher_name="sum",
        **{**SMALL, **settings},
    )


@pytest.mark.parametrize("file_format", ["parquet", "tfrecord"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_scores_come_back_by_key(tmp_path, file_format, dtype):
    store = scored(tmp_path, file_format=file_format, dtype=dtype)
    assert len(store.manifest.shards) == 4
    assert store.columns["score"].dtype == dtype
    mixed = fixture.requests().select(np.random.default_rng(1).permutation(50))
    joined, coverage = join_requests(mixed, store, {"score": "sum"})
    assert (coverage.asked, coverage.missing) == (int(np.sum(mixed.candidates >= 0)), 0)
    wanted = fixture.expected(mixed).astype(dtype).astype(np.float32)
    np.testing.assert_array_equal(joined.scores["sum"], wanted)


@pytest.mark.parametrize("file_format", ["parquet", "tfrecord"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("text", [False, True])
def test_vectors_and_lists_come_back(tmp_path, file_format, dtype, text):
    rng = np.random.default_rng(0)
    users, items = rng.normal(size=(30, 4)), rng.normal(size=(20, 4))
    ids = np.arange(30) * 7
    ids = np.array([f"ü{n}" for n in ids]) if text else ids
    store = score_batches(
        [
            {"user_id": ids[:16], "v": users[:16]},
            {"user_id": ids[16:], "v": users[16:]},
        ],
        lambda x: {"vector": x["v"]},
        tmp_path / "vectors",
        teacher_name="tower",
        keys=["user_id"],
        signals=["vector"],
        kind="embeddings",
        dtype=dtype,
        file_format=file_format,
        batches_per_shard=1,
    )
    values, coverage = find(store, {"user_id": ids[[3, 29, 3]]})
    wanted = users[[3, 29, 3]].astype(np.float32).astype(dtype)
    np.testing.assert_array_equal(values["vector"], wanted.astype(np.float32))
    assert coverage.missing == 0

    score, seen = dot_scores(users, items), Pairs(np.arange(30), np.arange(30) % 20)
    names = np.array([f"i{n}" for n in range(20)]) if text else 500 + np.arange(20)
    lists = score_top_k(
        score,
        ids,
        names,
        5,
        tmp_path / "lists",
        teacher_name="tower",
        seen=seen,
        block=4,
        blocks_per_shard=3,
        dtype=dtype,
        file_format=file_format,
    )
    assert len(lists.manifest.shards) == 3
    head, by_user, by_item = listed_rows(lists, ids, names)
    assert by_user.missing == by_item.missing == 0
    np.testing.assert_array_equal(head, top_k(score, 30, 5, seen=seen))
    block = next(lists.blocks())
    rows = head[: len(block["score"])]
    best = np.take_along_axis(score(np.arange(len(rows))), rows, axis=1)
    np.testing.assert_array_equal(block["score"], best.astype(np.float32).astype(dtype))


def test_a_short_list_ends_early(tmp_path):
    lists = score_top_k(
        lambda rows: np.array([[1.0, -np.inf, 2.0]])[rows],
        np.array([4]),
        np.array([7, 8, 9]),
        3,
        tmp_path,
        teacher_name="t",
    )
    block = next(lists.blocks())
    assert block["item"].tolist() == [[9, 7, -1]]
    assert np.isnan(block["score"]).tolist() == [[False, False, True]]
    head, *_ = listed_rows(lists, np.array([4, 5]), np.array([9, 7]))
    assert head.tolist() == [[0, 1, -1], [-1, -1, -1]]


def test_what_is_missing_is_nan_and_counted(tmp_path):
    store = score_batches(
        fixture.requests().select(slice(0, 40)),
        fixture.teacher,
        tmp_path,
        teacher_name="sum",
    )
    requests = fixture.requests()
    joined, coverage = join_requests(requests, store, {"score": "sum"})
    wanted = fixture.expected(requests)
    wanted[40:] = np.nan
    np.testing.assert_array_equal(joined.scores["sum"], wanted)
    assert coverage.missing == int(np.sum(requests.candidates[40:] >= 0)) > 0


def damage(folder, how):
    shard = folder / "shard-00001.parquet"
    manifest = folder / "manifest.json"
    content = json.loads(manifest.read_text())
    if how == "a changed byte":
        data = bytearray(shard.read_bytes())
        data[len(data) // 2] ^= 1
        shard.write_bytes(data)
    elif how == "a cut file":
        shard.write_bytes(shard.read_bytes()[:-10])
    elif how == "a lost file":
        shard.unlink()
    elif how == "a wrong count":
        content["shards"][1]["rows"] += 1
        manifest.write_text(json.dumps(content))
    elif how == "a cut manifest":
        manifest.write_text(manifest.read_text()[:-30])
    elif how == "another format":
        manifest.write_text(json.dumps({**content, "format": 9}))
    elif how == "unfinished":
        manifest.write_text(json.dumps({**content, "finished": False}))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("a changed byte", "shard-00001.parquet' is damaged or cut: its SHA-256 is"),
        ("a cut file", "shard-00001.parquet' is damaged or cut"),
        ("a lost file", "shard-00001.parquet' is missing"),
        ("a wrong count", "rows, the manifest says"),
        ("a cut manifest", "is not the manifest of a score store: it is no JSON"),
        ("another format", "format must be 1, got 9"),
        ("unfinished", "is unfinished. Run the scoring again"),
    ],
)
def test_a_damaged_store_is_refused(tmp_path, how, message):
    scored(tmp_path)
    damage(tmp_path, how)
    with pytest.raises(ValueError, match=message):
        ScoreStore.open(tmp_path)


@pytest.mark.parametrize("how", ["a changed byte", "a cut file", "a lost file"])
def test_only_the_damaged_shard_is_scored_again(tmp_path, how):
    scored(tmp_path)
    before = fixture.fingerprint(tmp_path)
    damage(tmp_path, how)
    calls = []

    def counted(features):
        calls.append(len(features["age"]))
        return fixture.teacher(features)

    scored(tmp_path, counted)
    assert calls == [8, 8, 8]  # the first asks what the teacher is
    assert fixture.fingerprint(tmp_path) == before


def test_a_store_of_others_is_refused(tmp_path):
    scored(tmp_path)
    for wanted, message in (
        ({"teacher": "gbdt"}, "teacher was 'sum' and is 'gbdt'"),
        ({"version": "2"}, "version was '1' and is '2'"),
        ({"kind": "lists"}, "kind was 'scores' and is 'lists'"),
    ):
        with pytest.raises(ValueError, match=message):
            ScoreStore.open(tmp_path, **wanted)
    with pytest.raises(ValueError, match="There is no score store in"):
        ScoreStore.open(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"version": "2"}, "version was '1' and is '2'"),
        (
            {"keys": ["request_id", "item_row"]},
            r"key_columns was \[.*'item_id'\] and is \[.*'item_row'\]",
        ),
        ({"dtype": "float16"}, "dtype was 'float32' and is 'float16'"),
        ({"file_format": "tfrecord"}, "format was 'parquet' and is 'tfrecord'"),
        ({"batch_size": 4}, "plan.batch_size was 8 and is 4"),
    ],
)
def test_another_scoring_does_not_go_on_with_a_store(tmp_path, settings, message):
    scored(tmp_path)
    before = fixture.fingerprint(tmp_path)
    with pytest.raises(ValueError, match=message):
        scored(tmp_path, **settings)
    assert fixture.fingerprint(tmp_path) == before


def test_keys_of_the_data_must_be_those_of_the_store(tmp_path):
    store = scored(tmp_path)
    with pytest.raises(ValueError, match=r"keys \{'request_id': 'string', 'item_id': "):
        find(store, {"item_id": np.arange(3)})
    with pytest.raises(ValueError, match="the data .*'request_id': 'int64'"):
        find(store, {"request_id": np.arange(3), "item_id": np.arange(3)})
    with pytest.raises(ValueError, match=r"no values \['logit'\]; it has \['score'\]"):
        join_requests(fixture.requests(), store, {"logit": "a"})
    with pytest.raises(ValueError, match="holds scores, not lists"):
        listed_rows(store, np.arange(3), np.arange(3))


def nan_late(features):
    scores = fixture.teacher(features)["score"].numpy()
    late = np.asarray(features["request_id"]) == b"request-20"
    return {"score": np.where(late[:, np.newaxis], np.nan, scores)}


nan_late.__qualname__ = fixture.teacher.__qualname__  # as one teacher that once failed


def test_after_an_error_the_shards_before_it_are_kept(tmp_path):
    broken, unbroken = tmp_path / "broken", tmp_path / "unbroken"
    with pytest.raises(ValueError, match="Shard 1 .*'score' is nan in row"):
        scored(broken, nan_late)
    kept = fixture.fingerprint(broken)
    shard = {f"shard-00000.{ending}" for ending in ("hashes", "json", "parquet")}
    assert set(kept) == {"manifest.json", *shard}
    with pytest.raises(ValueError, match="is unfinished"):
        ScoreStore.open(broken)
    store = scored(broken)
    assert store.manifest.shards[0].sha256 == kept["shard-00000.parquet"]
    scored(unbroken)
    assert fixture.fingerprint(broken) == fixture.fingerprint(unbroken)


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        (lambda x: np.inf * x["price"], "'score' is (-?inf|nan) in row 0"),
        (lambda x: 1e6 * x["price"], "holds .*, which float16 can't; store float32"),
        (
            lambda x: {"logit": x["price"]},
            r"no signals \['score'\]; it gives \['logit'",
        ),
        (
            lambda x: x["age"],
            r"'score' has shape \(8,\), but the keys .* have \(8, 6\)",
        ),
        (lambda x: x["price"][..., None], "takes values of 0 axes per key"),
    ],
)
def test_what_a_teacher_may_not_give(tmp_path, teacher, message):
    with pytest.raises(ValueError, match=message):
        scored(tmp_path, teacher, dtype="float16")
    assert not list(tmp_path.glob("shard*"))


def test_keys_and_batches_that_do_not_fit(tmp_path):
    def score(batches, **settings):
        return score_batches(
            batches, lambda x: x["item"], tmp_path, teacher_name="t", **settings
        )

    item = np.array([[1, 2], [3, 3]])
    with pytest.raises(ValueError, match="has the key {'item': 3} twice"):
        score([{"item": item}], keys=["item"])
    with pytest.raises(
        ValueError, match=r"lacks the keys \['user'\]; it has \['item'\]"
    ):
        score([{"item": item}], keys=["user", "item"])
    with pytest.raises(ValueError, match=r"Keys must be \[B\] or \[B, L\]"):
        score([{"item": item[..., np.newaxis]}], keys=["item"])
    with pytest.raises(ValueError, match="Request 1 of a batch has an empty list"):
        score(
            [{"item": item, "mask": np.array([[True, True], [False, False]])}],
            keys=["item"],
        )
    with pytest.raises(ValueError, match="nothing was scored"):
        score([], keys=["item"])
    with pytest.raises(ValueError, match="the key 'item' must be integers or text"):
        score([{"item": item.astype(np.float32)}], keys=["item"])
    for wrong in ({"keys": []}, {"kind": "x"}, {"dtype": "int8"}, {"file_format": "x"}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be one"):
            score([{"item": item}], **{"keys": ["item"], **wrong})
    assert not list(tmp_path.glob("shard*"))


def test_a_key_in_two_shards_is_refused_and_found_when_joined(tmp_path, monkeypatch):
    writer = StoreWriter(
        tmp_path, teacher="t", version="1", kind="scores", keys=["user"]
    )
    for number in range(2):
        writer.write(number, {"user": np.array([7, number]), "z": np.float32([1, 2])})
    with pytest.raises(ValueError, match=r"\['shard-00002.parquet'\] are missing"):
        writer.finish(3)
    with pytest.raises(ValueError, match="has the key {'user': 7} twice"):
        writer.finish(2)
    store = fixture.finished_unchecked(writer, 2, monkeypatch)
    values, _ = find(store, {"user": np.array([1])})
    assert values["z"] == [2.0]
    with pytest.raises(ValueError, match="has the key {'user': 7} twice"):
        find(store, {"user": np.array([0, 7])})


def test_an_empty_list_is_refused(tmp_path):
    with pytest.raises(ValueError, match="the list of row 1 is empty"):
        score_top_k(
            lambda rows: np.array([[1.0, 2.0], [-np.inf, -np.inf]])[rows],
            np.array([4, 5]),
            np.array([7, 8]),
            2,
            tmp_path,
            teacher_name="t",
        )
    with pytest.raises(ValueError, match="has 3 items, but scores for 2"):
        score_top_k(
            lambda rows: np.ones([1, 2]),
            np.array([4]),
            np.array([7, 8, 9]),
            2,
            tmp_path,
            teacher_name="t",
        )
