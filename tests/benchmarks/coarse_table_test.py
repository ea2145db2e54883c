"""The table of docs/two_stage.md is that of the finished runs."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import pages  # noqa: E402
from coarse import Coarse  # noqa: E402


def test_the_page_shows_what_was_measured():
    page = (pages.DOCS / Coarse.page).read_text(encoding="utf-8")
    assert page.count("| row | seeds |") == page.count("<!-- coarse: ") >= 1
    assert pages.renewed(page, Coarse.tables()) == page
