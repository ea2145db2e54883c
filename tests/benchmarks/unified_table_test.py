"""The tables of docs/cascade.md are those of the finished runs."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import pages  # noqa: E402
import store  # noqa: E402
from frontier import Frontier  # noqa: E402
from unified import Unified  # noqa: E402


def test_the_page_shows_what_was_measured():
    page = (pages.DOCS / Unified.page).read_text(encoding="utf-8")
    assert page.count("| training | seeds |") == page.count("<!-- unified: ")
    assert pages.renewed(page, Unified.tables()) == page


def test_the_page_shows_the_sizes_that_were_measured():
    page = (pages.DOCS / Unified.page).read_text(encoding="utf-8")
    assert "<!-- frontier: simulator-4k -->" in page
    assert pages.renewed(page, Frontier.tables()) == page


def test_a_table_has_a_row_for_each_way_and_only_columns_that_were_measured(
    monkeypatch,
):
    def run(ndcg, **others):
        return {"test": {"page/ndcg@10": ndcg, **others}, "student parameters": 12345}

    done = {
        "set/joint/seed-0": run(0.5, **{"teacher/ndcg@10": 0.6}),
        "set/joint/seed-1": run(0.7, **{"teacher/ndcg@10": 0.6}),
        "set/independent/seed-0": run(0.4),
        "other/joint/seed-0": run(0.1, **{"page/regret": 0.2}),
    }
    monkeypatch.setattr(store, "finished", lambda name: done)
    head, _, *rows = Unified.table("set").splitlines()
    assert head == "| training | seeds | NDCG@10 | teacher NDCG@10 | student weights |"
    assert rows == [
        "| joint | 2 | 0.6000 ± 0.1414 | 0.6000 ± 0.0000 | 12,345 |",
        "| independent | 1 | 0.4000 | - | 12,345 |",
    ]
