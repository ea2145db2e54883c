import dataclasses
import functools
import gzip

import numpy as np
import pandas as pd
import pytest

from tfdistill.data.readers import read_frame, requests_from_frame
from tfdistill.data.requests import Requests, split_requests
from tfdistill.spec import Feature, FeatureSpec, Table

SPEC = FeatureSpec(
    features=(
        Feature("age", "numeric", "user"),
        Feature("zip", "categorical", "user", table="zip", dtype="string"),
        Feature("seen", "categorical", "user", table="item_id", shape=(2,)),
        Feature("item_id", "categorical", "item", table="item_id"),
        Feature("tags", "categorical", "item", table="tag", shape=(3,), dtype="string"),
        Feature("size", "numeric", "item", shape=(2,), default=9.0),
    ),
    tables=(
        Table("zip", 4, "hash", size=10),
        Table("item_id", 4, size=100),
        Table("tag", 4, "hash", size=10),
    ),
)


def make_frame(**changes):
    columns = dict(
        request=[8, 7, 8, 7, 7],
        user=["u1", "u2", "u1", "u2", "u2"],
        when=[20, 10, 21, 11, 12],
        click=[1.0, 0.0, np.nan, 1.0, 0.0],
        age=[31, 47, 31, 47, 47],
        zip=["007", None, "007", None, None],
        seen=[[1, 2, 3], None, [1, 2, 3], None, None],
        item_id=[10, 11, 12, 10, 12],
        tags=[["a"], [], ["b", "c"], ["a"], ["b", "c"]],
        size=[[1.0, 2.0], [3.0], [4.0, 5.0], [1.0, 2.0], [4.0, 5.0]],
    )
    return pd.DataFrame({**columns, **changes})


def read(frame, **options):
    return requests_from_frame(
        frame, SPEC, **{"request": "request", "label": "click", **options}
    )


def test_groups_by_request_with_a_catalogue_of_items():
    requests = read(make_frame(), item="item_id", user="user")
    np.testing.assert_array_equal(requests.candidates, [[0, 2, -1], [1, 0, 2]])
    np.testing.assert_array_equal(requests.labels, [[1, np.nan, np.nan], [0, 1, 0]])
    np.testing.assert_array_equal(requests.group, [0, 1])
    np.testing.assert_array_equal(requests.users["age"], [31, 47])
    np.testing.assert_array_equal(requests.users["zip"], ["007", ""])
    np.testing.assert_array_equal(requests.users["seen"], [[1, 2], [-1, -1]])
    np.testing.assert_array_equal(requests.items["item_id"], [10, 11, 12])
    np.testing.assert_array_equal(
        requests.items["tags"], [["a", "", ""], ["", "", ""], ["b", "c", ""]]
    )
    np.testing.assert_array_equal(requests.items["size"], [[1, 2], [3, 9], [4, 5]])
    assert requests.users["age"].dtype == requests.items["size"].dtype == np.float32


def test_without_an_item_column_each_impression_is_a_catalogue_row():
    frame = make_frame(tags=[["a"], [], ["b"], ["c"], ["d"]])
    requests = read(frame)
    np.testing.assert_array_equal(requests.candidates, [[0, 1, -1], [2, 3, 4]])
    np.testing.assert_array_equal(requests.items["item_id"], [10, 12, 11, 10, 12])
    np.testing.assert_array_equal(
        requests.items["tags"][:, 0], ["a", "b", "", "c", "d"]
    )
    np.testing.assert_array_equal(requests.group, [0, 1])


def test_time_orders_the_requests_and_list_size_cuts_them():
    requests = read(make_frame(), item="item_id", time="when", list_size=2)
    np.testing.assert_array_equal(requests.users["age"], [47, 31])
    np.testing.assert_array_equal(requests.candidates, [[1, 0], [0, 2]])


def test_index_of_the_frame_does_not_matter():
    shuffled = make_frame().set_index(pd.Index([3, 3, 0, 9, 1]))
    np.testing.assert_array_equal(
        read(shuffled, item="item_id").candidates,
        read(make_frame(), item="item_id").candidates,
    )


def test_tasks_scores_and_weights_follow_their_candidates():
    columns = dict(
        like=pd.array([1, None, 0, 1, None], dtype="Int64"),
        share=[True, False, True, False, True],
        logit=[0.5, np.nan, -3.0, 7.0, 2.0],
        importance=[1, 2, 3, 4, 5],
    )
    requests = read(
        make_frame(**columns),
        item="item_id",
        time="when",
        list_size=2,
        tasks=["like", "share"],
        scores=["logit"],
        weight="importance",
    )
    # The frame's rows by request and position; the last of request 7 is cut.
    rows = np.array([[1, 3], [0, 2]])
    carried = {**requests.tasks, **requests.scores, "importance": requests.weights}
    assert set(carried) == set(columns)
    for name, values in columns.items():
        column = pd.Series(values).astype(float).to_numpy()
        np.testing.assert_array_equal(carried[name], column[rows], err_msg=name)
        assert carried[name].dtype == np.float32
    uncut = read(make_frame(**columns), weight="importance")
    np.testing.assert_array_equal(uncut.weights, [[1, 3, np.nan], [2, 4, 5]])
    assert uncut.tasks == uncut.scores == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(tasks=["like"]), r"no column \['like'\]"),
        (dict(scores=["logit"]), r"no column \['logit'\]"),
        (dict(weight="importance"), r"no column \['importance'\]"),
        (
            dict(tasks=["zip"]),
            "'zip' holds 7 in row 0.*; a label must lie between 0 and 1",
        ),
        (dict(weight="click"), "weights is nan in request 0, position 1"),
        (dict(scores=["age"]), r"scores \['age'\] have the names of features"),
    ],
)
def test_refuses_tasks_scores_and_weights(options, message):
    with pytest.raises(ValueError, match=message):
        read(make_frame(), **options)


@pytest.mark.parametrize(
    ("suffix", "joined"),
    [("parquet", False), ("parquet", True), ("csv", True), ("csv.gz", True)],
)
def test_files_give_the_same_requests_as_the_frame(tmp_path, suffix, joined):
    path = tmp_path / f"mine.{suffix}"
    frame = make_frame()
    for name in ("seen", "tags", "size") if joined else ():
        frame[name] = ["|".join(map(str, cell or [])) for cell in frame[name]]
    if suffix == "parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False)
    options = dict(item="item_id", user="user", time="when")
    expected = read(make_frame(), **options)
    got = read(read_frame(path, SPEC.names), **options)
    for side in ("users", "items"):
        for name, values in getattr(expected, side).items():
            np.testing.assert_array_equal(getattr(got, side)[name], values)
    np.testing.assert_array_equal(got.candidates, expected.candidates)
    np.testing.assert_array_equal(got.labels, expected.labels)


def test_csv_keeps_strings_that_look_missing(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("zip,country\n007,NA\n,null\n")
    spec = FeatureSpec(
        (
            Feature("zip", "categorical", "user", table="t", dtype="string"),
            Feature("country", "categorical", "user", table="t", dtype="string"),
        ),
        (Table("t", 2, "hash", size=3),),
    )
    frame = read_frame(path, spec.names)
    assert frame["country"].tolist() == ["NA", "null"]
    assert frame["zip"][0] == "007"
    assert pd.isna(frame["zip"][1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(age=[31.0, np.nan, 31.0, 47.0, 47.0]), "'age' is nan in row 1.*; a"),
        (dict(age=[31.0, 47, np.inf, 47.0, 47.0]), "'age' is inf in row 2"),
        (dict(size=[[1.0], [np.nan], [4.0], [1.0], [4.0]]), "'size' is nan in row 1"),
        (dict(age=["a", "b", "a", "b", "b"]), "holds 'a' in row 0.*of float32"),
        (dict(item_id=[10, 11, 12, 10.5, 12]), "'item_id' holds 10.5 in row 3"),
        (dict(item_id=[1e17, 11, 12, 10, 12]), "'item_id' holds 1e.17 in row 0"),
        (dict(zip=[1, 2, 1, 2, 2]), "'zip' holds 1 in row 0.*of string"),
        (dict(tags=["a", [], ["b"], [], []]), r"holds 'a' in row 0.*shape is \(3,\)"),
        (dict(tags=[["a"], [], [3], ["a"], [3]]), "'tags' holds 3 in row 2"),
        (dict(age=[31, 47, 32, 47, 47]),
         "'age' must have one value for each 'request', but 'request' = 8 has 31.0 "
         "and, in row 2.*, 32.0"),
        (dict(tags=[["a"], [], ["b"], ["a"], ["c"]]),
         "'tags' must have one value for each 'item_id', but 'item_id' = 12"),
        (dict(user=["u1", "u2", "u3", "u2", "u2"]), "'user' must have one value"),
        (dict(request=[8, 7, None, 7, 7]), "'request' has no value in row 2"),
        (dict(when=[8, 7, None, 7, 7]), "'when' has no value in row 2"),
        (dict(click=["y", "n", "y", "y", "n"]), "'click' must hold numbers"),
    ],
)  # fmt: skip
def test_refuses_values(changes, message):
    with pytest.raises(ValueError, match=message):
        read(make_frame(**changes), item="item_id", user="user", time="when")


def test_refuses_a_frame():
    with pytest.raises(ValueError, match=r"no column \['age', 'seen'\]; its columns"):
        read(make_frame().drop(columns=["age", "seen"]))
    with pytest.raises(ValueError, match=r"no column \['session'\]"):
        read(make_frame(), request="session")
    with pytest.raises(ValueError, match="no row"):
        read(make_frame().iloc[:0])
    with pytest.raises(ValueError, match="list_size must be at least 1, got 0"):
        read(make_frame(), list_size=0)


def test_missing_categories_become_the_default():
    frame = make_frame(item_id=pd.array([10, None, 12, 10, 12], dtype="Int64"))
    np.testing.assert_array_equal(read(frame).items["item_id"], [10, 12, -1, 10, 12])
    frame = make_frame(zip=[None] * 5, seen=[None] * 5)
    np.testing.assert_array_equal(read(frame).users["zip"], ["", ""])
    np.testing.assert_array_equal(read(frame).users["seen"], np.full([2, 2], -1))


def test_read_frame_refuses(tmp_path):
    with pytest.raises(ValueError, match="There is no data file"):
        read_frame(tmp_path / "absent.parquet", SPEC.names)
    (tmp_path / "mine.txt").write_text("a")
    with pytest.raises(ValueError, match="neither .parquet nor .csv"):
        read_frame(tmp_path / "mine.txt", SPEC.names)
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 is not enough")
    with pytest.raises(ValueError, match="bad.parquet' can't be read as Parquet"):
        read_frame(tmp_path / "bad.parquet", SPEC.names)
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(b"age\n1\n" * 900)[:30])
    with pytest.raises(ValueError, match="can't be read as CSV"):
        read_frame(tmp_path / "cut.csv.gz", SPEC.names)
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(ValueError, match="can't be read as CSV"):
        read_frame(tmp_path / "empty.csv", SPEC.names)
    (tmp_path / "other.csv").write_text("age,zip\n1,2\n")
    with pytest.raises(
        ValueError, match=r"no column \['seen'.*columns are \['age', 'z"
    ):
        read_frame(tmp_path / "other.csv", SPEC.names)
    frame = make_frame()
    frame["seen"], frame["size"] = "1|x", "1"
    frame.to_csv(tmp_path / "letters.csv")
    with pytest.raises(ValueError, match="'seen' holds 'x' in row 0"):
        read(read_frame(tmp_path / "letters.csv", SPEC.names))


def make_requests(size):
    return Requests(
        users={},
        items={"item_id": np.arange(3)},
        candidates=np.zeros([size, 1], np.int32),
        labels=np.zeros([size, 1], np.float32),
        group=np.arange(size),
    )


def test_split_keeps_the_order_or_draws_by_seed():
    ordered = split_requests(make_requests(20), (0.7, 0.2, 0.1))
    assert [p.group.tolist() for p in ordered] == [
        list(range(14)), [14, 15, 16, 17], [18, 19]
    ]  # fmt: skip
    drawn = [
        np.concatenate(
            [p.group for p in split_requests(make_requests(20), (0.5, 0.5), seed=s)]
        )
        for s in (0, 0, 1)
    ]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0] != drawn[2]).any()
    assert sorted(drawn[2]) == list(range(20))


def test_split_takes_everything_along():
    requests = dataclasses.replace(
        make_requests(20),
        tasks={"like": np.arange(20, dtype=np.float32)[:, np.newaxis]},
        weights=np.arange(20, dtype=np.float32)[:, np.newaxis],
    ).with_scores({"teacher": np.arange(20)[:, np.newaxis]})
    for part in split_requests(requests, (0.5, 0.5), seed=1):
        for values in (part.tasks["like"], part.scores["teacher"], part.weights):
            np.testing.assert_array_equal(values[:, 0], part.group)


@pytest.mark.parametrize(
    ("fractions", "message"),
    [
        ((0.5, 0.4), "add up to 1"),
        ((1.2, -0.2), "must be positive"),
        ((), "must be positive"),
        ((0.9, 0.1), r"too few.*\[3, 0\]"),
    ],
)
def test_split_refuses(fractions, message):
    with pytest.raises(ValueError, match=message):
        split_requests(make_requests(3), fractions)


def test_requests_have_the_ids_of_the_frame():
    spec = FeatureSpec((Feature("price", "numeric", "item"),))
    frame = pd.DataFrame({"r": [9, 9, 4], "price": [1.0, 2.0, 3.0], "y": [1, 0, 0]})
    read = functools.partial(requests_from_frame, spec=spec, request="r", label="y")
    assert read(frame).ids.dtype == np.int64
    assert read(frame).ids.tolist() == [9, 4]
    assert read(frame.assign(r=["b", "b", "ä"])).ids.tolist() == ["b", "ä"]
