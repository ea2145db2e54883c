"""Issue 18, section 8: every document that is written is JSON, which has no NaN."""

from __future__ import annotations

import ast
import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

import tfdistill
from tfdistill.documents import Number, as_json, read
from tfdistill.jobs import steps
from tfdistill.metrics import METRICS, metric
from tfdistill.scores.manifest import Column, Manifest
from tfdistill.serving.bench import Timing
from tfdistill.serving.bench import as_json as timings_as_json
from tfdistill.spec import Feature, FeatureSpec, Table
from tfdistill.study.impressions import Impressions


def strict(text):
    """Parses JSON as the standard has it: neither NaN nor Infinity."""

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


@dataclasses.dataclass(frozen=True)
class Judged:
    name: str
    values: tuple[Number, ...]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("kind", [float, np.float32, np.float64, np.array])
def test_what_json_has_not_is_null_at_any_depth(value, kind):
    given = {"a": [Judged("x", (kind(value), 0.5))], "b": {"c": (kind(value),)}}
    found = strict(as_json(given))
    assert found == {"a": [{"name": "x", "values": [None, 0.5]}], "b": {"c": [None]}}
    again = read(json.dumps(found["a"][0]), Judged, what="a judgement")
    assert math.isnan(again.values[0]) and again.values[1] == 0.5


def test_plain_values_stay_what_they_are():
    given = {"n": np.int64(2**62 + 1), "t": np.bool_(True), "s": "é", "l": np.eye(2)}
    found = strict(as_json(given, indent=None))
    assert found == {"n": 2**62 + 1, "t": True, "s": "é", "l": [[1.0, 0.0], [0.0, 1.0]]}


def test_a_manifest_and_timings_are_json(tmp_path):
    identity = {"threshold": math.nan, "teacher_fingerprint": "a"}
    values = {"score": Column("float32")}
    Manifest(
        "t", "1", "scores", {"item": "int64"}, values, "parquet", identity=identity
    ).save(tmp_path)
    assert strict((tmp_path / "manifest.json").read_text())["identity"] == {
        "threshold": None,
        "teacher_fingerprint": "a",
    }
    Manifest.load(tmp_path)
    timing = Timing("fine", "packed", 1, math.nan, 0.2, 9.0)
    assert strict(timings_as_json([timing]))[0]["p50"] is None


def table(folder, labels):
    """Two hundred requests of two impressions each, whose labels repeat."""
    frame = pd.DataFrame({"request": np.repeat(np.arange(200), 2)})
    frame = frame.assign(item=np.arange(400), logit=np.linspace(1, -1, 400))
    frame = frame.assign(click=np.resize(labels, 400).astype(float))
    frame.to_parquet(folder / "t.parquet")
    spec = FeatureSpec(
        (Feature("item", "categorical", "item", table="item"),),
        (Table("item", 4, size=400),),
    )
    return Impressions(folder / "t.parquet", spec, "request", "click")


@pytest.mark.parametrize(
    ("labels", "undefined"),
    [
        ([0, 1], ()),
        ([0, 0, 1, 1], ("gauc",)),
        ([0], ("auc", "gauc", "ndcg@10", "calibration")),
        ([1], ("auc", "gauc")),
    ],
)
def test_evaluate_writes_null_and_says_why(tmp_path, labels, undefined):
    data = table(tmp_path, labels)
    quiet, console = Console(quiet=True), Console(record=True, width=200)
    steps.score(data, tmp_path / "s", item="item", column="logit", console=quiet)
    steps.evaluate(
        data, [], scores=tmp_path / "s", out=tmp_path / "o.json", console=console
    )
    (written,) = strict((tmp_path / "o.json").read_text()).values()
    assert {name for name, value in written.items() if value is None} == {*undefined}
    printed = " ".join(console.export_text().split())
    assert "nan" not in printed
    assert printed.count("is not defined for teacher logit: ") == len(undefined)
    for name in undefined:
        told = metric(name)
        assert f"{told.label} is not defined for teacher logit: {told.undefined}" in (
            printed
        )


def test_each_metric_says_when_it_is_undefined():
    assert all(entry.undefined for entry in METRICS.values())


def test_documents_are_written_in_one_way():
    """Whoever calls `json.dumps` besides makes no file of its text."""
    root, own = Path(tfdistill.__file__).parent, []
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in ("dumps", "dump"):
                if getattr(node.value, "id", "") == "json":
                    own.append(path.relative_to(root).as_posix())
    assert {*own} == {
        "documents.py",
        "identity.py",
        "teachers/gbdt.py",  # names within an archive of arrays
        "trainers/backup.py",  # state of callbacks, which may be NaN, within another
        "trainers/fit.py",
        "trainers/run.py",
        "trainers/stored.py",
        "trainers/teachers.py",
    }
