"""The main job on made-up ratings: it runs, runs again, and its parts agree."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import tensorflow as tf
from rich.console import Console
from zoo_fixture import movielens

from tfdistill.jobs.movielens import quickstart
from tfdistill.layers.standing import standing
from tfdistill.names import safe_name
from tfdistill.report import ALONE, DISTILLED, TEACHER
from tfdistill.report.against import baseline_table
from tfdistill.study.public import movielens_problem
from tfdistill.zoo.rankers_after_recall import STANDING
from tfdistill.zoo.unified_cascade import STAGES

DATA = movielens(items=1040)  # a batch of recall draws 1,024


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("quickstart")
    output = io.StringIO()
    problem = movielens_problem(DATA, tiny=True)
    console = Console(file=output, width=120)
    results = quickstart(DATA, out, seeds=(0,), tiny=True, console=console)
    return out, problem, results, output.getvalue()


def test_every_stage_has_teacher_student_alone_and_distilled(run):
    _, _, results, _ = run
    assert [stage.name for stage in results.stages] == list(STAGES)
    for stage in results.stages:
        assert [model.name for model in stage.models] == [TEACHER, ALONE, DISTILLED]
        for model in stage.models:
            for values in (model.validation, model.test):
                assert np.isfinite(values[stage.primary][0])


def test_lists_are_judged_by_their_order_alone(run):
    _, _, results, _ = run
    _, *rankers = results.stages
    for stage in rankers:
        assert stage.primary == "ndcg@10"
        for model in stage.models:
            assert "gauc" in model.test and "log_loss" not in model.test
    assert not results.calibration
    text = baseline_table(results).rows
    assert {row[0].text.split(":")[0] for row in text if row[1:]} >= {"Recall", "Page"}
    assert not any(row[0].text.startswith(("Coarse", "Fine")) for row in text)


def test_the_run_is_reported_and_exported(run):
    out, _, results, output = run
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "http" not in page.replace("http://www.w3.org", "")  # self-contained
    assert json.loads((out / "results.json").read_text())["seeds"] == [0]
    assert "Made up for a test." in output and "report.html" in output
    for export in results.exports:
        assert export.max_difference < 1e-5
        assert (out / "serving" / export.name / "1" / "saved_model.pb").is_file()
    assert {cost.name for cost in results.costs} == {*STAGES, "cascade"}
    assert all(cost.mflops > 0 for cost in results.costs)


def test_a_second_run_trains_nothing_and_gives_the_same(run):
    out, problem, results, _ = run
    again = quickstart(
        DATA, out, seeds=(0,), tiny=True, console=Console(file=io.StringIO())
    )
    for one, two in zip(results.stages, again.stages):
        assert [m.test for m in one.models] == [m.test for m in two.models]
    assert again.exports == results.exports  # a server has nothing to load
    assert not (out / "serving" / "fine" / "2").exists()


def test_exported_recall_returns_the_films_that_the_judge_ranks_first(run):
    out, problem, _, _ = run
    loaded = tf.saved_model.load(str(out / "serving" / "recall" / "1"))
    top = loaded.signatures["serving_default"]
    evaluator, users = problem.test, problem.test.requests.users
    names = top.structured_input_signature[1]
    request = {n: tf.constant(users[n][evaluator.first]) for n in names}
    ids = top(**request)["ids"].numpy()
    items = problem.test.requests.items["item_id"]
    for user in range(len(evaluator.first)):
        seen = set(items[evaluator.seen.item[evaluator.seen.user == user]].tolist())
        unseen = [i for i in ids[user] if i not in seen][:3]
        assert len(unseen) == 3


def test_the_exported_cascade_is_the_exported_stages(run):
    out, problem, _, _ = run
    loaded = {
        name: tf.saved_model.load(str(out / "serving" / name / "1"))
        for name in ("coarse", "fine", "cascade")
    }
    served = {name: model.signatures for name, model in loaded.items()}
    test = problem.test.requests

    def called(function, features):
        names = function.structured_input_signature[1]
        return function(**{name: tf.constant(features[name]) for name in names})

    users = {name: column[:4] for name, column in test.users.items()}
    found = called(served["cascade"]["recall"], users)
    ids, recalled = found["ids"].numpy(), found["scores"]
    stands = standing(recalled, recalled).numpy()
    row = {item: place for place, item in enumerate(test.items["item_id"])}
    for stage, keep in (("coarse", 50), ("fine", 10)):
        rows = np.vectorize(row.get)(ids)
        features = {**users, **{name: x[rows] for name, x in test.items.items()}}
        features[safe_name(STANDING)] = stands
        scores = called(served[stage]["serving_default"], features)["scores"]
        order = np.argsort(-scores.numpy(), axis=1, kind="stable")[:, :keep]
        ids = np.take_along_axis(ids, order, axis=1)
        stands = np.take_along_axis(stands, order[..., np.newaxis], axis=1)
    page = called(served["cascade"]["serving_default"], users)
    np.testing.assert_array_equal(page["ids"], ids)
