"""Recall from a file of interactions: teacher, student, baselines, an index."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from rich.console import Console
from typer.testing import CliRunner

from tfdistill.cli import app
from tfdistill.jobs.recall import recall, teachers
from tfdistill.scorers import baselines
from tfdistill.study import Problem

QUIET = Console(quiet=True)


def clicks(users: int = 60, items: int = 40, each: int = 20) -> pd.DataFrame:
    """Each user goes through one third of the items, in an order of its own."""
    rng = np.random.default_rng(0)
    rows = [
        (f"u{user}", f"film {3 * item + user % 3}", 100 * user + place)
        for user in range(users)
        for place, item in enumerate(rng.permutation(items)[:each])
    ]
    return pd.DataFrame(rows, columns=["who", "film", "at"])


@pytest.fixture(scope="module")
def problem():
    return Problem.from_interactions(
        clicks(), user="who", item="film", time="at", dim=8
    )


def test_the_command_goes_from_a_file_to_an_index(tmp_path, monkeypatch):
    clicks().to_csv(tmp_path / "clicks.csv", index=False)
    monkeypatch.chdir(tmp_path)
    words = "recall clicks.csv --user who --item film --time at --dim 8 --epochs 2"
    asked = [*words.split(), "--teacher", "EASE of the newest"]
    done = CliRunner().invoke(app, asked, env={"COLUMNS": "200"})
    assert done.exit_code == 0, (done.output, done.exception)
    results = json.loads((tmp_path / "runs/recall/results.json").read_text())
    assert [b["name"] for b in results["baselines"]] == [
        *("popular", "EASE", "EASE of the newest"),
    ]
    rows = {model["name"]: model for model in results["stages"][0]["models"]}
    bar = results["baselines"][2]["test"]["ndcg@10"]
    assert rows["teacher"]["test"]["ndcg@10"] == [bar] * 1  # the teacher is that one
    loaded = tf.saved_model.load(str(tmp_path / "runs/recall/serving/recall/1"))
    ids = loaded.signatures["serving_default"](user_id=tf.constant(["u4"]))["ids"]
    films = ids.numpy().astype(str).ravel().tolist()
    assert len(set(films)) == len(films) and set(films) <= set(clicks()["film"])


def test_what_was_taken_alone_is_enough(tmp_path):
    frame = clicks().drop(columns="at")
    path = tmp_path / "clicks.parquet"
    frame.to_parquet(path)
    made = Problem.from_interactions(path, user="who", item="film")
    again = Problem.from_interactions(path, user="who", item="film")
    assert len(made.interactions.test) > 0
    assert made.valid.identity == again.valid.identity  # the split is always the same


def test_the_teacher_is_the_best_on_validation(problem):
    pytest.importorskip("lightgbm")
    found = teachers(problem, "auto", baselines(problem), QUIET)
    assert list(found) == ["popular", "EASE", "EASE of the newest", "candidates"]
    scores = {n: m.metrics(problem.valid)["ndcg@10"] for n, m in found.items()}
    assert max(scores.values()) > 2 * scores["popular"]


def test_without_lightgbm_a_simple_model_teaches(problem, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    console = Console(record=True, width=200)
    assert "candidates" not in teachers(problem, "auto", baselines(problem), console)
    assert "tfdistill[gbdt]" in console.export_text()


def test_a_teachers_list_has_nothing_that_was_taken_or_comes_later(problem):
    baseline = teachers(problem, "EASE", baselines(problem), QUIET)["EASE"]
    lists = baseline.lists(problem.train, cut=1.0, size=20)
    train = problem.interactions.train
    for user in range(problem.interactions.num_users):
        taken = set(train.item[train.user == user])
        assert not taken & set(lists.items[user].tolist())


@pytest.mark.parametrize("wrong", [{"teacher": "oracle"}, {"form": "RDD"}])
def test_an_unknown_choice_is_refused_with_those_that_there_are(
    problem, tmp_path, wrong
):
    (name, value) = next(iter(wrong.items()))
    with pytest.raises(ValueError, match=f"{name} must be one of .*EASE|RRD"):
        recall(problem, tmp_path, console=QUIET, **wrong)
    assert value and not list(tmp_path.iterdir())
