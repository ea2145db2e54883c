"""Reading changes no value without a word: keys, columns, ids, labels, long lists."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from tfdistill.data import (
    RequestBatches,
    Requests,
    read_frame,
    read_tfrecords,
    requests_from_frame,
)
from tfdistill.pairs import Pairs
from tfdistill.scores import join_requests, score_batches
from tfdistill.spec import Feature, FeatureSpec, Table
from tfdistill.study.evaluators import CatalogueEvaluator
from tfdistill.study.impressions import Impressions

PRICE = FeatureSpec((Feature("price", "numeric", "item"),))
ITEMS = FeatureSpec(
    (
        Feature("item", "categorical", "item", table="item"),
        Feature("seen", "categorical", "user", table="item", shape=(3,)),
    ),
    (Table("item", 4, size=100),),
)


def written(folder, text, name="t.csv"):
    path = folder / name
    data = text.encode() if isinstance(text, str) else text
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def read(path, spec=PRICE, **options):
    frame = read_frame(path, spec.names)
    return requests_from_frame(
        frame, spec, **{"request": "request", "label": "click", **options}
    )


@pytest.mark.parametrize(
    "keys",
    [
        ["007", "7", "8"],
        ["1e3", "1000", "1000.0"],
        ["9007199254740992", "9007199254740993", "9007199254740994"],
        ["18446744073709551617", "18446744073709551616", "1"],
        ["True", "true", "1"],
        ["NA", "nan", "null"],
        [" 7", "7", "7 "],
    ],
)
@pytest.mark.parametrize("column", ["request", "user", "item"])
def test_keys_of_a_csv_file_are_the_text_that_they_are(tmp_path, keys, column):
    columns = {"request": list("abc"), "user": "u", "item": "i"}
    columns |= {column: keys, "price": [1.0, 2.0, 3.0], "click": 0}
    if column != "item":
        columns["item"] = list("xyz")
    frame = pd.DataFrame(columns)
    frame.to_csv(tmp_path / "t.csv", index=False)
    requests = read(tmp_path / "t.csv", user="user", item="item")
    assert requests.num_requests == requests.num_items == 3
    if column == "request":
        assert requests.ids.tolist() == keys
    assert len(set(requests.group)) == (3 if column == "user" else 1)


def test_a_key_that_is_a_feature_too_is_text_and_a_number(tmp_path):
    path = written(tmp_path, "request,click,item,seen\n1,0,07,1|02\n1,1,7,1|02\n")
    requests = read(path, ITEMS, item="item")
    assert requests.items["item"].tolist() == [7, 7]
    assert requests.candidates.tolist() == [[0, 1]]
    assert requests.users["seen"].tolist() == [[1, 2, -1]]


def test_keys_of_parquet_stay_integers(tmp_path):
    frame = pd.DataFrame({"request": [2**62 + 1, 7], "price": 1.0, "click": 0})
    frame.to_parquet(tmp_path / "t.parquet")
    assert read(tmp_path / "t.parquet").ids.tolist() == [2**62 + 1, 7]


def test_keys_of_two_types_that_are_one_as_text_are_refused():
    frame = pd.DataFrame({"request": [7, "7"], "price": 1.0, "click": 0})
    with pytest.raises(ValueError, match="'request' has keys of several types.*'7'"):
        requests_from_frame(frame, PRICE, request="request", label="click")


def test_scores_are_stored_and_found_under_text_keys(tmp_path):
    path = written(tmp_path, "request,click,item,seen\n007,0,1,\n7,1,1,3\n")
    requests = read(path, ITEMS)
    store = score_batches(
        requests,
        lambda x: x["item"] * 10 + x["seen"][:, :1],
        tmp_path / "scores",
        teacher_name="ten",
        keys=["request_id", "item"],
    )
    joined, coverage = join_requests(requests, store, {"score": "ten"})
    assert coverage.missing == 0
    assert joined.scores["ten"].tolist() == [[9.0], [13.0]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "id,request,click,price\n1,2,0,3.5,9\n",
            "line 2 has 5 fields and the header 4",
        ),
        ("request,click,price\n1,0,2\n2,1\n", "line 3 has 2 fields and the header 3"),
        ("request,click,price\n1,0,2,\n2,1,3,\n", "line 2 has 4 fields"),
        ('request,click,price\n"a\nb",0,2\n2,1\n', "line 4 has 2 fields"),
        ("request;click;price\n1;0;2\n\n2;1;3;4\n", "line 4 has 4 fields"),
        ("request\tclick\tprice\n1\t0\t2\n2\t1\n", "line 3 has 2 fields"),
        ('request,price,click\n1,2,0\n2,3,"1\n3,4,0\n', "line 3 is malformed"),
        (
            "request,click,price,click\n1,0,2,1\n",
            r"the header, has \['click'\] more than",
        ),
        (b"request,click,price\n\xff,0,2\n", "not UTF-8"),
        ("\n\n", "no header"),
    ],
)
@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
def test_a_row_that_is_not_as_wide_as_the_header_is_refused(
    tmp_path, text, message, name
):
    with pytest.raises(ValueError, match=f"{name}' can't be read as CSV.*{message}"):
        read_frame(written(tmp_path, text, name), PRICE.names)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_the_separator_is_found_out(tmp_path, separator):
    text = 'request,click,price,note\n1,0,2.5,"a; b"\n'.replace(",", separator)
    assert read(written(tmp_path, "\ufeff" + text)).items["price"].tolist() == [2.5]


def test_any_other_separator_may_be_given(tmp_path):
    path = written(tmp_path, "request|click|price\n1|0|2.5\n")
    frame = read_frame(path, PRICE.names, separator="|")
    assert frame.to_numpy().tolist() == [["1", "0", "2.5"]]
    with pytest.raises(ValueError, match="one character, got '::'"):
        read_frame(path, PRICE.names, separator="::")


@pytest.mark.parametrize("value", [2**63, 2**64 - 1, 2**64, 2**63 + 1])
def test_ids_beyond_64_bits_are_refused(tmp_path, value):
    path = written(tmp_path, f"request,click,item,seen\n1,0,{value},\n")
    with pytest.raises(ValueError, match=f"'item' holds '{value}', which 64 bits"):
        read(path, ITEMS)
    path = written(tmp_path, f"request,click,item,seen\n1,0,5,3|{value}\n")
    with pytest.raises(ValueError, match=f"'seen' holds '{value}', which 64 bits"):
        read(path, ITEMS)
    if value < 2**64:
        frame = pd.DataFrame({"item": np.array([1, value], np.uint64), "click": 0})
        frame = frame.assign(request=1, seen=None, price=1.0)
        with pytest.raises(ValueError, match=f"'item' holds {value} in row 1"):
            requests_from_frame(frame, ITEMS, request="request", label="click")
        with pytest.raises(ValueError, match=f"'item' holds {value} in row 1"):
            requests_from_frame(frame, PRICE, request="item", label="click")
        lists = [np.array([value], np.uint64)] * 2
        frame = frame.assign(item=1, seen=lists)
        with pytest.raises(ValueError, match=f"'seen' holds {value} in row 0"):
            requests_from_frame(frame, ITEMS, request="request", label="click")


def test_integers_that_a_float_would_round_are_exact(tmp_path):
    spec = FeatureSpec(
        (Feature("item", "categorical", "item", table="item"),),
        (Table("item", 4, "hash", size=9),),
    )
    ids = [2**53 + 1, 2**63 - 1, -5]
    text = "".join(f"1,0,{value}\n" for value in (*ids, ""))
    found = read(written(tmp_path, "request,click,item\n" + text), spec)
    assert found.items["item"].tolist() == [*ids, -1]


@pytest.mark.parametrize("value", [-1, 2, 10.5, -0.25, np.inf])
@pytest.mark.parametrize("column", ["click", "like"])
def test_labels_outside_of_0_and_1_are_refused(value, column):
    frame = pd.DataFrame({"request": [1, 1], "price": 1.0, "click": 0, "like": 0.0})
    frame[column] = [0.0, value]
    with pytest.raises(
        ValueError, match=f"'{column}' holds {value:g} in row 1"
    ) as found:
        requests_from_frame(
            frame, PRICE, request="request", label="click", tasks=["like"]
        )
    assert ("empty cell" in str(found.value)) == (value < 0)


def test_grades_are_read_where_they_are_asked_for():
    frame = pd.DataFrame({"request": 1, "price": 1.0, "click": [0, 4, None]})
    found = requests_from_frame(
        frame, PRICE, request="request", label="click", graded=True
    )
    np.testing.assert_array_equal(found.labels, [[0, 4, np.nan]])
    for wrong in (-1, np.inf):
        with pytest.raises(
            ValueError,
            match=r"in row 0 \(counted from 0\); a label must not be negative",
        ):
            requests_from_frame(
                frame.assign(click=wrong),
                PRICE,
                request="request",
                label="click",
                graded=True,
            )


@pytest.mark.parametrize("field", ["labels", "tasks"])
@pytest.mark.parametrize("value", [-1.0, -0.5, np.inf])
def test_requests_do_not_take_padding_for_a_label(field, value):
    def made(candidates):
        labels = np.array([[1, value]], np.float32)
        given = {"labels": labels, "tasks": {}}
        if field == "tasks":
            given = {"labels": np.zeros_like(labels), "tasks": {"like": labels}}
        return Requests(
            {},
            {"price": np.zeros(2, np.float32)},
            np.array([candidates], np.int32),
            group=np.zeros(1, np.int64),
            **given,
        )

    with pytest.raises(
        ValueError, match=f"{field}.* is {value:g}.*position 1.*NaN where"
    ):
        made([0, 1])
    assert made([0, -1]).num_requests == 1  # where padded, anything goes


@pytest.mark.parametrize("short", ["price", "sizes", "label", "weight"])
def test_examples_of_lists_that_differ_are_refused_in_any_batch(tmp_path, short):
    """Beside a longer request the shorter list would be padded."""
    spec = FeatureSpec(
        (*PRICE.features, Feature("sizes", "numeric", "item", shape=(2,)))
    )
    path = str(tmp_path / "t.tfrecord")
    with tf.io.TFRecordWriter(path) as writer:
        for cut in (0, 1):
            full = {"price": 3, "sizes": 6, "label": 3, "weight": 3}
            full[short] -= cut
            values = {
                name: tf.train.Feature(
                    float_list=tf.train.FloatList(value=np.ones(size))
                )
                for name, size in full.items()
            }
            example = tf.train.Example(features=tf.train.Features(feature=values))
            writer.write(example.SerializeToString())
    batches = iter(read_tfrecords(path, spec, batch_size=2, weight="weight"))
    with pytest.raises(tf.errors.InvalidArgumentError, match="differ in length"):
        next(batches)
    first = next(iter(read_tfrecords(path, spec, batch_size=1, weight="weight")))
    assert first[0]["sizes"].shape == (1, 3, 2)


def test_examples_do_not_take_padding_for_a_label(tmp_path):
    path = str(tmp_path / "t.tfrecord")
    floats = {"price": [5.0, 3.0], "label": [1.0, -1.0]}
    values = {
        name: tf.train.Feature(float_list=tf.train.FloatList(value=numbers))
        for name, numbers in floats.items()
    }
    example = tf.train.Example(features=tf.train.Features(feature=values))
    with tf.io.TFRecordWriter(path) as writer:
        writer.write(example.SerializeToString())
    with pytest.raises(tf.errors.InvalidArgumentError, match="label is negative"):
        list(read_tfrecords(path, PRICE, batch_size=1))


def test_the_commands_take_labels_of_0_and_1_only(tmp_path):
    path = written(tmp_path, "request,click,price\n1,0,2\n2,0.5,3\n")
    with pytest.raises(ValueError, match="'click' holds 0.5 in line 3.*must be 0 or 1"):
        Impressions(path, PRICE, "request", "click").read()


@pytest.mark.parametrize("text", ["1,5", "1_000", "0x", "one", "1.5.2", "--1"])
def test_what_is_no_number_is_refused_with_its_row(tmp_path, text):
    for column in ("price", "click"):
        values = {"price": "1", "click": "1", column: f'"{text}"'}
        path = written(
            tmp_path,
            f"request,price,click\n1,1,0\n1,{values['price']},{values['click']}\n",
        )
        with pytest.raises(ValueError, match=f"'{column}'.*holds '{text}' in row 1"):
            read(path)


def long_tail(requests=5000, longest=100_000):
    """Few impressions each, but one request with very many."""
    size = np.full(requests, 5)
    size[7] = longest
    request = np.repeat(np.arange(requests), size)
    frame = pd.DataFrame({"request": request, "price": np.float32(1)})
    return frame.assign(click=np.arange(len(frame)) % 2)


def test_padding_to_one_very_long_request_is_refused():
    with pytest.raises(
        ValueError, match="Request 7 has 100000 impressions.*--list-size.*at most 5,"
    ):
        requests_from_frame(long_tail(), PRICE, request="request", label="click")


def test_a_list_size_keeps_memory_and_the_first_impressions(tmp_path):
    frame = long_tail()
    frame.to_parquet(tmp_path / "t.parquet")
    requests, summary = Impressions(
        tmp_path / "t.parquet", PRICE, "request", "click", list_size=50
    ).read()
    assert requests.candidates.shape == (5000, 50)
    assert summary.rows == len(frame)
    assert summary.cut == 100_000 - 50
    assert summary.cut_clicks == 50_000 - 25
    assert any("99950 of 124995 impressions, 49975 of" in w for w in summary.warnings())


def test_lists_are_no_longer_than_the_longest_request():
    frame = pd.DataFrame({"request": [1, 1, 2], "price": 1.0, "click": 0})
    found = requests_from_frame(
        frame, PRICE, request="request", label="click", list_size=10**9
    )
    assert found.candidates.shape == (2, 2)


@pytest.mark.parametrize(
    "needs",
    [
        lambda r, known: RequestBatches(r, batch_size=1, negatives=2),
        lambda r, known: RequestBatches(r, batch_size=1, known=known),
        lambda r, known: RequestBatches(
            r, batch_size=1, pool=np.zeros([2, 3], np.int32), from_pool=1
        ),
        lambda r, known: r.positives(),
        lambda r, known: CatalogueEvaluator(r, known, np.zeros(3, bool)),
        lambda r, known: CatalogueEvaluator(r.select([0]), known, np.zeros(3, bool)),
    ],
)
def test_what_needs_a_catalogue_refuses_impressions_as_items(needs):
    frame = pd.DataFrame(
        {"request": [1, 1, 2], "sku": [7, 8, 7], "price": [1.0, 2, 1], "click": 1}
    )
    without, with_one = (
        requests_from_frame(frame, PRICE, request="request", label="click", item=item)
        for item in (None, "sku")
    )
    known = Pairs([0], [0], 3)
    with pytest.raises(ValueError, match=r"needs a catalogue.*\(item=\)"):
        needs(without, known)
    assert RequestBatches(without, batch_size=1).steps_per_epoch == 2
    needs(with_one, Pairs([0], [0], 2))
    assert with_one.catalogue and not without.catalogue


def test_a_fingerprint_tells_a_catalogue_from_impressions():
    frame = pd.DataFrame({"request": 1, "sku": [7, 8], "price": 1.0, "click": 1})
    prints = {
        requests_from_frame(
            frame, PRICE, request="request", label="click", item=item
        ).fingerprint
        for item in (None, "sku")
    }
    assert len(prints) == 2
