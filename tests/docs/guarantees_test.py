"""Every promise of `docs/guarantees.md` names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "guarantees.md"


def functions_of(path: Path) -> set[str]:
    """Names of a file's test functions, those of its classes included."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    return {name for name in names if name.startswith("test_")}


def test_each_promise_names_tests_that_exist():
    rows = re.findall(r"^\| (?!---|promise).*\|$", PAGE.read_text("utf-8"), flags=re.M)
    assert rows
    for row in rows:
        held = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row)
        assert held, f"no test is named: {row}"
        for path, name in held:
            assert name in functions_of(ROOT / path), f"{path} has no {name}"
