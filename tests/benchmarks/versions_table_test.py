"""The tables of docs/installation.md are those of the finished runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import pages  # noqa: E402
import store  # noqa: E402
import versions  # noqa: E402

RUN = {"run": "versions-1", "python": "3.13", "tensorflow": "newest", "keras": "3"}
DONE = {
    **RUN,
    "versions": {"tensorflow": "2.21.0", "keras": "3.15.1", "tf-keras": "2.21.0"},
    "install_seconds": 70,
    "modules": 9,
    "not_imported": {"tfdistill.far": "No module named 'far'"},
    "tests": "tests/losses",
    "passed": 5,
    "failed": 1,
    "skipped": 2,
    "failures": ["tests.losses::test_one: 1 is not 2"],
    "skip_reasons": {"Keras 3 has no ragged outputs": 2},
    "quickstart_seconds": 41,
}


def test_the_page_shows_what_was_measured():
    page = (pages.DOCS / versions.PAGE).read_text(encoding="utf-8")
    for python in versions.PYTHONS:
        assert f"<!-- versions: {python} -->" in page
    assert pages.renewed(page, {versions.NAME: versions.table}) == page


@pytest.fixture
def table(monkeypatch, tmp_path):
    """The table of Python 3.13 where these runs are finished."""
    monkeypatch.setattr(store, "RESULTS", tmp_path)

    def of(*runs):
        text = "".join(json.dumps(run) + "\n" for run in runs)
        (tmp_path / "versions.jsonl").write_text(text)
        return versions.table("3.13")

    return of


def test_a_row_has_what_was_drawn_run_and_skipped_and_why(table):
    shown = table(DONE)
    (row,) = [line for line in shown.splitlines() if "2.21.0" in line]
    assert "3.15.1" in row and "8 of 9" in row and "5 / 1 / 2" in row
    assert "of a part" in row and "41 s" in row
    assert "the part of the tests: `tests/losses`" in shown
    assert (
        "No module named 'far'" in shown
        and "failed: tests.losses::test_one: 1 is not 2" in shown
    )
    assert "2 skipped: Keras 3 has no ragged outputs" in shown


def test_what_is_missing_or_was_not_run_is_said(table):
    shown = table({**RUN, "missing": "no wheel"}).splitlines()
    (row,) = [line for line in shown if line.startswith("| newest | 3")]
    assert "no wheel" in row
    assert sum("not run" in line for line in shown) == 7


def test_the_last_line_of_a_setting_counts(table):
    later = {**DONE, "run": "versions-2", "quickstart_failed": "Out of memory."}
    del later["quickstart_seconds"]
    shown = table(DONE, later)
    assert "41 s" not in shown and "quickstart failed: Out of memory." in shown
