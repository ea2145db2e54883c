"""The documented command on a user's own files, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from rich.console import Console
from zoo_fixture import SPEC, impressions

from tfdistill.jobs.own_data import distill
from tfdistill.spec import FeatureSpec
from tfdistill.study.impressions import Impressions

COMMAND = ["--spec", "spec.json", "--request", "request", "--label", "click"]


def tfdistill(folder, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "tfdistill", *arguments],
        cwd=folder,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def folder(tmp_path):
    impressions().to_parquet(tmp_path / "mine.parquet")
    SPEC.save(tmp_path / "spec.json")
    return tmp_path


def test_two_files_and_one_command_are_enough(folder):
    done = tfdistill(
        folder, "distill", "mine.parquet", *COMMAND, "--user", "user", "--epochs", "2"
    )
    assert done.returncode == 0, done.stderr
    results = json.loads((folder / "runs/distill/results.json").read_text())
    rows = {model["name"]: model for model in results["stages"][0]["models"]}
    assert set(rows) == {"teacher", "student alone", "student distilled"}
    student = folder / "runs/distill/serving/fine/1"
    assert (student / "saved_model.pb").is_file()
    assert b"dwell" not in (student / "saved_model.pb").read_bytes()
    assert (folder / "runs/distill/report.html").is_file()


@pytest.mark.parametrize("method", ["rocket", "dual-dnn"])
def test_both_may_be_trained_together_in_other_ways(folder, method):
    """And a column of the user's own has a name of his own."""
    impressions().rename(columns={"item_id": "sku"}).to_parquet(folder / "mine.parquet")
    spec = FeatureSpec.from_json(SPEC.to_json().replace('"item_id"', '"sku"'))
    results = distill(
        Impressions(folder / "mine.parquet", spec, "request", "click"),
        folder / "run",
        method=method,
        epochs=1,
        console=Console(quiet=True),
    )
    logged = set(results.curves)
    taught = {
        "rocket": "rocket_hint",
        "dual-dnn": "fine_hidden_0_from_teacher_hidden_0",
    }
    assert f"transfer_{taught[method]}" in logged
    assert (folder / "run/serving/fine/1/saved_model.pb").is_file()


def test_an_unknown_method_is_one_clear_sentence(folder):
    done = tfdistill(
        folder, "distill", "mine.parquet", *COMMAND, "--method", "nonsense"
    )
    assert done.returncode == 2
    text = " ".join(done.stderr.split())
    known = "method must be one of ['joint', 'rocket', 'dual-dnn'], got 'nonsense'."
    assert text.endswith(f"Error: {known}") and "Traceback" not in text
    assert not (folder / "runs").exists()


def broken(folder, name):
    """Makes one thing wrong with the files of a folder."""
    frame = impressions()
    if name == "no table":
        (folder / "mine.parquet").unlink()
        return
    if name == "not Parquet":
        (folder / "mine.parquet").write_bytes(b"PAR1 and then nothing")
        return
    if name == "no spec":
        (folder / "spec.json").unlink()
        return
    if name == "absent column":
        frame = frame.drop(columns="price")
    if name == "NaN":
        frame.loc[17, "price"] = np.nan
    if name == "no rows":
        frame = frame[:0]
    if name == "label 2":
        frame.loc[3, "click"] = 2
    if name == "user feature changes":
        frame.loc[1, "age"] = 99.0
    frame.to_parquet(folder / "mine.parquet")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no table", "no data file at 'mine.parquet'"),
        ("not Parquet", "can't be read as Parquet"),
        ("no spec", "'spec.json' can't be read as a feature spec"),
        ("absent column", "'price'"),
        ("NaN", "price"),
        ("no rows", "no row"),
        ("user feature changes", "age"),
    ],
)
def test_a_wrong_input_is_one_clear_sentence_and_no_file(folder, name, message):
    broken(folder, name)
    done = tfdistill(folder, "distill", "mine.parquet", *COMMAND)
    assert done.returncode == 2
    text = " ".join(done.stderr.split())
    assert "Error:" in text and message in text and "Traceback" not in text
    assert not (folder / "runs").exists()
