"""What data look like is said before a training, and what is useless refused."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from typer.testing import CliRunner

from tfdistill.cli import app
from tfdistill.data import Requests, requests_from_frame, summarise
from tfdistill.data.summary import DataSummary
from tfdistill.documents import read
from tfdistill.report import Data, Results, from_json, to_json, write_report
from tfdistill.spec import Feature, FeatureSpec, Table
from tfdistill.study.impressions import Impressions

SPEC = FeatureSpec(
    (
        Feature("city", "categorical", "user", table="city", dtype="string"),
        Feature("seen", "categorical", "user", table="item", shape=(3,)),
        Feature("item", "categorical", "item", table="item"),
        Feature("genre", "categorical", "item", table="genre", dtype="string"),
        Feature("tag", "categorical", "item", table="tag", dtype="string"),
        Feature("price", "numeric", "item"),
    ),
    (
        Table("city", 4, "vocabulary", vocabulary=("Rome", "Oslo")),
        Table("item", 4, size=50),
        Table("genre", 4, "vocabulary", vocabulary=("a", "b")),
        Table("tag", 4, "hash", size=5),
    ),
)


def frame(seed=0, size=400):
    rng = np.random.default_rng(seed)
    request = np.sort(rng.integers(0, size // 5, size))
    return pd.DataFrame(
        {
            "request": request,
            "city": np.array(["Rome", "Oslo", "Bari", ""])[request % 4],
            "seen": [[r % 60, 3] if r % 3 else [] for r in request],
            "item": rng.integers(-5, 60, size),
            "genre": rng.choice(["a", "b", "c", ""], size),
            "tag": rng.choice(["x", "y"], size),
            "price": rng.normal(size=size),
            "click": rng.choice([0, 1, np.nan], size),
        }
    )


def requests_of(table, **options):
    return requests_from_frame(table, SPEC, request="request", label="click", **options)


def test_counts_and_shares_are_those_of_the_table():
    table = frame()
    found = summarise(requests_of(table), SPEC)
    sizes = table.groupby("request").size()
    assert (found.rows, found.requests) == (len(table), len(sizes))
    assert (found.shortest, found.longest) == (sizes.min(), sizes.max())
    assert found.median == sizes.median()
    assert found.click_rate == pytest.approx(table["click"].mean())
    assert found.unlabelled == pytest.approx(table["click"].isna().mean())
    shares = {f.name: dataclasses.astuple(f)[1:] for f in found.features}
    users = table.drop_duplicates("request")
    given = users["city"][users["city"] != ""]
    seen = np.concatenate(users["seen"].tolist())
    item = table["item"][table["item"] != -1]
    genre = table["genre"][table["genre"] != ""]
    expected = {
        "city": ((users["city"] == "").mean(), (given == "Bari").mean(), 0),
        "seen": ((users["seen"].str.len() == 0).mean(), 0, (seen >= 50).mean()),
        "item": ((table["item"] == -1).mean(), 0, ((item < 0) | (item >= 50)).mean()),
        "genre": ((table["genre"] == "").mean(), (genre == "c").mean(), 0),
        "tag": (0, 0, 0),
        "price": (0, 0, 0),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(shares[name], values, err_msg=name)


def test_a_catalogue_counts_items_as_often_as_they_are_shown():
    requests = Requests(
        {},
        {"item": np.array([1, 99])},
        np.array([[0, 0, 0], [1, -1, -1]], np.int32),
        np.zeros([2, 3], np.float32),
        np.arange(2),
    )
    (shares,) = summarise(requests, SPEC.select(["item"])).features
    assert shares.out_of_range == 0.25


def test_one_percent_is_worth_a_warning_and_less_is_not():
    table = pd.DataFrame({"request": range(200), "item": 7, "click": 0})
    spec = SPEC.select(["item"])

    def warned(*items):
        table.loc[: len(items) - 1, "item"] = items
        requests = requests_from_frame(table, spec, request="request", label="click")
        return summarise(requests, spec).warnings()

    assert warned(7) == warned(50) == []
    assert warned(50, -9) == [
        "item: 1.0 % of the values are outside the ids of the table."
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(item=-7), "All values of feature 'item' are outside the ids"),
        (dict(item=50), "All values of feature 'item' are outside the ids"),
        (dict(item=-1), "All values of feature 'item' are missing"),
        (dict(genre="C"), "All values of feature 'genre' are unknown"),
        (dict(city=None), "All values of feature 'city' are missing"),
        (dict(seen=[[99, 77]] * 400), "All values of feature 'seen' are outside"),
        (dict(tag=""), "All values of feature 'tag' are missing"),
        (dict(click=np.nan), "No impression has a label"),
    ],
)
def test_a_feature_without_one_useful_value_is_refused(tmp_path, changes, message):
    frame().assign(**changes).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(ValueError, match=message):
        Impressions(tmp_path / "t.parquet", SPEC, "request", "click").read()


def test_the_summary_is_printed_and_kept_in_the_results(tmp_path):
    frame().to_parquet(tmp_path / "t.parquet")
    console = Console(record=True, width=160)
    data = Impressions(tmp_path / "t.parquet", SPEC, "request", "click", list_size=4)
    _, summary = data.read(console=console)
    printed = " ".join(console.export_text().split())
    for warning in summary.warnings():
        assert warning in printed
    assert f"{summary.cut} of 400 impressions" in printed
    kept = Results("t", "c", Data("d", 1, 1, 1, "s", ()), seeds=(0,), summary=summary)
    assert from_json(to_json(kept)) == kept
    assert json.loads(to_json(kept))["summary"]["features"][2]["name"] == "item"
    page = write_report(kept, tmp_path / "out").read_text()
    for warning in summary.warnings():
        assert warning in page
    assert "What was read" in page


def test_scoring_prints_and_keeps_it_too(tmp_path, monkeypatch):
    frame().assign(logit=0.5).drop_duplicates(["request", "item"]).to_parquet(
        tmp_path / "t.parquet"
    )
    SPEC.save(tmp_path / "spec.json")
    words = ["score-teacher", "t.parquet", "--spec", "spec.json", "--request"]
    words += "request --label click --item item --column logit --out scores".split()
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, words, env={"COLUMNS": "160"})
    assert done.exit_code == 0, done.output
    data = Impressions(tmp_path / "t.parquet", SPEC, "request", "click")
    _, summary = data.read()
    printed = " ".join(done.output.split())
    assert "What was read" in printed and summary.warnings()
    for warning in summary.warnings():
        assert warning in printed
    kept = read(tmp_path / "scores" / "data.json", DataSummary, what="a summary")
    assert kept == summary


def test_results_of_before_have_no_summary():
    plain = json.loads(to_json(Results("t", "c", Data("d", 1, 1, 1, "s", ()), (0,))))
    del plain["summary"]
    assert from_json(json.dumps(plain)).summary is None


def test_a_rate_that_is_unknown_survives_json():
    requests = dataclasses.replace(requests_of(frame()))
    labels = np.full_like(requests.labels, np.nan)
    found = summarise(dataclasses.replace(requests, labels=labels), SPEC)
    kept = Results("t", "c", Data("d", 1, 1, 1, "s", ()), seeds=(0,), summary=found)
    again = from_json(to_json(kept)).summary
    assert math.isnan(found.click_rate) and math.isnan(again.click_rate)
    assert again.unlabelled == found.unlabelled == 1.0
