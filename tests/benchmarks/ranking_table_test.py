"""The tables of docs/ranking.md are those of the finished runs."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import pages  # noqa: E402
from ranking import Ranking  # noqa: E402


def test_the_page_shows_what_was_measured():
    page = (pages.DOCS / Ranking.page).read_text(encoding="utf-8")
    assert page.count("| small alone |") == 7  # four problems, three latencies
    assert pages.renewed(page, Ranking.tables()) == page
