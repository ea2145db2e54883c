"""The tables of docs/recall.md are those of the finished runs."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import pages  # noqa: E402
import recall_rows  # noqa: E402
import store  # noqa: E402
from clicks import Clicks  # noqa: E402
from recall import METRICS, Recall  # noqa: E402


def test_the_page_shows_what_was_measured():
    page = (pages.DOCS / Recall.page).read_text(encoding="utf-8")
    assert page.count("| row | seeds |") == 4
    assert page.count("| recall taught | seeds |") == 1
    assert pages.renewed(page, {**Recall.tables(), **Clicks.tables()}) == page


def test_gains_are_over_the_better_student_alone(monkeypatch):
    def run(ndcg):
        return {"test": {**dict.fromkeys(METRICS.values(), 0.1), "ndcg@10": ndcg}}

    done = {
        "set/alone, softmax/seed-0": run(0.5),
        "set/alone, BPR/seed-0": run(0.4),
        "set/RRD/seed-0": run(0.5),
        "set/RRD/seed-1": run(0.7),
        "set/EASE/seed-0": run(0.9),
    }
    monkeypatch.setattr(store, "finished", lambda name: done)
    lines = Recall.table("set").splitlines()
    assert "NDCG@10 over alone, softmax" in lines[0]
    rows = {line.split(" | ")[0]: line for line in lines[2:]}
    assert rows["| RRD"].endswith("| +20.0 % | +0.0 % |")
    assert rows["| EASE"].endswith("|  |  |")


def test_every_student_has_eight_trials():
    for row in recall_rows.ROWS.values():
        trials = {tuple(settings.items()) for settings in row.trials.values()}
        assert len(trials) == (8 if row.kind == "student" else 0)
