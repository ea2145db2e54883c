"""Simple baselines in a report: which is the bar, and what is below it."""

from __future__ import annotations

import dataclasses

import pytest

from tfdistill.report import ALONE, DISTILLED, TEACHER, Baseline, Cascade, Model, Stage
from tfdistill.report.against import baseline_table, baseline_warnings
from tfdistill.report.store import from_json, to_json


def made(results, taught: float, page: float):
    """Three seeds; EASE is best on validation, popularity on test."""
    rows = {TEACHER: 0.3, ALONE: 0.1, DISTILLED: taught}
    values = {name: {"ndcg@10": [value] * 3} for name, value in rows.items()}
    models = [Model(name, both, both) for name, both in values.items()]
    return dataclasses.replace(
        results,
        stages=[Stage("recall", "ndcg@10", models, over_catalogue=True)],
        cascades=[Cascade(DISTILLED, {"ndcg@10": [page] * 3})],
        baselines=[
            Baseline("popular", {"ndcg@10": 0.1}, {"ndcg@10": 0.9}),
            Baseline("EASE", {"ndcg@10": 0.2}, {"ndcg@10": 0.2}),
        ],
    )


def test_the_bar_is_the_best_on_validation_and_every_result_stands_over_it(results):
    table = baseline_table(made(results, taught=0.25, page=0.1))
    assert table.columns[2] == "Over EASE"
    found = {row[0].text: (row[2].text, row[3].text) for row in table.rows if row[1:]}
    assert found["Recall: Student distilled"] == ("+25.0 %", "")
    assert found["Page: Student distilled"] == ("−50.0 %", "below it")
    assert found["Recall: Teacher"] == ("+50.0 %", "")


def test_what_a_baseline_beats_is_named_in_a_warning(results):
    (warning,) = baseline_warnings(made(results, taught=0.25, page=0.1))
    assert "Page: Student distilled 0.1000" in warning and "EASE" in warning
    assert "Recall: Student distilled" not in warning
    better = made(results, taught=0.25, page=0.3)
    (left,) = baseline_warnings(better)
    assert "Student alone" in left and "Page" not in left


def test_without_baselines_there_is_no_table(results):
    none = dataclasses.replace(results, baselines=())
    assert not baseline_table(none).rows and not baseline_warnings(none)


def test_a_baseline_is_stored_and_needs_its_metric(results):
    kept = made(results, 0.25, 0.1)
    assert from_json(to_json(kept)).baselines[1].test == {"ndcg@10": 0.2}
    with pytest.raises(ValueError, match="compared by 'ndcg@10'; 'x' has only"):
        Baseline("x", {"auc": 0.5}, {"auc": 0.5})
