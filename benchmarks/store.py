"""Finished runs, one JSON line each: what is there is not run again."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from tfdistill.zoo.machine import hardware, versions

RESULTS = pathlib.Path(__file__).parent / "results"


def finished(name: str) -> dict[str, dict[str, Any]]:
    """Returns the runs in `results/<name>.jsonl` by their id."""
    path = RESULTS / f"{name}.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return {run["run"]: run for run in map(json.loads, lines)}


def append(name: str, run: str, values: Mapping[str, Any]) -> None:
    """Adds one finished run with the machine and the versions it was made on."""
    row = {"run": run, **values, "hardware": hardware(), "versions": versions()}
    RESULTS.mkdir(exist_ok=True)
    with open(RESULTS / f"{name}.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
