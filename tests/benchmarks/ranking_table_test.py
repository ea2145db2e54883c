"""The tables of docs/ranking.md are those of the finished runs."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import ranking_table  # noqa: E402


def test_the_page_shows_what_was_measured():
    page = ranking_table.PAGE.read_text(encoding="utf-8")
    assert page.count("| small alone |") == 7  # four problems, three latencies
    assert ranking_table.written(page) == page
