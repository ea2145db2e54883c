import math

import numpy as np
import pytest

from tfdistill.spec import Feature, FeatureSpec, Table
from tfdistill.teachers import Columns, Encoding

SPEC = FeatureSpec(
    (
        Feature("user_id", "categorical", "user", "user_id"),
        Feature("history", "categorical", "user", "item_id", (2,)),
        Feature("item_id", "categorical", "item", "item_id"),
        Feature("year", "categorical", "item", "year"),
        Feature("tags", "categorical", "item", "tag", (3,), "string"),
    ),
    (
        Table("user_id", 4, size=300),
        Table("item_id", 4, size=300),
        Table("year", 4, size=3000),
        Table("tag", 4, kind="hash", size=20),
    ),
)


def make(rows=2000, seed=0):
    rng = np.random.default_rng(seed)
    pairs = {
        "user_id": rng.integers(0, 150, rows),
        "history": rng.integers(-1, 150, (rows, 2)),
        "item_id": rng.integers(0, 150, rows),
        "year": rng.integers(1990, 2000, rows),
        "tags": rng.choice(["a", "b", ""], (rows, 3)),
    }
    return pairs, rng.integers(0, 2, rows).astype(np.float32)


def test_the_encoding_is_the_formula():
    rng = np.random.default_rng(0)
    keys, labels = rng.integers(-1, 6, (40, 2)), rng.integers(0, 2, 40)
    weights = rng.random(40)
    encoding = Encoding.fit(("a", "b"), keys, labels, weights)
    q = (np.sum(weights * labels) + 1) / (weights.sum() + 2)

    def expected(key):
        rows = [(w, y) for w, y, pair in zip(weights, labels, keys) for k in pair
                if k == key and key >= 0]  # fmt: skip
        n, p = sum(w for w, _ in rows), sum(w * y for w, y in rows)
        return math.log((p + 10 * q) / (n - p + 10 * (1 - q))), n / weights.sum()

    unknown = (math.log(q / (1 - q)), 0.0)
    for query, values in (
        ([3, 5], [expected(3), expected(5)]),
        ([3, -1], [expected(3)]),
        ([3, 99], [expected(3), unknown]),
        ([-1, -1], [unknown]),
    ):
        found = encoding(np.array([query]))[0]
        assert found.tolist() == pytest.approx(np.mean(values, axis=0), abs=1e-6)


def test_a_key_that_came_once_is_unknown():
    encoding = Encoding.fit(
        ("a",), np.array([[1], [2], [2]]), np.array([1, 0, 0]), np.ones(3)
    )
    assert encoding.keys.tolist() == [-1, 2]


def test_one_class_alone_gives_finite_odds():
    encoding = Encoding.fit(("a",), np.array([[1], [1]]), np.zeros(2), np.ones(2))
    assert np.isfinite(encoding.odds).all()


def test_no_row_sees_its_own_label():
    pairs, labels = make()
    _, matrix = Columns.fit(SPEC, pairs, labels, np.ones(len(labels)))
    for row in (0, 7, 1999):
        other = labels.copy()
        other[row] = 1 - other[row]
        _, changed = Columns.fit(SPEC, pairs, other, np.ones(len(labels)))
        assert np.array_equal(matrix[row], changed[row])
        assert not np.array_equal(matrix, changed)


def test_which_columns_there_are():
    pairs, labels = make()
    columns, matrix = Columns.fit(SPEC, pairs, labels, np.ones(len(labels)))
    encoded = [e.features for e in columns.encodings]
    singles = [("user_id",), ("history",), ("item_id",)]
    crossed = [
        (user, item)
        for user in ("user_id", "history")
        for item in ("item_id", "year", "tags")
    ]
    assert encoded == [*singles, *crossed]
    # year; the number of the history's and of the tags' values; two tags
    assert matrix.shape[1] == 1 + 1 + 1 + 2 + 2 * len(encoded)
    assert columns.categorical == []  # a year is ordered
    assert matrix[:, 0].tolist() == (pairs["year"] - 1990).tolist()
    assert matrix[:, 1].tolist() == (pairs["history"] >= 0).sum(axis=1).tolist()
    assert matrix[:, 2].tolist() == (pairs["tags"] != "").sum(axis=1).tolist()
    for column, tag in ((3, "a"), (4, "b")):
        assert matrix[:, column].tolist() == (pairs["tags"] == tag).any(axis=1).tolist()


def test_a_history_is_crossed_with_the_item():
    pairs, labels = make()
    columns, _ = Columns.fit(SPEC, pairs, labels, np.ones(len(labels)))
    encoding = columns.encodings[6]
    assert encoding.features == ("history", "item_id")
    one = {name: values[:1] for name, values in pairs.items()}
    one["history"], one["item_id"] = np.array([[5, -1]]), np.array([9])
    both = ((pairs["history"] == 5).sum(axis=1) * (pairs["item_id"] == 9)).sum()
    place = columns.matrix(one).shape[1] - 2 * 3 + 1
    share = both / len(labels) if both > 1 else 0.0
    assert columns.matrix(one)[0, place] == pytest.approx(share)


def test_unknown_values_and_bytes():
    pairs, labels = make()
    columns, _ = Columns.fit(SPEC, pairs, labels, np.ones(len(labels)))
    expected = columns.matrix(pairs)
    for text in (pairs["tags"].astype("S"), pairs["tags"].astype(object)):
        assert np.array_equal(columns.matrix({**pairs, "tags": text}), expected)
    strange = {
        "user_id": np.array([999]),
        "history": np.array([[999, -1]]),
        "item_id": np.array([999]),
        "year": np.array([999]),
        "tags": np.array([["x", "a", ""]]),
    }
    row = columns.matrix(strange)[0]
    assert np.isnan(row[0])
    assert row[1:5].tolist() == [0, 1, 1, 0]
    assert np.isfinite(row[1:]).all()


def test_a_feature_without_values_is_no_error():
    pairs, labels = make(50)
    pairs["history"] = np.full((50, 2), -1)
    columns, matrix = Columns.fit(SPEC, pairs, labels, np.ones(50))
    assert np.isfinite(columns.matrix(pairs)).all()
    assert np.isfinite(matrix).all()
