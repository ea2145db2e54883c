"""What README and the pages show is true: code runs, specs load, options exist."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from tfdistill.cli import app
from tfdistill.spec import FeatureSpec

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.M | re.S)


def test_the_readme_code_runs():
    (code,) = blocks(ROOT / "README.md", "python")
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})


def test_the_documented_spec_is_one():
    (text,) = blocks(ROOT / "docs" / "own_data.md", "json")
    spec = FeatureSpec.from_json(text)
    assert (
        spec.non_privileged().names
        == spec.names[:-1]
        == (
            "age",
            "city",
            "history",
            "item_id",
            "genres",
        )
    )


def test_the_own_data_code_runs(tmp_path, monkeypatch):
    page = ROOT / "docs" / "own_data.md"
    rng, rows = np.random.default_rng(0), 60
    request = np.arange(rows) // 3
    columns = {
        "request": request,
        "time": request,
        "click": rng.integers(0, 2, rows),
        "like": np.where(rng.random(rows) < 0.5, np.nan, 1.0),
        "weight": rng.random(rows),
        "old_model": rng.normal(size=rows),
        "age": 20 + request,
        "city": np.char.add("city ", (request % 4).astype(str)),
        "history": [[1, 2]] * rows,
        "item_id": rng.integers(0, 9, rows),
        "genres": [["comedy"]] * rows,
        "dwell_seconds": rng.random(rows),
    }
    pd.DataFrame(columns).to_parquet(tmp_path / "mine.parquet")
    (tmp_path / "spec.json").write_text(blocks(page, "json")[0], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    names = {}
    for code in blocks(page, "python"):
        exec(compile(code, page.name, "exec"), names)
    assert names["train"].num_requests == 16


COMMANDS = ["quickstart", "distill", "train-teacher", "score-teacher", "evaluate"]


@pytest.mark.parametrize("command", COMMANDS)
def test_documented_options_exist(command):
    shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    for page in PAGES:
        for block in blocks(page, "bash"):
            for line in block.splitlines():
                if f"tfdistill {command}" in line:
                    for option in re.findall(r"--[a-z-]+", line):
                        assert option in shown.output, (page.name, option)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_the_code_of_two_stages_runs():
    page = ROOT / "docs" / "two_stage.md"
    namespace = {"__name__": "two_stage"}
    for code in blocks(page, "python"):
        exec(compile(code, page.name, "exec"), namespace)
    assert namespace["coverage"].missing == namespace["lookup"].coverage.missing == 0
    assert namespace["head"].shape == (30, 10)


def test_the_code_of_retrieval_runs():
    page = ROOT / "docs" / "retrieval.md"
    namespace = {"__name__": "retrieval"}
    for code in blocks(page, "python"):
        exec(compile(code, page.name, "exec"), namespace)
    assert namespace["page"]["ids"].shape == (1, 20)
    assert namespace["report"].index.k == 200
