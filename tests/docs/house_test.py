"""The picture of the house is that of the imports, and has no circle."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
house = runpy.run_path(str(ROOT / "docs" / "house.py"))


def reached(arrows, start):
    found, left = set(), [start]
    while left:
        new = arrows[left.pop()] - found
        found |= new
        left += new
    return found


def test_the_page_has_the_picture_of_the_imports():
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    assert house["page"](text) == text, "Run python docs/house.py."
    packages = {path.parent.name for path in (ROOT / "tfdistill").glob("*/__init__.py")}
    drawn = set(re.findall(r'\["(.*)"\]', text))
    assert drawn == packages | {"ground", "command line"}


def test_the_picture_says_who_reaches_whom_and_nothing_twice():
    arrows = house["imports"]()
    drawn = house["reduced"](arrows)
    for room in arrows:
        assert room not in reached(arrows, room)
        assert reached(drawn, room) == reached(arrows, room)
        for end in drawn[room]:
            without = {**drawn, room: drawn[room] - {end}}
            assert end not in reached(without, room)


@pytest.mark.parametrize("page", ["design.md", "walkthrough.md"])
def test_every_file_that_a_page_names_is_there(page):
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:\w+/)+\w+\.py)`", text))
    missing = {
        name
        for name in named
        if not ((ROOT / name).is_file() or (ROOT / "tfdistill" / name).is_file())
    }
    assert named and not missing


def test_the_walk_is_a_page():
    text = (ROOT / "docs" / "walkthrough.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 100
