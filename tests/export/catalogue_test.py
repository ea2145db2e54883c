"""The item table: ids to rows and back, whatever the ids are."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.export.catalogue import Catalogue


@pytest.mark.parametrize(
    ("ids", "strange"),
    [
        ([7, -5, 10**15, 0, -1], [8, 2**62, -(2**63)]),
        (np.array([3, 200], np.uint8), [4]),
        (["x", "Zürich", "", "a\0b"], ["X", "Z", b"\xff\xfe"]),
        (np.array(["ab", "c"], "S"), ["c "]),
        (np.array(["ab", b"c"], object), ["d"]),
    ],
)
def test_every_id_is_found_and_no_other(ids, strange):
    catalogue = Catalogue(ids, {})
    known = catalogue.ids(tf.range(len(ids)))
    assert known.dtype == catalogue.dtype
    found = tf.function(catalogue.rows)(tf.reverse(known, [0])[tf.newaxis])
    assert found.numpy().tolist() == [list(range(len(ids)))[::-1]]
    unknown = catalogue.rows(tf.constant(strange, catalogue.dtype))
    assert unknown.numpy().tolist() == [-1] * len(strange)
    assert catalogue.rows(known[:0]).shape == (0,)


def test_many_strings_are_told_apart():
    ids = np.array([f"item {n}" for n in range(20_000)])
    rows = np.random.default_rng(0).permutation(20_000)
    found = Catalogue(ids, {}).rows(tf.constant(ids[rows]))
    np.testing.assert_array_equal(found, rows)


def test_rows_that_are_none_have_a_default():
    rows = tf.constant([[1, -1]])
    assert Catalogue([4, 5], {}).ids(rows).numpy().tolist() == [[5, -1]]
    assert Catalogue(["a", "b"], {}).ids(rows).numpy().tolist() == [[b"b", b""]]
    genres = np.array([["drama", ""], ["comedy", "war"]])
    catalogue = Catalogue([4, 5], {"genres": genres, "year": np.array([1995, 1950])})
    found = catalogue.features(rows, ["genres"])
    assert list(found) == ["genres"]
    assert found["genres"].numpy().tolist() == [[[b"comedy", b"war"], [b"drama", b""]]]


@pytest.mark.parametrize(
    ("ids", "features", "message"),
    [
        ([1, 1, 2], {}, "3 ids, 2 of them different"),
        ([1, 2], {"x": np.zeros(3)}, r"2 ids, 2 of them different, and rows {'x': 3}"),
        ([[1, 2]], {}, r"shape \(1, 2\)"),
        ([1.0, 2.0], {}, "integers or strings, got an array of float64"),
    ],
)
def test_catalogues_that_are_none_are_refused(ids, features, message):
    with pytest.raises(ValueError, match=message):
        Catalogue(ids, features)
