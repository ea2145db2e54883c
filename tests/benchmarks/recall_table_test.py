"""The tables of docs/recall.md are those of the finished runs."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import clicks  # noqa: E402
import pages  # noqa: E402
import recall_rows  # noqa: E402
import recall_table  # noqa: E402
import store  # noqa: E402


def test_the_page_shows_what_was_measured():
    page = recall_table.PAGE.read_text(encoding="utf-8")
    assert page.count("| row | seeds |") == 4
    assert pages.renewed(page, recall_table.NAME, recall_table.table) == page
    assert pages.renewed(page, clicks.NAME, clicks.table) == page


def test_gains_are_over_the_better_student_alone(monkeypatch):
    def run(ndcg):
        return {"test": {**dict.fromkeys(recall_table.METRICS, 0.1), "ndcg@10": ndcg}}

    done = {
        "set/alone, softmax/seed-0": run(0.5),
        "set/alone, BPR/seed-0": run(0.4),
        "set/RRD/seed-0": run(0.5),
        "set/RRD/seed-1": run(0.7),
        "set/EASE/seed-0": run(0.9),
    }
    monkeypatch.setattr(store, "finished", lambda name: done)
    lines = recall_table.table("set").splitlines()
    assert "NDCG@10 over alone, softmax" in lines[0]
    rows = {line.split(" | ")[0]: line for line in lines[2:]}
    assert rows["| RRD"].endswith("| +20.0 % | +0.0 % |")
    assert rows["| EASE"].endswith("|  |  |")


def test_every_student_has_eight_trials():
    for row in recall_rows.ROWS.values():
        assert len(set(row.trials)) == 8
