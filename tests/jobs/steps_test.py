"""Teacher, scores, student, judgement: each command is what the last one printed."""

from __future__ import annotations

import dataclasses
import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from rich.console import Console
from typer.testing import CliRunner
from zoo_fixture import SPEC, impressions

from tfdistill.cli import app
from tfdistill.jobs import steps
from tfdistill.jobs.own_data import distill
from tfdistill.scores import ScoreStore
from tfdistill.study.impressions import Impressions

QUIET = Console(quiet=True)


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A table whose `logit` is known for all but every seventh impression."""
    frame = impressions(60).drop_duplicates(["request", "item_id"])
    frame["logit"] = frame["price"] + 0.2 * (frame["item_id"] - 15)
    frame.loc[::7, "logit"] = np.nan
    frame.to_parquet(tmp_path / "mine.parquet")
    SPEC.save(tmp_path / "spec.json")
    monkeypatch.chdir(tmp_path)
    return Impressions(tmp_path / "mine.parquet", SPEC, "request", "click", "user")


def run(*words):
    """Runs a command; returns the one that it prints as the next."""
    done = CliRunner().invoke(app, list(map(str, words)), env={"COLUMNS": "200"})
    assert done.exit_code == 0, (done.output, done.exception)
    lines = [line for line in done.output.splitlines() if line.startswith("Next: ")]
    return shlex.split(lines[0])[2:] if lines else done.output


@pytest.mark.slow
def test_four_commands_one_after_the_other(data, tmp_path):
    columns = "--spec spec.json --request request --label click --user user".split()
    scoring = run("train-teacher", "mine.parquet", *columns, "--epochs", 1)
    place = scoring.index("ITEM")
    scoring[place] = "item_id"
    distilling = run(*scoring, "--dtype", "float16")
    judging = run(*distilling, "--epochs", 1)
    shown = run(*judging, "--out", "judged.json")
    assert "0 of" in shown and "Test part" in shown
    judged = json.loads((tmp_path / "judged.json").read_text())
    assert list(judged) == [
        "teacher SavedModel",
        "runs/distill/serving/fine/1",
    ]
    student = tmp_path / "runs/distill/serving/fine/1"
    assert b"dwell" not in (student / "saved_model.pb").read_bytes()


def test_a_column_of_scores_is_a_teacher_too(data, tmp_path):
    store = steps.score(data, tmp_path / "scores", item="item_id", column="logit")
    frame = impressions(60).drop_duplicates(["request", "item_id"])
    assert store.manifest.rows == len(frame) - -(-len(frame) // 7)
    assert store.manifest.teacher == "logit"
    judged = steps.evaluate(data, [], scores=tmp_path / "scores", console=QUIET)
    assert judged["teacher logit"]["auc"] > 0.7


def test_students_of_several_seeds_are_shown_with_their_spread(data, tmp_path):
    steps.score(data, tmp_path / "scores", item="item_id", column="logit")
    console = Console(record=True, width=200)
    out = tmp_path / "run"
    distill(
        data, out, scores=tmp_path / "scores", epochs=1, seeds=range(2), console=console
    )
    shown = [line for line in console.export_text().splitlines() if "±" in line]
    assert len(shown) > 3 and all(line.count("±") > 2 for line in shown)


def test_an_unchanged_run_publishes_nothing_and_its_store_goes_on(data, tmp_path):
    def versions():
        return sorted(p.name for p in (tmp_path / "t/serving").glob("[0-9]*"))

    first = steps.train_teacher(data, tmp_path / "t", epochs=1, console=QUIET)
    store = steps.score(data, tmp_path / "scores", item="item_id", teacher=first)
    again = steps.train_teacher(data, tmp_path / "t", epochs=1, console=QUIET)
    assert (again, versions()) == (first, ["1"])
    kept = steps.score(data, tmp_path / "scores", item="item_id", teacher=again)
    assert kept.manifest == store.manifest

    longer = steps.train_teacher(data, tmp_path / "t", epochs=8, console=QUIET)
    assert (longer.name, versions()) == ("2", ["1", "2"])
    shutil.rmtree(longer)
    assert steps.train_teacher(data, tmp_path / "t", epochs=8, console=QUIET) == longer
    kept = (tmp_path / "t/data.json").read_text()
    frame = pd.read_parquet(data.table)
    frame["click"] = 1 - frame["click"]
    frame.to_parquet(tmp_path / "other.parquet")
    other = dataclasses.replace(data, table=tmp_path / "other.parquet")
    with pytest.raises(ValueError, match="begun with other settings: data"):
        steps.train_teacher(other, tmp_path / "t", epochs=8, console=QUIET)
    assert (tmp_path / "t/data.json").read_text() == kept  # of what was trained
    (tmp_path / "t/serving/published.json").write_text("{}")
    with pytest.raises(ValueError, match=r"published.json.*Delete it"):
        steps.train_teacher(data, tmp_path / "t", epochs=8, console=QUIET)


def test_trees_are_a_teacher_too(data, tmp_path):
    trees = steps.train_teacher(data, tmp_path / "trees", kind="trees")
    store = steps.score(data, tmp_path / "scores", item="item_id", teacher=trees)
    assert ScoreStore.open(tmp_path / "scores").manifest == store.manifest
    relative = trees.relative_to(tmp_path)  # the same teacher by another path
    again = steps.score(data, tmp_path / "scores", item="item_id", teacher=relative)
    assert again.manifest == store.manifest and store.manifest.teacher == "trees.npz"
    judged = steps.evaluate(data, [], scores=tmp_path / "scores", console=QUIET)
    (metrics,) = judged.values()
    assert metrics["auc"] > 0.9  # they read the privileged feature


def test_what_can_not_be_judged_is_refused(data, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="nothing to evaluate: give SavedModels"):
        steps.evaluate(data, [], console=QUIET)

    def teacher(x):
        scores = np.zeros(x["mask"].shape, np.float32)
        scores[0, 0] = np.nan
        return {"score": tf.constant(scores)}

    monkeypatch.setattr(steps, "SavedModelTeacher", lambda path: teacher)
    with pytest.raises(ValueError, match="'m' gives NaN for 1 impressions"):
        steps.evaluate(data, [Path("m")], console=QUIET)


def test_what_does_not_fit_is_refused(data, tmp_path):
    with pytest.raises(ValueError, match=r"kind must be one of .*, got 'forest'"):
        steps.train_teacher(data, tmp_path / "t", kind="forest")
    for given in ({}, {"teacher": tmp_path, "column": "logit"}):
        with pytest.raises(ValueError, match="Give either a teacher"):
            steps.score(data, tmp_path / "scores", item="item_id", **given)
    with pytest.raises(ValueError, match="There is no SavedModel in"):
        steps.score(data, tmp_path / "scores", item="item_id", teacher=tmp_path)
    with pytest.raises(ValueError, match=r"no teacher at .*absent.* SavedModel"):
        absent = tmp_path / "absent"
        steps.score(data, tmp_path / "scores", item="item_id", teacher=absent)
    with pytest.raises(ValueError, match=r"lacks the keys \['sku'\]"):
        steps.score(data, tmp_path / "scores", item="sku", column="logit")
    steps.score(data, tmp_path / "scores", item="item_id", column="logit")
    frame = impressions(60).drop_duplicates(["request", "item_id"])
    frame["request"] += 1000
    frame.to_parquet(tmp_path / "mine.parquet")
    with pytest.raises(ValueError, match="has no score of any training impression"):
        distill(data, tmp_path / "d", scores=tmp_path / "scores", console=QUIET)
