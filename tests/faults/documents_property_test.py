"""Whatever specs, manifests and tables hold: a right value, or an error with the name.

`TFDISTILL_CASES=10000 pytest tests/faults/documents_property_test.py` looks for more,
with a seed of its own; the default is small and always the same.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import math
import os
import shutil

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from odd_documents import SCALARS, changed, damaged, written
from store_fixture import halves

from tfdistill.data import read_frame, requests_from_frame
from tfdistill.scores import ScoreStore
from tfdistill.scores.manifest import Manifest
from tfdistill.spec import Feature, FeatureSpec, Table

CASES = os.environ.get("TFDISTILL_CASES")


def cases(share):
    """This share of the cases; fixed ones where no number was asked for."""
    return settings(
        max_examples=math.ceil(share * int(CASES or 400)),
        derandomize=CASES is None,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


SPEC = FeatureSpec(
    (
        Feature("age", "numeric", "user", mean=35.0, scale=10.0),
        Feature("past", "categorical", "user", table="t", shape=(2,)),
        Feature("item", "categorical", "item", table="t"),
        Feature("tag", "categorical", "item", table="v", dtype="string"),
        Feature("cost", "numeric", "item", privileged=True, default=1.0),
    ),
    (
        Table("t", 4, size=9),
        Table("v", 2, "vocabulary", vocabulary=("a", "b"), oov=2),
    ),
)
HASHED = {
    "features": [
        {"name": "q", "kind": "categorical", "scope": "user", "table": "h"},
    ],
    "tables": [{"name": "h", "dim": 8, "kind": "hash", "size": 99}],
}
DOCUMENTS = [json.loads(SPEC.to_json()), HASHED]


def outcome(call, name):
    """The value, or None after an error that names the file."""
    try:
        return call()
    except ValueError as error:
        assert name in str(error), error
        assert len(str(error)) < 4000
        return None


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("files")


@cases(0.4)
@given(content=written(DOCUMENTS))
def test_a_spec_is_read_right_or_refused(folder, content):
    (folder / "spec.json").write_bytes(content)
    spec = outcome(lambda: FeatureSpec.load(folder / "spec.json"), "spec.json")
    if spec is None:
        return
    assert FeatureSpec.from_json(spec.to_json()) == spec
    for table in spec.tables:
        assert {type(table.dim), type(table.size), type(table.oov)} == {int}
        assert table.dim >= 1 and table.num_rows >= 1
    for feature in spec.features:
        assert type(feature.privileged) is bool
        with np.errstate(over="raise", divide="raise", invalid="raise"):
            scaled = (np.float32(1) - np.float32(feature.mean)) / 1
        assert np.isfinite([feature.mean, feature.scale, scaled]).all()


@cases(0.1)
@given(document=changed(DOCUMENTS))
def test_constructors_hold_the_same_rules_as_files(document):
    """What Python may build from the same values is what a file may hold."""
    text = json.dumps(document)
    try:
        read = FeatureSpec.from_json(text)
    except ValueError:
        read = None
    try:
        built = FeatureSpec(
            [Feature(**feature) for feature in document["features"]],
            [Table(**table) for table in document.get("tables", ())],
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        built = None  # no such arguments, which is Python's own error
    assert read == built or set(document) - {"features", "tables"}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return halves(tmp_path_factory.mktemp("store"))


@cases(0.2)
@given(data=st.data())
def test_a_manifest_is_read_right_or_refused(store, folder, data):
    manifest = json.loads((store / "manifest.json").read_text())
    shutil.copy(store / "shard-00000.parquet", folder)
    (folder / "manifest.json").write_bytes(data.draw(written([manifest])))
    read = outcome(lambda: Manifest.load(folder), "manifest.json")
    if read is None:
        return
    assert all(os.sep not in s.name and s.rows >= 0 for s in read.shards)
    opened = outcome(lambda: ScoreStore.open(folder), folder.name)
    blocks = opened and outcome(lambda: list(opened.blocks()), "shard-00000.parquet")
    for block in blocks or ():
        assert {"item_id", "score"} >= set(block)
        assert block["item_id"].tolist() == [3, 7]


@cases(0.05)
@given(data=st.data())
def test_a_shard_is_read_right_or_refused(store, folder, data):
    """Even one whose checksum was made to fit."""
    content = data.draw(damaged((store / "shard-00000.parquet").read_bytes()))
    manifest = json.loads((store / "manifest.json").read_text())
    manifest["shards"][0]["sha256"] = hashlib.sha256(content).hexdigest()
    (folder / "shard-00000.parquet").write_bytes(content)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    opened = outcome(lambda: ScoreStore.open(folder), "shard-00000.parquet")
    blocks = opened and outcome(lambda: list(opened.blocks()), "shard-00000.parquet")
    for block in blocks or ():
        assert block["item_id"].dtype == np.int64 and len(block["score"]) == 2


FRAME = pd.DataFrame(
    {
        "request": [7, 7, 8, 9],
        "click": [1.0, 0.0, 0.0, 1.0],
        "age": [31.5, 31.5, 47.0, 20.0],
        "past": [[1, 2], [1, 2], [], [3]],
        "item": [1, 2, 1, 4],
        "tag": ["a", "b", "a", "c"],
        "cost": [0.5, 1.5, 0.5, 2.0],
        "time": ["2024-01-02", "2024-01-02", "2024-01-03", "2024-02-01"],
    }
)


@st.composite
def tables(draw):
    """A table's file, with columns of other values or with damaged bytes."""
    frame = FRAME.copy()
    for _ in range(draw(st.integers(0, 2))):
        name = draw(st.sampled_from(list(frame.columns)))
        values = draw(st.lists(SCALARS, min_size=4, max_size=4))
        how = draw(st.sampled_from(["mixed", "one", "drop", "rename", "twice"]))
        if how == "mixed":
            frame[name] = pd.Series(values, dtype=object)
        elif how == "one":
            frame[name] = pd.Series([values[0]] * 4, dtype=object)
        elif how == "drop" and len(frame.columns) > 1:
            frame = frame.drop(columns=name)
        elif how == "rename":
            frame = frame.rename(columns={name: str(values[0])})
        elif how == "twice" and len(set(frame.columns)) == len(frame.columns):
            frame = pd.concat([frame, frame[[name]]], axis=1)
    ending = draw(st.sampled_from([".csv", ".csv.gz", ".parquet"]))
    content = _bytes(frame, ending)
    return ending, draw(st.one_of(st.just(content), damaged(content)))


def _bytes(frame, ending):
    file = io.BytesIO()
    if ending == ".parquet":
        try:
            frame.to_parquet(file)
        except Exception:  # pyarrow writes no such column: then as text
            frame.astype(str).set_axis(range(frame.shape[1]), axis=1).rename(
                columns=str
            ).to_parquet(file)
        return file.getvalue()
    lists = [i for i, name in enumerate(frame.columns) if name == "past"]
    frame = frame.copy()
    for i in lists:
        cells = ["|".join(map(str, c)) if isinstance(c, list) else c
                 for c in frame.iloc[:, i]]  # fmt: skip
        frame.isetitem(i, cells)
    text = frame.to_csv(index=False).encode("utf-8", "replace")
    return gzip.compress(text, mtime=0) if ending == ".csv.gz" else text


@cases(0.3)
@given(table=tables())
def test_a_table_is_read_right_or_refused(folder, table):
    ending, content = table
    path = folder / f"mine{ending}"
    path.write_bytes(content)
    frame = outcome(lambda: read_frame(path, SPEC.names), path.name)
    if frame is None:
        return
    try:
        requests = requests_from_frame(
            frame, SPEC, request="request", label="click", time="time"
        )
    except ValueError:  # a frame has no name
        return
    assert requests.num_requests <= len(frame)
    assert requests.users["age"].dtype == np.float32
    assert requests.items["item"].dtype == np.int64
    assert np.isfinite(requests.users["age"]).all()
