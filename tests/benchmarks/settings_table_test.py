"""The tables of docs/keras.md are those of the finished runs."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import pages  # noqa: E402
import store  # noqa: E402
from settings_table import PAGE, table  # noqa: E402


def test_the_page_shows_what_was_measured():
    page = (pages.DOCS / PAGE).read_text(encoding="utf-8")
    assert page.count("<!-- settings: ") == 4
    assert pages.renewed(page, {"settings": table}) == page


def test_losses_and_gradients_agree_to_1e_5():
    for run in store.finished("settings_values").values():
        assert all(kind["difference"] < 1e-5 for kind in run["kinds"].values())


def test_no_setting_takes_a_tenth_longer():
    """The page says so of the newest run."""
    *_, run = store.finished("settings_speed").values()
    assert all(step["cpu_ratio"] < 1.1 for step in run["steps"])
    assert all(step["wall_ratio"] < 1.1 for step in run["steps"])
